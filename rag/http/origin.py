"""Which sites a browser may send requests from."""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from rag.http.problems import problem, respond

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class SameOrigin:
    """Refuses requests that another web page makes a browser send: a foreign Host (DNS rebinding) or Origin."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.names = LOOPBACK | {host.lower()}
        self.anywhere = host in ("0.0.0.0", "::")
        if self.anywhere:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if not self._known(host) or (origin is not None and urlsplit(origin).netloc.lower() != host.lower()):
            response = respond(problem(403, "A request from another site: its Host or Origin is not this server's."))
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _known(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").lower()
        return name in self.names or (self.anywhere and _is_address(name))


def _is_address(name: str) -> bool:
    """Another site can point a name of its own at this machine, but not an address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

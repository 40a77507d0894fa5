"""Who may call what: keys, their scopes and their limits."""

import base64
import binascii
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.errors import StoreError
from rag.http.problems import problem, problem_of, respond
from rag.keys import Keys, allows
from rag.keys import Scope as Right

OPEN = ("/health",)
COUNTED = ("/v1/", "/mcp")  # what the limit of a key counts; the page asks for many small files
NEEDS = {"/gradio_api/upload": "write"}  # the page's own way to bring files in
NO_KEY = "This call needs a key: `rag keys add NAME` on the machine of the server makes one."
SERVERS_TOKEN = "This call needs the token of the running server, or a key of the scope {}."


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    scope: Right


ANYBODY = Caller("anybody", "write")  # on loopback, as long as there are no keys
SERVER = Caller("server", "admin")  # the commands beside the server


def caller_of(request: Request) -> Caller:
    """Who sent a request that `Access` let in."""
    caller: Caller = request.scope["caller"]
    return caller


def key_of(caller: Caller) -> str | None:
    """The name of the key that a caller has; None for those who may change all there is."""
    return None if caller in (ANYBODY, SERVER) or caller.scope == "admin" else caller.name


def needs(scope: Right) -> Any:
    """A dependency that refuses callers of a lesser scope."""

    def check(request: Request) -> None:
        caller = caller_of(request)
        if allows(caller.scope, scope):
            return
        if caller is ANYBODY:
            raise HTTPException(401, SERVERS_TOKEN.format(scope), headers={"WWW-Authenticate": "Bearer"})
        raise HTTPException(403, f"The key {caller.name!r} has the scope {caller.scope}; this call needs {scope}.")

    return Depends(check)


class Access:
    """Lets in who has a key, as a Bearer token or as the password of HTTP's own login, which browsers ask for.

    `token` is the running server's own. Where `open_` and there are no keys, everybody may read and write.
    """

    def __init__(self, app: ASGIApp, *, keys: Keys | None, token: str | None, open_: bool) -> None:
        self.app, self.keys, self.token, self.open_ = app, keys, token, open_
        self._limits = Limits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        path = str(scope["path"])
        try:
            caller, per_minute = self._caller(dict(scope["headers"]).get(b"authorization", b"").decode("latin-1"))
        except StoreError as error:
            await respond(problem_of(error))(scope, receive, send)
            return
        if caller is None:
            login = 'Bearer realm="Footnote"' if path.startswith(COUNTED) else 'Basic realm="Footnote", charset="UTF-8"'
            await respond(problem(401, NO_KEY), {"WWW-Authenticate": login})(scope, receive, send)
            return
        if path in NEEDS and not allows(caller.scope, "write"):
            await respond(problem(403, f"The key {caller.name!r} may only read."))(scope, receive, send)
            return
        if per_minute and path.startswith(COUNTED) and (wait_s := self._limits.take(caller.name, per_minute)):
            told = problem(429, f"The key {caller.name!r} may send {per_minute} requests a minute.")
            await respond(told, {"Retry-After": str(wait_s)})(scope, receive, send)
            return
        scope["caller"] = caller
        await self.app(scope, receive, send)

    def _caller(self, header: str) -> tuple[Caller | None, int | None]:
        """Who it is, and how many requests a minute they may send."""
        secret = _secret(header)
        if secret and self.token and secrets.compare_digest(secret.encode(), self.token.encode()):
            return SERVER, None
        if self.keys and secret and (key := self.keys.find(secret)):
            return Caller(key.name, key.scope), key.per_minute
        if self.open_ and not (self.keys and self.keys.all()):
            return ANYBODY, None
        return None, None


class Limits:
    """A bucket for each name that holds a minute's requests and fills evenly."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}  # name -> (requests left, when)
        self._lock = threading.Lock()

    def take(self, name: str, per_minute: int) -> int:
        """0, or the seconds until there is room again."""
        with self._lock:
            now = self._now()
            left, when = self._buckets.get(name, (float(per_minute), now))
            left = min(float(per_minute), left + (now - when) * per_minute / 60)
            self._buckets[name] = (left - 1 if left >= 1 else left, now)
        return 0 if left >= 1 else int((1 - left) * 60 / per_minute) + 1


def _secret(header: str) -> str:
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""

"""On PYTHONPATH: Python's sockets reach the loopback only. Where a network namespace cannot be had, this stands in."""

import socket
from typing import Any


def _refuse_others(name: str) -> None:
    original = getattr(socket.socket, name)

    def guarded(self: socket.socket, *arguments: Any) -> Any:
        address = arguments[-1]
        host = address[0] if isinstance(address, tuple) else ""
        if self.family in (socket.AF_INET, socket.AF_INET6) and host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(101, "Network is unreachable")
        return original(self, *arguments)

    setattr(socket.socket, name, guarded)


for _name in ("connect", "connect_ex", "sendto"):
    _refuse_others(_name)

"""The main job where there is no network: `python -m tests.offline HOME`, run in a network namespace of its own.

Prints one JSON object: what came of connections to the outside, and what the commands said.
"""

import fcntl
import json
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

import httpx

from tests.servers import rag_command, serving

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h
OUTSIDE = [("1.1.1.1", 443), ("pypi.org", 443), ("huggingface.co", 443)]


def bring_loopback_up() -> None:
    """In a fresh network namespace it is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | IFF_UP, b""))


def outcome(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), timeout=3):
            return "connected"
    except OSError as error:
        return type(error).__name__


def main(home: Path) -> None:
    with suppress(OSError):
        bring_loopback_up()
    said: dict[str, object] = {"outside": [outcome(*address) for address in OUTSIDE]}
    note = home.parent / "note.txt"
    note.write_text("The ferry to Orrin leaves at nine.", encoding="utf-8")
    with serving(home) as server:
        said["page"] = httpx.get(server.address).status_code
        said["documents"] = json.loads(rag_command(home, "documents", "--json").out)["documents"]
        said["ingest"] = json.loads(rag_command(home, "ingest", "--json", str(note)).out)
        said["answer"] = json.loads(rag_command(home, "ask", "--json", "When was CELAC founded, and where?").out)
        said["search"] = json.loads(rag_command(home, "search", "--json", "ferry to Orrin").out)
    print(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

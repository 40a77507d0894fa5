"""A real `rag serve` in a process of its own, and the commands beside it, as a person runs them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

RAG = [sys.executable, "-m", "rag.cli"]
ROOT = Path(__file__).parent.parent
START_S = 120.0
STOP_S = 60.0


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Served:
    process: subprocess.Popen[str]
    address: str
    home: Path

    @property
    def children(self) -> dict[int, str]:
        """Process id -> command line of every process under this one."""
        return descendants(self.process.pid)

    def child(self, module: str) -> int:
        return next(pid for pid, command in self.children.items() if module in command)


def environment(home: Path, **settings: str) -> dict[str, str]:
    return os.environ | {"RAG_HOME": str(home)} | {f"RAG_{name.upper()}": value for name, value in settings.items()}


def rag_command(home: Path, *arguments: str, timeout: float = 120, **settings: str) -> Ran:
    """`rag ARGUMENTS…` as a process of its own, not on a terminal."""
    done = subprocess.run(
        [*RAG, *arguments],
        env=environment(home, **settings),
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@contextmanager
def serving(home: Path, *, command: list[str] | None = None, **settings: str) -> Iterator[Served]:
    """A server on a free port, ready; asked to stop at the end, where it still runs."""
    process = start(home, command=command, **settings)
    try:
        server = Served(process, said_address(process), home)
        wait_until_ready(server)
        yield server
    finally:
        end(process)


def start(home: Path, *, command: list[str] | None = None, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command or [*RAG, "serve", "--port", "0"],
        env=environment(home, **settings) | {"PYTHONUNBUFFERED": "1"},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )


def said_address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if found := re.search(r"is at (http://\S+)", line):
            return found[1]
    raise AssertionError(f"the server did not start: {said}")


def wait_until_ready(server: Served) -> None:
    deadline = time.monotonic() + START_S
    while httpx.get(f"{server.address}/health", timeout=30).status_code != 200:
        assert server.process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server is not ready"
        time.sleep(0.1)


def stop(process: subprocess.Popen[str], how: signal.Signals) -> None:
    """Returns when the process and all its children have ended."""
    below = descendants(process.pid)
    started = time.monotonic()
    process.send_signal(how)
    process.wait(STOP_S)
    while left := [pid for pid in below if alive(pid)]:
        assert time.monotonic() < started + STOP_S, f"still running: {[below[pid] for pid in left]}"
        time.sleep(0.05)


def end(process: subprocess.Popen[str]) -> None:
    """Its children end with it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stderr:
        process.stderr.close()


def announced(home: Path) -> dict[str, object]:
    said: dict[str, object] = json.loads((home / "server.json").read_text())
    return said


def descendants(pid: int) -> dict[int, str]:
    """Process id -> command line, zombies left out. Reads /proc."""
    found: dict[int, str] = {}
    for child in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        if _state_and_parent(child) in (("S", pid), ("R", pid), ("D", pid), ("T", pid)):
            with suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
            found |= descendants(child)
    return found


def alive(pid: int) -> bool:
    """Neither gone nor a zombie that nobody has waited for."""
    return _state_and_parent(pid)[0] not in ("", "Z")


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return state, int(parent)

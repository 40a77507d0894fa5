"""A model in a child process: it cannot block, crash or outlive the program that started it.

The child reads one JSON line with its configuration from stdin, answers one JSON line on stdout when it is ready, and
ends when stdin closes, which also happens when the parent is killed.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from rag.errors import ModelError

STOP_S = 3.0
GONE = "A model process ended unexpectedly. Ask again: it is started anew."


class ChildGone(ModelError):  # noqa: N818 - what has happened to it
    """The process ended before it replied."""


class Child:
    def __init__(self, module: str, config: Mapping[str, object]) -> None:
        """Starts `python -m module`; returns at once. `ready` waits for it."""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],  # -P: a numpy.py in the current folder is not the library
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ
            | {"HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"), "TOKENIZERS_PARALLELISM": "false"},
        )
        self.send(config)

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def send(self, message: Mapping[str, object]) -> None:
        """Raises ChildGone if the child is gone."""
        try:
            self.stdin.write(json.dumps(message).encode() + b"\n")
            self.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._gone() from error

    def receive(self) -> dict[str, Any]:
        """The next JSON line. Raises ChildGone if the child is gone, ModelError if it reports an error."""
        line = self.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._gone()
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise ModelError(str(message["error"]))
        return message

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises ChildGone if the child is gone."""
        data = self.stdout.read(size) if size else b""
        if len(data) < size:
            raise self._gone()
        return data

    def _gone(self) -> ChildGone:
        """It has closed its pipes, or is a moment from its end: after this it is seen to have ended."""
        self.process.kill()
        self.process.wait()
        return ChildGone(GONE)

    def close(self) -> None:
        with suppress(OSError):
            self.stdin.close()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.stdout.close()


def child_streams() -> tuple[IO[bytes], IO[bytes]]:
    """For the child's main: (stdin, the real stdout). What libraries print is sent to stderr instead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to end
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return sys.stdin.buffer, out


def reply(out: IO[bytes], message: Mapping[str, object]) -> None:
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()

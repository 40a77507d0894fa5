"""What goes wrong on real machines: a kill, a full disk, a model that dies. Nothing that was stored is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harm import KILLS
from tests.servers import ROOT, Served

MILL = "The mill at Lindal ground barley until 1902. [1]"
QUESTION = "When was CELAC founded, and where?"


def harmed(*arguments: str | Path, before: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The lines that `python -m tests.harm ARGUMENTS…` prints."""
    command = [*before, sys.executable, "-m", "tests.harm", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_after_a_kill_at_any_moment_every_document_is_whole_in_its_old_or_new_version(tmp_path: Path) -> None:
    *trials, undisturbed = harmed("kills", tmp_path / "home", tmp_path / "files")
    assert [trial["problems"] for trial in trials] == [[]] * KILLS
    assert sum(trial["killed"] for trial in trials) >= KILLS * 0.8
    assert undisturbed["problems"] == []


def can_mount(folder: str = "/tmp") -> bool:
    command = [*small_disk(Path(folder)), "true"]
    return bool(shutil.which(command[0])) and not subprocess.run(command, capture_output=True, check=False).returncode


def small_disk(folder: Path) -> tuple[str, ...]:
    """What runs a command with 64 MB mounted at `folder`, for it alone."""
    return ("unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=64m none "{folder}" && exec "$@"', "sh")


# A limit on the size of files stands in where nothing can be mounted.
@pytest.mark.parametrize("how", ["limit", *(["filler"] if can_mount() else [])])
def test_without_room_what_was_stored_still_answers_and_the_rest_comes_in_later(tmp_path: Path, how: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    before = small_disk(disk) if how == "filler" else ()
    [said] = harmed("full", disk / "home", tmp_path / "files", how, before=before)
    documents = 61
    assert said["said"].startswith("No room left in ")
    assert "mill.txt" in said["stored_then"] and len(said["stored_then"]) < documents
    assert said["answered_then"] == said["answered"] == MILL
    assert said["failed"] == []
    assert said["problems"] == []
    assert said["documents"] == documents


@pytest.mark.model
def test_a_model_that_is_killed_in_the_middle_is_a_failure_and_the_next_question_is_answered(
    real_server: Served,
) -> None:
    body = {"question": QUESTION}
    with httpx.stream("POST", f"{real_server.address}/v1/answer/stream", json=body, timeout=120) as response:
        lines = response.iter_lines()
        while not next(lines).startswith("event: delta"):
            pass
        os.kill(real_server.child("llama_process"), signal.SIGKILL)
        rest = [line for line in lines if line]
    assert rest[-2] == "event: error"
    problem = json.loads(rest[-1].removeprefix("data: "))
    assert (problem["status"], problem["title"]) == (502, "Bad Gateway")
    assert "event: done" not in rest

    os.kill(real_server.child("embedding_process"), signal.SIGKILL)  # this one between two questions
    answer = httpx.post(f"{real_server.address}/v1/answer", json=body, timeout=200)
    assert answer.status_code == 200
    assert answer.json()["status"] in ("answered", "partial")
    assert httpx.get(f"{real_server.address}/health").json() == {"status": "ready"}

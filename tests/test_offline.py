"""The main job without a network, for the program and for all its children."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from rag.models.weights import NAME
from tests.servers import ROOT

CUT = [["unshare", "-rn"], ["unshare", "-n"]]  # as anybody, as root
HELPFUL = (
    "HF_",
    "TRANSFORMERS_",
    "TIKTOKEN_",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_",
    "HTTPS_",
    "ALL_PROXY",
)


def cut_network() -> list[str]:
    """The command that runs another one without a network; empty where the machine allows none."""
    for command in CUT:
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "true"], capture_output=True, check=False).returncode
        ):
            return command
    return []


@pytest.mark.model
def test_the_main_job_needs_no_network(tmp_path: Path) -> None:
    # what a machine has set to keep a library from its downloads must not be what keeps ours
    env = {name: value for name, value in os.environ.items() if not name.startswith(HELPFUL)}
    cut = cut_network()
    if not cut:
        warnings.warn("no network namespace on this machine: only Python's own sockets are cut off", stacklevel=1)
        env["PYTHONPATH"] = str(ROOT / "tests" / "no_network")
    done = subprocess.run(
        [*cut, sys.executable, "-m", "tests.offline", str(tmp_path / "home")],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert len(said["outside"]) == 3 and "connected" not in said["outside"]  # first of all: it is really cut

    assert said["page"] == 200
    assert sorted(d["source"] for d in said["documents"]) == sorted(p.name for p in (ROOT / "seeds").glob("*.md"))
    assert said["ingest"]["added"] == ["note.txt"]
    assert said["search"]["passages"][0]["source"] == "note.txt"
    answer = said["answer"]
    assert answer["model"] == NAME.removesuffix(".gguf")
    assert answer["status"] == "answered" and "2011" in answer["text"] and answer["citations"]


def test_where_no_namespace_can_be_had_pythons_sockets_are_cut_off() -> None:
    script = (
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 0)) as here: socket.create_connection(here.getsockname()).close()\n"
        "for connect in (lambda: socket.create_connection(('192.0.2.1', 80), 3),\n"
        "                lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))):\n"
        "    try: connect()\n"
        "    except OSError as error: print(error.errno)\n"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "no_network")}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "101\n101\n"

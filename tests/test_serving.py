"""`rag serve` as a process: start, stop, and what stands in its way."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from rag import serving as serving_module
from rag.config import load_settings
from tests.fakes import FakeEmbedder, fake_rag
from tests.servers import ROOT, Served, announced, rag_command, said_address, serving, start, stop

FAKE_SERVE = """
import sys, time
import rag.models.embedder, rag.pipeline, rag.serving, ui.app
from rag.cli import main
from tests.fakes import FakeEmbedder, FakeLLM

class EndlessLLM(FakeLLM):
    def stream(self, messages):
        while True:
            yield " founded"
            time.sleep(0.02)

rag.models.embedder.SentenceTransformerEmbedder = lambda name: FakeEmbedder()
rag.pipeline.open_llm = lambda settings: EndlessLLM()
ui.app.mount = lambda app, *_, **__: app
sys.argv = ["rag", "serve", *sys.argv[1:]]
main()
"""


def fake_serve(port: int = 0) -> list[str]:
    """The command of a server with fake models and no page: it starts sooner."""
    return [sys.executable, "-c", FAKE_SERVE, "--port", str(port)]


def refused(home: Path, port: int = 0, host: str = "127.0.0.1") -> tuple[int, str]:
    """(exit status, what was said) of a server that cannot start."""
    done = subprocess.run(
        [*fake_serve(port), "--host", host],
        env=os.environ | {"RAG_HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def sources(home: Path) -> list[str]:
    """What the command line beside the server lists."""
    listed = rag_command(home, "documents", "--json")
    assert listed.code == 0, listed.err
    return [d["source"] for d in json.loads(listed.out)["documents"]]


def test_the_life_of_a_server(tmp_path: Path) -> None:
    home = tmp_path / "home #1 100%"
    process = start(home, command=fake_serve())
    try:
        server = Served(process, said_address(process), home)
        # a command beside a server that is still starting waits for it
        sample = sources(home)
        assert sample == sorted(path.name for path in (ROOT / "seeds").glob("*.md"))
        assert httpx.get(f"{server.address}/health").json() == {"status": "ready"}

        file = home / "server.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert (announced(home)["address"], announced(home)["pid"]) == (server.address, process.pid)

        code, said = refused(home)
        assert code == 1
        assert f"{home} is already served at {server.address} by process {process.pid}" in said
        port = int(server.address.rpartition(":")[2])
        code, said = refused(tmp_path / "other", port)
        assert code == 2
        assert f"127.0.0.1 port {port}: Address already in use" in said and "--port" in said
        assert announced(home)["pid"] == process.pid  # neither took the file along

        removed = rag_command(home, "documents", "remove", "--all")
        assert (removed.code, removed.err) == (0, f"Removed {len(sample)} of the documents.\n")
        stop(process, signal.SIGTERM)
        assert process.returncode == 0
        assert not file.exists()
    finally:
        process.kill()

    with serving(home, command=fake_serve()) as again:
        assert sources(home) == []  # the sample stays removed
        stop(again.process, signal.SIGINT)
        assert again.process.returncode == 0
        assert not file.exists()


def test_an_answer_under_way_does_not_hold_a_server_back(tmp_path: Path) -> None:
    with serving(tmp_path, command=fake_serve()) as server:
        body = {"question": "When was CELAC founded?"}
        with httpx.stream("POST", f"{server.address}/v1/answer/stream", json=body, timeout=30) as response:
            lines = response.iter_lines()
            while not next(lines).startswith("event: delta"):
                pass
            stop(server.process, signal.SIGINT)
            assert server.process.returncode == 0
            assert server.process.stderr is not None
            said = server.process.stderr.read().splitlines()
            assert [line for line in said if not line.startswith(("Indexed", "Ready"))] == ["Stopped."]


def test_a_folder_that_another_process_has_is_refused_by_its_name(tmp_path: Path) -> None:
    with fake_rag(tmp_path):
        code, said = refused(tmp_path)
    assert code == 1
    assert f"in use by process {os.getpid()}" in said
    assert not (tmp_path / "server.json").exists()


def test_other_machines_are_let_in_only_where_there_is_a_key(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        code, said = refused(tmp_path, host=host)
        assert code == 2
        assert "no key" in said and "rag keys add" in said
    assert not (tmp_path / "server.json").exists()


def test_an_index_that_cannot_be_read_ends_the_server_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "documents.sqlite").write_bytes(b"no database at all" * 100)
    code, said = refused(tmp_path)
    assert code == 1
    assert "Error: The index in" in said


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, said = refused(tmp_path / "file")
    assert code == 2
    assert f"Cannot read {tmp_path / 'file' / 'rag.toml'}" in said
    code, said = refused(Path("/proc/no-such-folder"))
    assert code == 1
    assert "Cannot write in /proc/no-such-folder" in said


def test_a_sample_that_was_interrupted_is_completed_and_one_that_was_removed_is_not(
    tmp_path: Path, corpus: Path
) -> None:
    settings = load_settings(environ={}, home=tmp_path / "home", llm="extractive")
    settings.home.mkdir()
    said: list[str] = []

    def open_index() -> list[str]:
        with serving_module._open(settings, FakeEmbedder(), corpus, said.append) as rag:  # type: ignore[arg-type]
            return [d.source for d in rag.documents()]

    (corpus / "lighthouse.md").rename(tmp_path / "later.md")
    assert open_index() == ["mill.txt"]
    (settings.home / serving_module.SAMPLE_MARK).touch()  # as a kill during the first start leaves it
    (tmp_path / "later.md").rename(corpus / "lighthouse.md")
    assert open_index() == ["lighthouse.md", "mill.txt"]
    assert said[-2] == "Indexed the sample corpus: 2 documents."
    with serving_module._open(settings, FakeEmbedder(), corpus, said.append) as rag:  # type: ignore[arg-type]
        rag.remove(["mill.txt"])
    assert open_index() == ["lighthouse.md"]
    assert said[-1] == "Ready: 1 documents, model extractive."


def test_a_home_with_documents_of_ones_own_never_gets_the_sample(tmp_path: Path, corpus: Path) -> None:
    settings = load_settings(environ={}, home=tmp_path / "home", llm="extractive")
    (tmp_path / "own.txt").write_text("The baker of Lindal sells rye bread.", encoding="utf-8")
    with fake_rag(settings.home) as rag:
        rag.ingest([tmp_path / "own.txt"])
    (settings.home / serving_module.SAMPLE_MARK).touch()
    with serving_module._open(settings, FakeEmbedder(), corpus, lambda _: None) as rag:  # type: ignore[arg-type]
        assert [d.source for d in rag.documents()] == ["own.txt"]


@pytest.mark.model
@pytest.mark.parametrize("later_s", [0, 4])
def test_a_server_that_is_still_loading_stops_without_loading_on(tmp_path: Path, later_s: float) -> None:
    process = start(tmp_path)
    try:
        while not (tmp_path / "server.json").exists():
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(later_s)
        stop(process, signal.SIGINT)
        assert process.returncode == 0
        assert not (tmp_path / "server.json").exists()
        assert process.stderr is not None
        assert "Ready:" not in process.stderr.read()  # it did not wait for what it was loading
    finally:
        process.kill()

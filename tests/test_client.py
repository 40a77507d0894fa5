"""The same calls in this process and over HTTP, and the file that tells of a running server."""

import http.server
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rag import client as client_module
from rag.api import create_app
from rag.client import Caller, Client, Local, announce, connect, running_server, withdraw
from rag.config import load_settings
from rag.errors import EmptyIndexError, InputError, ModelError, ModelTimeout, StoreError
from rag.pipeline import Rag
from rag.types import Message
from tests.fakes import FakeLLM, fake_rag
from tests.test_page import served

QUESTION = "Who built the lighthouse on Farrow Point?"


@contextmanager
def over_http(rag: Rag, token: str | None = "t") -> Iterator[Client]:
    with served(create_app(rag, token="t")) as address:
        client = Client(address, token)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def answering(status: int, body: bytes, content_type: str) -> Iterator[str]:
    """The address of some other program's server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_same_call_gives_the_same_result_in_this_process_and_over_http(rag: Rag, corpus: Path) -> None:
    def everything(caller: Caller) -> list[object]:
        history = [Message("user", "What is on Farrow Point?"), Message("assistant", "A lighthouse.")]
        (corpus / "new.txt").write_text("The ferry to Orrin leaves at nine.", encoding="utf-8")
        seen: list[tuple[int, int, str]] = []
        events = list(caller.stream(QUESTION, history, ["lighthouse.md"]))
        answer = events[-1][1]
        trace = caller.trace(answer["id"])
        assert (trace["id"], trace["timings"]) == (answer["id"], answer["timings"])
        answer |= dict.fromkeys(("id", "timings"))
        trace |= dict.fromkeys(("id", "timings", "asked", "calls"))
        results: list[object] = [
            events,
            trace,
            caller.search("keeper", 2),
            caller.search("barley", 5, ["mill.txt"]),
            caller.documents(),
            caller.text("lighthouse.md"),
            caller.diagnose(QUESTION, "He kept a goat."),
            caller.ingest([corpus], False, lambda *now: seen.append(now)),
            seen,
            caller.ingest([corpus], False, lambda *_: None, {corpus / "mill.txt"}),
            caller.ingest([corpus], True, lambda *_: None, dry=True),
        ]
        caller.remove(["new.txt"])
        results.append(caller.documents())
        return json.loads(json.dumps(results))  # type: ignore[no-any-return]

    here = everything(Local(rag))
    with over_http(rag) as client:
        there = everything(client)
    assert there == here
    assert here[8] == [[0, 3, "lighthouse.md"], [1, 3, "mill.txt"], [2, 3, "new.txt"], [3, 3, ""]]


def test_a_trace_that_is_not_kept_is_the_same_kind_of_error_in_this_process_and_over_http(rag: Rag) -> None:
    with over_http(rag) as client:
        for caller in (Local(rag), client):
            with pytest.raises(StoreError, match="is kept"):
                caller.trace("unknown")


def test_bad_input_is_the_same_error_in_this_process_and_over_http(rag: Rag) -> None:
    calls: list[tuple[Callable[[Caller], object], str]] = [
        (lambda c: list(c.stream(" ", [], [])), "question"),
        (lambda c: list(c.stream("a" * 50_000, [], [])), "question"),
        (lambda c: list(c.stream(QUESTION, [], ["none.md"])), "sources"),
        (lambda c: c.search("", 3), "query"),
        (lambda c: c.text("none.md"), "source"),
        (lambda c: c.remove(["none.md"]), "sources"),
        (lambda c: c.diagnose(QUESTION, "?"), "expected"),
        (lambda c: c.ingest([Path("/no/such/folder")], False, lambda *_: None), "path"),
    ]
    with over_http(rag) as client:
        for call, field in calls:
            with pytest.raises(InputError) as here:
                call(Local(rag))
            with pytest.raises(InputError) as there:
                call(client)
            assert (str(there.value), there.value.field) == (str(here.value), here.value.field)
            assert here.value.field == field


def test_what_was_uploaded_is_deleted_with_its_document_also_without_a_server(rag: Rag, corpus: Path) -> None:
    sent = corpus / "ferry.txt"
    sent.write_text("The ferry to Orrin leaves at nine.", encoding="utf-8")
    with over_http(rag, token=None) as client:
        client.upload(sent)
    Local(rag).remove(["ferry.txt"])
    assert [path.name for path in (rag.settings.home / "uploads").iterdir()] == []
    assert sent.exists()


def test_the_thin_client_asks_uploads_and_deletes(rag: Rag, corpus: Path) -> None:
    (corpus / "ferry.txt").write_text("The ferry to Orrin leaves at nine.", encoding="utf-8")
    with over_http(rag, token=None) as client:
        assert client.upload(corpus / "ferry.txt", corpus / "mill.txt")["added"] == ["ferry.txt"]
        assert (
            client.ask("When does the ferry leave?", sources=["ferry.txt"])["question"] == "When does the ferry leave?"
        )
        assert client.search("ferry", sources=["ferry.txt"])[0]["text"] == "The ferry to Orrin leaves at nine."
        client.delete("ferry.txt")
        with pytest.raises(InputError, match="No document"):
            client.delete("ferry.txt")


@pytest.mark.parametrize(
    ("error", "kind"), [(ModelError("It died."), ModelError), (ModelTimeout("No word."), ModelError)]
)
def test_a_failure_in_the_middle_of_an_answer_is_raised(
    tmp_path: Path, corpus: Path, error: ModelError, kind: type[Exception]
) -> None:
    with fake_rag(tmp_path / "home", FakeLLM("The lighthouse was", error=error)) as rag:
        rag.ingest([corpus])
        with over_http(rag) as client:
            events = client.stream(QUESTION, [], [])
            assert next(events)[0] == "retrieved"
            with pytest.raises(kind, match=str(error)):
                list(events)


def test_an_empty_index_and_a_missing_token_are_errors_with_their_reason(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home") as rag:
        with pytest.raises(EmptyIndexError, match="rag ingest"):
            Local(rag).search("x", 1)
        with over_http(rag, token=None) as client:
            with pytest.raises(StoreError, match="rag ingest"):
                client.search("x", 1)
            with pytest.raises(StoreError, match="token"):
                client.ingest([corpus], False, lambda *_: None)


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [(502, b"<h1>Bad gateway</h1>", "text/html"), (500, b"", ""), (200, b"", "text/event-stream")],
)
def test_another_programs_answer_is_an_error_and_no_crash(status: int, body: bytes, content_type: str) -> None:
    with answering(status, body, content_type) as address:
        client = Client(address)
        with pytest.raises(StoreError):
            client.ingest([], False, lambda *_: None)
        if status != 200:
            with pytest.raises(StoreError):
                client.documents()
        client.close()


def test_a_server_that_is_gone_is_named() -> None:
    client = Client("http://127.0.0.1:9")
    for call in (client.documents, lambda: list(client.stream(QUESTION, [], []))):
        with pytest.raises(StoreError, match=re.escape("http://127.0.0.1:9")):
            call()


def test_no_proxy_stands_between_a_command_and_its_server(rag: Rag, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with over_http(rag) as client:
        announce(rag.settings.home, client.address, "t")
        assert isinstance(running_server(rag.settings.home), Client)
        assert len(client.documents()) == 2


# -- the file that tells of a running server ----------------------------------------------------------------------


def test_a_running_server_is_found_and_used(rag: Rag, corpus: Path) -> None:
    home = rag.settings.home
    with over_http(rag) as client:
        announce(home, client.address, "t")
        assert stat.S_IMODE((home / "server.json").stat().st_mode) == 0o600
        caller = connect(load_settings(environ={}, home=home))
        assert isinstance(caller, Client)
        caller.remove(["mill.txt"])  # its token is taken from the file
        assert [d["source"] for d in caller.documents()] == ["lighthouse.md"]
        caller.close()
    assert running_server(home) is None  # it has stopped, the file is still there
    withdraw(home)
    assert not (home / "server.json").exists()


def test_a_file_that_was_left_behind_is_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with answering(200, b'{"status": "ready"}', "application/json") as address:
        said = {"address": address, "token": "t", "pid": os.getpid()}
        file.write_text(json.dumps(said))
        assert isinstance(running_server(tmp_path), Client)
        for stale in (
            json.dumps(said | {"pid": ended.pid}),
            json.dumps(said | {"address": "http://127.0.0.1:9"}),
            json.dumps({"address": address}),
            json.dumps(said | {"pid": "x"}),
            "[]",
            "{",
            "",
        ):
            file.write_text(stale)
            assert running_server(tmp_path) is None, stale
    file.unlink()
    assert running_server(tmp_path) is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"ok": true}', b'"status"'])
def test_a_port_that_another_program_has_taken_is_not_believed(tmp_path: Path, body: bytes) -> None:
    with answering(200, body, "application/json") as address:
        announce(tmp_path, address, "t")
        assert running_server(tmp_path) is None


def test_a_server_that_hangs_is_an_error_rather_than_a_second_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(client_module, "START_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        announce(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}", "t")
        with pytest.raises(StoreError, match=f"process {os.getpid()}.*does not answer"):
            running_server(tmp_path)


def test_a_server_takes_back_only_what_it_said_itself(tmp_path: Path) -> None:
    announce(tmp_path, "http://127.0.0.1:1", "old")
    announce(tmp_path, "http://127.0.0.1:2", "new")
    said = json.loads((tmp_path / "server.json").read_text())
    assert said == {"address": "http://127.0.0.1:2", "token": "new", "pid": os.getpid()}
    (tmp_path / "server.json").write_text(json.dumps(said | {"pid": os.getpid() + 1}))
    withdraw(tmp_path)
    assert (tmp_path / "server.json").exists()
    withdraw(tmp_path / "nowhere")

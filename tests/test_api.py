"""The endpoint over a real store with fake models; where a connection matters, behind a real uvicorn."""

import json
import re
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from rag.api import Opening, create_app
from rag.conversations import Conversations
from rag.errors import DiskFullError, InUseError, ModelError, ModelTimeout, RagError
from rag.pipeline import Rag
from rag.types import Message
from tests.fakes import FakeLLM, fake_rag
from tests.test_page import chromium, served

TOKEN = "a-token"
QUESTION = {"question": "Who built the lighthouse on Farrow Point?"}
ANSWER = "The lighthouse on Farrow Point was built by Edna Marsh in 1887."


class EndlessLLM(FakeLLM):
    """Says a word every 20 ms until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = threading.Event()

    def stream(self, messages: Sequence[Message]) -> Generator[str]:
        try:
            while True:
                yield " lighthouse"
                time.sleep(0.02)
        finally:
            self.closed.set()


def client_of(rag: Rag | Opening, *, token: str | None = TOKEN, raising: bool = True) -> TestClient:
    return TestClient(create_app(rag, token=token), base_url="http://127.0.0.1", raise_server_exceptions=raising)


@pytest.fixture
def client(rag: Rag) -> TestClient:
    return client_of(rag)


@pytest.fixture(scope="module")
def page_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint with the chat page behind it, as `rag serve` joins them."""
    from ui.app import mount

    home = tmp_path_factory.mktemp("home")
    (home / "note.txt").write_text("The ferry to Orrin leaves at nine.", encoding="utf-8")
    with fake_rag(home, FakeLLM("The ferry to Orrin leaves at nine.")) as rag:
        rag.ingest([home / "note.txt"])
        kept = Conversations(home / "conversations.sqlite")
        app = create_app(rag, token=TOKEN, conversations=kept)
        mount(app, rag, kept)
        with served(app) as address:
            yield address


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert set(body) == {"type", "title", "status", "detail", "errors", "error"}
    assert body["error"] == {"message": body["detail"], "type": body["title"], "code": status}
    return body


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = re.findall(r"event: (\w+)\ndata: (.+)\n\n", text)
    assert "".join(f"event: {name}\ndata: {data}\n\n" for name, data in found) == text
    return [(name, json.loads(data)) for name, data in found]


# -- answers ------------------------------------------------------------------------------------------------------


def test_an_answer_has_the_documented_fields_and_exact_quotes(client: TestClient, rag: Rag) -> None:
    answer = client.post("/v1/answer", json=QUESTION).json()
    assert answer["question"] == answer["standalone_question"] == QUESTION["question"]
    assert answer["status"] == "answered"
    assert answer["text"] == f"{ANSWER} [1]"
    assert answer["sentences"] == [{"text": ANSWER, "support": "quoted", "citations": [1]}]
    assert set(answer) == {
        *("question", "standalone_question", "status", "text", "sentences", "citations", "passages"),
        *("id", "model", "timings", "fingerprint", "reason", "missing", "notes"),
    }
    assert set(answer["timings"]) >= {"search_s", "first_token_s", "total_s"}
    [citation] = answer["citations"]
    assert set(citation) == {
        *("number", "source", "title", "page", "start", "end", "quote", "support"),
        *("heading", "sheet", "row", "author", "publisher", "date"),
    }
    assert (citation["author"], citation["date"], citation["publisher"]) == ("Ida Holm", "1931-05-02", None)
    assert citation["heading"] == ["The Farrow lighthouse", "Building"]
    assert citation["quote"] == ANSWER == rag.text("lighthouse.md")[citation["start"] : citation["end"]]
    passage = answer["passages"][0]
    assert set(passage) >= {"source", "title", "start", "end", "text", "score", "ranks"}
    assert passage["text"] == rag.text("lighthouse.md")[passage["start"] : passage["end"]]
    assert passage["ranks"]["lexical"] == 1


def test_a_recent_answer_can_be_replayed(client: TestClient) -> None:
    answer = client.post("/v1/answer", json=QUESTION).json()
    trace = client.get(f"/v1/answers/{answer['id']}/trace").json()
    assert (trace["id"], trace["search_text"]) == (answer["id"], QUESTION["question"])
    assert trace["timings"] == answer["timings"]
    assert [call["reply"] for call in trace["calls"]] == ["", ANSWER]
    problem(client.get("/v1/answers/unknown/trace"), 404)


def test_a_refusal_is_an_answer_with_nothing_cited(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home", FakeLLM("NOT FOUND")) as rag:
        rag.ingest([corpus])
        answer = client_of(rag).post("/v1/answer", json=QUESTION).json()
    assert (answer["status"], answer["reason"], answer["text"]) == (
        "not_in_documents",
        "not_stated",
        "The documents do not say.",
    )
    assert (answer["sentences"], answer["citations"]) == ([], [])
    assert answer["passages"] != []


def test_the_stream_ends_with_the_same_answer_that_its_deltas_spelled(client: TestClient) -> None:
    response = client.post("/v1/answer/stream", json=QUESTION)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response.text)
    names = [name for name, _ in events]
    assert names == ["retrieved", *["delta"] * (len(names) - 2), "done"]
    retrieved, done = events[0][1], events[-1][1]
    assert set(retrieved) == {"standalone_question", "passages"}
    assert retrieved["passages"] == done["passages"]
    assert "".join(data["text"] for name, data in events if name == "delta") == done["text"] == f"{ANSWER} [1]"
    plain = client.post("/v1/answer", json=QUESTION).json()
    own = {"id": None, "timings": None}
    assert plain | own == done | own


def test_history_makes_a_follow_up_standalone(tmp_path: Path, corpus: Path) -> None:
    def reply(messages: Sequence[Message]) -> str:
        return "Who built the lighthouse?" if "Conversation:" in messages[-1].content else ANSWER

    history = [{"role": "user", "content": "What is on Farrow Point?"}, {"role": "assistant", "content": "A light."}]
    with fake_rag(tmp_path / "home", FakeLLM(reply)) as rag:
        rag.ingest([corpus])
        body = {"question": "Who built it?", "history": history}
        answer = client_of(rag).post("/v1/answer", json=body).json()
    assert (answer["question"], answer["standalone_question"]) == ("Who built it?", "Who built the lighthouse?")
    assert answer["status"] == "answered"


def test_sources_narrow_an_answer_and_a_search(client: TestClient) -> None:
    answer = client.post("/v1/answer", json={**QUESTION, "sources": ["mill.txt"]}).json()
    assert {p["source"] for p in answer["passages"]} == {"mill.txt"}
    found = client.post("/v1/search", json={"query": "lighthouse", "sources": ["lighthouse.md"]}).json()
    assert {p["source"] for p in found["passages"]} == {"lighthouse.md"}


# -- search and documents -----------------------------------------------------------------------------------------


def test_a_search_returns_k_passages_best_first(client: TestClient) -> None:
    all_found = client.post("/v1/search", json={"query": "lighthouse keeper"}).json()["passages"]
    assert {p["source"] for p in all_found} == {"lighthouse.md", "mill.txt"}
    assert all_found[0]["text"].startswith("The first keeper")
    scores = [p["score"] for p in all_found]
    assert scores == sorted(scores, reverse=True)
    assert client.post("/v1/search", json={"query": "lighthouse keeper", "k": 1}).json()["passages"] == all_found[:1]


def test_documents_are_listed_and_their_text_is_the_one_that_offsets_point_into(
    client: TestClient, corpus: Path
) -> None:
    documents = client.get("/v1/documents").json()["documents"]
    assert [d["source"] for d in documents] == ["lighthouse.md", "mill.txt"]
    assert set(documents[0]) >= {"source", "title", "passages", "characters", "sha256", "flags", "size"}
    assert documents[0]["size"] == (corpus / "lighthouse.md").stat().st_size
    text = (corpus / "lighthouse.md").read_text(encoding="utf-8")
    passages = client.post("/v1/search", json={"query": "the", "k": 100, "sources": ["lighthouse.md"]}).json()[
        "passages"
    ]
    assert (documents[0]["title"], documents[0]["characters"]) == ("The Farrow lighthouse", len(text))
    assert documents[0]["passages"] == len(passages) >= 2
    response = client.get("/v1/documents/text", params={"source": "lighthouse.md"})
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.content.decode() == text
    unknown = problem(client.get("/v1/documents/text", params={"source": "none.md"}), 422)
    assert unknown["errors"][0]["field"] == "source"


def test_reading_files_of_the_machine_needs_the_token(rag: Rag, corpus: Path) -> None:
    ingest = {"paths": [str(corpus)]}
    for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer "}):
        refused = client_of(rag).post("/v1/ingest", json=ingest, headers=given)
        assert "token" in problem(refused, 401)["detail"]
        assert refused.headers["www-authenticate"] == "Bearer"
    assert client_of(rag, token=None).post("/v1/ingest", json=ingest).status_code == 401


def test_with_the_token_documents_are_removed_and_brought_in(client: TestClient, rag: Rag, corpus: Path) -> None:
    allowed = {"authorization": f"Bearer {TOKEN}"}
    assert client.post("/v1/documents/remove", json={"sources": ["mill.txt"]}, headers=allowed).json() == {
        "removed": ["mill.txt"]
    }
    assert [d.source for d in rag.documents()] == ["lighthouse.md"]
    events = events_of(client.post("/v1/ingest", json={"paths": [str(corpus)]}, headers=allowed).text)
    assert events[0] == ("progress", {"done": 0, "total": 2, "path": "lighthouse.md"})
    name, report = events[-1]
    assert (name, report["added"], report["unchanged"]) == ("done", ["mill.txt"], ["lighthouse.md"])
    unknown = client.post("/v1/documents/remove", json={"sources": ["mill.txt", "none"]}, headers=allowed)
    assert problem(unknown, 422)["errors"][0]["field"] == "sources"
    assert len(rag.documents()) == 2
    missing = client.post("/v1/ingest", json={"paths": ["/no/such/folder"]}, headers=allowed)
    name, error = events_of(missing.text)[-1]
    assert (name, error["status"], error["errors"][0]["field"]) == ("error", 422, "path")


# -- what cannot be answered --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/answer", "/v1/answer/stream"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"question": ""}, "question"),
        ({"question": " \n\t"}, "question"),
        ({"question": "a" * 4001}, "question"),
        ({"question": None}, "question"),
        ({}, "question"),
        ({**QUESTION, "sources": ["none.md"]}, "sources"),
        ({**QUESTION, "sources": ["lighthouse"]}, "sources"),
        ({**QUESTION, "history": [{"role": "system", "content": "x"}]}, "history.0.role"),
        ({**QUESTION, "history": [{"role": "user"}]}, "history.0.content"),
        ({**QUESTION, "stream": True}, "stream"),
    ],
)
def test_bad_input_is_a_problem_that_names_the_field(
    client: TestClient, path: str, body: dict[str, Any], field: str
) -> None:
    found = problem(client.post(path, json=body), 422)
    assert [e["field"] for e in found["errors"]] == [field]
    assert found["errors"][0]["message"]


def test_the_longest_question_is_taken(client: TestClient) -> None:
    assert client.post("/v1/answer", json={"question": QUESTION["question"].ljust(4000)}).status_code == 200


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[]", b'"a"'])
def test_a_body_that_is_no_json_object_is_a_problem_of_the_body(client: TestClient, body: bytes) -> None:
    response = client.post("/v1/answer", content=body, headers={"content-type": "application/json"})
    assert [e["field"] for e in problem(response, 422)["errors"]] == ["body"]


def test_a_broken_character_in_the_question_is_a_problem(client: TestClient) -> None:
    response = client.post(
        "/v1/answer", content=b'{"question": "\\ud800?"}', headers={"content-type": "application/json"}
    )
    assert problem(response, 422)["errors"][0]["field"] == "question"


@pytest.mark.parametrize(("query", "k", "field"), [("", 10, "query"), ("a" * 4001, 10, "query"), ("a", 0, "k")])
def test_a_bad_search_names_its_field(client: TestClient, query: str, k: int, field: str) -> None:
    assert problem(client.post("/v1/search", json={"query": query, "k": k}), 422)["errors"][0]["field"] == field


def test_an_empty_index_is_a_conflict(tmp_path: Path) -> None:
    with fake_rag(tmp_path, FakeLLM()) as rag:
        client = client_of(rag)
        for path, body in (("/v1/answer", QUESTION), ("/v1/answer/stream", QUESTION), ("/v1/search", {"query": "x"})):
            assert "rag ingest" in problem(client.post(path, json=body), 409)["detail"]
        assert client.get("/v1/documents").json() == {"documents": []}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelError("The model died."), 502),
        (ModelTimeout("No word within 60 s."), 504),
        (DiskFullError("No room left."), 507),
        (InUseError("In use by process 1."), 409),
    ],
)
def test_a_failure_is_a_status_of_its_own_and_never_an_answer(
    tmp_path: Path, corpus: Path, error: RagError, status: int
) -> None:
    with fake_rag(tmp_path / "home", FakeLLM("The lighthouse", error=error)) as rag:
        rag.ingest([corpus])
        found = problem(client_of(rag).post("/v1/answer", json=QUESTION), status)
        assert found["detail"] == str(error)
        events = events_of(client_of(rag).post("/v1/answer/stream", json=QUESTION).text)
    names = [name for name, _ in events]
    assert names[0] == "retrieved" and "delta" in names and names[-1] == "error" and "done" not in names
    assert events[-1][1] == found


def test_an_unexpected_error_keeps_its_details_for_the_log(
    rag: Rag, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(rag, "search", broken)
    monkeypatch.setattr(rag, "stream", broken)
    client = client_of(rag, raising=False)
    for path, body in (("/v1/answer", QUESTION), ("/v1/answer/stream", QUESTION), ("/v1/search", {"query": "x"})):
        assert "secret" not in json.dumps(problem(client.post(path, json=body), 500))
        assert "a secret detail" in caplog.text
        caplog.clear()


def test_what_is_not_there_is_a_problem_too(client: TestClient, page_address: str) -> None:
    with httpx.Client(base_url=page_address) as with_page:
        for http in (client, with_page):
            assert "/v1/nothing" in problem(http.get("/v1/nothing"), 404)["detail"]
            refused = http.get("/v1/answer")
            problem(refused, 405)
            assert refused.headers["allow"] == "POST"
            assert problem(http.put("/v1/documents"), 405)["detail"] == "/v1/documents takes DELETE, GET, POST."
            problem(http.put("/v1/models/footnote"), 405)
    problem(client.get("/nothing"), 404)


# -- readiness ----------------------------------------------------------------------------------------------------


def test_health_tells_starting_ready_and_failed(rag: Rag) -> None:
    assert client_of(rag).get("/health").json() == {"status": "ready"}
    go = threading.Event()

    def open_slowly() -> Rag:
        assert go.wait(10)
        return rag

    opening = Opening(open_slowly)
    client = client_of(opening)
    response = client.get("/health")
    assert (response.status_code, response.json()) == (503, {"status": "starting", "reasons": ["starting"]})
    go.set()
    assert client.post("/v1/answer", json=QUESTION).json()["status"] == "answered"  # waits for the opening
    response = client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})

    def fail() -> Rag:
        raise InUseError("The folder is in use by process 7.")

    client = client_of(Opening(fail))
    problem(client.post("/v1/answer", json=QUESTION), 409)
    response = client.get("/health")
    reasons = ["The folder is in use by process 7."]
    assert (response.status_code, response.json()) == (503, {"status": "failed", "reasons": reasons})


def test_health_answers_while_an_answer_is_written(tmp_path: Path, corpus: Path) -> None:
    going, go = threading.Event(), threading.Event()

    def reply(_: Sequence[Message]) -> str:
        going.set()
        assert go.wait(60)
        return ANSWER

    with fake_rag(tmp_path / "home", FakeLLM(reply)) as rag:
        rag.ingest([corpus])
        with served(create_app(rag)) as address:
            answers: list[httpx.Response] = []
            asking = [
                threading.Thread(target=lambda p=p: answers.append(httpx.post(address + p, json=QUESTION, timeout=90)))
                for p in ("/v1/answer", "/v1/answer/stream")
            ]
            for thread in asking:
                thread.start()
            assert going.wait(30)
            for path in ("/health", "/v1/documents"):
                assert httpx.get(address + path, timeout=15).status_code == 200
            assert answers == []  # both still under way
            go.set()
            for thread in asking:
                thread.join(20)
            assert [a.status_code for a in answers] == [200, 200]


# -- clients that go away -----------------------------------------------------------------------------------------


def test_a_client_that_goes_away_stops_its_answer(tmp_path: Path, corpus: Path) -> None:
    llm = EndlessLLM()
    with fake_rag(tmp_path / "home", llm) as rag:
        rag.ingest([corpus])
        with served(create_app(rag)) as address, httpx.Client(base_url=address) as client:
            with client.stream("POST", "/v1/answer/stream", json=QUESTION) as response:
                lines = response.iter_lines()
                while not next(lines).startswith("event: delta"):
                    pass
                assert not llm.closed.is_set()
            assert llm.closed.wait(30)
            llm.closed.clear()
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/answer", json=QUESTION, timeout=0.5)
            assert llm.closed.wait(30)
            assert client.get("/health").json() == {"status": "ready"}


def test_a_client_that_goes_away_ends_its_ingest_and_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number:02}.txt").write_text(f"Buoy {number} lies off the coast.", encoding="utf-8")
    with fake_rag(tmp_path / "home") as rag:
        embed = rag.embedder.embed_documents

        def embed_slowly(texts: Sequence[str]) -> Any:
            time.sleep(0.05)
            return embed(texts)

        monkeypatch.setattr(rag.embedder, "embed_documents", embed_slowly)
        allowed, body = {"authorization": f"Bearer {TOKEN}"}, {"paths": [str(folder)]}
        with served(create_app(rag, token=TOKEN)) as address:
            with httpx.stream("POST", f"{address}/v1/ingest", json=body, headers=allowed) as response:
                lines = response.iter_lines()
                while '"done": 5' not in next(lines):
                    pass
            deadline = time.monotonic() + 30
            while not rag.documents() and time.monotonic() < deadline:
                time.sleep(0.05)
            stored = len(rag.documents())
            assert 5 <= stored < 50
            time.sleep(0.3)
            assert len(rag.documents()) == stored


# -- other sites --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:7860"},
        {"host": "127.0.0.1.evil.example"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://localhost"},
        {"origin": ""},
    ],
)
def test_another_site_is_refused_everywhere(page_address: str, headers: dict[str, str]) -> None:
    paths = ("/v1/documents", "/health", "/openapi.json", "/", "/gradio_api/info", "/gradio_api/queue/data")
    with httpx.Client(base_url=page_address, headers=headers) as client:
        for path in paths:
            assert "another site" in problem(client.get(path), 403)["detail"]
        problem(client.post("/v1/answer", json=QUESTION), 403)
        problem(client.post("/gradio_api/queue/join", json={}), 403)
        problem(client.options("/v1/answer"), 403)


def test_another_site_is_refused_on_websockets(page_address: str) -> None:
    address = page_address.replace("http:", "ws:")
    for origin in ("http://evil.example", "null"):
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(f"{address}/gradio_api/x", additional_headers={"origin": origin}, proxy=None),
        ):
            pass
        assert refused.value.response.status_code == 403
        assert b"another site" in refused.value.response.body


def test_the_page_itself_and_programs_without_an_origin_are_served(page_address: str) -> None:
    port = page_address.rpartition(":")[2]
    same = [
        {},
        {"origin": page_address},
        {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"},
        {"host": f"[::1]:{port}"},
        {"host": f"LOCALHOST:{port}"},
    ]
    for headers in same:
        with httpx.Client(base_url=page_address, headers=headers) as client:
            assert client.get("/").status_code == 200
            assert client.get("/gradio_api/info").status_code == 200
            answer = client.post("/v1/answer", json={"question": "When does the ferry to Orrin leave?"}).json()
            assert answer["status"] == "answered"


def test_where_it_is_served_everywhere_addresses_are_taken_and_foreign_names_are_not(rag: Rag) -> None:
    client = TestClient(create_app(rag, host="0.0.0.0"), base_url="http://127.0.0.1")
    assert client.get("/health", headers={"host": "192.168.1.7:7860"}).status_code == 200
    assert client.get("/health", headers={"host": "[fe80::1]:7860"}).status_code == 200
    assert client.get("/health", headers={"host": "evil.example:7860"}).status_code == 403
    only_loopback = client_of(rag)
    assert only_loopback.get("/health", headers={"host": "192.168.1.7:7860"}).status_code == 403


# -- the description ----------------------------------------------------------------------------------------------


def test_the_description_names_every_call_of_the_contract(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    calls = {(method, path) for path, methods in described["paths"].items() for method in methods}
    assert calls >= {
        ("post", "/v1/answer"),
        ("post", "/v1/answer/stream"),
        ("post", "/v1/search"),
        ("get", "/v1/documents"),
        ("get", "/v1/documents/text"),
        ("post", "/v1/documents"),
        ("delete", "/v1/documents"),
        ("get", "/v1/jobs/{id}"),
        ("post", "/v1/chat/completions"),
        ("get", "/v1/models"),
        ("get", "/health"),
    }
    assert "application/problem+json" in described["paths"]["/v1/answer"]["post"]["responses"]["422"]["content"]


@pytest.mark.page
def test_the_docs_page_comes_whole_from_this_server(page_address: str) -> None:
    with chromium() as browser:
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{page_address}/docs")
        page.get_by_text("/v1/answer/stream").wait_for(timeout=15_000)
    assert len(asked) > 3
    assert [url for url in asked if not url.startswith((page_address, "data:", "blob:"))] == []

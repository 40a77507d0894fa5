"""Request ids, the log, figures and headers."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from rag.api import create_app, streams_of
from rag.conversations import FILE, Conversations
from rag.http.observing import log, log_to
from rag.pipeline import Rag
from tests.test_api import problem
from tests.test_page import chromium, served

QUESTION = {"question": "Who built the lighthouse on Farrow Point?"}


@pytest.fixture
def client(rag: Rag) -> TestClient:
    return TestClient(create_app(rag), base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    handler = log_to(tmp_path)
    yield tmp_path / "server.log"
    for name in ("rag", "rag.access", "uvicorn.error"):
        logging.getLogger(name).removeHandler(handler)
    log.propagate = True
    handler.close()


def figures(client: TestClient) -> dict[str, float]:
    samples = [s for family in text_string_to_metric_families(client.get("/metrics").text) for s in family.samples]
    return {s.name + "".join(f" {value}" for _, value in sorted(s.labels.items())): s.value for s in samples}


def test_every_answer_has_an_id_and_the_callers_own_is_kept(client: TestClient) -> None:
    made = {client.get("/health").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    assert client.get("/health", headers={"x-request-id": "trace-7"}).headers["x-request-id"] == "trace-7"
    for bad in ("a b", "x" * 65, '"}{'):
        assert client.get("/health", headers={"x-request-id": bad}).headers["x-request-id"] != bad


def test_the_log_has_a_line_of_json_for_each_request_and_no_question(client: TestClient, log_file: Path) -> None:
    client.post("/v1/answer?secret=query", json=QUESTION, headers={"x-request-id": "r1", "authorization": "Bearer k"})
    client.get("/v1/documents/text", params={"source": "none.md"})
    lines = [json.loads(line) for line in log_file.read_text().splitlines()]
    assert [(line["path"], line["status"]) for line in lines] == [("/v1/answer", 200), ("/v1/documents/text", 422)]
    assert (lines[0]["request"], lines[0]["method"], lines[0]["caller"]) == ("r1", "POST", "anybody")
    assert lines[0]["seconds"] > 0
    written = log_file.read_text()
    assert not any(word in written for word in ("lighthouse", "secret", "none.md", "Bearer"))


def test_an_unexpected_error_is_in_the_log_with_where_it_came_from(
    client: TestClient, rag: Rag, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a detail")

    monkeypatch.setattr(rag, "search", broken)
    response = client.post("/v1/search", json={"query": "x"})
    assert "detail" not in problem(response, 500)["detail"]
    assert response.headers["x-content-type-options"] == "nosniff"
    lines = [json.loads(line) for line in log_file.read_text().splitlines()]
    assert "ZeroDivisionError: a detail" in lines[0]["error"]
    assert lines[1]["status"] == 500


def test_the_figures_count_requests_answers_and_what_is_indexed(client: TestClient, rag: Rag) -> None:
    client.post("/v1/answer", json=QUESTION)
    client.post("/v1/answer", json=QUESTION)
    client.post("/v1/answer", json={})
    client.get("/v1/models/other")
    client.get("/somewhere/1")
    found = figures(client)
    assert found["footnote_requests_total POST /v1/answer 200"] == 2
    assert found["footnote_requests_total POST /v1/answer 422"] == 1
    assert found["footnote_requests_total GET /v1/models/{model} 404"] == 1
    assert found["footnote_requests_total GET other 404"] == 1
    assert found["footnote_answers_total answered"] == 2
    assert found["footnote_answer_tokens_total"] > 10
    assert found["footnote_first_token_seconds_count"] == found["footnote_search_seconds_count"] == 2
    assert (found["footnote_documents"], found["footnote_passages"]) == rag.index.counts()
    assert (found["footnote_answers_running"], found["footnote_questions_waiting"]) == (0, 0)


@pytest.mark.parametrize("path", ["/health", "/v1/documents", "/v1/nothing", "/docs"])
def test_the_headers_that_keep_browsers_safe_are_everywhere(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


def test_refusals_have_them_too(client: TestClient) -> None:
    refused = client.get("/health", headers={"host": "evil.example"})
    assert refused.status_code == 403
    assert refused.headers["x-request-id"]
    assert refused.headers["referrer-policy"] == "no-referrer"


@pytest.mark.page
def test_the_page_works_within_the_policy(rag: Rag) -> None:
    from ui.app import mount

    app = create_app(rag)
    mount(app, streams_of(app), Conversations(rag.settings.home / FILE))
    with served(app) as address, chromium() as browser:
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(address)
        page.locator("#fn-box textarea").fill(QUESTION["question"])
        page.locator("#fn-box textarea").press("Enter")
        page.get_by_text("Edna Marsh in 1887").first.wait_for(timeout=30_000)
        page.goto(f"{address}/docs")
        page.get_by_text("/v1/answer/stream").wait_for(timeout=30_000)
    assert [text for text in said if "Content Security Policy" in text or "violates" in text] == []

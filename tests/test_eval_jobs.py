"""Question sets run inside a server, over a real store: as jobs, through the queue, over HTTP."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from eval.jobs import Evals
from rag.api import create_app
from rag.errors import BusyError
from rag.http.streams import Streams
from rag.keys import Keys
from rag.pipeline import Rag
from rag.types import Event, Message
from tests.test_api import problem

BUILT = {"id": "built", "question": "Who built the lighthouse on Farrow Point?", "keys": [["Edna Marsh"]], "gold": []}
WHEEL = {"id": "wheel", "question": "How wide was the wheel of the mill at Lindal?", "keys": [["7 metres"]]}


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "sample.jsonl"
    path.write_text("\n".join(map(json.dumps, (BUILT, WHEEL))), encoding="utf-8")
    return path


@pytest.fixture
def client(rag: Rag, corpus: Path, questions: Path) -> TestClient:
    def evals(streams: Streams) -> Evals:
        return Evals(rag.settings.home, lambda: rag, streams, corpus, questions)

    return TestClient(create_app(rag, evals=evals), base_url="http://127.0.0.1")


def ended(client: TestClient, run: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while run["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
        run = client.get(f"/v1/evals/{run['id']}").json()
    return run


def test_a_run_is_started_polled_and_kept_with_its_failures_and_report(client: TestClient, rag: Rag) -> None:
    response = client.post("/v1/evals", json={"set": "sample"})
    assert response.status_code == 202
    assert (response.json()["status"], response.json()["total"]) == ("running", 2)
    run = ended(client, response.json())
    assert response.headers["location"] == f"/v1/evals/{run['id']}"
    assert (run["status"], run["done"], run["wrong"], run["failed"]) == ("done", 2, 1, 0)
    assert run["result"]["measures"]["answer_correct"]["value"] == 0.5
    assert run["result"]["comparison"] is None
    (lost,) = run["result"]["failures"]
    assert (lost["id"], lost["stage"]) == ("wheel", "refused_answerable")
    page = client.get(f"/v1/evals/{run['id']}/report")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "data-plot='types'" in page.text
    listed = client.get("/v1/evals").json()
    assert listed["sets"] == {"sample": 2, "own": 0}
    assert [(r["id"], r["result"]) for r in listed["runs"]] == [(run["id"], None)]


def test_a_run_is_compared_with_the_last_whole_one_of_its_set(client: TestClient) -> None:
    first = ended(client, client.post("/v1/evals", json={}).json())
    second = ended(client, client.post("/v1/evals", json={"limit": 1}).json())
    comparison = second["result"]["comparison"]
    assert (comparison["before"], comparison["common"], comparison["only_before"]) == (first["id"], 1, 1)
    assert comparison["differences"]["answer_correct"]["verdict"] == ""
    assert second["total"] == 1


def test_kept_questions_are_asked_of_all_documents(client: TestClient, rag: Rag) -> None:
    assert "Keep as test" in problem(client.post("/v1/evals", json={"set": "own"}), 422)["detail"]
    (rag.settings.home / "questions.jsonl").write_text(json.dumps(BUILT), encoding="utf-8")
    run = ended(client, client.post("/v1/evals", json={"set": "own"}).json())
    assert (run["set"], run["status"], run["done"]) == ("own", "done", 1)


def test_what_cannot_be_run_says_why(client: TestClient, rag: Rag) -> None:
    rag.remove(["lighthouse.md", "mill.txt"])
    assert "not indexed" in problem(client.post("/v1/evals", json={}), 422)["detail"]
    problem(client.post("/v1/evals", json={"set": "other"}), 422)
    problem(client.post("/v1/evals", json={"limit": 0}), 422)
    for path in ("", "/report"):
        problem(client.get(f"/v1/evals/20260101-000000{path}"), 404)
    problem(client.get("/v1/evals/..%2fkeys"), 404)
    problem(client.get("/v1/evals/keys"), 422)
    problem(client.post("/v1/evals/20260101-000000/stop"), 404)


def test_a_key_that_only_reads_starts_no_run(rag: Rag, corpus: Path, questions: Path) -> None:
    keys = Keys(rag.settings.home)
    headers = {"Authorization": f"Bearer {keys.add('reader', 'read')}"}
    app = create_app(rag, keys=keys, evals=lambda s: Evals(rag.settings.home, lambda: rag, s, corpus, questions))
    client = TestClient(app, base_url="http://127.0.0.1", headers=headers)
    problem(client.post("/v1/evals", json={}), 403)
    assert client.get("/v1/evals").json()["runs"] == []


class Held:
    """Answers as the Rag does, each after `go`; the first time it is too busy. `users`: who asked."""

    def __init__(self, rag: Rag) -> None:
        self.rag, self.go, self.asked = rag, threading.Semaphore(0), threading.Semaphore(0)
        self.busy = True
        self.users: list[str] = []

    def stream(
        self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = (), user: str = "page"
    ) -> Iterator[Event]:
        self.users.append(user)
        if self.busy:
            self.busy = False
            raise BusyError("Too many.", 0)
        self.asked.release()
        assert self.go.acquire(timeout=60)
        yield from self.rag.stream(question, history, sources)


def test_one_run_at_a_time_as_an_asker_of_its_own_and_a_stop_keeps_what_was_answered(
    rag: Rag, corpus: Path, questions: Path
) -> None:
    held = Held(rag)
    app = create_app(rag, evals=lambda _: Evals(rag.settings.home, lambda: rag, held, corpus, questions))
    client = TestClient(app, base_url="http://127.0.0.1")
    run = client.post("/v1/evals", json={}).json()
    assert held.asked.acquire(timeout=60)
    assert "under way" in problem(client.post("/v1/evals", json={}), 409)["detail"]
    held.go.release()
    assert held.asked.acquire(timeout=60)  # the second question
    assert client.get(f"/v1/evals/{run['id']}").json()["done"] == 1
    client.post(f"/v1/evals/{run['id']}/stop")
    held.go.release()
    run = ended(client, run)
    assert (run["status"], run["done"], run["total"]) == ("stopped", 1, 1)
    assert run["result"]["measures"]["answer_correct"]["n"] == 1
    assert set(held.users) == {"eval"}

    run = client.post("/v1/evals", json={}).json()  # nothing is left of a run that is stopped before its first answer
    assert held.asked.acquire(timeout=60)
    client.post(f"/v1/evals/{run['id']}/stop")
    held.go.release()
    run = ended(client, run)
    assert (run["status"], run["result"], run["error"]) == ("stopped", None, None)
    assert len(list((rag.settings.home / "evals").iterdir())) == 1


def test_what_a_killed_server_left_of_a_run_is_swept(
    client: TestClient, rag: Rag, corpus: Path, questions: Path
) -> None:
    ended(client, client.post("/v1/evals", json={}).json())
    left = rag.settings.home / "evals" / "20260101-000000"
    left.mkdir()
    (left / "rows.jsonl").write_text("{}")
    streams = Held(rag)
    assert len(Evals(rag.settings.home, lambda: rag, streams, corpus, questions).listed()) == 1
    assert not left.exists()

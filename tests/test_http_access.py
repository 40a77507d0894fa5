"""Who gets in: nobody's loopback, keys with their scopes and limits, the browser's own login."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from rag.api import create_app
from rag.http.access import Limits
from rag.keys import Keys
from rag.pipeline import Rag
from tests.test_api import problem

TOKEN = "the-server's-own"
FILE = {"files": ("note.txt", b"The ferry to Orrin leaves at nine.")}


def client_of(rag: Rag, *, host: str = "127.0.0.1") -> TestClient:
    app = create_app(rag, token=TOKEN, host=host, keys=Keys(rag.settings.home))
    return TestClient(app, base_url="http://127.0.0.1")


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_on_loopback_without_keys_everybody_reads_and_writes(rag: Rag) -> None:
    client = client_of(rag)
    for headers in ({}, bearer("none")):  # clients of OpenAI's protocol always send something
        assert client.get("/v1/documents", headers=headers).status_code == 200
        assert client.post("/v1/documents?wait=true", files=FILE, headers=headers).status_code == 200
        problem(client.post("/v1/ingest", json={"paths": []}, headers=headers), 401)


@pytest.mark.parametrize("path", ["/v1/documents", "/metrics", "/openapi.json", "/docs", "/nothing", "/mcp"])
def test_once_there_is_a_key_nobody_gets_in_without_one(rag: Rag, path: str) -> None:
    client = client_of(rag)
    secret = Keys(rag.settings.home).add("ana", "read")
    for headers in ({}, bearer("none"), bearer(""), {"authorization": secret}, {"authorization": "Basic !"}):
        refused = client.get(path, headers=headers)
        assert "rag keys add" in problem(refused, 401)["detail"]
        assert secret not in refused.text
    assert client.get("/health").status_code == 200
    assert client.get("/v1/documents", headers=bearer(secret)).status_code == 200
    assert client.get("/v1/documents", headers=bearer(TOKEN)).status_code == 200
    assert client.get("/v1/documents", auth=("whoever", secret)).status_code == 200
    Keys(rag.settings.home).revoke("ana")
    assert client.get("/v1/documents").status_code == 200


def test_a_browser_is_asked_to_log_in_and_a_program_for_its_key(rag: Rag) -> None:
    Keys(rag.settings.home).add("ana", "read")
    client = client_of(rag)
    assert client.get("/").headers["www-authenticate"].startswith("Basic ")
    assert client.get("/v1/documents").headers["www-authenticate"].startswith("Bearer ")


def test_elsewhere_than_on_loopback_nobody_gets_in_without_a_key(rag: Rag) -> None:
    client = client_of(rag, host="0.0.0.0")
    problem(client.get("/v1/documents"), 401)
    secret = Keys(rag.settings.home).add("ana", "read")
    assert client.get("/v1/documents", headers=bearer(secret)).status_code == 200


def test_a_key_does_what_its_scope_allows(rag: Rag) -> None:
    client, keys = client_of(rag), Keys(rag.settings.home)
    held = {scope: bearer(keys.add(scope, scope)) for scope in ("read", "write", "admin")}  # type: ignore[arg-type]

    def statuses(headers: dict[str, str]) -> list[int]:
        calls: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/v1/search", {"json": {"query": "keeper"}}),
            ("POST", "/v1/documents?wait=true", {"files": FILE}),
            ("DELETE", "/v1/documents?source=note.txt", {}),
            ("POST", "/v1/documents/remove", {"json": {"sources": []}}),
            ("POST", "/gradio_api/upload", {"files": FILE}),
            ("POST", "/v1/ingest", {"json": {"paths": []}}),
        ]
        return [client.request(method, path, headers=headers, **rest).status_code for method, path, rest in calls]

    assert statuses(held["read"]) == [200, 403, 403, 403, 403, 403]
    assert statuses(held["write"]) == [200, 200, 200, 200, 404, 403]
    assert statuses(held["admin"]) == [200, 200, 200, 200, 404, 200]


def test_a_key_has_its_limit_and_is_told_when_to_come_again(rag: Rag) -> None:
    client = client_of(rag)
    keys = Keys(rag.settings.home)
    few, many = bearer(keys.add("few", "read", 2)), bearer(keys.add("many", "read"))
    got = [client.get("/v1/models", headers=few) for _ in range(3)]
    assert [response.status_code for response in got] == [200, 200, 429]
    assert "2 requests a minute" in problem(got[-1], 429)["detail"]
    assert 1 <= int(got[-1].headers["retry-after"]) <= 30
    assert client.get("/v1/models", headers=many).status_code == 200


def test_a_bucket_fills_with_time() -> None:
    now = [0.0]
    limits = Limits(lambda: now[0])
    assert [limits.take("a", 2) for _ in range(3)] == [0, 0, 31]
    now[0] = 29.0
    assert limits.take("a", 2) > 0
    now[0] = 31.0
    assert limits.take("a", 2) == 0
    assert limits.take("b", 2) == 0


def test_keys_that_cannot_be_read_let_nobody_in(rag: Rag) -> None:
    (rag.settings.home / "keys.json").write_text("{")
    problem(client_of(rag).get("/v1/documents"), 500)


def test_no_key_stands_in_the_log(rag: Rag, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = Keys(rag.settings.home).add("ana", "read")
    with caplog.at_level("DEBUG"):
        client_of(rag).get("/v1/documents", headers=bearer(secret))
        client_of(rag).get("/v1/documents", headers=bearer(secret + "x"))
    assert secret not in caplog.text

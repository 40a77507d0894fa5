"""Uploads over HTTP."""

import io
import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from rag.api import create_app
from rag.errors import DiskFullError
from rag.http import bodies as bodies_module
from rag.http import documents as documents_module
from rag.keys import Keys, Scope
from rag.pipeline import Rag
from tests.test_api import problem

NOTE = b"The ferry to Orrin leaves at nine."
Part = tuple[str, tuple[str, bytes]]


@pytest.fixture
def client(rag: Rag) -> TestClient:
    return TestClient(create_app(rag), base_url="http://127.0.0.1")


def part(name: str, data: bytes = NOTE) -> Part:
    return ("files", (name, data))


def upload(client: TestClient, *parts: Part) -> dict[str, Any]:
    response = client.post("/v1/documents?wait=true", files=parts)
    assert response.status_code == 200, response.text
    job: dict[str, Any] = response.json()
    assert job["status"] == "done"
    report: dict[str, Any] = job["report"]
    return report


def test_an_upload_is_waited_for_answered_from_cited_and_deleted(client: TestClient, rag: Rag) -> None:
    assert upload(client, part("ferry.txt"))["added"] == ["ferry.txt"]
    found = client.post("/v1/search", json={"query": "ferry to Orrin", "sources": ["ferry.txt"]}).json()["passages"]
    assert found[0]["text"] == NOTE.decode()
    [listed] = [d for d in client.get("/v1/documents").json()["documents"] if d["source"] == "ferry.txt"]
    assert listed["size"] == len(NOTE)
    assert client.delete("/v1/documents", params={"source": "ferry.txt"}).json() == {"removed": ["ferry.txt"]}
    assert "ferry.txt" not in [d.source for d in rag.documents()]
    assert not (rag.settings.home / "uploads" / "ferry.txt").exists()
    gone = client.delete("/v1/documents", params={"source": "ferry.txt"})
    assert problem(gone, 422)["errors"][0]["field"] == "sources"


def test_the_same_content_is_taken_once_whatever_its_name(client: TestClient, rag: Rag) -> None:
    upload(client, part("ferry.txt"))
    for name in ("ferry.txt", "copy.txt"):
        report = upload(client, part(name))
        assert (report["unchanged"], report["added"], report["updated"]) == (["ferry.txt"], [], [])
    assert len(rag.documents()) == 3
    assert upload(client, part("ferry.txt", b"It leaves at ten."))["updated"] == ["ferry.txt"]


def test_without_waiting_a_job_tells_how_far_it_is(
    client: TestClient, rag: Rag, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, embed = threading.Event(), rag.embedder.embed_documents

    def held(texts: Sequence[str]) -> Any:
        assert go.wait(20)
        return embed(texts)

    monkeypatch.setattr(rag.embedder, "embed_documents", held)
    response = client.post("/v1/documents", files=[part("a.txt"), part("b.txt", b"Second.")])
    job = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["total"], job["report"], job["error"]) == (2, None, None)
    assert client.get(response.headers["location"]).json()["status"] in ("queued", "running")
    go.set()
    deadline = time.monotonic() + 20
    while (job := client.get(response.headers["location"]).json())["status"] != "done":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert job["report"]["added"] == ["a.txt", "b.txt"]
    assert (job["done"], job["total"], job["path"]) == (2, 2, "")
    problem(client.get("/v1/jobs/none"), 404)


def test_a_job_tells_of_each_of_its_files(client: TestClient, rag: Rag) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("one.txt", "The first buoy is red.")
        archive.writestr("bad.pdf", "no pdf")
    parts = [
        part("dir/good.txt"),
        part("a.exe", b"MZ"),
        part("broken.pdf", b"%PDF-1.7"),
        part("b.zip", packed.getvalue()),
    ]
    job = client.post("/v1/documents?wait=true", files=[*parts, part("again.txt")]).json()
    good, exe, broken, zipped, again = job["files"]
    assert good == {"name": "dir/good.txt", "status": "stored", "passages": 1, "reason": None, "sources": ["good.txt"]}
    assert (exe["status"], exe["reason"]) == ("failed", "Cannot take 'a.exe': no reader for .exe.")
    assert (broken["status"], broken["passages"]) == ("failed", 0)
    assert "damaged PDF" in broken["reason"]
    assert (zipped["status"], zipped["sources"]) == ("stored", ["b.zip/one.txt"])
    assert "bad.pdf" in zipped["reason"]
    assert (again["status"], again["sources"]) == (
        "stored",
        ["again.txt"],
    )  # the same bytes in one upload: not known yet
    assert job["total"] == 4


def test_a_bad_file_is_named_and_the_others_go_in(client: TestClient, rag: Rag) -> None:
    report = upload(
        client,
        part("good.txt"),
        part("program.exe", b"MZ\0"),
        part("fake.pdf", b"<html>"),
        part("broken.pdf", b"%PDF-1.7"),
        part("x/good.txt", b"Another of the same name."),
    )
    assert report["added"] == ["good.txt"]
    assert [f["path"] for f in report["failed"]] == ["program.exe", "fake.pdf", "x/good.txt", "broken.pdf"]
    assert str(rag.settings.home) not in str(report)
    assert rag.text("good.txt") == NOTE.decode()


def test_where_no_file_can_be_taken_the_request_is_refused(client: TestClient, rag: Rag) -> None:
    assert "svg" in problem(client.post("/v1/documents", files=[part("a.svg", b"<svg onload=x>")]), 415)["detail"]
    assert problem(client.post("/v1/documents", data={"x": "y"}), 422)["errors"][0]["field"] == "files"
    assert problem(client.post("/v1/documents", json={}), 422)["errors"][0]["field"] == "files"
    problem(client.post("/v1/documents", content=b"--x", headers={"content-type": "multipart/form-data"}), 400)
    assert len(rag.documents()) == 2


def test_a_name_leads_nowhere(client: TestClient, rag: Rag) -> None:
    before = {path for path in rag.settings.home.parent.rglob("*") if "home" not in path.parts[-2:]}
    assert upload(client, part("../../../tmp/evil.txt"))["added"] == ["evil.txt"]
    assert (rag.settings.home / "uploads" / "evil.txt").read_bytes() == NOTE
    after = {path for path in rag.settings.home.parent.rglob("*") if rag.settings.home not in path.parents}
    assert after <= before | {rag.settings.home}


def test_an_archive_is_one_file_of_many_documents(client: TestClient, rag: Rag) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../one.txt", "The first buoy is red.")
        archive.writestr("two.txt", "The second buoy is green.")
    assert upload(client, part("buoys.zip", packed.getvalue()))["added"] == ["buoys.zip/one.txt", "buoys.zip/two.txt"]
    client.delete("/v1/documents", params={"source": "buoys.zip/one.txt"})
    assert (rag.settings.home / "uploads" / "buoys.zip").exists()
    client.delete("/v1/documents", params={"source": "buoys.zip/two.txt"})
    assert not (rag.settings.home / "uploads" / "buoys.zip").exists()


def test_the_file_of_a_document_is_read_again(client: TestClient, rag: Rag, corpus: Path) -> None:
    def again(*sources: str) -> dict[str, Any]:
        response = client.post("/v1/documents/again", params={"source": sources})
        assert response.status_code == 202
        path = response.headers["Location"]
        deadline = time.monotonic() + 30
        while (job := client.get(path).json())["status"] not in ("done", "failed") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [f["name"] for f in job["files"]] == list(sources)
        report: dict[str, Any] = job["report"]
        return report

    upload(client, part("ferry.txt"))
    (corpus / "mill.txt").write_text("The mill at Lindal burnt down in 1902.", encoding="utf-8")
    assert sorted(again("mill.txt", "ferry.txt", "lighthouse.md")["updated"]) == [
        "ferry.txt",
        "lighthouse.md",
        "mill.txt",
    ]
    assert rag.text("mill.txt") == "The mill at Lindal burnt down in 1902."
    (corpus / "mill.txt").unlink()
    gone = [{"path": "mill.txt", "reason": "Its file is not where it was; what was read of it stays."}]
    assert again("mill.txt")["failed"] == gone
    assert "mill.txt" in [d.source for d in rag.documents()]
    problem(client.post("/v1/documents/again", params={"source": "none.md"}), 422)


def test_what_a_key_has_sent_is_replaced_and_removed_by_that_key_or_an_admin_alone(rag: Rag, tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    app = create_app(rag, keys=keys)

    def of(name: str, scope: Scope) -> TestClient:
        headers = {"Authorization": f"Bearer {keys.add(name, scope)}"}
        return TestClient(app, base_url="http://127.0.0.1", headers=headers)

    ana, ben, root = of("ana", "write"), of("ben", "write"), of("root", "admin")
    assert upload(ana, part("ferry.txt"))["added"] == ["ferry.txt"]
    other = part("ferry.txt", b"The ferry does not leave at all.")
    refused = problem(ben.post("/v1/documents", files=[other]), 415)
    assert "another key has sent a file of this name" in refused["detail"]
    for gone in (
        ben.delete("/v1/documents", params={"source": "ferry.txt"}),
        ben.post("/v1/documents/remove", json={"sources": ["mill.txt", "ferry.txt"]}),
    ):
        assert "was sent by another key" in problem(gone, 403)["detail"]
    assert {"ferry.txt", "mill.txt"} <= {d.source for d in rag.documents()}
    assert upload(ana, other)["updated"] == ["ferry.txt"]
    assert ana.delete("/v1/documents", params={"source": "ferry.txt"}).status_code == 200
    assert upload(ben, part("ferry.txt"))["added"] == ["ferry.txt"]  # nobody's any more
    assert root.delete("/v1/documents", params={"source": "ferry.txt"}).status_code == 200
    assert ben.delete("/v1/documents", params={"source": "mill.txt"}).status_code == 200  # read from the machine


def test_too_much_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies_module, "FILES_BYTES", 3_000_000)
    big = b"a" * 2_000_000
    problem(client.post("/v1/documents", files=[part("a.txt", big), part("b.txt", big)]), 413)

    def unsaid() -> Any:
        yield from (b"a" * 1_000_000 for _ in range(4))

    headers = {"content-type": "multipart/form-data; boundary=x"}
    problem(client.post("/v1/documents", content=unsaid(), headers=headers), 413)
    many = [part(f"{i}.txt", f"Buoy {i}.".encode()) for i in range(documents_module.FILES + 1)]
    assert "200" in problem(client.post("/v1/documents", files=many), 400)["detail"]
    monkeypatch.setattr(bodies_module, "JSON_BYTES", 1_000_000)
    for path in ("/v1/answer", "/v1/documents/remove"):  # only what brings files may be larger
        problem(client.post(path, json={"question": "a" * 1_000_001}), 413)


def test_a_full_disk_and_too_many_jobs_have_their_status(
    client: TestClient, rag: Rag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents_module, "JOBS_WAITING", 0)
    refused = client.post("/v1/documents", files=[part("a.txt")])
    problem(refused, 429)
    assert int(refused.headers["retry-after"]) > 0
    monkeypatch.setattr(documents_module, "JOBS_WAITING", 1)

    def full(*_: object, **__: object) -> None:
        raise DiskFullError("No room left.")

    monkeypatch.setattr(rag, "ingest", full)
    job = client.post("/v1/documents?wait=true", files=[part("a.txt")]).json()
    assert (job["status"], job["error"]["status"], job["error"]["detail"]) == ("failed", 507, "No room left.")
    monkeypatch.setattr(documents_module, "keep", full)
    problem(client.post("/v1/documents", files=[part("b.txt")]), 507)


def test_an_upload_of_a_text_file_of_the_users_folder_is_known_already(client: TestClient, corpus: Path) -> None:
    data = (corpus / "mill.txt").read_bytes()
    assert upload(client, part("renamed.txt", data))["unchanged"] == ["mill.txt"]

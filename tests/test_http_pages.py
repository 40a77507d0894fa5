"""Pages of PDFs over HTTP, from files that were ingested, changed and lost."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from rag.api import create_app
from tests.fakes import fake_rag
from tests.test_loading import pdf


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "ferry.pdf").write_bytes(pdf("The ferry to Orrin leaves at nine.", "It is red."))
    (folder / "note.txt").write_text("The mill at Lindal ground barley.", encoding="utf-8")
    with zipfile.ZipFile(folder / "packed.zip", "w") as archive:
        archive.writestr("buoys.pdf", pdf("The first buoy is red."))
        archive.writestr("old/buoys.pdf", pdf("The first buoy was green."))
        archive.writestr("note.txt", "The mill burnt down.")
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([folder])
        yield TestClient(create_app(rag), base_url="http://127.0.0.1")


def page(client: TestClient, source: str, number: int = 1) -> tuple[int, str]:
    response = client.get("/v1/documents/page", params={"source": source, "page": number, "start": 4, "end": 18})
    kind = response.headers["content-type"]
    return response.status_code, kind if kind == "image/jpeg" else response.json()["detail"]


def test_a_page_comes_as_a_picture(client: TestClient) -> None:
    assert page(client, "ferry.pdf") == (200, "image/jpeg")


def test_a_pdf_in_an_archive_has_its_pages(client: TestClient, tmp_path: Path) -> None:
    assert page(client, "packed.zip/buoys.pdf") == (200, "image/jpeg")
    assert page(client, "packed.zip/old/buoys.pdf") == (200, "image/jpeg")
    assert page(client, "packed.zip/note.txt")[1].endswith("is no PDF of its own, so it has no pages to show.")
    with zipfile.ZipFile(tmp_path / "papers" / "packed.zip", "w") as archive:
        archive.writestr("buoys.pdf", pdf("Another text."))
    assert "has changed since it was read" in page(client, "packed.zip/buoys.pdf")[1]


def test_what_has_no_page_says_why(client: TestClient, tmp_path: Path) -> None:
    assert page(client, "ferry.pdf", 3) == (404, "There is no page 3: the PDF has 2.")
    assert page(client, "note.txt") == (404, "'note.txt' is no PDF of its own, so it has no pages to show.")
    assert page(client, "lost.pdf")[0] == 422
    file = tmp_path / "papers" / "ferry.pdf"
    file.write_bytes(pdf("Another text."))
    assert page(client, "ferry.pdf")[1] == "The file of 'ferry.pdf' has changed since it was read. Ingest it again."
    file.unlink()
    assert page(client, "ferry.pdf")[1].startswith("The file of 'ferry.pdf' is not where it was")

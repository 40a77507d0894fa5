"""Documents in, cited answers out: the real models behind a real `rag serve`, by page, endpoint and command line."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from rag.folding import contains, fold
from rag.models.weights import NAME
from tests.servers import ROOT, Ran, Served, rag_command
from tests.test_page import ask, chromium

pytestmark = pytest.mark.model

FOUNDED = "When was CELAC founded, and where?"


def texts_of(server: Served, answer: dict[str, Any]) -> dict[str, str]:
    """Source -> stored text, of all that an answer names."""
    sources = {item["source"] for item in [*answer["citations"], *answer["passages"]]}
    return {s: httpx.get(f"{server.address}/v1/documents/text", params={"source": s}).content.decode() for s in sources}


def check_quotes(server: Served, answer: dict[str, Any]) -> None:
    texts = texts_of(server, answer)
    for c in answer["citations"]:
        assert texts[c["source"]][c["start"] : c["end"]] == c["quote"]
        assert 0 < len(c["quote"]) <= 400
    for p in answer["passages"]:
        assert texts[p["source"]][p["start"] : p["end"]] == p["text"]
    for source, text in texts.items():
        assert (ROOT / "seeds" / source).read_bytes().decode() == text
    assert {n for s in answer["sentences"] for n in s["citations"]} == {c["number"] for c in answer["citations"]}


@pytest.fixture(scope="module")
def answer(real_server: Served) -> dict[str, Any]:
    """What the endpoint says to FOUNDED."""
    response = httpx.post(f"{real_server.address}/v1/answer", json={"question": FOUNDED}, timeout=120)
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def test_the_endpoint_answers_with_exact_quotes(real_server: Served, answer: dict[str, Any]) -> None:
    assert answer["status"] == "answered"
    assert contains(fold(answer["text"]), "3 December 2011") and "Caracas" in answer["text"] and "[1]" in answer["text"]
    assert answer["model"] == NAME.removesuffix(".gguf")
    assert answer["citations"]
    check_quotes(real_server, answer)


def test_the_command_line_beside_the_server_gives_the_same_answer(real_server: Served, answer: dict[str, Any]) -> None:
    ran = rag_command(real_server.home, "ask", "--json", FOUNDED)
    assert (ran.code, ran.err) == (0, "")
    own = {"id": None, "timings": None}
    assert json.loads(ran.out) | own == answer | own


def test_what_the_documents_do_not_say_is_said_plainly(real_server: Served) -> None:
    ran = rag_command(real_server.home, "ask", "--json", "What is the GDP of Japan?")
    answer = json.loads(ran.out)
    assert (ran.code, answer["status"]) == (0, "not_in_documents")
    assert (answer["sentences"], answer["citations"]) == ([], [])
    assert answer["passages"] != []


def test_the_command_line_brings_in_asks_and_removes_beside_the_server(real_server: Served, tmp_path: Path) -> None:
    def rag(*arguments: str) -> Ran:
        ran = rag_command(real_server.home, *arguments)
        assert ran.code == 0, ran.err
        return ran

    note = tmp_path / "ferry.md"
    note.write_text("# The ferry\n\nThe ferry to Orrin was built in Lindal in 1954. It carries twelve cars.\n")
    assert json.loads(rag("ingest", str(note), "--json").out)["added"] == ["ferry.md"]
    assert json.loads(rag("ingest", str(note), "--json").out)["unchanged"] == ["ferry.md"]
    found = json.loads(rag("search", "--json", "-k", "1", "When was the ferry to Orrin built?").out)
    assert found["passages"][0]["source"] == "ferry.md"
    answered = rag("ask", "When was the ferry to Orrin built?", "--source", "ferry.md")
    assert "1954" in answered.out and "[1]" in answered.out
    assert "[1] ferry.md" in answered.err
    assert rag("documents", "text", "ferry.md").out == note.read_text()
    rag("documents", "remove", "ferry.md")
    assert "ferry.md" not in rag("documents").out


@pytest.mark.page
def test_the_page_shows_the_answer_its_footnote_and_the_marked_quote(real_server: Served) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(60_000)
        page.goto(real_server.address)
        page.locator("#fn-box textarea").wait_for()
        ask(page, "When was CELAC founded?")
        page.locator("#fn-current .fn-meta").wait_for()
        expect(page.locator("#fn-t1")).to_contain_text("2011")
        note, tip = page.locator("#fn-t1 .fn-note").first, page.locator("#fn-t1 .fn-tip").first
        expect(note).to_have_text("1")
        note.hover()
        expect(tip.locator("q")).to_be_visible()
        quote = tip.locator("q").inner_text()
        note.click()
        mark = page.locator("#fn-t1-sources mark.fn-lit")
        expect(mark).to_have_text(quote)
        expect(mark).to_be_in_viewport()
        source = page.locator(".fn-card.fn-lit code").inner_text()
    text = (ROOT / "seeds" / source).read_text(encoding="utf-8")
    assert " ".join(quote.split()) in " ".join(text.split())

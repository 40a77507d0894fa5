"""The documents view in a real Chromium, over a real store: what a person brings in, asks about and deletes."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from rag.api import create_app, streams_of
from rag.conversations import Conversations
from rag.keys import Keys
from rag.pipeline import Rag
from tests.fakes import fake_rag
from tests.injections import INJECTIONS
from tests.test_page import asked, chromium, served
from ui.app import mount

pytestmark = pytest.mark.page
WIDE = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def rag(tmp_path: Path, corpus: Path) -> Iterator[Rag]:
    """Without a model: what is asked is answered with the sentences themselves."""
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([corpus])
        yield rag


@pytest.fixture
def address(rag: Rag) -> Iterator[str]:
    yield from serving(rag)


def serving(rag: Rag, keys: Keys | None = None) -> Iterator[str]:
    kept = Conversations(rag.settings.home / "conversations.sqlite")
    app = create_app(rag, conversations=kept, keys=keys)
    with served(mount(app, streams_of(app), kept, documents=rag.documents)) as url:
        yield url
    kept.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE)  # type: ignore[arg-type]
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(address)
    page.locator("#fn-pick input").first.wait_for()
    yield page
    context.close()


def documents(page: Page) -> Locator:
    page.get_by_role("link", name="Documents").click()
    rows = page.locator("#fn-stored tbody tr")
    rows.first.wait_for()
    return rows


def upload(page: Page, *files: tuple[str, bytes]) -> Locator:
    payload: list[Any] = [{"name": name, "mimeType": "", "buffer": data} for name, data in files]
    page.locator("#fn-files").set_input_files(payload)
    return page.locator("#fn-uploads li")


def test_a_file_is_brought_in_asked_about_and_deleted_and_is_gone(page: Page, rag: Rag) -> None:
    expect(documents(page)).to_have_count(2)  # what was there from the start
    line = upload(page, ("ferry.txt", b"The ferry to Orrin leaves at nine."))
    expect(line.locator(".fn-up-status")).to_have_text("stored, 1 passage")
    row = page.locator("#fn-stored tr[data-source='ferry.txt']")
    expect(row.locator("td").nth(0)).to_have_text("34 B")
    expect(row.locator("td").nth(1)).to_have_text("1")

    page.get_by_role("link", name="Ask").click()
    expect(page.locator("#fn-pick input[data-source='ferry.txt']")).to_be_checked()
    asked(page, "When does the ferry to Orrin leave?", ".fn-meta")
    expect(page.locator("#fn-t1 .fn-words")).to_have_text("The ferry to Orrin leaves at nine.")
    page.locator("#fn-t1 .fn-note").click()
    card = page.locator("#fn-t1-sources .fn-card[data-source='ferry.txt']")
    expect(card.locator("mark.fn-lit")).to_be_in_viewport()
    expect(card.locator(".fn-gone")).to_have_count(0)

    documents(page)
    page.once("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    expect(page.locator("#fn-documents-told")).to_contain_text("Deleted: ")
    assert sorted(d.source for d in rag.documents()) == ["lighthouse.md", "mill.txt"]
    page.get_by_role("link", name="Ask").click()
    expect(page.locator("#fn-pick input[data-source='ferry.txt']")).to_have_count(0)
    expect(card.locator(".fn-gone")).to_have_text("No longer among the documents.")
    asked(page, "When does the ferry to Orrin leave?", ".fn-refusal")
    page.reload()
    expect(page.locator("#fn-t1-sources .fn-card[data-source='ferry.txt'] .fn-gone")).to_have_count(1)


def test_each_file_has_a_row_that_says_how_far_it_is_or_what_failed(
    page: Page, rag: Rag, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, embed = threading.Event(), rag.embedder.embed_documents

    def held(texts: Sequence[str]) -> Any:
        assert go.wait(60)
        return embed(texts)

    monkeypatch.setattr(rag.embedder, "embed_documents", held)
    documents(page)
    lines = upload(
        page,
        ("good.txt", b"A buoy is red."),
        ("program.exe", b"MZ\0"),
        ("broken.pdf", b"%PDF-1.7"),
        ("same.txt", (Path(rag.documents()[1].path)).read_bytes()),
    )
    said = lines.locator(".fn-up-status")
    expect(said.nth(0)).to_have_text("embedding")
    expect(lines.nth(0).get_by_role("progressbar", name="good.txt")).to_be_visible()
    expect(said.nth(1)).to_have_text("Cannot take 'program.exe': no reader for .exe.")
    expect(page.locator("#fn-uploads [role=status]")).to_have_text("2 of 4 files are through")
    go.set()
    expect(said.nth(0)).to_have_text("stored, 1 passage")
    expect(said.nth(2)).to_contain_text("Cannot read 'broken.pdf'")
    expect(said.nth(3)).to_have_text("already there: mill.txt")
    expect(lines.nth(2)).to_have_attribute("data-status", "failed")
    page.get_by_role("button", name="Clear what is done").click()
    expect(page.locator("#fn-uploads")).to_be_hidden()


def test_a_file_that_cannot_be_taken_alone_says_why(page: Page) -> None:
    documents(page)
    expect(upload(page, ("a.svg", b"<svg onload=x>")).locator(".fn-up-status")).to_have_text(
        "Cannot take 'a.svg': no reader for .svg."
    )


def test_of_a_folder_files_of_the_same_name_stay_apart_and_hidden_ones_stay_out(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.md").write_text("A buoy is red.")
    (folder / "sub" / "a.md").write_text("A buoy is green.")
    (folder / ".hidden.md").write_text("A buoy is black.")
    documents(page)
    page.locator("#fn-folder").set_input_files(folder)
    expect(page.locator("#fn-stored tr[data-source='notes - sub - a.md']")).to_be_visible()
    expect(page.locator("#fn-stored tr[data-source='notes - a.md']")).to_be_visible()
    expect(page.locator("#fn-uploads li")).to_have_count(2)


def test_files_dropped_anywhere_are_taken(page: Page) -> None:
    dropped = page.evaluate_handle(
        "() => { const held = new DataTransfer(); held.items.add(new File(['A buoy is red.'], 'buoy.md')); return held; }"
    )
    page.dispatch_event("#fn-chat", "drop", {"dataTransfer": dropped})
    expect(page.locator("#fn-stored tr[data-source='buoy.md']")).to_be_visible()
    assert "v=documents" in page.url


def test_a_document_is_read_again_and_says_where_its_file_is_gone(page: Page, rag: Rag) -> None:
    documents(page)
    row = page.locator("#fn-stored tr[data-source='mill.txt']")
    row.get_by_role("button", name="Re-index").click()
    expect(row.locator(".fn-row-told")).to_have_text("stored, 1 passage")
    next(Path(d.path) for d in rag.documents() if d.source == "mill.txt").unlink()
    row.get_by_role("button", name="Re-index").click()
    expect(row.locator(".fn-row-told")).to_have_text("Its file is not where it was; what was read of it stays.")
    expect(row.locator("td").nth(0)).to_have_text("file gone")


def test_documents_are_found_by_name_and_a_reload_stays_in_the_view(page: Page) -> None:
    rows = documents(page)
    page.fill("#fn-search-documents", "FARROW light")
    expect(rows).to_have_count(1)
    page.fill("#fn-search-documents", "nothing of that name")
    expect(page.locator("#fn-stored")).to_have_text("No document has these words in its name or title.")
    page.reload()
    expect(rows).to_have_count(2)
    page.go_back()
    expect(page.locator("#fn-box textarea")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_documents_do_not_scroll_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    documents(page)
    lines = upload(page, ("long-" * 30 + ".txt", b"word" * 50), ("x" * 150 + ".exe", b"x"))
    expect(lines.locator(".fn-up-status").first).to_contain_text("stored")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_who_may_only_read_is_told_so_and_offered_nothing_and_keeps_conversations_by_the_key(
    browser: Browser, rag: Rag, tmp_path: Path
) -> None:
    keys = Keys(rag.settings.home)
    secret = keys.add("reader", "read", None)
    for url in serving(rag, keys):
        context = browser.new_context(http_credentials={"username": "reader", "password": secret})
        page = context.new_page()
        page.goto(f"{url}/?v=documents")
        expect(page.locator(".fn-read-only")).to_contain_text("a key of the scope write")
        expect(page.locator("#fn-stored tbody tr")).to_have_count(2)
        expect(page.locator("#fn-drop")).to_be_hidden()
        expect(page.locator("#fn-stored button")).to_have_count(0)
        page.goto(url)
        page.fill("#fn-box textarea", "Who built the lighthouse on Farrow Point?")
        page.press("#fn-box textarea", "Enter")
        page.locator("#fn-t1 .fn-meta").wait_for()
        other = browser.new_context(http_credentials={"username": "reader", "password": secret})
        elsewhere = other.new_page()
        elsewhere.goto(url)  # in another browser: the conversation is the key's
        expect(elsewhere.locator("#fn-conversations")).to_contain_text("Who built the lighthouse")
        other.close()
        context.close()


def test_injections_in_names_titles_texts_and_errors_are_shown_inert(page: Page) -> None:
    documents(page)
    names = [text.replace("/", "∕").replace("\\", "")[:80] for text in INJECTIONS]
    good = [
        (f"{i}{name}.md", f"# {text}\n\n{text}\n".encode())
        for i, (name, text) in enumerate(zip(names, INJECTIONS, strict=True))
    ]
    bad = [(f"{name}.exe", b"x") for name in names]
    lines = upload(page, *good, *bad)
    expect(page.locator("#fn-uploads [role=status]")).to_have_text(
        f"{len(lines.all())} of {2 * len(names)} files are through"
    )
    expect(page.locator("#fn-uploads li[data-status=failed]")).not_to_have_count(0)
    assert page.evaluate("window.owned") is None
    inside = ":is(#fn-uploads, #fn-stored)"
    assert (
        page.locator(f"{inside} :is(script, iframe, object, embed, img, svg, base, meta, marquee, style)").count() == 0
    )
    assert page.locator(f"{inside} :is([onerror], [onload], [onfocus], [onbegin], [onmouseover])").count() == 0


def test_a_source_that_came_in_behind_the_page_is_not_taken_for_a_deleted_one(
    page: Page, rag: Rag, corpus: Path
) -> None:
    (corpus / "inn.txt").write_text("The inn at Lindal has nine rooms.", encoding="utf-8")
    rag.ingest([corpus])
    asked(page, "How many rooms has the inn at Lindal?", ".fn-meta")
    expect(page.locator("#fn-pick input[data-source='inn.txt']")).to_be_checked()
    expect(page.locator("#fn-t1-sources .fn-card[data-source='inn.txt'] .fn-gone")).to_have_count(0)

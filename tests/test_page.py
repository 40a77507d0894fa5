"""The chat window in a real Chromium, over a scripted Rag: what a person sees and does."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from eval.dataset import load_cases
from rag.api import Opening, create_app
from rag.conversations import Conversations, Turn
from rag.errors import LoadError, ModelTimeout
from rag.http.conversations import owner_of
from rag.index import Stored
from rag.readers.pdf import picture_of
from rag.types import (
    Answer,
    AnswerSentence,
    Citation,
    Delta,
    Done,
    Event,
    Hit,
    Message,
    Passage,
    Retrieved,
    Sentence,
    Waiting,
)
from tests.injections import INJECTIONS
from tests.test_loading import pdf
from ui.app import mount
from ui.words import EN, ES

pytestmark = pytest.mark.page
expect.set_options(timeout=30_000)  # a busy machine is slow, and a failure is rare

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

TEXT = "A hive has one queen. She lives for four years. Drones die in autumn. " + "Bees dance. " * 60
HIVE = Passage(
    "bees.md",
    "On bees",
    0,
    len(TEXT),
    TEXT,
    (Sentence(0, 21), Sentence(22, 47)),
    heading=("On bees", "The hive"),
    page=3,
    author="Ann Lee",
)
EVIL = "<script>window.owned = 1</script><img src=x onerror='window.owned = 2'> ${window.owned = 3} {{this}}"
POISON = Passage(EVIL, EVIL, 0, len(EVIL), EVIL, (Sentence(0, len(EVIL)),), heading=(EVIL,), author=EVIL)
HITS = (Hit(HIVE, 0.7, {"dense": 1, "lexical": 1}, (0.9, 0.4)), Hit(POISON, 0.2, {"dense": 2}))
QUEEN = Citation(1, "bees.md", "On bees", 0, 21, "A hive has one queen.", "quoted", page=3, heading=HIVE.heading)
YEARS = Citation(
    2, "bees.md", "On bees", 22, 47, "She lives for four years.", "supported", page=3, heading=HIVE.heading
)
SENTENCES = (
    AnswerSentence("A hive has one queen.", "quoted", (1,)),
    AnswerSentence("Four years is her span.", "supported", (2,)),
)


PAPER = Passage("paper.pdf", "A paper", 0, 21, "A hive has one queen.", (Sentence(0, 21),), page=1)


HARM = tuple(
    Hit(Passage(t, t, 0, len(t), t, (Sentence(0, len(t)),), heading=(t,), author=t), 0.1, {"dense": n})
    for n, t in enumerate(INJECTIONS, 1)
)


def from_paper(question: str, source: str) -> Answer:
    """Of one citation, on the first page of a PDF."""
    cited = replace(QUEEN, source=source, title="A paper", page=1, heading=())
    hits = (Hit(replace(PAPER, source=source), 0.7, {"dense": 1}),)
    return replace(an_answer(question), sentences=SENTENCES[:1], citations=(cited,), passages=hits)


def an_answer(question: str) -> Answer:
    text = "A hive has one queen. [1] Four years is her span. [2]"
    times = {"search_s": 0.02, "first_token_s": 1.4, "total_s": 3.1}
    return Answer(question, question, "answered", text, SENTENCES, (QUEEN, YEARS), HITS, "fake", times, "f")


def a_refusal(question: str) -> Answer:
    text = "The documents do not say."
    return Answer(question, question, "not_in_documents", text, (), (), HITS, "fake", {}, "f", reason="not_stated")


class ScriptedRag:
    """The question says what happens. `go` lets "slow" go on, `closed` says that "endless" was closed."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.closed = threading.Event()
        self.histories: dict[str, list[Message]] = {}
        self.sources: dict[str, list[str]] = {}

    def stream(
        self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = (), user: str = "page"
    ) -> Iterator[Event]:
        self.histories[question] = list(history)
        self.sources[question] = list(sources)
        if question == "early failure":
            raise ModelTimeout("The model is still loading. Ask again in a moment.")
        if question == "queued":
            yield Waiting(2)
            self.go.wait(10)
        standalone = "How long does a queen live?" if question == "And how long?" else question
        yield Retrieved(standalone, HITS)
        if question == "crash":
            raise ZeroDivisionError("a secret detail")
        if question == "late failure":
            yield Delta("A hive has")
            raise ModelTimeout("The model gave no word for 60 s. Try `rag doctor`.")
        if question == "unknown":
            yield Done(a_refusal(question))
            return
        if question in INJECTIONS:
            yield Done(replace(an_answer(question), passages=(*HITS, *HARM)))
            return
        if question.endswith(".pdf"):
            yield Done(from_paper(question, question.split()[-1]))
            return
        if question == "endless":
            yield from self._endless()
        if question == "slow":
            self.go.wait(10)
            yield Delta("A hive <b>has</b> one queen. [1]")
            self.go.clear()
            self.go.wait(10)
        yield Delta("A hive has one queen. [1] ")
        yield Done(an_answer(question))

    def page_picture(self, source: str, page: int, start: int, end: int) -> bytes:
        if source == "gone.pdf":
            raise LoadError("The file of 'gone.pdf' is not where it was.")
        return picture_of(pdf("Bees\nA hive has one queen. She lives for four years."), page, TEXT[start:end]).jpeg

    def _endless(self) -> Iterator[Event]:
        try:
            while True:
                yield Delta("word ")
                time.sleep(0.02)
        finally:
            self.closed.set()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serves `app` on a free port of the loopback for as long as the block lasts; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium. Without one the test is skipped, or fails where CI=true."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("no Chromium on this machine: install the package chromium")
    if found is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=CHROMIUM_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def rag() -> ScriptedRag:
    return ScriptedRag()


DOCUMENTS = [
    Stored(source, title, 1, 9, "0", f"/x/{source}", "/x")
    for source, title in (
        ("bees.md", "On bees"),
        ("field/ants.md", "On ants"),
        ("field/wasps.md", "On wasps"),
        *((f"harm/{text}", text) for text in (EVIL, *INJECTIONS)),
    )
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversations]:
    kept = Conversations(tmp_path_factory.mktemp("page") / "conversations.sqlite")
    yield kept
    kept.close()


@pytest.fixture(scope="module")
def address(rag: ScriptedRag, kept: Conversations) -> Iterator[str]:
    app = create_app(Opening(lambda: rag), conversations=kept)  # type: ignore[arg-type,return-value]
    with served(mount(app, rag, kept, documents=lambda: DOCUMENTS, examples=["How many queens?", "unknown"])) as url:
        yield url


@pytest.fixture(scope="module")
def context(address: str) -> Iterator[BrowserContext]:
    """One context for all tests, so that the page's scripts are fetched once. `address` first: it closes last."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(30_000)
        yield context


@pytest.fixture
def page(context: BrowserContext, address: str) -> Iterator[Page]:
    page = context.new_page()
    page.goto(address)
    page.locator("#fn-box textarea").wait_for()
    page.locator("#fn-pick input").first.wait_for()
    yield page
    page.close()


def ask(page: Page, question: str) -> None:
    page.fill("#fn-box textarea", question)
    page.press("#fn-box textarea", "Enter")


def asked(page: Page, question: str, result: str) -> None:
    """Asks and waits until the answer, refusal or failure stands."""
    number = page.locator(".fn-turn").count() + 1
    ask(page, question)
    page.locator(f"#fn-t{number} {result}").wait_for()


def test_a_footnote_leads_from_the_streamed_answer_to_the_marked_quote(page: Page, rag: ScriptedRag) -> None:
    rag.go.clear()
    ask(page, "slow")
    evidence = page.locator("#fn-t1-sources")
    expect(evidence.locator("h3")).to_have_text("Best evidence so far")  # before the first word
    expect(evidence.locator(".fn-card")).to_have_count(2)
    expect(page.locator(".fn-draft")).to_have_count(0)
    rag.go.set()
    expect(page.locator(".fn-draft")).to_contain_text("A hive <b>has</b> one queen.")
    expect(page.locator(".fn-draft sup")).to_have_text("1")
    rag.go.set()

    note = page.locator("#fn-t1 .fn-note").nth(1)
    tip = page.locator("#fn-t1 .fn-tip").nth(1)
    expect(note).to_have_text("2")
    expect(tip).to_be_hidden()
    note.hover()
    expect(tip).to_be_visible()
    expect(tip.locator("q")).to_have_text("She lives for four years.")
    expect(tip.locator("cite")).to_contain_text("On bees · The hive · page 3")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()

    note.click()
    mark = page.locator("#fn-t1-sources mark.fn-lit")
    expect(mark).to_have_text("She lives for four years.")
    expect(mark).to_be_in_viewport()
    expect(page.locator(".fn-card.fn-lit h4")).to_have_text("On bees")
    page.locator(".fn-card .fn-back").nth(1).click()
    expect(page.locator(".fn-s.fn-lit .fn-words")).to_have_text("Four years is her span.")
    assert "#" not in page.url  # no navigation


def test_a_footnote_of_an_earlier_answer_opens_its_own_sources(page: Page) -> None:
    asked(page, "How many queens?", ".fn-meta")
    asked(page, "unknown", ".fn-refusal")
    expect(page.locator("#fn-t1-sources")).to_be_hidden()
    expect(page.locator("#fn-t2-sources h3")).to_have_text("Nearest passages")
    page.locator("#fn-t1 .fn-note").first.click()
    expect(page.locator("#fn-t1-sources mark.fn-lit")).to_have_text("A hive has one queen.")
    expect(page.locator("#fn-t1-sources mark.fn-lit")).to_be_in_viewport()
    expect(page.locator("#fn-t2-sources")).to_be_hidden()


def test_the_keyboard_reaches_the_quote(page: Page) -> None:
    asked(page, "How many queens?", ".fn-meta")
    page.locator("#fn-t1 .fn-note").first.focus()
    expect(page.locator("#fn-t1 .fn-tip").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#fn-t1-sources mark.fn-lit")).to_have_text("A hive has one queen.")


def test_a_refusal_and_a_failure_look_different_and_the_chat_goes_on(page: Page) -> None:
    asked(page, "unknown", ".fn-refusal")
    expect(page.locator("#fn-t1")).to_contain_text("Not in the documents")
    expect(page.locator("#fn-t1-sources .fn-card").first).to_be_visible()
    expect(page.locator("#fn-t1 .fn-failure")).to_have_count(0)
    asked(page, "late failure", ".fn-failure")
    expect(page.locator("#fn-t2 .fn-failure")).to_contain_text("The model gave no word for 60 s.")
    expect(page.locator("#fn-t2 .fn-refusal")).to_have_count(0)
    asked(page, "early failure", ".fn-failure")
    expect(page.locator("#fn-t3 .fn-failure")).to_contain_text("still loading")
    asked(page, "How many queens?", ".fn-meta")


def test_an_unexpected_error_is_a_failure_that_keeps_its_details_for_the_log(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    asked(page, "crash", ".fn-failure")
    expect(page.locator("#fn-t1 .fn-failure")).to_contain_text("An unexpected error")
    expect(page.locator("body")).not_to_contain_text("a secret detail")
    assert "a secret detail" in caplog.text


def test_stop_ends_the_models_work_and_the_next_question_is_answered(page: Page, rag: ScriptedRag) -> None:
    rag.closed.clear()
    ask(page, "endless")
    expect(page.locator(".fn-draft")).to_contain_text("word word")
    page.get_by_role("link", name="New conversation").click()
    expect(page.get_by_role("alert")).to_contain_text("An answer is still being written.")
    assert "?c=" in page.url
    page.locator("#fn-stop").click()
    expect(page.locator("#fn-t1 .fn-status")).to_have_text("Stopped. What stands above was not checked.")
    assert rag.closed.wait(20)
    asked(page, "How many queens?", ".fn-meta")
    assert rag.histories["How many queens?"] == []
    expect(page.locator("#fn-t1")).to_contain_text("Stopped.")


def test_a_question_sent_while_an_answer_is_written_is_kept_and_the_answer_goes_on(
    page: Page, rag: ScriptedRag
) -> None:
    rag.go.clear()
    ask(page, "slow")
    expect(page.locator("#fn-t1-sources .fn-card")).to_have_count(2)
    ask(page, "unknown")
    expect(page.get_by_role("alert")).to_contain_text("An answer is still being written.")
    expect(page.locator("#fn-box textarea")).to_have_value("unknown")
    rag.go.set()
    expect(page.locator(".fn-draft")).to_contain_text("A hive")
    rag.go.set()
    page.locator("#fn-t1 .fn-meta").wait_for()
    page.press("#fn-box textarea", "Enter")
    page.locator("#fn-t2 .fn-refusal").wait_for()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_silent_model_can_be_stopped(page: Page, rag: ScriptedRag) -> None:
    rag.go.clear()
    ask(page, "slow")
    expect(page.locator("#fn-t1-sources .fn-card")).to_have_count(2)
    page.locator("#fn-stop").click()
    expect(page.locator("#fn-t1 .fn-status")).to_have_text("Stopped before the first word.")
    rag.go.set()


def test_the_place_in_the_queue_is_shown_while_others_are_before(page: Page, rag: ScriptedRag) -> None:
    rag.go.clear()
    ask(page, "queued")
    expect(page.locator("#fn-t1 .fn-waiting")).to_contain_text("Number 2 in line: the model is answering others")
    rag.go.set()
    page.locator("#fn-t1 .fn-meta").wait_for()
    expect(page.locator("#fn-t1 .fn-waiting")).to_have_count(0)


def test_closing_the_page_ends_the_models_work(context: BrowserContext, address: str, rag: ScriptedRag) -> None:
    rag.closed.clear()
    page = context.new_page()
    page.goto(address)
    ask(page, "endless")
    expect(page.locator(".fn-draft")).to_contain_text("word word")
    page.close()
    assert rag.closed.wait(20)


def test_a_follow_up_sends_the_chat_as_plain_text_and_shows_how_it_was_understood(page: Page, rag: ScriptedRag) -> None:
    asked(page, "How many queens?", ".fn-meta")
    expect(page.locator("#fn-t1 .fn-understood")).to_have_count(0)
    asked(page, "And how long?", ".fn-meta")
    assert rag.histories["And how long?"] == [
        Message("user", "How many queens?"),
        Message("assistant", "A hive has one queen. Four years is her span."),
    ]


def test_a_new_conversation_starts_over_and_brings_the_examples_back(page: Page, rag: ScriptedRag) -> None:
    example = page.get_by_role("button", name="How many queens?")
    example.click()
    page.locator("#fn-t1 .fn-meta").wait_for()
    expect(example).to_be_hidden()
    page.get_by_role("link", name="New conversation").click()
    expect(page.locator(".fn-turn")).to_have_count(0)
    expect(page.locator(".fn-card")).to_have_count(0)
    expect(example).to_be_visible()
    assert "?" not in page.url
    asked(page, "unknown", ".fn-refusal")
    assert rag.histories["unknown"] == []


def test_an_empty_and_an_overlong_question_are_named_and_kept(page: Page) -> None:
    ask(page, "   ")
    expect(page.get_by_role("alert")).to_have_text("Write a question first.")
    ask(page, "x" * 50_000)
    expect(page.get_by_role("alert")).to_contain_text("4,000 characters; this one has 50,000")
    expect(page.locator("#fn-box textarea")).to_have_value("x" * 50_000)
    expect(page.locator(".fn-turn")).to_have_count(0)
    asked(page, "How many queens?", ".fn-meta")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_html_of_documents_and_questions_is_shown_as_text(page: Page) -> None:
    asked(page, EVIL, ".fn-meta")
    expect(page.locator("#fn-t1 .fn-question")).to_have_text(EVIL)
    page.locator("#fn-t1-sources summary").click()
    card = page.locator("#fn-t1-sources details .fn-card")
    for part in ("h4", ".fn-by", "blockquote", "code"):
        expect(card.locator(part)).to_have_text(EVIL)
    assert page.evaluate("window.owned") is None
    assert page.locator("#fn-main :is(script, img[src='x'])").count() == 0


def test_the_page_asks_no_other_host_and_logs_no_error(context: BrowserContext, address: str) -> None:
    page = context.new_page()
    urls: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(address)
    asked(page, "How many queens?", ".fn-meta")
    page.close()
    assert [url for url in urls if not url.startswith((address, "data:", "blob:"))] == []
    assert len(urls) > 10
    assert problems == []


@pytest.mark.parametrize("width", [390, 860, 1280])
def test_nothing_scrolls_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    asked(page, "A question with-one-very-long-word-" + "long" * 60, ".fn-meta")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#fn-t1 .fn-note").nth(1).hover()
    box = page.locator("#fn-t1 .fn-tip").nth(1).bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
    page.locator("#fn-t1 .fn-note").nth(1).click()
    expect(page.locator("#fn-t1-sources mark.fn-lit")).to_be_in_viewport()


def test_a_new_question_comes_into_view_on_a_narrow_screen(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    asked(page, "How many queens?", ".fn-meta")
    page.locator("#fn-t1 .fn-note").nth(1).click()
    expect(page.locator("#fn-t1-sources mark.fn-lit")).to_be_in_viewport()
    asked(page, "unknown", ".fn-refusal")
    expect(page.locator("#fn-t2 .fn-question")).to_be_in_viewport()
    expect(page.locator("#fn-t2 .fn-refusal")).to_be_in_viewport()


def test_the_routes_of_the_app_stay_reachable_and_gradios_api_is_not_offered(page: Page, address: str) -> None:
    assert page.request.get(f"{address}/health").json() == {"status": "ready"}
    assert page.request.get(f"{address}/gradio_api/info").json()["named_endpoints"] == {}
    assert page.locator("footer a, footer button").count() == 0


# -- the language of the page ------------------------------------------------------------------------------------------

SAID = """() => [...document.querySelectorAll("body *")].filter((e) => !e.closest("script, style")).flatMap((e) =>
  [...[...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data),
   ...["aria-label", "title", "placeholder", "alt"].map((name) => e.getAttribute(name) ?? "")]).map((text) => text.trim())"""


def test_the_page_speaks_spanish_to_a_browser_that_asks_for_it_and_remembers_another_choice(
    context: BrowserContext, address: str
) -> None:
    assert context.browser is not None
    spanish = context.browser.new_context(locale="es-MX", viewport={"width": 390, "height": 844})
    spanish.set_default_timeout(30_000)
    page = spanish.new_page()
    page.goto(address)
    expect(page.locator("#fn-box textarea")).to_have_attribute("placeholder", "Pregunte a los documentos…")
    assert page.evaluate("document.documentElement.lang") == "es"
    asked(page, "How many queens?", ".fn-meta")
    asked(page, "unknown", ".fn-refusal")
    asked(page, "late failure", ".fn-failure")
    expect(page.locator("#fn-t1 .fn-status")).to_have_text("Respondida: los documentos respaldan cada frase.")
    expect(page.locator("#fn-t1 .fn-mark.fn-quoted")).to_contain_text("citada")
    page.locator("#fn-t1").get_by_role("button", name="Útil", exact=True).click()
    expect(page.locator("#fn-t1").get_by_role("status")).to_have_text("Gracias: guardado con esta respuesta.")
    ask(page, " ")
    expect(page.get_by_role("alert").last).to_have_text("Escriba primero una pregunta.")
    english = {text for key, text in EN.items() if text != ES[key]}
    assert english & set(page.evaluate(SAID)) == set()
    page.get_by_role("link", name="Documentos").click()
    expect(page.locator(".fn-documents caption")).to_contain_text("Lo que está indexado")
    assert english & set(page.evaluate(SAID)) == set()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="English").click()
    expect(page.locator(".fn-documents caption")).to_contain_text("What is indexed")
    page.goto(address)
    expect(page.locator("#fn-box textarea")).to_have_attribute("placeholder", "Ask the documents…")
    spanish.close()


# -- conversations and sources ---------------------------------------------------------------------------------------


def listed(page: Page) -> Locator:
    return page.locator("#fn-conversations .fn-open")


def test_a_reload_loses_nothing_and_the_chat_goes_on(page: Page, rag: ScriptedRag) -> None:
    asked(page, "How many queens?", ".fn-meta")
    asked(page, "late failure", ".fn-failure")
    page.reload()
    expect(page.locator(".fn-turn")).to_have_count(2)
    expect(page.locator("#fn-t2 .fn-failure")).to_contain_text("The model gave no word")
    page.locator("#fn-t1 .fn-note").nth(1).click()
    expect(page.locator("#fn-t1-sources mark.fn-lit")).to_have_text("She lives for four years.")
    asked(page, "And how long?", ".fn-meta")
    assert rag.histories["And how long?"][0] == Message("user", "How many queens?")
    page.reload()
    expect(page.locator(".fn-turn")).to_have_count(3)


def test_tabs_share_the_list_and_each_keeps_its_own_chat(context: BrowserContext, address: str, page: Page) -> None:
    asked(page, "How many queens in the first tab?", ".fn-meta")
    expect(listed(page).first).to_have_text("How many queens in the first tab?")
    other = context.new_page()
    other.goto(address)
    asked(other, "How many queens in the second tab?", ".fn-meta")
    expect(listed(other).nth(1)).to_have_text("How many queens in the first tab?")
    page.reload()
    expect(page.locator(".fn-question")).to_have_text("How many queens in the first tab?")
    expect(listed(page).first).to_have_text("How many queens in the second tab?")
    listed(page).first.click()
    expect(page.locator(".fn-question")).to_have_text("How many queens in the second tab?")
    page.go_back()
    expect(page.locator(".fn-question")).to_have_text("How many queens in the first tab?")
    other.close()


def test_another_browser_sees_nothing_of_it(page: Page, address: str) -> None:
    asked(page, "How many queens are mine?", ".fn-meta")
    expect(page.locator("#fn-conversations [aria-current]")).to_have_text("How many queens are mine?")
    browser = page.context.browser
    assert browser is not None
    stranger = browser.new_context()
    theirs = stranger.new_page()
    theirs.goto(page.url)
    expect(theirs.get_by_role("alert")).to_contain_text("not kept here")
    expect(theirs.locator("#fn-conversations")).to_have_text("No conversations yet.")
    assert "?" not in theirs.url
    stranger.close()


def test_conversations_are_searched_saved_and_deleted(page: Page) -> None:
    asked(page, "How many queens to delete?", ".fn-meta")
    page.fill("#fn-search", "to DELETE")
    expect(listed(page)).to_have_count(1)
    row = page.locator("#fn-conversations li").first
    row.hover()
    row.locator("summary").click()
    with page.expect_download() as saved:
        row.get_by_text("Save as Markdown").click()
    text = saved.value.path().read_text(encoding="utf-8")
    assert (
        "[2] “She lives for four years.” — On bees; The hive; page 3; bees.md, characters 22 to 47; supported" in text
    )
    page.once("dialog", lambda dialog: dialog.accept())
    row.locator("summary").click() if not row.locator(".fn-forget").is_visible() else None
    row.locator(".fn-forget").click()
    expect(page.locator(".fn-turn")).to_have_count(0)
    expect(page.locator("#fn-conversations")).to_have_text("No conversation holds these words.")


def test_only_checked_sources_are_asked(page: Page, rag: ScriptedRag) -> None:
    box = page.locator("#fn-pick input")
    folder = page.locator('#fn-pick input[data-source="field/"]')
    asked(page, "from all", ".fn-meta")
    assert rag.sources["from all"] == []
    page.get_by_role("checkbox", name="On bees").uncheck()
    page.locator('#fn-pick input[data-source="harm/"]').uncheck()
    asked(page, "from the field", ".fn-meta")
    assert rag.sources["from the field"] == ["field/"]
    expect(page.locator("#fn-t2 .fn-understood")).to_have_text("Asked only: field/")
    page.locator("#fn-pick summary").first.click()
    page.get_by_role("checkbox", name="On ants").uncheck()
    assert folder.evaluate("box => box.indeterminate")
    page.reload()
    box.first.wait_for()
    asked(page, "from one", ".fn-meta")
    assert rag.sources["from one"] == ["field/wasps.md"]
    folder.check()
    folder.uncheck()
    ask(page, "from none")
    expect(page.get_by_role("alert")).to_contain_text("No source is checked.")
    assert "from none" not in rag.sources


def test_a_question_is_asked_again_or_edited_in_place_of_what_followed(page: Page, rag: ScriptedRag) -> None:
    asked(page, "How many queens?", ".fn-meta")
    asked(page, "unknown", ".fn-refusal")
    page.locator("#fn-t2").get_by_role("button", name="Ask again").click()
    expect(page.locator("#fn-t2 .fn-tools")).to_be_visible()
    expect(page.locator(".fn-turn")).to_have_count(2)
    page.locator("#fn-t1").get_by_role("button", name="Edit").click()
    expect(page.locator("#fn-box textarea")).to_have_value("How many queens?")
    expect(page.locator(".fn-editing")).to_be_visible()
    expect(page.locator(".fn-replaced")).to_have_count(2)
    ask(page, "How many drones?")
    expect(page.locator(".fn-question")).to_have_text(["How many drones?"])
    page.locator("#fn-t1 .fn-meta").wait_for()
    expect(page.locator(".fn-editing")).to_be_hidden()
    assert rag.histories["How many drones?"] == []
    page.reload()
    expect(page.locator(".fn-question")).to_have_text(["How many drones?"])


def test_a_reload_while_an_answer_is_written_keeps_the_question_and_what_was_said(page: Page, rag: ScriptedRag) -> None:
    rag.closed.clear()
    ask(page, "endless")
    expect(page.locator(".fn-draft")).to_contain_text("word word")
    page.reload()
    expect(page.locator("#fn-t1 .fn-status")).to_be_visible()
    expect(page.locator("#fn-t1 .fn-question")).to_have_text("endless")
    assert rag.closed.wait(20)


def test_a_footnote_of_a_pdf_shows_the_page_with_the_quote_boxed_beside_the_text(page: Page) -> None:
    asked(page, "How many queens in paper.pdf", ".fn-meta")
    page.locator("#fn-t1 .fn-note").click()
    image = page.locator("#fn-t1-sources .fn-page img")
    expect(image).to_be_visible()
    expect(image).to_have_attribute("alt", "Page 1 of paper.pdf with the quote boxed")
    assert image.evaluate("async image => (await image.decode(), image.naturalWidth)") == 1100
    expect(page.locator("#fn-t1-sources mark.fn-lit")).to_have_text("A hive has one queen.")


def test_where_the_file_of_a_pdf_is_gone_the_text_stands_with_a_note(page: Page) -> None:
    asked(page, "How many queens in gone.pdf", ".fn-meta")
    page.locator("#fn-t1 .fn-note").click()
    expect(page.locator("#fn-t1-sources .fn-page")).to_have_text("The file of 'gone.pdf' is not where it was.")
    expect(page.locator("#fn-t1-sources mark.fn-lit")).to_have_text("A hive has one queen.")


def test_what_a_reader_says_of_an_answer_is_kept_with_it(page: Page, kept: Conversations) -> None:
    asked(page, "How many queens to judge?", ".fn-meta")
    turn = page.locator("#fn-t1")
    turn.get_by_role("button", name="Not helpful").click()
    turn.get_by_label("Why?").fill("<b>too short</b>")
    turn.get_by_role("button", name="Send").click()
    expect(turn.get_by_role("status")).to_have_text("Thank you: kept with this answer.")
    expect(turn.get_by_label("Why?")).to_be_hidden()
    expect(turn.get_by_role("button", name="Not helpful")).to_have_attribute("aria-pressed", "true")
    said = kept.feedback()[0]
    assert (said.helpful, said.reason, said.turn.question) == (False, "<b>too short</b>", "How many queens to judge?")
    turn.get_by_role("button", name="Keep as test").click()
    expect(turn.get_by_role("status")).to_have_text("Kept: your question file holds 1.")
    (case,) = load_cases(kept.path.with_name("questions.jsonl"))
    assert case.question == "How many queens to judge?"


def test_sixty_injections_in_titles_texts_names_and_questions_are_shown_inert(
    page: Page, context: BrowserContext, kept: Conversations
) -> None:
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url) if ":9/" in request.url else None)
    cookies = "; ".join(f"{c['name']}={c['value']}" for c in context.cookies())
    for text in INJECTIONS:
        kept.put(owner_of(cookies), "", (Turn(text, failure=text),))
    page.reload()
    expect(page.locator("#fn-pick li label").filter(has_text="onbegin")).to_have_count(2)
    expect(page.locator("#fn-conversations .fn-open").first).to_have_text(INJECTIONS[-1])
    asked(page, INJECTIONS[0], ".fn-meta")
    page.locator("#fn-t1-sources summary").click()
    shown = page.locator("#fn-t1-sources details .fn-card h4").all_inner_texts()
    assert [" ".join(text.split()) for text in shown[1:]] == [" ".join(text.split()) for text in INJECTIONS]
    page.locator("#fn-t1-sources .fn-card").last.hover()
    assert page.locator("#fn-main :is(script, iframe, object, embed, svg animate, base, meta, marquee)").count() == 0
    assert page.locator("#fn-main [onerror], #fn-main [onload], #fn-main [onfocus], #fn-main [onbegin]").count() == 0
    assert page.evaluate("window.owned") is None
    assert outside == []

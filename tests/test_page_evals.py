"""The evaluation view in a real Chromium: a set is run, stopped, looked at and compared."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from eval.jobs import Evals
from rag.api import create_app, evals_of, streams_of
from rag.conversations import Conversations
from rag.pipeline import Rag
from tests.fakes import fake_rag
from tests.injections import INJECTIONS
from tests.test_eval_jobs import BUILT, WHEEL, Held
from tests.test_page import asked, chromium, served
from ui.app import mount

pytestmark = pytest.mark.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def rag(tmp_path: Path, corpus: Path) -> Iterator[Rag]:
    """Without a model: the sentences themselves are the answers."""
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([corpus])
        yield rag


def opened(browser: Browser, rag: Rag, corpus: Path, streams: Held | None = None) -> Iterator[Page]:
    questions = rag.settings.home / "sample.jsonl"
    questions.write_text("\n".join(map(json.dumps, (BUILT, WHEEL))), encoding="utf-8")
    kept = Conversations(rag.settings.home / "conversations.sqlite")
    app = create_app(
        rag,
        conversations=kept,
        evals=lambda queued: Evals(rag.settings.home, lambda: rag, streams or queued, corpus, questions),
    )
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    with served(mount(app, streams_of(app), kept, documents=rag.documents, evals=evals_of(app))) as address:
        page = context.new_page()
        page.goto(address)
        page.locator("#fn-pick input").first.wait_for()
        yield page
        context.close()
    kept.close()


def run(page: Page, limit: str = "") -> None:
    page.fill("#fn-eval-form input", limit)
    page.get_by_role("button", name="Run").click()


def test_a_run_of_two_questions_shows_its_progress_measures_plots_failures_and_the_last_run(
    browser: Browser, rag: Rag, corpus: Path
) -> None:
    for page in opened(browser, rag, corpus):
        page.get_by_role("link", name="Evaluation").click()
        expect(page.locator("#fn-eval-start")).to_contain_text("No run yet.")
        run(page)
        measures = page.locator(".fn-figures").first
        expect(measures.locator("tr", has_text="answer_correct").locator("td").first).to_have_text("50.0 %")
        expect(page.locator("#fn-eval-plots svg")).to_have_count(2)
        expect(page.locator("#fn-eval-now")).to_be_hidden()
        lost = page.locator(".fn-lost")
        expect(lost.locator("summary")).to_contain_text("How wide was the wheel of the mill at Lindal? wheel · wrong")
        lost.locator("summary").click()
        expect(lost.locator("dd").first).to_be_visible()

        run(page)
        expect(page.locator("#fn-eval-run caption", has_text="Against the run of")).to_have_count(1)
        expect(page.locator("#fn-eval-runs option")).to_have_count(2)
        expect(page.locator("#fn-eval-plots svg")).to_have_count(3)
        page.locator("#fn-eval-runs").select_option(index=1)  # the first run had none before it
        expect(page.locator("#fn-eval-run caption", has_text="Against the run of")).to_have_count(0)
        page.reload()
        expect(page.locator("#fn-eval-run caption", has_text="Against the run of")).to_have_count(1)
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_run_can_be_stopped_and_others_ask_meanwhile(browser: Browser, rag: Rag, corpus: Path) -> None:
    held = Held(rag)
    for page in opened(browser, rag, corpus, held):
        page.get_by_role("link", name="Evaluation").click()
        run(page)
        expect(page.locator("#fn-eval-now [role=status]")).to_have_text("0 of 2 · 0 to look at · 0 failed")
        page.get_by_role("link", name="Ask").click()
        asked(page, "Who built the lighthouse on Farrow Point?", ".fn-meta")
        page.reload()
        page.get_by_role("link", name="Evaluation").click()
        held.go.release()
        expect(page.locator("#fn-eval-now [role=status]")).to_have_text("1 of 2 · 0 to look at · 0 failed")
        page.locator("#fn-eval-now").get_by_role("button", name="Stop").click()
        held.go.release()
        expect(page.locator("#fn-eval-run .fn-small")).to_contain_text("stopped · 1 questions of the sample")


def test_a_question_made_of_an_answer_is_run_and_shown_inert(browser: Browser, rag: Rag, corpus: Path) -> None:
    for page in opened(browser, rag, corpus):
        asked(page, "Who built the lighthouse on Farrow Point?", ".fn-meta")
        page.get_by_role("button", name="Keep as test").click()
        expect(page.locator("#fn-t1").get_by_role("status")).to_contain_text("Kept")
        path = rag.settings.home / "questions.jsonl"
        harm = [{"id": text, "question": text, "answers": [text], "type": text, "gold": []} for text in INJECTIONS]
        path.write_text(path.read_text(encoding="utf-8") + "\n".join(map(json.dumps, harm)), encoding="utf-8")
        page.get_by_role("link", name="Evaluation").click()
        page.locator("#fn-eval-form select").select_option("own")
        run(page)
        expect(page.locator("#fn-eval-plots svg").first).to_be_visible()
        expect(page.locator(".fn-lost")).not_to_have_count(0)
        assert page.evaluate("window.owned") is None
        inside = "#fn-eval-run"
        assert page.locator(f"{inside} :is(script, iframe, object, embed, img, base, meta, style)").count() == 0
        assert page.locator(f"{inside} :is([onerror], [onload], [onfocus], [onbegin], [onmouseover])").count() == 0

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from eval.report import MEANING, html_report, print_comparison, print_run
from eval.results import Comparison, Origin, Quote, Row, Run, compare, risk_coverage, summarise, summarise_by_type
from ui.words import EN, ES

RIGHT = {"answer_correct": 1.0, "refusal_recall": None, "quote_exact": 1.0, "total_s": 2.0}
WRONG = {"answer_correct": 0.0, "refusal_recall": None, "quote_exact": 1.0, "total_s": 4.0}
ORIGIN = Origin("local", "abc", "mine.jsonl", "f" * 64, "2030-01-01T00:00:00+00:00", {"python": "3.11"}, 12.0)


def _row(name: str, measures: dict[str, float | None], text: str = "Forty.", **more: object) -> Row:
    cited = (Quote("bridge.md", "It is <b>40</b> m.", 0, 18, "quoted"),)
    fields = {"error": None, "status": "answered"} | more
    error, status = fields["error"], fields["status"]
    assert error is None or isinstance(error, str)
    assert status is None or isinstance(status, str)
    return Row(name, "figure", "How <i>long</i>?", True, ("40",), status, text, measures, cited, cited, error=error)


def _run(rows: list[Row], comparison: Comparison | None = None) -> Run:
    summary, by_type = summarise(rows), summarise_by_type(rows)
    return Run(tuple(rows), summary, by_type, ORIGIN, Path("run"), comparison, ("q: a.md ends",))


def _printed(run: Run) -> str:
    out = io.StringIO()
    print_run(run, Console(file=out, width=100))
    return out.getvalue()


class _Page(HTMLParser):
    """Collects what could reach outside, and checks that tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_table_for_the_terminal_has_values_intervals_and_types() -> None:
    printed = _printed(_run([_row("q1", RIGHT), _row("q2", WRONG)]))
    assert re.search(r"answer_correct\s+50\.0%\s+0\.0 … 100\.0\s+2", printed)
    assert re.search(r"total_s\s+3\.00 s", printed)
    assert re.search(r"figure\s+50\.0%\s+2", printed)
    assert "2 questions, 1 to look at, 0 failed." in printed
    assert "\x1b" not in printed


def test_failures_and_warnings_are_printed() -> None:
    printed = _printed(_run([_row("q1", WRONG, error="ModelError: [gone]", status=None)]))
    assert "Failed: q1: ModelError: [gone]" in printed
    assert "Warning: q: a.md ends." in printed


def test_a_comparison_is_printed_with_the_change_and_the_verdict() -> None:
    before = [_row(str(n), RIGHT) for n in range(20)]
    after = [_row(str(n), WRONG) for n in range(20)]
    out = io.StringIO()
    print_comparison(compare(before, after, before="old", after="new"), Console(file=out, width=120))
    assert re.search(r"answer_correct\s+100\.0%\s+0\.0%\s+-100\.0\s+-100\.0 … -100\.0\s+20\s+worse", out.getvalue())
    assert re.search(r"total_s\s+2\.00 s\s+4\.00 s\s+\+2\.00 s\s+.*worse", out.getvalue())
    assert (
        "Paired over 20 questions in common (0 only before, 0 only after). Dropped: answer_correct." in out.getvalue()
    )


def test_the_page_is_whole_escaped_and_needs_nothing_from_outside() -> None:
    rows = [_row("q1", RIGHT), _row("q2", WRONG, text="<script>alert(1)</script>")]
    html = html_report(_run(rows, compare(rows, rows)))
    page = _Page()
    page.feed(html)
    assert page.open == []
    assert page.tags & {"script", "link", "img", "iframe", "i", "b"} == {"b"}
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    assert html.count("<svg") == 3
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "How &lt;i&gt;long&lt;/i&gt;?" in html
    assert "It is &lt;b&gt;40&lt;/b&gt; m." in html


def test_the_plots_have_ids_of_their_own() -> None:
    rows = [_row("q1", RIGHT), _row("q2", WRONG)]
    ids = re.findall(r'\bid="([^"]+)"', html_report(_run(rows, compare(rows, rows))))
    assert len(ids) == len(set(ids))


def test_the_search_is_timed_alone_and_the_report_says_so_in_the_words_of_the_page() -> None:
    assert "median seconds that the search takes" in html_report(_run([_row("q1", {"search_s": 0.1})]))
    assert EN["measure.search_s"] == MEANING["search_s"]
    assert ES["measure.search_s"] == "mediana de los segundos que tarda la búsqueda"


def test_every_failing_question_has_a_card_and_every_question_a_row() -> None:
    rows = [_row("fine", RIGHT), _row("wrong", WRONG), _row("broken", WRONG, error="ModelError: gone", status=None)]
    html = html_report(_run(rows))
    cards = re.findall(r"<article>.*?</article>", html, flags=re.DOTALL)
    assert len(cards) == 2
    assert "wrong" in cards[0]
    assert "ModelError: gone" in cards[1]
    folded = html[html.index("<details>") :]
    assert all(name in folded for name in ("fine", "wrong", "broken"))


def test_a_run_without_timings_or_answers_has_a_page() -> None:
    empty = {"answer_correct": 0.0, "refusal_recall": None, "total_s": None}
    assert html_report(_run([_row("q$1$", empty, error="ModelError: gone", status=None)])).count("<svg") == 1


def test_a_refusal_is_called_one_also_where_no_right_answer_is_known() -> None:
    refused = _row("q1", {"answer_correct": None, "quote_exact": None}, status="not_in_documents")
    card = re.search(r"<article>.*?</article>", html_report(_run([replace(refused, stage="cut")])), flags=re.DOTALL)
    assert card is not None and "<em class='worse'>refused</em>" in card[0]


def test_where_questions_went_wrong_is_counted_with_examples() -> None:
    lost = [replace(_row(f"q{n}", WRONG), stage="not_retrieved") for n in range(7)]
    rows = [_row("fine", RIGHT), *lost, replace(_row("odd", RIGHT), stage="miscited")]
    html = html_report(_run(rows))
    table = html[html.index("Where it went wrong") : html.index("Questions to look at")]
    assert table.index("not_retrieved") < table.index("miscited")
    assert "q4: How &lt;i&gt;long" in table and "q5" not in table
    assert "a gold fact is not cited" in html
    assert re.search(r"not_retrieved\s+7\s+no fetched passage", _printed(_run(rows)))
    assert "went wrong" not in html_report(_run([_row("fine", RIGHT)]))


def test_the_risk_of_the_surest_answers_is_drawn() -> None:
    rows = [
        replace(_row("a", RIGHT), confidence=0.9),
        replace(_row("b", WRONG), confidence=0.5),
        replace(_row("c", WRONG), confidence=0.9),
        replace(_row("n", RIGHT, status="not_in_documents"), confidence=0.1),
        replace(_row("e", WRONG, error="ModelError: gone", status=None), confidence=None),
        replace(_row("u", {"refusal_recall": 0.0}), answerable=False, confidence=0.4),
    ]
    assert risk_coverage(rows) == [(2 / 6, 0.5), (3 / 6, pytest.approx(2 / 3)), (4 / 6, 0.75)]
    html = html_report(_run(rows))
    assert "surest answers first" in html and "answered, percent" in html
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert risk_coverage([]) == []


def test_questions_that_failed_were_not_answered_and_what_is_not_known_is_left_out_of_the_curve() -> None:
    sure = replace(_row("a", RIGHT), confidence=0.9)
    failed = _row("e", WRONG, error="ModelError: gone", status=None)
    assert risk_coverage([sure, failed, failed, failed]) == [(0.25, 0.0)]
    unsure = [_row("b", RIGHT), _row("c", WRONG)]  # of no confidence
    open_ones = [_row("d", {"answer_correct": None}, status=status) for status in ("answered", "not_in_documents")]
    assert risk_coverage([sure, *unsure, *open_ones]) == [(1.0, 0.0)]

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from eval.dataset import Case, Gold
from eval.results import Row, Run, TrialError, compare, read_rows
from eval.runner import compare_runs, evaluate
from rag.errors import InputError, ModelError
from rag.types import Answer, Citation, Message

TEXT = "The bridge is 40 metres long. Ana Ruiz built it in 1957."
TEXTS = {"bridge.md": TEXT}
LENGTH = Case("length", "How long?", ("40 metres.",), (("40",),), (Gold("bridge.md", 0, 29),), type="figure")
BUILDER = Case("builder", "Who built it?", ("Ana Ruiz.",), (("Ruiz",),), (Gold("bridge.md", 30, 56),), type="fact")
COST = Case("cost", "What did it cost?", answerable=False, type="near_miss")
CASES = [LENGTH, BUILDER, COST]


def _answer(case: Case) -> Answer:
    if not case.answerable:
        return Answer(case.question, case.question, "not_in_documents", "Not stated.", (), (), (), "fake", {}, "f")
    gold = case.gold[0]
    start, end = gold.start or 0, gold.end or 0
    cited = Citation(1, "bridge.md", "Bridge", start, end, TEXT[start:end], "quoted")
    timings = {"search_s": 0.1, "first_token_s": 1.0, "total_s": 2.0, "prompt_tokens": 300, "tokens_per_s": 25.0}
    return Answer(case.question, "?", "answered", f"{cited.quote} [1]", (), (cited,), (), "fake", timings, "f")


def _failing_on(bad_id: str, case: Case) -> Answer:
    if case.id == bad_id:
        raise ModelError("The model gave nothing.")
    return _answer(case)


def _questions(folder: Path) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("{}", encoding="utf-8")
    return path


def _row(name: str, **values: float | None) -> Row:
    return Row(name, "fact", "Why?", True, (), "answered", "x", dict(values))


def _run(
    folder: Path,
    ask: Callable[[Case], Answer] = _answer,
    *,
    cases: Sequence[Case] = CASES,
    out: str = "",
    against: Path | None = None,
    trace: Callable[[str], None] = lambda _: None,
    more: Callable[[Case], dict[str, float | None]] = lambda _: {},
) -> Run:
    return evaluate(
        cases,
        ask,
        texts=TEXTS,
        out=folder / out,
        model="fake",
        fingerprint="abc",
        against=against,
        questions=_questions(folder),
        trace=trace,
        more=more,
        progress=False,
    )


def test_a_run_measures_every_question_and_writes_rows_summary_and_report(tmp_path: Path) -> None:
    done = _run(tmp_path, out="run")
    assert {name: (value["value"], value["n"]) for name, value in done.as_dict().items()} == {
        "answer_correct": (1.0, 2),
        "refusal_recall": (1.0, 1),
        "false_refusal": (0.0, 2),
        "quote_exact": (1.0, 2),
        "citation_precision": (1.0, 2),
        "citation_recall": (1.0, 2),
        "hit@5": (0.0, 2),
        "search_s": (0.1, 2),
        "first_token_s": (1.0, 2),
        "total_s": (2.0, 2),
        "prompt_tokens": (300, 2),
        "tokens_per_s": (25.0, 2),
    }
    assert done.by_type["near_miss"]["refusal_recall"].value == 1.0
    assert done.by_type["figure"]["answer_correct"].n == 1
    assert read_rows(tmp_path / "run") == list(done.rows)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert summary["measures"] == json.loads(json.dumps(done.as_dict()))
    assert summary["made_with"]["model"] == "fake"
    assert summary["made_with"]["questions"] == "mine.jsonl"
    assert summary["made_with"]["questions_sha256"].startswith("44136fa355b3678a")
    assert (tmp_path / "run" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_failed_question_is_a_row_with_its_error_and_the_run_goes_on(tmp_path: Path) -> None:
    done = _run(tmp_path, lambda case: _failing_on("length", case))
    assert [row.error for row in done.rows] == ["ModelError: The model gave nothing.", None, None]
    assert done.rows[0].status is None
    assert done.summary["answer_correct"].value == 0.5
    assert done.summary["false_refusal"].n == 1
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["errors"] == [{"id": "length", "error": "ModelError: The model gave nothing."}]


def test_rows_are_on_disk_as_soon_as_each_question_ends(tmp_path: Path) -> None:
    def interrupted(case: Case) -> Answer:
        if case.id == "cost":
            raise KeyboardInterrupt
        return _answer(case)

    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path, interrupted)
    assert [row.id for row in read_rows(tmp_path)] == ["length", "builder"]


def test_a_run_is_compared_with_an_earlier_one_and_does_not_overwrite_it(tmp_path: Path) -> None:
    def run(out: str, ask_id: str, against: Path | None) -> object:
        return _run(tmp_path, lambda case: _failing_on(ask_id, case), out=out, against=against)

    run("first", "length", None)
    run("second", "none", tmp_path / "first")
    summary = json.loads((tmp_path / "second" / "summary.json").read_text(encoding="utf-8"))
    assert summary["comparison"]["differences"]["answer_correct"]["value"] == 0.5
    assert summary["comparison"]["before"] == "first"
    with pytest.raises(InputError, match="already holds a run"):
        run("first", "none", None)
    assert compare_runs(tmp_path / "first", tmp_path / "second" / "rows.jsonl").common == 3


def test_a_comparison_pairs_the_questions_that_both_runs_asked() -> None:
    before = [_row("a", answer_correct=1.0), _row("b", answer_correct=0.0), _row("gone", answer_correct=1.0)]
    after = [_row("new", answer_correct=1.0), _row("b", answer_correct=1.0), _row("a", answer_correct=1.0)]
    comparison = compare(before, after)
    assert (comparison.common, comparison.only_before, comparison.only_after) == (2, 1, 1)
    difference = comparison.differences["answer_correct"]
    assert (difference.before, difference.after, difference.value, difference.n) == (0.5, 1.0, 0.5, 2)


def test_a_measure_drops_when_its_interval_lies_on_the_worse_side() -> None:
    before = [_row(str(n), answer_correct=1.0, false_refusal=0.0, total_s=1.0) for n in range(20)]
    after = [_row(str(n), answer_correct=0.0, false_refusal=1.0, total_s=9.0) for n in range(20)]
    assert compare(before, after).dropped == ("answer_correct", "false_refusal")
    assert compare(after, before).dropped == ()
    assert compare(before, before).dropped == ()


def test_one_lost_answer_among_many_is_no_drop() -> None:
    before = [_row(str(n), answer_correct=1.0) for n in range(40)]
    after = [_row(str(n), answer_correct=float(n > 0)) for n in range(40)]
    assert compare(before, after).dropped == ()


def test_questions_with_other_words_or_no_value_are_not_paired() -> None:
    before = [_row("a", answer_correct=1.0), _row("b", answer_correct=None)]
    after = [_row("a", answer_correct=0.0), _row("b", answer_correct=1.0)]
    assert compare(before, after).differences["answer_correct"].n == 1
    reworded = Row("a", "fact", "Why not?", True, (), "answered", "x", {"answer_correct": 0.0})
    assert compare(before, [reworded]).common == 0


def test_bad_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone"):
        compare_runs(tmp_path / "gone", tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"id": 1}', encoding="utf-8")
    with pytest.raises(InputError, match="line 1: field id"):
        read_rows(tmp_path)
    (tmp_path / "rows.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="holds no rows"):
        read_rows(tmp_path)


def test_a_follow_up_keeps_its_turns_in_the_row(tmp_path: Path) -> None:
    case = Case("f", "And who?", ("Ana Ruiz.",), gold=(Gold("bridge.md", 30, 56),), history=(Message("user", "Hm?"),))
    done = _run(tmp_path, cases=[case])
    assert done.rows[0].history == ("user: Hm?",)
    assert done.rows[0].standalone_question == "?"
    assert done.rows[0].gold[0].quote == "Ana Ruiz built it in 1957."


def test_a_failure_is_put_to_its_stage_with_the_trace_of_its_answer(tmp_path: Path) -> None:
    asked: list[str] = []

    def trace(id_: str) -> None:
        asked.append(id_)

    done = _run(tmp_path, lambda case: replace(_answer(LENGTH), id=case.id), trace=trace)
    assert asked == ["length", "builder", "cost"]
    assert [row.stage for row in done.rows] == [None, "not_retrieved", "answered_unanswerable"]
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["stages"] == {"not_retrieved": ["builder"], "answered_unanswerable": ["cost"]}
    assert read_rows(tmp_path)[1].stage == "not_retrieved"


def test_further_measures_stand_in_rows_and_summary(tmp_path: Path) -> None:
    done = _run(tmp_path, more=lambda case: {"right_alone": 1.0 if case.answerable else None})
    assert (done.summary["right_alone"].value, done.summary["right_alone"].n) == (1.0, 2)


def test_a_trial_that_fails_leaves_the_answer_and_its_own_measures_as_they_are(tmp_path: Path) -> None:
    def more(case: Case) -> dict[str, float | None]:
        if case.id == "length":
            raise TrialError("right_alone: ModelTimeout: no word", {"right_alone": 0.0})
        return {"right_alone": 1.0 if case.answerable else None}

    done = _run(tmp_path, more=more)
    assert (done.summary["answer_correct"].value, done.summary["right_alone"].value) == (1.0, 0.5)
    assert (done.rows[0].error, done.rows[0].failed) == (None, False)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["errors"] == []
    assert summary["trial_errors"] == [{"id": "length", "error": "right_alone: ModelTimeout: no word"}]
    assert "of 1 questions, whose measures then are 0" in (tmp_path / "report.html").read_text(encoding="utf-8")

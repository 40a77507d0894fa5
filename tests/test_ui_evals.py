"""The evaluation view, read back with a parser."""

from typing import Any

from rag.errors import RagError
from rag.http.evals import EvalState
from tests.test_ui_render import Node, Tree
from ui.evals import render_run, render_start
from ui.words import WORDS

EN = WORDS["en"]
LOST = {
    "id": "q<1>",
    "type": "fact",
    "question": "Who <b>built</b> it?",
    "answerable": True,
    "answers": ["Edna & Co"],
    "text": "Nobody.",
    "status": "answered",
    "reason": None,
    "error": None,
    "stage": "wrong",
    "citations": [{"quote": "<i>Nobody</i>", "source": "a.md"}],
    "gold": [],
}
RESULT: dict[str, Any] = {
    "measures": {
        "answer_correct": {"value": 0.5, "low": 0.25, "high": 0.75, "n": 4},
        "total_s": {"value": 1.5, "low": 1.0, "high": 2.0, "n": 4},
        "refusal_recall": {"value": None, "low": None, "high": None, "n": 0},
    },
    "comparison": {
        "before": "20260102-030405",
        "common": 4,
        "differences": {
            "answer_correct": {
                "before": 0.25,
                "after": 0.5,
                "value": 0.25,
                "low": 0.1,
                "high": 0.4,
                "n": 4,
                "verdict": "better",
            }
        },
    },
    "stages": {"wrong": ["q<1>"]},
    "failures": [LOST],
    "warnings": [],
    "made_with": {"model": "tiny<", "date": "2026-01-03T03:04:05+00:00", "elapsed_s": 9.0},
}
RUN = EvalState("20260103-030405", "sample", "done", 4, 4, 1, 0, "2026-01-03T03:04:05+00:00", RESULT)


def tree(html: str) -> Node:
    return Tree(f"<div>{html}</div>").open[0]


def test_a_run_shows_its_measures_comparison_stages_and_failures() -> None:
    found = tree(render_run(RUN, EN))
    measures, comparison, stages = found.all("table")
    assert [cell.text for cell in measures.all("td")] == ["50.0 %", "25.0 … 75.0", "4", "1.50 s", "1.00 … 2.00", "4"]
    assert comparison.one("caption").text == "Against the run of 2026-01-02 03:04, over 4 questions in common"
    assert [cell.text for cell in comparison.all("td")] == ["25.0 %", "50.0 %", "+25.0", "+10.0 … +40.0", "better"]
    assert stages.one("td").text == "1"
    lost = found.one("details")
    assert lost.one("summary").text == "Who <b>built</b> it? q<1> · wrong"
    assert [dd.text for dd in lost.all("dd")] == ["Edna & Co", "Nobody.", "<i>Nobody</i> a.md"]


def test_every_measure_and_stage_of_the_eval_has_its_words() -> None:
    from eval.metrics import measures
    from eval.stages import MEANING

    for words in WORDS.values():
        assert all(words(f"measure.{name}") for name in measures({}))
        assert all(words(f"stage.{stage}.means") for stage in MEANING)


def test_a_run_without_a_result_says_why() -> None:
    failed = EvalState("20260103-030405", "own", "failed", 0, 4, error=RagError("It <broke>."))
    assert tree(render_run(failed, EN)).text == "failed: It <broke>."
    assert tree(render_run(EvalState("1", "own", "stopped", 0, 4), EN)).text == "stopped: nothing was answered"


def test_the_sets_and_runs_can_be_chosen_by_who_may_write() -> None:
    running = EvalState("20260104-030405", "own", "running", 1, 4)
    found = tree(render_start({"sample": 124, "own": 0}, [running, RUN], EN, writes=True))
    sets, runs = found.all("select")
    assert [o.text for o in sets.all("option")] == ["questions of the sample (124)", "kept questions (0)"]
    assert "disabled" in sets.all("option")[1].attributes
    assert [o.text for o in runs.all("option")] == ["2026-01-03 03:04 · questions of the sample, 4"]
    assert found.one("data").attributes["value"] == "20260104-030405"
    assert tree(render_start({"sample": 124}, [RUN], EN, writes=False)).all("form") == []

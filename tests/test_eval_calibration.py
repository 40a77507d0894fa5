import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from eval.calibration import Probe, calibrate, choose, print_calibration, probes, rates, write_page
from eval.dataset import Case
from rag.cli import app
from rag.config import load_settings
from rag.errors import InputError, ModelError
from rag.pipeline import Rag
from rag.types import Answer
from tests.fakes import FakeLLM, fake_rag

# Ten of each: the surest unanswerable question lies above the least sure answerable one.
YES = [Probe(f"y{n}", True, 0.8, 0.40 + 0.05 * n) for n in range(10)]
NO = [Probe(f"n{n}", False, 0.1 if n < 3 else 0.7, 0.05 * n) for n in range(10)]


def test_the_fewest_false_answers_within_the_bound_are_chosen() -> None:
    gate, check = choose(YES + NO, 0.0)
    assert check <= 0.4 and 0.7 < gate <= 0.8  # the score alone parts them
    same_score = [Probe(p.id, p.answerable, 0.5, p.sure) for p in YES + NO]
    _, check = choose(same_score, 0.0)
    at = rates(same_score, 0.0, check)
    assert (at.false_refusal.value, at.false_answer.value) == (0.0, 0.2)
    _, check = choose(same_score, 0.2)
    at = rates(same_score, 0.0, check)
    assert (at.false_refusal.value, at.false_answer.value) == (pytest.approx(0.2), 0.0)


def test_of_equally_good_thresholds_the_middle_is_taken() -> None:
    far = [Probe("y", True, 0.9, 0.9), Probe("n", False, 0.9, 0.1)]
    assert choose(far, 0.0) == (pytest.approx(0.45, abs=0.02), pytest.approx(0.5, abs=0.02))


def test_without_a_probability_only_the_gate_refuses() -> None:
    known = [Probe("y", True, 0.8, None), Probe("n", False, 0.2, None)]
    gate, check = choose(known, 0.0)
    assert rates(known, gate, check).false_answer.value == 0
    assert rates(known, 0.1, 1.0).false_answer.value == 1


def test_held_out_rates_the_curve_and_the_failures_are_told() -> None:
    result = calibrate([*YES, *NO, "m: ModelError: gone"], 0.1, 0.25, 0.7)
    assert result.held_out_false_answer.n == result.held_out_false_refusal.n == 10
    assert result.present.false_refusal.value == pytest.approx(0.6)
    assert result.auroc.value is not None and result.auroc.value > 0.9
    assert result.failed == ("m: ModelError: gone",)
    refusals = [x for x, _ in result.curve]
    assert refusals == sorted(refusals) and result.curve[0][0] == 0
    out = io.StringIO()
    print_calibration(result, Console(file=out, width=140))
    assert "chosen on others" in out.getvalue() and "Failed: m: ModelError: gone" in out.getvalue()


def test_too_few_questions_of_a_kind_are_refused() -> None:
    with pytest.raises(InputError, match="these are 10 and 2"):
        calibrate(YES + NO[:2], 0.1, 0.25, 0.7)


def test_the_page_is_whole(tmp_path: Path) -> None:
    write_page(calibrate(YES + NO, 0.1, 0.25, 0.7), tmp_path / "c.html", "<mine>.jsonl")
    html = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "&lt;mine&gt;.jsonl" in html and html.count("<svg") == 1 and "http" not in html


def test_a_question_that_fails_is_named_and_the_rest_goes_on() -> None:
    def ask(case: Case) -> Answer:
        if case.id == "bad":
            raise ModelError("gone")
        return Answer("?", "?", "not_in_documents", "", (), (), (), "fake", {"check": 0.4}, "f")

    found = list(probes([Case("bad", "Who?"), Case("ok", "Who?", answerable=False)], ask))
    assert found == ["bad: ModelError: gone", Probe("ok", False, 0.0, 0.4)]


def test_a_question_that_a_byline_answers_passes_whatever_the_model_says(tmp_path: Path) -> None:
    (tmp_path / "harbour.md").write_text(
        "# The harbour at Farrow\n\nBy Ada Berg\n\nThe harbour at Farrow silted up in 1911. It was dredged twice.\n"
    )
    wrote = Case("w", "Who wrote the article about the harbour at Farrow?")
    dredged = Case("d", "How often was the harbour at Farrow dredged?")
    with fake_rag(tmp_path / "home", FakeLLM("Ada Berg wrote it.", yes=0.2), gate=0.0, check=1.0) as rag:
        rag.ingest([tmp_path / "harbour.md"])
        found = list(probes([wrote, dredged], lambda case: rag.ask(case.question)))
    assert [(p.id, p.sure) for p in found if isinstance(p, Probe)] == [("w", 1.0), ("d", 0.2)]


def test_the_command_probes_without_writing_an_answer_and_writes_the_thresholds(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "rag.toml").write_text("# mine\npassages = 5\ngate = 0.11\n", encoding="utf-8")
    monkeypatch.setenv("RAG_HOME", str(home))
    llm = FakeLLM("Nothing.", yes=0.6)

    def opened(settings: object) -> Rag:
        rag = fake_rag(tmp_path / "index", llm, gate=settings.gate, check=settings.check)  # type: ignore[attr-defined]
        rag.ingest([corpus])
        return rag

    monkeypatch.setattr("rag.pipeline.Rag.open", opened)
    known = [{"id": f"y{n}", "question": "Who built the lighthouse on Farrow Point?"} for n in range(5)]
    other = [{"id": f"n{n}", "question": "Xylophone zebra?", "answerable": False} for n in range(5)]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, known + other)), encoding="utf-8")
    done = CliRunner().invoke(app, ["calibrate", str(path), "--json", "--write"])
    assert done.exit_code == 0, done.exception
    result = json.loads(done.stdout)
    assert result["false_answer"]["value"] == result["false_refusal"]["value"] == 0
    assert llm.prompts == []
    assert (home / "calibration.html").exists()
    settings = load_settings({}, home=home)
    assert (settings.passages, settings.gate, settings.check) == (5, result["gate"], result["check"])
    assert (home / "rag.toml").read_text(encoding="utf-8").startswith("# mine\n")

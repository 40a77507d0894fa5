"""`rag eval run` and `rag eval compare` as commands: what they measure, and the exit status that a script reads."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rag.cli
from rag.cli import DROPPED, app
from rag.pipeline import Rag
from tests.fakes import FakeLLM, fake_rag

BUILT = "The mill at Lindal was built by Edna Marsh in 1887."


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    gold = {"doc_id": "mill.md", "start": 0, "end": len(BUILT), "quote": BUILT}
    asked = {"question": "Who built the mill at Lindal, and when?", "answers": ["Edna Marsh."], "gold": [gold]}
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps({"id": f"q{i}", **asked}) + "\n" for i in range(12)))
    return path


@pytest.fixture
def llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLLM:
    """Answers for the command, on one document."""
    model = FakeLLM(BUILT)
    (tmp_path / "mill.md").write_text(BUILT)

    @contextmanager
    def opened(questions: Path | None, **changed: float) -> Iterator[Rag]:
        with fake_rag(tmp_path / "home", model) as rag_:
            rag_.ingest([tmp_path / "mill.md"])
            yield rag_

    monkeypatch.setattr(rag.cli, "_eval_rag", opened)
    return model


def test_a_run_that_dropped_against_another_exits_with_3(tmp_path: Path, questions: Path, llm: FakeLLM) -> None:
    def run(name: str, *more: str) -> int:
        done = CliRunner().invoke(
            app, ["eval", "run", "--questions", str(questions), "--out", str(tmp_path / name), *more]
        )
        return done.exit_code

    assert run("right") == 0
    assert run("again", "--against", str(tmp_path / "right")) == 0
    llm.reply = "NOT FOUND"
    assert run("refused", "--against", str(tmp_path / "right")) == DROPPED == 3

    def compare(a: str, b: str) -> int:
        return CliRunner().invoke(app, ["eval", "compare", str(tmp_path / a), str(tmp_path / b)]).exit_code

    assert (compare("right", "refused"), compare("refused", "right"), compare("right", "again")) == (3, 0, 0)


def test_robust_asks_each_question_also_of_its_gold_and_of_a_changed_text(
    tmp_path: Path, questions: Path, llm: FakeLLM
) -> None:
    command = ["eval", "run", "--questions", str(questions), "--out", str(tmp_path / "r"), "--robust", "--json"]
    done = CliRunner().invoke(app, command)
    found = json.loads(done.stdout)
    assert {name: found[name]["value"] for name in ("answer_correct", "right_alone", "follows_change")} == {
        "answer_correct": 1.0,
        "right_alone": 1.0,
        "follows_change": 0.0,  # the reply is the same whatever the document says
    }

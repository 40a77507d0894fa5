import json
from pathlib import Path

from typer.testing import CliRunner

from eval.export import export
from eval.results import Quote, Row, write_row
from rag.cli import app

ROW = Row(
    "m",
    "fact",
    "And what did it grind?",
    True,
    ("Barley.", "barley"),
    "answered",
    "It ground barley. [1]",
    {},
    gold=(Quote("mill.txt", "The mill ground barley.", 0, 23), Quote("inn.txt", "")),
    standalone_question="What did the mill grind?",
    passages=("The mill ground barley.", "An inn."),
)
OTHER = Row("n", "near_miss", "Who?", False, (), "not_in_documents", "The documents do not say.", {})
BROKEN = Row("b", "fact", "Why?", True, ("So.",), None, None, {}, error="ModelError: gone")


def test_ragas_reads_a_sample_a_line() -> None:
    first, second = map(json.loads, export([ROW, OTHER, BROKEN], "ragas").splitlines())
    assert first == {
        "user_input": "What did the mill grind?",
        "retrieved_contexts": ["The mill ground barley.", "An inn."],
        "reference_contexts": ["The mill ground barley."],
        "response": "It ground barley. [1]",
        "reference": "Barley.",
    }
    assert second["reference"] == "The documents do not say."


def test_deepeval_reads_a_list_of_test_cases() -> None:
    (case,) = json.loads(export([ROW, BROKEN], "deepeval"))
    assert case == {
        "name": "m",
        "input": "What did the mill grind?",
        "actual_output": "It ground barley. [1]",
        "expected_output": "Barley.",
        "context": ["The mill ground barley."],
        "retrieval_context": ["The mill ground barley.", "An inn."],
    }


def test_the_command_writes_to_stdout_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(write_row(ROW) + "\n", encoding="utf-8")
    done = CliRunner().invoke(app, ["eval", "export", str(tmp_path), "--to", "ragas"])
    assert json.loads(done.stdout)["reference"] == "Barley."
    done = CliRunner().invoke(app, ["eval", "export", str(tmp_path), "--to", "deepeval", "--out", str(tmp_path / "d")])
    assert done.exit_code == 0 and json.loads((tmp_path / "d").read_text(encoding="utf-8"))[0]["name"] == "m"
    done = CliRunner().invoke(app, ["eval", "export", str(tmp_path), "--to", "xml"])
    assert "choose one of ragas, deepeval" in str(done.exception)

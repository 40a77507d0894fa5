import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eval.dataset import load_cases
from eval.drafting import counts, draft, places, read_documents, review
from rag.cli import app
from rag.errors import InputError
from rag.types import Message
from tests.fakes import FakeLLM

LIGHTHOUSE = "The lighthouse on Farrow Point was built by Edna Marsh in 1887."
MILL = "The mill at Lindal ground barley until 1902."
REPLIES = {
    LIGHTHOUSE: ("Who built the lighthouse on Farrow Point?", "Edna Marsh."),
    MILL: ("Question: Until when did the mill at Lindal grind barley?", "1902"),
}


def _model(replies: dict[str, tuple[str, str]], yes: float | None = 0.9) -> FakeLLM:
    def reply(messages: Sequence[Message]) -> str:
        sentence = next(s for s in replies if s in messages[-1].content)
        return replies[sentence][messages[-1].content.endswith("Answer:")]

    return FakeLLM(reply, yes=yes)


def _drafts(corpus: Path, out: Path, replies: dict[str, tuple[str, str]], yes: float | None = 0.9) -> list[str]:
    """The questions that come out; sentences without a reply are left out."""
    documents, _ = read_documents(corpus, 10_000_000)
    found = [place for place in places(documents) if place.text in replies]
    draft(found, _model(replies, yes), out, 5, 0.7)
    return [json.loads(line)["question"] for line in out.read_text().splitlines()] if out.exists() else []


def test_sentences_with_names_or_figures_that_stand_alone_are_asked_about(corpus: Path) -> None:
    documents, failed = read_documents(corpus, 10_000_000)
    found = [place.text for place in places(documents)]
    assert LIGHTHOUSE in found and MILL in found
    assert not any(text.startswith(("He kept", "It cost")) for text in found)
    assert failed == []


def test_a_draft_has_its_gold_span_and_waits_for_a_person(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.jsonl"
    assert set(_drafts(corpus, out, REPLIES)) == {
        "Who built the lighthouse on Farrow Point?",
        "Until when did the mill at Lindal grind barley?",
    }
    row = next(r for r in map(json.loads, out.read_text().splitlines()) if "lighthouse" in r["question"])
    gold = row["gold"][0]
    text = (corpus / "lighthouse.md").read_text(encoding="utf-8")
    assert gold["doc_id"] == "lighthouse.md" and text[gold["start"] : gold["end"]] == gold["quote"] == LIGHTHOUSE
    assert (row["answers"], row["keys"], row["accepted"]) == (["Edna Marsh"], [["Edna Marsh"]], None)
    assert counts(out) == (0, 2, 0)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("The lighthouse on Farrow Point was built by Edna Marsh.", "Edna Marsh"),
        ("Who built the lighthouse? And when?", "Edna Marsh"),
        ("Who is named in this sentence about the lighthouse on Farrow Point?", "Edna Marsh"),
        ("Who built the church?", "Edna Marsh"),
        ("Who wrote about the Farrow lighthouse and its first keeper?", "Edna Marsh"),
        ("Who built the lighthouse on Farrow Point?", "Ida Holm"),
        ("Who built the lighthouse on Farrow Point?", "the lighthouse"),
        ("Who built the lighthouse on Farrow Point?", ""),
    ],
)
def test_what_is_no_question_or_is_not_answered_by_its_sentence_is_dropped(
    question: str, answer: str, corpus: Path, tmp_path: Path
) -> None:
    assert _drafts(corpus, tmp_path / "q.jsonl", {LIGHTHOUSE: (question, answer)}) == []


def test_the_models_own_doubt_drops_a_draft(corpus: Path, tmp_path: Path) -> None:
    assert _drafts(corpus, tmp_path / "doubted.jsonl", REPLIES, yes=0.3) == []
    assert len(_drafts(corpus, tmp_path / "untold.jsonl", REPLIES, yes=None)) == 2


def test_the_same_question_and_the_same_sentence_are_drafted_once(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.jsonl"
    _drafts(corpus, out, {LIGHTHOUSE: REPLIES[LIGHTHOUSE]})
    assert len(_drafts(corpus, out, REPLIES)) == 2
    other = "Until the autumn of 1902 the mill at Lindal ground barley."
    (corpus / "again.txt").write_text(other, encoding="utf-8")
    assert len(_drafts(corpus, tmp_path / "again.jsonl", {MILL: REPLIES[MILL], other: REPLIES[MILL]})) == 1


def test_a_person_accepts_edits_rejects_and_goes_on_later(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.jsonl"
    _drafts(corpus, out, REPLIES)
    said: list[str] = []
    typed = iter(["x", "a", "q"])
    review(out, lambda _: next(typed), said.append)
    assert counts(out) == (1, 1, 0) and "One of a, e, r, q." in said
    typed = iter(["e", "Until which year did the mill at Lindal work?", "1887 or so"])
    review(out, lambda _: next(typed), said.append)
    assert counts(out) == (2, 0, 0)
    edited = next(case for case in load_cases(out) if case.question == "Until which year did the mill at Lindal work?")
    assert edited.answers == ("1887 or so",)


def test_the_end_of_input_stops_without_a_decision(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.jsonl"
    _drafts(corpus, out, REPLIES)
    typed = iter(["e", "Half?"])

    def ask(_: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    review(out, ask, lambda _: None)
    assert counts(out) == (0, 2, 0)
    assert "Half?" not in out.read_text()
    typed = iter(["r", "r"])
    review(out, ask, lambda _: None)
    assert counts(out) == (0, 0, 2)


def test_the_command_drafts_and_without_a_terminal_asks_nothing(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_HOME", str(tmp_path / "home"))
    llm = FakeLLM("No question.")
    monkeypatch.setattr("rag.models.llm.open_llm", lambda _: llm)
    (corpus / "bad.pdf").write_bytes(b"%PDF-1.4 broken")
    out = tmp_path / "q.jsonl"
    done = CliRunner().invoke(app, ["eval", "init", str(corpus), "--questions", "3", "--out", str(out)])
    assert done.exit_code == 4 and "bad.pdf" in done.stderr
    assert "0 accepted, 0 open" in done.stderr and "No more sentences" in done.stderr
    monkeypatch.setattr("rag.models.llm.open_llm", lambda _: None)
    done = CliRunner().invoke(app, ["eval", "init", str(corpus), "--out", str(out)])
    assert isinstance(done.exception, InputError) and "needs a model" in str(done.exception)
    out.write_text('{"id": 3}')
    done = CliRunner().invoke(app, ["eval", "init", str(corpus), "--out", str(out)])
    assert isinstance(done.exception, InputError) and "Cannot read the questions" in str(done.exception)

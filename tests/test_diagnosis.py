"""Where a sentence was lost, for each place where it can be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.diagnosis import Journey, diagnose, holds_words, locate
from rag.errors import EmptyIndexError, InputError
from rag.index import Candidate
from rag.pipeline import Rag
from rag.types import Evidence, LeftOut, Place
from tests.fakes import FakeLLM, fake_rag

ASKED = "Who built the lighthouse on Farrow Point?"
ASKED_BOTH = "Who built the lighthouse on Farrow Point, and how many crowns did it cost?"
BUILT = "The lighthouse on Farrow Point was built by Edna Marsh in 1887."


def lost(rag: Rag, question: str, expected: str) -> tuple[str, list[str]]:
    """The stage, and the names of the steps that went well."""
    found = rag.diagnose(question, expected)
    assert bool(found.remedy) == (found.stage != "in_answer")
    return found.stage, [step.name for step in found.steps if step.ok]


def test_words_are_found_whatever_their_case_accents_punctuation_and_markup() -> None:
    text = "Über den **Müller** sagt [das Buch](http://a.example/b c): “Er mahlt, seit 1902.”"
    assert [text[a:b] for a, b in locate(text, "mahlt seit 1902")] == ["mahlt, seit 1902"]
    assert [text[a:b] for a, b in locate(text, "den muller sagt")] == ["den **Müller** sagt"]
    assert list(locate(text, "Er mahlt 1902")) == []
    assert list(locate("one two one two", "one two")) == [(0, 7), (8, 15)]


def test_the_fast_look_agrees_with_the_slow_one() -> None:
    text = "See [the *mill* book](http://a.example/b) of <b>Lindal</b>_town_."
    for sentence in ("the mill book of Lindal town", "book of", "mill", "Lindal mill", "town", "tow"):
        assert holds_words(text, sentence) == bool(list(locate(text, sentence))), sentence


def test_a_sentence_that_the_answer_cites_is_not_lost(rag: Rag) -> None:
    found = rag.diagnose(ASKED, "the lighthouse on farrow point was built by edna marsh in 1887")
    assert (found.stage, found.remedy, found.status, found.rank) == ("in_answer", "", "answered", 1)
    text = rag.text("lighthouse.md")
    assert [text[p.start : p.end] for p in found.places] == [BUILT.removesuffix(".")]
    assert set(found.ranks) == {"dense", "sentence", "lexical"}
    assert [step.name for step in found.steps] == [
        "parsed", "whole", "ranked", "gate", "evidence", "answered", "cited",
    ]  # fmt: skip


def test_a_sentence_that_no_document_holds_is_not_parsed_and_the_nearest_is_shown(rag: Rag) -> None:
    found = rag.diagnose(ASKED, "The lighthouse on Farrow Point was designed by Edna Marsh.")
    assert (found.stage, found.places, found.rank) == ("not_parsed", (), None)
    assert found.nearest is not None
    assert (found.nearest.text, found.nearest.share) == (BUILT, 0.9)
    assert "90%" in found.steps[0].found and BUILT in found.steps[0].found


def test_a_heading_stands_in_the_text_but_in_no_passage(rag: Rag) -> None:
    assert lost(rag, "Who kept it?", "Keepers") == ("not_indexed", ["parsed"])


def test_a_text_that_two_passages_share_is_split(rag: Rag) -> None:
    stage, good = lost(
        rag, "How many crowns did it cost?", "It cost 4,200 crowns.\n\n## Keepers\n\nThe first keeper was Tomas Rell."
    )
    assert (stage, good[:1]) == ("split", ["parsed"])


def test_a_passage_that_no_list_holds_is_not_found(rag: Rag, monkeypatch: pytest.MonkeyPatch) -> None:
    search = rag.index.candidates

    def missing_the_mill(vector: NDArray[np.float32], text: str, *rest: Any) -> list[Candidate]:
        found = search(vector, text, *rest)
        return [c for c in found if text != ASKED or c.passage.source != "mill.txt"]

    monkeypatch.setattr(rag.index, "candidates", missing_the_mill)
    assert lost(rag, ASKED, "Its wheel measured 6 metres across.") == ("not_found", ["parsed", "whole"])


def test_a_passage_below_those_that_are_fetched_is_ranked_low(rag: Rag) -> None:
    rag.settings = rag.settings.model_copy(update={"passages": 1})
    found = rag.diagnose(ASKED, "Its wheel measured 6 metres across.")
    assert found.stage == "ranked_low"
    assert found.rank is not None and found.rank > 1
    assert "and 1 were fetched" in found.steps[-5].found


def test_a_question_under_the_gate_stops_there(rag: Rag) -> None:
    rag.settings = rag.settings.model_copy(update={"gate": 0.99})
    assert lost(rag, ASKED, BUILT) == ("gate", ["parsed", "whole", "ranked", "evidence"])


@pytest.mark.parametrize(
    ("why", "remedy"),
    [("budget", "Raise RAG_EVIDENCE_TOKENS"), ("worth", "It is worth much less than the best sentence")],
)
def test_a_sentence_that_was_not_chosen_is_cut(rag: Rag, why: LeftOut, remedy: str) -> None:
    hits = rag.search("He kept a goat.", 10)
    passage = hits[0].passage
    start = passage.start + passage.text.index("He kept a goat.")
    way = Journey(
        places=[Place(passage.source, start, start + 14)],
        near=[passage],
        ranked=hits,
        sent=[],
        aside=[(Evidence(passage, start, start + 15, "He kept a goat.", 0.3), why)],
        answer=rag.ask(ASKED),
        gate=0.25,
        check=0.7,
    )
    found = diagnose("He kept a goat", way)
    assert (found.stage, found.remedy.split(":")[0]) == ("cut", remedy)
    assert next(s.found for s in found.steps if s.name == "evidence") == (
        f"none of the 0 sentences that were chosen for the model ({why})"
    )


def test_a_sentence_that_was_sent_and_found_wanting_is_refused(rag: Rag) -> None:
    rag.llm = FakeLLM(BUILT, yes=0.1)
    found = rag.diagnose(ASKED, BUILT)
    assert (found.stage, found.status) == ("refused", "not_in_documents")
    assert "the check gave 0.10" in next(s.found for s in found.steps if s.name == "answered")


def test_a_sentence_that_was_sent_and_not_used_is_not_in_the_answer(rag: Rag) -> None:
    assert lost(rag, ASKED_BOTH, "It cost 4,200 crowns.") == (
        "not_in_answer", ["parsed", "whole", "ranked", "gate", "evidence", "answered"],
    )  # fmt: skip


def test_a_copy_that_is_cited_counts(rag: Rag, corpus: Path) -> None:
    (corpus / "copy.txt").write_text(BUILT, encoding="utf-8")
    rag.ingest([corpus])
    found = rag.diagnose(ASKED, BUILT)
    assert {place.source for place in found.places} == {"copy.txt", "lighthouse.md"}
    assert found.stage == "in_answer"


def test_what_cannot_be_looked_for_is_named(rag: Rag, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no word"):
        rag.diagnose(ASKED, "…")
    with pytest.raises(InputError, match="expected is empty"):
        rag.diagnose(ASKED, " ")
    with fake_rag(tmp_path / "other") as empty, pytest.raises(EmptyIndexError):
        empty.diagnose(ASKED, BUILT)


def test_a_diagnosis_as_json_has_every_field(rag: Rag) -> None:
    assert rag.diagnose(ASKED, BUILT).as_dict()["steps"][0] == {
        "name": "parsed",
        "ok": True,
        "found": "stands in lighthouse.md, characters 109–171",
    }

import json

import pytest

from rag.types import (
    Answer,
    AnswerSentence,
    Citation,
    Delta,
    Done,
    Hit,
    Passage,
    Retrieved,
    Sentence,
    event_as_json,
)

TEXT = "The mill ground barley. Its wheel measured 6 metres."
PASSAGE = Passage("mill.txt", "The mill", 10, 62, TEXT, (Sentence(10, 33), Sentence(34, 62)), ("Mills", "Lindal"), 2)
HIT = Hit(PASSAGE, 0.712345, {"dense": 2, "sentence": 1})
ANSWER = Answer(
    question="How wide?",
    standalone_question="How wide is the wheel?",
    status="answered",
    text="It measured 6 metres. [1]",
    sentences=(AnswerSentence("It measured 6 metres.", "supported", (1,)),),
    citations=(
        Citation(
            1, "mill.txt", "The mill", 34, 62, "Its wheel measured 6 metres.", "supported", 2, ("Mills", "Lindal")
        ),
    ),
    passages=(HIT,),
    model="fake",
    timings={"search_s": 0.02, "total_s": 1.0},
    fingerprint="abc",
    id="a1",
)


def test_a_passage_quotes_by_offsets_of_the_document() -> None:
    assert PASSAGE.quote(Sentence(34, 62)) == "Its wheel measured 6 metres."


def test_an_answer_as_json_has_the_fields_of_the_contract() -> None:
    assert json.loads(json.dumps(ANSWER.as_dict())) == {
        "id": "a1",
        "question": "How wide?",
        "standalone_question": "How wide is the wheel?",
        "status": "answered",
        "text": "It measured 6 metres. [1]",
        "sentences": [{"text": "It measured 6 metres.", "support": "supported", "citations": [1]}],
        "citations": [
            {
                "number": 1,
                "source": "mill.txt",
                "title": "The mill",
                "start": 34,
                "end": 62,
                "quote": "Its wheel measured 6 metres.",
                "support": "supported",
                "page": 2,
                "heading": ["Mills", "Lindal"],
                "sheet": None,
                "row": None,
                "author": None,
                "publisher": None,
                "date": None,
            }
        ],
        "passages": [
            {
                "source": "mill.txt",
                "title": "The mill",
                "heading": ["Mills", "Lindal"],
                "page": 2,
                "sheet": None,
                "rows": [],
                "start": 10,
                "end": 62,
                "text": TEXT,
                "score": 0.7123,
                "ranks": {"dense": 2, "sentence": 1},
                "also": [],
            }
        ],
        "reason": None,
        "missing": None,
        "notes": [],
        "model": "fake",
        "timings": {"search_s": 0.02, "total_s": 1.0},
        "fingerprint": "abc",
    }


def test_events_are_carried_by_name() -> None:
    name, data = event_as_json(Retrieved("How wide is the wheel?", (HIT,)))
    assert (name, data["standalone_question"], data["passages"][0]["source"]) == (
        "retrieved",
        "How wide is the wheel?",
        "mill.txt",
    )
    assert event_as_json(Delta("It ")) == ("delta", {"text": "It "})
    assert event_as_json(Done(ANSWER)) == ("done", ANSWER.as_dict())


def test_what_was_answered_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ANSWER.text = "It measured 7 metres."  # type: ignore[misc]

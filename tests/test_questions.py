"""What a question asks, so far as its words tell."""

import pytest

from rag.questions import parts


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        (
            "How many rooms does the inn have, and which of them is haunted?",
            ("How many rooms does the inn have?", "which of them is haunted?"),
        ),
        (
            "Who built the mill at Lindal and in what year did it burn?",
            ("Who built the mill at Lindal?", "in what year did it burn?"),
        ),
        ("Who owns the mill? When was it sold?", ("Who owns the mill?", "When was it sold?")),
        (
            "¿En qué año se fundó el molino y cuántos molineros tenía entonces?",
            ("¿En qué año se fundó el molino?", "cuántos molineros tenía entonces?"),
        ),
        (
            "Who built it at Lindal, what did it cost then, and who paid for all of it?",
            ("Who built it at Lindal, what did it cost then?", "who paid for all of it?"),
        ),
    ],
)
def test_a_question_that_joins_several_is_taken_apart(question: str, asked: tuple[str, ...]) -> None:
    assert parts(question) == asked


@pytest.mark.parametrize(
    "question",
    [
        "Who built the mill?",
        "Who built the mill and the inn?",
        "Which inn, which has nine rooms, burnt down?",
        "When was the mill built and why?",
        "When the mill burnt, what happened to the miller?",
        "What did the miller say about bread and beer and who he was with?? And? Why? How? When?",
        "the mill",
        "",
    ],
)
def test_one_question_stays_whole(question: str) -> None:
    assert parts(question) == (question,)

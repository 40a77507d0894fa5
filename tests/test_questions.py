"""What a question asks, so far as its words tell."""

import pytest

from rag.questions import answer_kind, asks_for_all, asks_for_name, asks_for_number, is_open, parts


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


@pytest.mark.parametrize(
    "question",
    [
        "List the mills.",
        "Please list every mill in the valley",
        "Name all the keepers of the lighthouse.",
        "What are all the prices of rye?",
        "How many documents speak of the mill?",
        "Who is named in all of the documents?",
        "In how many documents is the mill named?",
        "How many millers are mentioned in the documents?",
        "How many millers do these documents name?",
        "What are the names of all the millers?",
        "Which documents mention the mill?",
        "Which of the articles speak of rye?",
        "Count the mentions of the mill.",
        "Could you count all the mills?",
        "Give me a list of every mill.",
        "Can you make a complete list of mills?",
        "Enumera los molinos.",
        "¿En cuántos documentos se menciona el molino?",
        "¿Cuántos molineros se nombran en los documentos?",
        "¿Qué documentos mencionan el molino?",
        "¿Cuáles son los nombres de todos los molineros?",
        "Dame una lista de los molinos.",
        "Cuenta las menciones del molino.",
        "Nombra a todos los molineros.",
        "¿Cuántos documentos hablan del molino?",
    ],
)
def test_a_question_may_want_all_there_is(question: str) -> None:
    assert asks_for_all(question)


@pytest.mark.parametrize(
    "question",
    [
        "Who built the mill?",
        "How many rooms does the inn have?",
        "How many sources does the river have?",
        "Which list names the mill?",
        "Which documents does a miller need?",
        "Which documents must be handed in?",
        "Which articles state that the mill must be open?",
        "Which document mentions the mill?",
        "How many millers are mentioned in the contract?",
        "How many rooms are there in the inn?",
        "In how many rooms did it rain?",
        "What are the names of the two millers?",
        "What were the results of all the repairs?",
        "Count Holm owned which mill?",
        "Give me the list price of the wheel.",
        "¿Qué documentos necesita un molinero?",
        "¿En cuántas habitaciones llovió?",
        "Cuenta la historia del molino.",
        "Were all the rooms let?",
        "¿Cuántas habitaciones tiene la posada?",
        "",
    ],
)
def test_most_questions_do_not(question: str) -> None:
    assert not asks_for_all(question)


@pytest.mark.parametrize(
    "question",
    [
        "How many rooms are there?",
        "In how many rooms did it rain?",
        "In 1887, how many rooms were let?",
        "Can you say how many there are?",
        "What percentage was sold?",
        "¿Cuántas salas hay?",
    ],
)
def test_a_question_may_want_a_number(question: str) -> None:
    assert asks_for_number(question)


@pytest.mark.parametrize("question", ["How much did it help?", "How was it sold?", "¿Cuándo se vendió?"])
def test_a_question_of_degree_or_manner_does_not(question: str) -> None:
    assert not asks_for_number(question)


@pytest.mark.parametrize(
    "question",
    ["Who decides how many rooms there are?", "Did he decide how many to let?", "¿Quién decide cuántas salas hay?"],
)
def test_a_number_that_is_only_spoken_of_is_not_asked_for(question: str) -> None:
    assert not asks_for_number(question)


def test_a_question_is_open_unless_it_wants_yes_or_no_or_names_what_there_is_to_choose_from() -> None:
    assert is_open("Who built the mill?")
    assert not is_open("Did Marsh build the mill?")
    assert not is_open("Do the millers who grind rye sell it?")
    assert not is_open("Which is older, the mill or the inn?")
    assert not is_open("Which of the mill and the inn is older?")
    assert not is_open("Of Lindal and Farrow, which is the older?")
    assert is_open("Which of the millers sold the mill and the inn?")


def test_a_question_of_yes_or_no_that_asks_to_be_told_is_open() -> None:
    assert is_open("Can you tell me who built the mill?")
    assert is_open("Did Marsh build the mill, and when?")
    assert is_open("Is the mill open? How is that known?")
    assert is_open("Has the price of rye changed? If so, why?")
    assert is_open("In between Lindal and Farrow, what farms did the millers own?")


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When was the mill built?", "time"),
        ("In which year did it burn?", "time"),
        ("¿En qué año ardió?", "time"),
        ("How long is the wheel?", "number"),
        ("¿Cuánto costó?", "number"),
        ("Who built it?", "name"),
        ("Which company owns it?", "name"),
        ("¿Dónde está?", "name"),
        ("Why did it burn?", None),
    ],
)
def test_a_question_tells_what_its_answer_must_have(question: str, kind: str | None) -> None:
    assert answer_kind(question) == kind


def test_a_question_may_want_a_name() -> None:
    assert asks_for_name("What is the miller's full name?")
    assert asks_for_name("¿Cómo se llama el molinero?")
    assert not asks_for_name("In which town did the millers meet?")

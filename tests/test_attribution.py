from dataclasses import replace

import pytest

from rag.attribution import attribute, cite, denies, match, replies, says_the_same, status_of
from rag.types import Evidence, Passage, Sentence


def passage(*sentences: str, source: str = "mill.md", **fields: object) -> list[Evidence]:
    """A passage behind some other text, and each of its sentences as evidence."""
    spans, at, offset = [], 0, 100
    for sentence in sentences:
        spans.append(Sentence(offset + at, offset + at + len(sentence)))
        at += len(sentence) + 1
    text = " ".join(sentences)
    made = Passage(source, "The mill", offset, offset + len(text), text, tuple(spans), **fields)  # type: ignore[arg-type]
    return [Evidence(made, s.start, s.end, made.quote(s), 0.5) for s in spans]


MILL = passage(
    "The mill at Lindal was built by Edna Marsh in 1887.",
    "It cost 4,200 crowns.",
    "Its wheel measured six metres across.",
    "The miller did not sell rye.",
)


def support(sentence: str, question: str = "") -> str:
    return match(sentence, MILL, question=question).support


def quotes(sentence: str, question: str = "") -> list[str]:
    return [e.text for e in match(sentence, MILL, question=question).evidence]


def test_a_copy_is_quoted_and_cites_where_it_stands() -> None:
    assert support("The mill at Lindal was built by Edna Marsh in 1887.") == "quoted"
    assert quotes("The mill at Lindal was built by Edna Marsh in 1887.") == [MILL[0].text]


@pytest.mark.parametrize(
    "sentence",
    [
        "the MILL at **Lindal** was built, by Edna Marsh, in 1887",
        "Its wheel measured <u>six</u> metres across",
    ],
)
def test_a_copy_may_differ_in_case_marks_and_emphasis(sentence: str) -> None:
    assert support(sentence) == "quoted"


def test_other_words_for_the_same_are_supported() -> None:
    assert support("Edna Marsh built the Lindal mill in 1887.") == "supported"


@pytest.mark.parametrize("sentence", ["The mill cost 4200 crowns.", "The wheel measured 6 metres."])
def test_a_figure_may_be_written_in_another_way(sentence: str) -> None:
    assert support(sentence, "How much was it?") == "supported"


@pytest.mark.parametrize(
    "sentence",
    [
        "The mill at Lindal was built by Edna Marsh in 1878.",
        "The mill at Lindal was built by Edna Marsh in 18.",
        "It cost 4,300 crowns.",
        "Its wheel measured seven metres across.",
        "Its wheel measured twenty-six metres across.",
    ],
)
def test_another_figure_is_not_supported(sentence: str) -> None:
    assert support(sentence) not in ("quoted", "supported")


@pytest.mark.parametrize(
    "sentence",
    ["The mill at Lindal was built by Tomas Rell in 1887.", "The mill at Farrow was built by Edna Marsh in 1887."],
)
def test_another_name_is_not_supported(sentence: str) -> None:
    assert support(sentence) not in ("quoted", "supported")


@pytest.mark.parametrize(
    "sentence",
    ["The mill at Lindal was not built by Edna Marsh in 1887.", "The miller did sell rye.", "The miller sold rye."],
)
def test_the_contrary_is_not_supported(sentence: str) -> None:
    assert support(sentence) not in ("quoted", "supported")


def test_a_sentence_without_evidence_is_marked_unsupported() -> None:
    assert support("Bees visit lavender in summer.") == "unsupported"
    assert quotes("Bees visit lavender in summer.") == []


@pytest.mark.parametrize("sentence", ["", "...", "It is so."])
def test_a_sentence_that_says_nothing_is_unsupported(sentence: str) -> None:
    assert support(sentence) == "unsupported"


def test_without_evidence_nothing_is_supported() -> None:
    assert match("The mill at Lindal was built by Edna Marsh.", []).support == "unsupported"
    assert attribute("The mill at Lindal was built by Edna Marsh.", []) == ()


def test_a_sentence_from_two_places_cites_both() -> None:
    assert set(quotes("The mill built by Edna Marsh in 1887 cost 4,200 crowns.")) == {MILL[0].text, MILL[1].text}


def test_a_short_phrase_that_any_sentence_shares_is_no_quotation() -> None:
    assert support("in 1887") != "quoted"


def test_citations_are_numbered_from_one_and_stand_at_their_offsets() -> None:
    found = attribute("The mill built by Edna Marsh in 1887 cost 4,200 crowns.", MILL)
    text = "x" * 100 + MILL[0].passage.text
    assert [c.number for c in found] == [1, 2]
    assert all(text[c.start : c.end] == c.quote for c in found)
    assert {c.support for c in found} == {
        match("The mill built by Edna Marsh in 1887 cost 4,200 crowns.", MILL).support
    }


def test_a_citation_carries_what_is_known_of_its_document() -> None:
    [evidence] = passage(
        "It ground barley.", heading=("Mill", "Work"), page=7, author="Ida Holm", publisher="Lindal Press", date="1931"
    )
    citation = cite(evidence, "supported", 3)
    assert (citation.number, citation.source, citation.title, citation.page) == (3, "mill.md", "The mill", 7)
    assert citation.heading == ("Mill", "Work")
    assert (citation.author, citation.publisher, citation.date) == ("Ida Holm", "Lindal Press", "1931")


def test_a_name_that_the_passage_told_just_before_needs_no_footnote_of_its_own() -> None:
    told = passage("Ida Holm spoke of the weir at Lindal.", "The weir is two centuries old.")
    found = match("Ida Holm said that the weir is two centuries old.", told)
    assert (found.support, [e.text for e in found.evidence]) == ("supported", [told[1].text])


def test_what_else_the_sentence_before_says_has_its_footnote() -> None:
    told = passage("The millers rebuilt the weir.", "They sold 40 sacks of barley.")
    assert len(match("The millers rebuilt the weir and sold 40 sacks of barley.", told).evidence) == 2


def test_evidence_of_the_same_words_is_cited_by_the_first() -> None:
    twin = replace(MILL[0], passage=replace(MILL[0].passage, source="other.md"))
    found = attribute("Edna Marsh built the Lindal mill in 1887.", [twin, MILL[0]])
    assert [c.source for c in found] == ["other.md"]


@pytest.mark.parametrize(
    ("supports", "status"),
    [
        (["quoted", "supported"], "answered"),
        (["supported", "partial"], "partial"),
        (["supported", "unsupported"], "partial"),
        (["partial"], "partial"),
        (["unsupported", "unsupported"], ""),
        ([], ""),
    ],
)
def test_the_status_follows_from_the_support_of_the_sentences(supports: list[str], status: str) -> None:
    assert status_of(supports) == status  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "statement",
    [
        "When did Edna Marsh build the mill at Lindal in 1902?",
        "The mill at Lindal was built by Edna Marsh in 1904.",
        "Which mill at Lindal was not built by Edna Marsh?",
        "¿Qué molino de Lindal no fue construido por Edna Marsh?",
    ],
)
def test_a_text_that_gives_another_figure_or_the_opposite_denies_a_statement(statement: str) -> None:
    held = "El molino de Lindal fue construido por Edna Marsh." if statement.startswith("¿") else MILL[0].text
    assert denies(statement, held)


@pytest.mark.parametrize(
    "statement",
    [
        "When did Edna Marsh build the mill at Lindal?",
        "The mill at Lindal was built by Edna Marsh in 1887.",
        "In 1902 the inn burnt down.",
        "What did the mill cost in 1904?",
        "",
    ],
)
def test_a_text_that_agrees_or_speaks_of_something_else_denies_nothing(statement: str) -> None:
    assert not denies(statement, MILL[0].text)


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("How many rooms does the inn have?", "The inn has 9 rooms."),
        ("How many hens were sold?", "Dozens of hens were sold."),
        ("Who built the mill?", "The mill was built by Edna Marsh."),
        ("Is the inn open?", "The inn is open."),
        ("Is the inn or the mill older?", "The mill is older."),
        ("Which of Lindal and Farrow is the older town?", "Farrow is the older town."),
        ("¿Cuál de los dos pueblos, Lindal y Farrow, es más antiguo?", "Farrow es más antiguo que Lindal."),
        ("Can I return the goods when they are damaged?", "You can return the goods when they are damaged."),
        ("Do millers who work at night receive leave?", "Millers who work at night do not receive leave."),
        ("Is the fee refunded to members who leave?", "The fee is not refunded to members who leave."),
        ("Who decides how many members the board has?", "The millers decide how many members the board has."),
        ("What fraction of the rye was lost?", "A third of the rye was lost."),
        ("What fraction of the rye was lost?", "A quarter of the rye was lost."),
        ("What fraction of the rye was lost?", "A fifth was lost."),
        ("¿Qué porcentaje del centeno se perdió?", "Se perdió un tercio del centeno."),
        ("¿Qué porcentaje del centeno se perdió?", "Se perdió la cuarta parte del centeno."),
        ("How many errors were found?", "Zero errors were found."),
        ("¿Cuántos errores se hallaron?", "Se hallaron cero errores."),
    ],
)
def test_a_sentence_replies_with_what_the_question_does_not_say(question: str, sentence: str) -> None:
    assert replies(question, [sentence])


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("How many rooms does the inn at Lindal have?", "The inn at Lindal has rooms with a stove."),
        ("How many of the 40 hens were sold?", "The 40 hens were sold."),
        ("How many mills were sold?", "A third mill was sold to Rell."),
        ("In how many towns did it rain?", "It rained in towns of the north."),
        ("When the mill burnt, how many rooms were lost?", "The rooms were lost in flames when the mill burnt."),
        ("Can you tell me how many rooms the inn has?", "The inn has rooms with a stove."),
        ("Who built the mill at Lindal?", "The mill at Lindal was built."),
        ("Can you tell me who built the mill?", "The mill was built."),
        ("Is it known who built the mill?", "The mill was built."),
        ("Did Marsh build the mill and when?", "Marsh built the mill."),
        ("Which of the mills burnt and why?", "The mills burnt."),
        ("¿Puede decirme quién construyó el molino?", "El molino se construyó."),
    ],
)
def test_a_sentence_that_says_the_question_again_is_no_reply(question: str, sentence: str) -> None:
    assert not replies(question, [sentence])


@pytest.mark.parametrize(
    ("sentence", "source"),
    [
        (
            "Lindal had millers as mayors in the 1600s and 1700s.",
            "Millers served as mayors of Lindal in the 17th and 18th centuries.",
        ),
        ("Los molinos de Lindal ardieron en el siglo XVII.", "The mills of Lindal burned in the 1600s."),
        ("The model is 200 years old.", "They spoke of the 2-century-old model."),
        ("The mill stood for two decades.", "For 20 years the mill stood."),
        ("The class 1 receptor holds the antigen.", "The antigen is held by the Class I receptor."),
    ],
)
def test_a_century_or_class_may_be_written_in_another_way(sentence: str, source: str) -> None:
    assert match(sentence, passage(source)).support in ("supported", "partial")


def test_a_count_that_the_question_takes_for_granted_is_open_but_no_invention() -> None:
    told = passage("The wheel turns slower when water or wind is scarce.")
    said = "The two things that slow the wheel are water and wind being scarce."
    assert match(said, told, question="What two things slow the wheel?").support == "partial"
    assert match(said, told, question="What slows the wheel?").support == "unsupported"
    year = "In 1887 the wheel turned slower when water or wind was scarce."
    assert match(year, told, question="When did the wheel turn slower in 1887?").support == "unsupported"


@pytest.mark.parametrize("said", ["Voters choose one member.", "A single member is chosen.", "They vote once."])
def test_one_is_a_number_too(said: str) -> None:
    assert replies("How many members do voters choose?", [said])


def test_an_answer_without_any_number_does_not_say_how_many() -> None:
    assert not replies("How many members do voters choose?", ["Voters choose the members of the council."])


def test_a_text_about_others_denies_nothing() -> None:
    assert denies("Lindal sent Rell 300 sacks of barley.", "Lindal sent Rell 500 sacks of barley.")
    assert denies("Holm sent Rell 300 sacks of barley.", "In all, 500 sacks of barley were sent to Rell.")
    assert not denies("Holm sent Rell 300 sacks of barley.", "Rell sent Lindal 500 sacks of barley.")


def test_a_name_in_full_tells_nothing_new_of_who_is_named_already_unless_names_are_asked_for() -> None:
    said = ["Ida Holm and Tomas Erik Rell met."]
    assert not replies("In which town did Holm and Rell meet?", said)
    assert replies("What are the names of Holm and Rell?", said)
    assert replies("What museum keeps the wheel?", ["The Lindal Museum keeps the wheel."])


def test_who_is_against_a_plan_does_not_support_it() -> None:
    told = passage("Holm and Rell fully support the plan for the mill.")
    assert match("Holm and Rell are against the plan for the mill.", told).support != "supported"


def test_a_word_of_the_question_in_another_form_tells_nothing_new() -> None:
    asked = "In which Icelandic town did the millers meet?"
    assert not replies(asked, ["The millers met in Iceland."])
    assert replies(asked, ["The millers met in Akureyri."])


@pytest.mark.parametrize(
    ("sentence", "held", "support"),
    [
        ("The mill was built in 1887.", "Holm denied that the mill was built in 1887.", "partial"),
        ("The rent is $500 a month.", "The rent is €500 a month.", "partial"),
        ("The loss was large at p > 0.05.", "The loss was large at p < 0.05.", "partial"),
        ("The lowest reading was 40 degrees.", "The lowest reading was -40 degrees.", "unsupported"),
        ("Farrow joined the union in 1887.", "Lower Farrow joined the union in 1887.", "supported"),
        ("Farrow joined the union in 1887.", "In 1880 Farrow joined the union in 1887.", "quoted"),
        ("The rent is $500 a month.", "The rent is $500 a month, says Holm.", "quoted"),
    ],
)
def test_a_copy_is_quoted_only_with_its_signs_its_whole_names_and_nobody_denying_it(
    sentence: str, held: str, support: str
) -> None:
    assert match(sentence, passage(held)).support == support


@pytest.mark.parametrize(
    ("asked", "sentence", "support"),
    [
        ("When did Edna Smith build the mill?", "Edna Smith built the mill in 1887.", "partial"),
        ("When did Edna Marsh build the mill?", "Edna Marsh built the mill in 1887.", "quoted"),
        ("When did Edna Agnes Marsh build the mill?", "Edna Agnes Marsh built the mill in 1887.", "supported"),
    ],
)
def test_a_question_proves_no_name_where_the_evidence_has_another(asked: str, sentence: str, support: str) -> None:
    assert match(sentence, passage("Edna Marsh built the mill in 1887."), question=asked).support == support


def test_what_holds_of_another_year_denies_nothing() -> None:
    assert not denies(
        "What was the profit of the mill in 2019?", "The profit of the mill in 2018 was 5 million crowns."
    )
    assert not denies("In 2019, 200 people visited the mill.", "In 2020, 300 people visited the mill.")
    assert denies("In 2019, 200 people visited the mill.", "In 2019, 300 people visited the mill.")
    assert denies("The mill at Lindal was built in 1887.", "The mill at Lindal was built in 1890.")


@pytest.mark.parametrize(
    ("translation", "same"),
    [
        ("El molino se construyó en 1887 y costó 4.200 coronas.", True),
        ("El molino se construyó en 1878 y costó 4.200 coronas.", False),
        ("El molino se construyó en 1887.", False),
        ("", False),
    ],
)
def test_a_translation_says_the_same_where_its_figures_do(translation: str, same: bool) -> None:
    assert says_the_same(translation, "The mill was built in 1887 and cost 4,200 crowns.") is same


@pytest.mark.parametrize(
    ("sentence", "source"),
    [
        ("The density of dry air is 1225 kg per cubic metre.", "The density of dry air is 1.225 kg per cubic metre."),
        ("The lowest temperature was 40 degrees.", "The lowest measured temperature was \u221240 degrees."),
        ("The wheel measured 21 metres.", "The wheel measured 2½ metres."),
        ("The tank held 106 bees.", "The tank at Lindal held 10⁶ bees."),
    ],
)
def test_the_same_figures_with_another_sign_are_another_number(sentence: str, source: str) -> None:
    assert match(sentence, passage(source)).support not in ("quoted", "supported")


@pytest.mark.parametrize(
    ("sentence", "source"),
    [
        ("The wheel measured 2.5 metres.", "The wheel measured 2½ metres."),
        ("The mill was built in 1887.", "The mill was built in 1887¹ by Edna Marsh."),
        ("The park covers 12 square kilometres.", "The park covers 12 km²."),
        ("El parque mide 12 kilómetros cuadrados.", "El parque mide 12 km²."),
        ("The lowest temperature was minus 40 degrees.", "The lowest measured temperature was \u221240 degrees."),
        ("El pueblo tiene 1225 habitantes.", "El pueblo tiene 1.225 habitantes desde hace mucho."),
    ],
)
def test_the_same_number_in_other_signs_supports_it(sentence: str, source: str) -> None:
    assert match(sentence, passage(source)).support == "supported"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("The test found zero errors.", "The test found 5 errors."),
        ("Edna Marsh had one child.", "Edna Marsh had four children."),
        ("Edna Marsh had one young child.", "Edna Marsh had four children."),
        ("El molino tiene una rueda.", "El molino tiene tres ruedas."),
        ("The mill at Lindal has one wheel.", "El molino de Lindal tiene tres ruedas."),
    ],
)
def test_zero_and_one_of_a_thing_are_not_several(said: str, told: str) -> None:
    assert match(said, passage(told)).support not in ("quoted", "supported")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("The test found zero errors.", "In the end the test found no errors."),
        ("The test found no errors.", "In the end the test found 0 errors."),
        ("Water freezes at zero degrees.", "In the north water freezes at 0 degrees."),
        ("Lindal won the match.", "Lindal won 3-0 in the last match."),
        ("Edna Marsh had one child.", "Edna Marsh had a child and four hens."),
        ("Edna Marsh had one child.", "Edna Marsh had four hens and only 1 child."),
        ("One day Edna Marsh sold the mill.", "Edna Marsh sold the mill after three days."),
        ("Edna Marsh had more than one child.", "In Lindal Edna Marsh had four children."),
        ("One of the children of Edna Marsh died.", "Of the four children of Edna Marsh one died."),
        ("Edna Marsh es una mujer de Lindal.", "Edna Marsh es de Lindal y dos mujeres la vieron."),
    ],
)
def test_none_and_one_may_be_said_in_another_way(said: str, told: str) -> None:
    assert match(said, passage(told)).support == "supported"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("The mill at Lindal burnt down in World War I.", "The mill at Lindal burnt down in World War II."),
        ("The mill at Lindal burnt down in World War One.", "The mill at Lindal burnt down in World War Two."),
        ("The mill was built under Elizabeth I.", "The mill was built under Elizabeth II."),
        ("The vaccine protects against hepatitis A.", "The vaccine protects against hepatitis B."),
        ("A vaccine protects against hepatitis A in adults.", "A vaccine protects against hepatitis B in adults."),
    ],
)
def test_the_letter_or_numeral_behind_a_name_is_part_of_it(said: str, told: str) -> None:
    assert match(said, passage(told)).support not in ("quoted", "supported")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("The mill burnt down in World War I.", "In the First World War the mill burnt down."),
        ("The mill was built under Elizabeth I.", "Under Elizabeth I, a mill was built."),
        ("The vaccine protects against hepatitis A.", "A vaccine protects people against the hepatitis A virus."),
        ("The mill was new when it was seen.", "The mill was new when I saw it."),
        ("The mill was built by A. Marsh.", "In Lindal a mill was built by A. Marsh."),
    ],
)
def test_a_letter_is_told_from_an_article_an_initial_and_a_speaker(said: str, told: str) -> None:
    assert match(said, passage(told)).support == "supported"


@pytest.mark.parametrize("yes", ["Yes, ", "Correct: ", "Right, ", "Indeed, ", "True. "])
def test_a_yes_before_a_statement_names_nobody(yes: str) -> None:
    assert support(f"{yes}the mill at Lindal was built by Edna Marsh.") == "quoted"
    assert support(f"{yes}the mill at Lindal was built by Tomas Rell.") not in ("quoted", "supported")


@pytest.mark.parametrize("yes", ["Sí, ", "Correcto: ", "Cierto. "])
def test_a_si_before_a_statement_names_nobody(yes: str) -> None:
    told = passage("El molino de Lindal fue construido por Edna Marsh en 1887.")
    assert match(f"{yes}el molino fue construido por Edna Marsh.", told).support == "supported"


def test_a_yes_is_a_reply() -> None:
    asked = "Was the mill closed when the war began?"
    assert replies(asked, ["Yes, the mill was closed when the war began."])

import pytest

from rag.claims import claims_nothing, found_in, read, without_yes


def missing(sentence: str, held: str) -> list[str]:
    said = read(sentence)
    return [t.word for i, t in enumerate(said.tokens) if i not in found_in(said, read(held))]


@pytest.mark.parametrize(
    ("sentence", "held"),
    [
        ("The mill was bought in 1887.", "In 1887 the mill was purchased."),
        ("It weighs 1.5 million kilos.", "It weighs 1,500,000 kilograms."),
        ("El hospital recibió 4.200 euros en abril de 1950.", "The hospital received 4,200 euros in April 1950."),
        ("La constitución nacional fue adoptada.", "The national constitution was adopted."),
        ("They wrote about Icelandic poems.", "A poem written in Iceland."),
        ("The Mexican ships left.", "The ships of Mexico left."),
        ("The US bought the mill.", "The mill was bought by the United States."),
        ("La ONU compró 40 kilogramos.", "The United Nations bought 40 kilos."),
    ],
)
def test_other_forms_of_a_word_or_figure_are_found(sentence: str, held: str) -> None:
    assert missing(sentence, held) == []


def test_names_that_only_begin_alike_are_two_names() -> None:
    assert missing("Mr Andersen paid.", "Mr Anderson paid.") == ["andersen"]


def test_units_that_begin_alike_are_two_units() -> None:
    assert missing("It took milligrams.", "It took millilitres.") == ["milligrams"]


@pytest.mark.parametrize(
    "sentence",
    [
        "I do not have specific information.",
        "The documents do not say who built it.",
        "You're welcome! Feel free to ask.",
    ],
)
def test_a_sentence_that_knows_nothing_or_is_polite_claims_nothing(sentence: str) -> None:
    assert claims_nothing(sentence)


@pytest.mark.parametrize(
    "sentence", ["The mill was not built by Edna Marsh.", "I have the mill.", "Information is costly."]
)
def test_a_denial_is_a_claim(sentence: str) -> None:
    assert not claims_nothing(sentence)


@pytest.mark.parametrize(
    ("sentence", "held", "missed"),
    [
        ("The employer paid.", "The employee paid.", ["employer"]),
        ("The licensors left.", "The licensee left.", ["licensors"]),
        ("Nigeria won.", "Niger won.", ["nigeria"]),
        ("Carlos Martinez left.", "Carlos Martin left.", ["martinez"]),
        ("Robert Johnson won.", "Robert Johns won.", ["johnson"]),
        ("The Roman mill.", "The mill in Romania.", ["roman"]),
        ("Mr Palmer left.", "Mr Palm left.", ["palmer"]),
        ("Julian left.", "Julia left.", ["julian"]),
        ("The contract was signed.", "The control was signed.", ["contract"]),
        ("The company left.", "The comparison left.", ["company"]),
    ],
)
def test_words_and_names_that_only_begin_alike_are_two(sentence: str, held: str, missed: list[str]) -> None:
    assert missing(sentence, held) == missed


@pytest.mark.parametrize(
    ("sentence", "held"),
    [
        ("The ships of Italy left.", "Italian ships left."),
        ("The ships of Japan left.", "Japanese ships left."),
        ("Los barcos de Italia.", "The boats of Italy."),
        ("Los barcos mexicanos.", "Los barcos de Mexico."),
        ("They described the production.", "Their description of what was produced."),
        ("It is available and possible.", "The availability and possibility."),
        ("The Icelanders and Israelis left.", "The people of Iceland and Israel left."),
        ("The Buddhists left.", "The followers of Buddhism left."),
        ("The Parliamentary rules.", "The rules of the parliament."),
        ("The retired teacher.", "A retiree, a teacher."),
    ],
)
def test_a_people_is_of_its_place_and_a_deed_of_its_verb(sentence: str, held: str) -> None:
    assert missing(sentence, held) == []


@pytest.mark.parametrize(
    ("sentence", "statement"),
    [
        ("Yes, Edna Marsh built it.", "Edna Marsh built it."),
        ("**Yes**. The mill stands.", "The mill stands."),
        ("Yes, indeed: the mill stands.", "the mill stands."),
        ("Correct: it stands.", "it stands."),
        ("Sí, el molino arde.", "el molino arde."),
        ("Cierto. El molino arde.", "El molino arde."),
        ("Yes.", "Yes."),
        ("True stories are told.", "True stories are told."),
        ("Si arde, lo venden.", "Si arde, lo venden."),
    ],
)
def test_the_statement_behind_a_yes_is_told_from_it(sentence: str, statement: str) -> None:
    assert without_yes(sentence) == statement

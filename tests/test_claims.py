import pytest

from rag.claims import claims_nothing, contradictions, found_in, read


def against(sentence: str, *held: str) -> set[str]:
    return set(contradictions(read(sentence), [read(text) for text in held]))


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
    ],
)
def test_other_forms_of_a_word_or_figure_are_found(sentence: str, held: str) -> None:
    assert missing(sentence, held) == []


def test_names_that_only_begin_alike_are_two_names() -> None:
    assert missing("Mr Andersen paid.", "Mr Anderson paid.") == ["andersen"]


def test_units_that_begin_alike_are_two_units() -> None:
    assert missing("It took milligrams.", "It took millilitres.") == ["milligrams"]


@pytest.mark.parametrize(
    ("sentence", "held"),
    [
        ("The hen was chased by the fox.", "The fox chased the hen."),
        ("The fox was larger than the hen.", "In size the fox was larger than the hen."),
        ("Sales fell in winter.", "Sales rose in summer and fell in winter."),
        ("Rye does not grow there.", "No rye grows there."),
        ("No se abrió nunca.", "Nunca se abrió."),
        ("Over 300 hens were sold.", "More than 300 hens were sold."),
        ("Beck made 40 carts.", "Lund made 60 carts and Beck made 40 carts."),
        ("It is open for six months each year.", "It is open for six months a year."),
    ],
)
def test_the_same_in_other_words_contradicts_nothing(sentence: str, held: str) -> None:
    assert against(sentence, held) == set()


@pytest.mark.parametrize(
    ("sentence", "held", "why"),
    [
        ("The fox was chased by the hen.", "The fox chased the hen.", "role"),
        ("The hen was larger than the fox.", "The fox was larger than the hen.", "role"),
        ("La zorra fue derrotada por la gallina.", "La zorra derrotó a la gallina.", "role"),
        ("The cart was sold by Rell to Beck.", "Beck sold the cart to Rell.", "role"),
        ("The trip took six days.", "The trip took six hours.", "unit"),
        ("The cart cost £40.", "The cart cost $40.", "unit"),
        ("Sales fell in winter.", "Sales rose in winter.", "opposite"),
        ("The search was unlawful.", "The search was lawful.", "opposite"),
        ("Rye grows there.", "Rye does not grow there.", "negation"),
        ("La caja se abrió.", "La caja no se abrió nunca.", "negation"),
        ("Fewer than 300 hens were sold.", "More than 300 hens were sold.", "quantity"),
        ("All of the judges abstained.", "Some of the judges abstained.", "quantity"),
        ("Beck made 60 carts.", "Lund made 60 carts and Beck made 40 carts.", "place of a fact"),
        ("Lund made 40 carts, and Beck made 60.", "Lund made 60 carts, and Beck made 40.", "place of a fact"),
    ],
)
def test_a_changed_fact_is_named(sentence: str, held: str, why: str) -> None:
    assert why in against(sentence, held)


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

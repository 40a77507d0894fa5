import pytest

from rag.claims import claims_nothing, contradictions, found_in, read, without_yes


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
        # a word that stands on both sides of the verb
        ("Rye growers sold six tons of rye.", "Rye growers have sold six tons of rye."),
        ("The greens won the election.", "The paper reports the election victory by the greens."),
        ("According to Beck and Lund, the fox won.", "Beck and Lund tell of a victory by the fox."),
        # what stands on the same side of a fact in both is no rival of it
        (
            "The sale of Farrow was proposed at the Rye Fair of the Oak Guild and the Mill Guild in May 1887.",
            "Farrow was proposed in May 1887, at the Rye Fair of the Oak Guild and the Mill Guild.",
        ),
        ("Beck set off on 12 March 1954.", "Beck set off on a Friday, 12 March 1954."),
        ("Ms. Ortega was hired by Mr. Finch.", "Mr. Finch hired Ms. Ortega as his assistant."),
        ("A prize of 40 crowns was offered.", "A prize of 40 crowns was offered for Lund, who became a hunted man."),
        ("Few of the hens came back.", "Not many of the hens came back."),
        ("Rye is grown on the plateau.", "Wheat is grown in the delta and rye on the plateau."),
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


def test_a_word_that_begins_like_another_in_its_place_is_another() -> None:
    told = "The patients received antibodies for ten days."
    assert "fact" in against("The patients received antibiotics for ten days.", told)
    assert not against("For ten days the patients received what was bought.", told)


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


@pytest.mark.parametrize(
    ("sentence", "held"),
    [
        ("Edna Marsh built the mill.", "It is false that Edna Marsh built the mill."),
        ("Edna Marsh built the mill.", "It is untrue that Edna Marsh built the mill."),
        ("Edna Marsh built the mill.", "The claim that Edna Marsh built the mill is false."),
        ("Edna Marsh built the mill.", "Rell denied that Edna Marsh built the mill."),
        ("Edna Marsh built the mill.", "There is no evidence that Edna Marsh built the mill."),
        ("It is false that Edna Marsh built the mill.", "In 1887 Edna Marsh built the mill."),
        ("Edna Marsh construyó el molino.", "Es falso que Edna Marsh construyera el molino."),
        ("Edna Marsh construyó el molino.", "Rell niega que Edna Marsh construyera el molino."),
        ("Edna Marsh construyó el molino.", "Rell negó que Edna Marsh construyera el molino."),
        ("Edna Marsh built the mill.", "Es falso que Edna Marsh construyera el molino."),
    ],
)
def test_what_is_called_false_is_denied(sentence: str, held: str) -> None:
    assert against(sentence, held) == {"negation"}


@pytest.mark.parametrize(
    ("sentence", "held"),
    [
        ("Edna Marsh did not build the mill.", "It is false that Edna Marsh built the mill."),
        ("Edna Marsh no construyó el molino.", "Rell niega que Edna Marsh construyera el molino."),
        ("Edna Marsh built the mill.", "It is not false that Edna Marsh built the mill."),
        ("Edna Marsh built the mill.", "There is no doubt that Edna Marsh built the mill."),
        ("Edna Marsh construyó el molino.", "No hay duda de que Edna Marsh construyó el molino."),
        ("Edna Marsh built the mill.", "It is false that Rell sold it, but Edna Marsh built the mill."),
        ("Edna Marsh wrote false letters.", "In Lindal Edna Marsh wrote letters."),
        ("Edna Marsh construyó el molino.", "Edna Marsh negó la venta y construyó el molino."),
    ],
)
def test_what_is_not_called_false_or_denied_as_well_is_no_contradiction(sentence: str, held: str) -> None:
    assert against(sentence, held) == set()

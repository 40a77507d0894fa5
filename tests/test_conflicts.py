import pytest

from rag.claims import read
from rag.conflicts import contradictions


def against(sentence: str, *held: str) -> set[str]:
    return set(contradictions(read(sentence), [read(text) for text in held]))


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


def test_a_word_that_begins_like_another_in_its_place_is_another() -> None:
    told = "The patients received antibodies for ten days."
    assert "fact" in against("The patients received antibiotics for ten days.", told)
    assert not against("For ten days the patients received what was bought.", told)


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

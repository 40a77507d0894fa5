"""Citation marks that a model writes, and the codes that mean something."""

from collections.abc import Sequence

import pytest

from rag.marks import code_of, without_marks
from rag.types import Evidence, Passage, Sentence


def evidence(start: int) -> Evidence:
    text = "It burnt. It burnt."
    return Evidence(
        Passage("mill.md", "The mill", 0, 19, text, (Sentence(0, 9), Sentence(10, 19))),
        start,
        start + 9,
        text[start : start + 9],
        0.5,
    )


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        (["It was built in 1887 [1].", " It cost 4,200 crowns [2, 3]."], "It was built in 1887. It cost 4,200 crowns."),
        (["It was ", "built [", "1", "]", " in 1887."], "It was built in 1887."),
        (["See the list [^4] and the keys [a] and [1887-1902]."], "See the list and the keys [a] and [1887-1902]."),
        (["An open [", "1"], "An open [1"),
        (["It burnt【4:0†so", "urce】. It fell [doc2][^3^]."], "It burnt. It fell."),
        (["It is called 【the mill】."], "It is called 【the mill】."),
        (["It burnt [e-ab", "cd; e-wx2z]."], "It burnt."),
    ],
)
def test_marks_that_a_model_writes_are_taken_out(chunks: Sequence[str], text: str) -> None:
    assert "".join(without_marks(iter(chunks))) == text


def test_each_code_is_told_with_its_place_in_what_is_left() -> None:
    codes: list[tuple[int, str]] = []
    text = "".join(without_marks(iter(["It burnt [e-abcd].", " It fell. [e-wxyz, 3] So."]), codes))
    assert text == "It burnt. It fell. So."
    assert codes == [(8, "e-abcd"), (18, "e-wxyz")]


def test_each_place_has_a_code_of_its_own() -> None:
    assert code_of(evidence(0)) == code_of(evidence(0)) != code_of(evidence(10))

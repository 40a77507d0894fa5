from dataclasses import replace

import pytest

from eval.dataset import Case, Gold
from eval.stages import stage_of
from rag.types import Answer, Citation, Hit, Passage, Sentence, Trace, Weighed

TEXT = "The mill at Lindal ground barley. Its wheel measured 6 metres."
TEXTS = {"mill.txt": TEXT}
FIRST, SECOND = Gold("mill.txt", 0, 33), Gold("mill.txt", 34, 62)
CASE = Case("m", "What did the mill grind?", ("barley",), gold=(FIRST,))
PASSAGE = Passage("mill.txt", "Mill", 0, 62, TEXT, (Sentence(0, 33), Sentence(34, 62)))
CITED = Citation(1, "mill.txt", "Mill", 0, 33, TEXT[:33], "supported")
ELSEWHERE = Citation(1, "mill.txt", "Mill", 34, 62, TEXT[34:], "supported")


def _answer(text: str = "It ground barley. [1]", cited: Citation = CITED, *, found: bool = True) -> Answer:
    hits = (Hit(PASSAGE, 0.9, {"dense": 1}),) if found else ()
    return Answer("What?", "What?", "answered", text, (), (cited,), hits, "fake", {}, "f")


def _refusal(*, found: bool = True) -> Answer:
    return replace(_answer("No.", found=found), status="not_in_documents", reason="not_stated", citations=())


def _trace(*sent: tuple[int, int], cut: tuple[tuple[int, int], ...] = ()) -> Trace:
    weighed = [Weighed("mill.txt", a, b, TEXT[a:b], 0.5, 9) for a, b in sent]
    weighed += [Weighed("mill.txt", a, b, TEXT[a:b], 0.4, 9, "worth") for a, b in cut]
    first, last = ("", "", "?", "?", "?", (), "en", "en", (), (), 1, (), 0.25), (200, (), 0.9, 0.7, (), "answered")
    return Trace(*first, tuple(weighed), *last, None, "fake", {}, "f")


def test_a_right_answer_and_a_right_refusal_went_wrong_nowhere() -> None:
    assert stage_of(CASE, _answer(), _trace((0, 33)), TEXTS) is None
    assert stage_of(replace(CASE, answerable=False, gold=()), _refusal(), None, TEXTS) is None


def test_an_answer_to_a_question_that_has_none_is_named() -> None:
    assert stage_of(replace(CASE, answerable=False), _answer(), None, TEXTS) == "answered_unanswerable"


@pytest.mark.parametrize(
    ("answer", "trace", "texts", "stage"),
    [
        (_refusal(), None, {}, "not_indexed"),
        (_refusal(), None, {"mill.txt": "Short."}, "not_indexed"),
        (_refusal(found=False), None, TEXTS, "not_retrieved"),
        (_refusal(), _trace((34, 62), cut=((0, 33),)), TEXTS, "cut"),
        (_answer("It ground oats. [1]"), _trace((34, 62)), TEXTS, "cut"),
        (_refusal(), _trace((0, 33)), TEXTS, "refused_answerable"),
        (_answer("It ground oats. [1]"), _trace((0, 33)), TEXTS, "wrong"),
        (_answer("It ground oats. [1]"), None, TEXTS, "wrong"),
        (_answer(cited=ELSEWHERE), _trace((0, 33)), TEXTS, "miscited"),
    ],
)
def test_a_failure_is_put_where_the_gold_was_lost(
    answer: Answer, trace: Trace | None, texts: dict[str, str], stage: str
) -> None:
    assert stage_of(CASE, answer, trace, texts) == stage


def test_of_several_facts_the_first_loss_counts_and_one_alternative_is_enough() -> None:
    wrong = _answer("It ground oats. [1]")
    both = replace(CASE, gold=(FIRST, SECOND))
    assert stage_of(both, wrong, _trace((0, 33)), TEXTS) == "cut"
    either = replace(CASE, gold=(replace(FIRST, group=0), replace(SECOND, group=0)))
    assert stage_of(either, wrong, _trace((0, 33)), TEXTS) == "wrong"


def test_gold_without_a_span_is_any_sentence_of_its_document() -> None:
    case = replace(CASE, gold=(Gold("mill.txt"), Gold("inn.txt")))
    assert stage_of(case, _answer("Oats."), _trace((34, 62)), TEXTS) == "wrong"


def test_a_question_without_gold_is_right_wrong_or_refused() -> None:
    case = replace(CASE, gold=())
    assert stage_of(case, _answer("Oats."), _trace(), TEXTS) == "wrong"
    assert stage_of(case, _refusal(), _trace(), TEXTS) == "refused_answerable"

from dataclasses import replace

import pytest

from eval.dataset import Case, Gold
from eval.metrics import Estimate, estimate, failed_values, measures, paired_interval
from rag.types import Answer, Citation, Hit, Passage, Status

TEXT = "The bridge is 40 metres long. Ana Ruiz built it in 1957. It was painted red. " + "It still stands. " * 40
TEXTS = {"bridge.md": TEXT}
LENGTH = Gold("bridge.md", 0, 29)  # "The bridge is 40 metres long."
BUILDER = Gold("bridge.md", 30, 56)  # "Ana Ruiz built it in 1957."
CASE = Case("b1", "How long is it?", answers=("40 metres.",), keys=(("40 metres", "40 m"),), gold=(LENGTH,))
UNANSWERABLE = Case("b2", "What did it cost?", answerable=False)
NAMES = list(measures(TEXTS))


def _cite(start: int, end: int, source: str = "bridge.md", quote: str | None = None) -> Citation:
    return Citation(1, source, "Bridge", start, end, TEXT[start:end] if quote is None else quote, "supported")


def _hit(start: int, end: int, source: str = "bridge.md") -> Hit:
    return Hit(Passage(source, "Bridge", start, end, TEXT[start:end], ()), 0.5, {"dense": 1})


def _answer(text: str = "It is 40 metres long. [1]", status: Status = "answered", *citations: Citation) -> Answer:
    timings = {"search_s": 0.1, "first_token_s": 1.5, "total_s": 3.0}
    return Answer("How long?", "How long?", status, text, (), citations, (), "fake", timings, "f")


def _measure(name: str, answer: Answer, case: Case = CASE) -> float | None:
    return measures(TEXTS)[name](case, answer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 40 metres long. [1]", 1.0),
        ("Forty metres.", 1.0),
        ("It is 40 [1] metres long.", 1.0),
        ("It is 40 m long.", 1.0),
        ("It is 140 metres long.", 0.0),
        ("It is 4 metres long. [40 metres]", 1.0),
        ("It is long. [40]", 0.0),
        ("", 0.0),
    ],
)
def test_an_answer_is_correct_when_every_group_has_a_member_in_its_text(text: str, expected: float) -> None:
    assert _measure("answer_correct", _answer(text)) == expected


def test_every_group_of_keys_counts() -> None:
    case = replace(CASE, keys=(("40 metres",), ("Ruiz",)))
    assert _measure("answer_correct", _answer("40 metres, by Ana Ruiz."), case) == 1.0
    assert _measure("answer_correct", _answer("40 metres."), case) == 0.0


def test_without_keys_any_reference_answer_will_do() -> None:
    case = replace(CASE, keys=(), answers=("the 40 Metres", "forty yards"))
    assert _measure("answer_correct", _answer("40 yards."), case) == 1.0
    assert _measure("answer_correct", _answer("About 40 metres."), case) == 1.0
    assert _measure("answer_correct", _answer("41 metres."), case) == 0.0
    assert _measure("answer_correct", _answer("41 metres."), replace(case, answers=())) is None


def test_a_refusal_is_wrong_even_when_it_holds_the_key_and_partial_counts_as_answered() -> None:
    refusal, partial = _answer("Not 40 metres.", "not_in_documents"), _answer("40 metres.", "partial")
    assert _measure("answer_correct", refusal) == 0.0
    assert _measure("answer_correct", partial) == 1.0
    assert (_measure("false_refusal", refusal), _measure("false_refusal", partial)) == (1.0, 0.0)
    assert _measure("refusal_recall", refusal) is None


def test_only_a_refusal_is_right_where_the_documents_do_not_say() -> None:
    assert _measure("refusal_recall", _answer("No.", "not_in_documents"), UNANSWERABLE) == 1.0
    assert _measure("refusal_recall", _answer("10 dollars.", "partial"), UNANSWERABLE) == 0.0
    for name in ("answer_correct", "false_refusal", "citation_precision", "citation_recall", "hit@5"):
        assert _measure(name, _answer(), UNANSWERABLE) is None


def test_a_quote_is_exact_when_it_is_the_text_at_its_offsets() -> None:
    exact, moved, foreign = _cite(0, 29), _cite(1, 29, quote=TEXT[:28]), _cite(0, 3, "other.md")
    assert _measure("quote_exact", _answer("x", "answered", exact)) == 1.0
    assert _measure("quote_exact", _answer("x", "answered", exact, moved, exact, foreign)) == 0.5
    assert _measure("quote_exact", _answer("x", "answered", _cite(5, 5))) == 0.0
    assert _measure("quote_exact", _answer()) is None


@pytest.mark.parametrize(
    ("citation", "expected"),
    [
        (_cite(0, 29), 1.0),
        (_cite(0, 56), 1.0),  # holds the gold span
        (_cite(14, 23), 1.0),  # inside it
        (_cite(15, 43), 1.0),  # 14 of 28 characters shared: half of the shorter
        (_cite(16, 44), 0.0),
        (_cite(29, 56), 0.0),
        (_cite(0, 29, "other.md"), 0.0),
    ],
)
def test_a_citation_is_right_when_it_shares_half_of_the_shorter_span(citation: Citation, expected: float) -> None:
    assert _measure("citation_precision", _answer("x", "answered", citation)) == expected


def test_citation_precision_leaves_out_what_cites_nothing() -> None:
    assert _measure("citation_precision", _answer()) is None
    assert _measure("citation_precision", _answer("x", "not_in_documents")) is None
    spanless = replace(CASE, gold=(Gold("bridge.md"),))
    assert _measure("citation_precision", _answer("x", "answered", _cite(0, 29)), spanless) is None


def test_citation_recall_counts_groups_and_a_refusal_cites_none() -> None:
    alternatives = replace(CASE, gold=(replace(LENGTH, group=1), replace(BUILDER, group=1)))
    both = replace(CASE, gold=(LENGTH, BUILDER))
    cited = _answer("x", "answered", _cite(30, 56))
    assert _measure("citation_recall", cited, alternatives) == 1.0
    assert _measure("citation_recall", cited, both) == 0.5
    assert _measure("citation_recall", _answer(), both) == 0.0
    assert _measure("citation_recall", _answer("x", "not_in_documents"), both) == 0.0


def test_a_hit_is_a_passage_among_the_first_five_that_holds_the_gold() -> None:
    def hit(*passages: Hit, gold: Gold = LENGTH) -> float | None:
        return _measure("hit@5", replace(_answer(), passages=passages), replace(CASE, gold=(gold,)))

    beside = _hit(30, 56)
    assert hit(_hit(0, 56)) == 1.0
    assert hit(_hit(0, 28)) == 0.0
    assert hit(beside, beside, beside, beside, _hit(0, 29)) == 1.0
    assert hit(beside, beside, beside, beside, beside, _hit(0, 29)) == 0.0
    assert hit(_hit(0, 400), gold=Gold("bridge.md", 0, 600)) == 1.0
    assert hit(_hit(0, 399), gold=Gold("bridge.md", 0, 600)) == 0.0
    assert hit(beside, gold=Gold("bridge.md")) == 1.0
    assert hit(beside, gold=Gold("other.md")) == 0.0
    refused = replace(_answer("x", "not_in_documents"), passages=(_hit(0, 56),))
    assert _measure("hit@5", refused) == 1.0


def test_timings_are_the_answers_own_and_absent_where_it_has_none() -> None:
    refused_at_the_gate = replace(_answer(), timings={"search_s": 0.1, "total_s": 0.2})
    assert _measure("first_token_s", _answer()) == 1.5
    assert _measure("first_token_s", refused_at_the_gate) is None
    assert _measure("total_s", refused_at_the_gate) == 0.2


def test_a_failed_question_is_wrong_but_no_refusal() -> None:
    failed = {name: value for name, value in failed_values(CASE, NAMES).items() if value is not None}
    assert failed == {"answer_correct": 0.0, "citation_precision": 0.0, "citation_recall": 0.0, "hit@5": 0.0}
    failed = {name: value for name, value in failed_values(UNANSWERABLE, NAMES).items() if value is not None}
    assert failed == {"refusal_recall": 0.0}


def test_an_estimate_is_the_mean_or_the_median_of_what_applies() -> None:
    assert estimate([1.0, None, 1.0]) == Estimate(1.0, 1.0, 1.0, 2)
    assert estimate([None]) == Estimate(None, None, None, 0)
    assert estimate([1.0, 2.0, 90.0], "median").value == 2.0
    assert estimate([0.0, 1.0] * 50) == estimate([0.0, 1.0] * 50)


def test_the_interval_of_a_rate_is_about_two_standard_errors_wide() -> None:
    half = estimate([0.0, 1.0] * 50)
    assert half.value == 0.5
    assert half.low == pytest.approx(0.40, abs=0.02)
    assert half.high == pytest.approx(0.60, abs=0.02)


def test_pairs_are_drawn_together() -> None:
    # Each question takes a second longer: no draw of questions can hide that, however much they differ.
    pairs = [(float(x), float(x) + 1) for x in range(50)]
    assert paired_interval(pairs, "mean") == (1.0, 1.0)
    assert paired_interval(pairs, "median") == (1.0, 1.0)

import math

import pytest

from eval.dataset import Case, Gold
from eval.ranking import gold_items, ranking_values
from rag.types import Passage


def _case(*gold: Gold) -> Case:
    return Case("q", "What?", gold=gold)


def _passage(source: str, start: int = 0, end: int = 100) -> Passage:
    return Passage(source, source, start, end, "x" * (end - start), ())


def test_a_passage_hits_where_it_holds_the_gold_span() -> None:
    case = _case(Gold("a", 150, 160))
    values = ranking_values(case, [_passage("a", 0, 100), _passage("b", 100, 200), _passage("a", 100, 200)])
    assert values["hit@1"] == 0 and values["hit@5"] == 1 and values["hit@10"] == 1
    assert values["mrr@10"] == pytest.approx(1 / 3)
    assert values["ndcg@10"] == pytest.approx(0.5)  # 1 / log2(4)
    assert values["all_gold@10"] is None  # one gold document
    assert values["char_recall@5"] == 1 and values["char_precision@5"] == pytest.approx(10 / 300)


def test_a_span_that_is_cut_by_a_passage_is_no_hit_but_its_characters_count() -> None:
    values = ranking_values(_case(Gold("a", 90, 110)), [_passage("a", 0, 100), _passage("a", 100, 200)])
    assert values["hit@10"] == 0 and values["mrr@10"] == 0 and values["ndcg@10"] == 0
    assert values["char_recall@5"] == 1


def test_the_head_of_a_long_span_is_enough() -> None:
    assert ranking_values(_case(Gold("a", 0, 3000)), [_passage("a", 0, 400)])["hit@1"] == 1
    assert ranking_values(_case(Gold("a", 0, 3000)), [_passage("a", 0, 399)])["hit@1"] == 0


def test_without_spans_ranks_count_distinct_documents() -> None:
    case = _case(Gold("c"), Gold("b"))
    values = ranking_values(case, [_passage("a"), _passage("a", 100, 200), _passage("b"), _passage("c")])
    assert values["mrr@10"] == 0.5
    ideal = 1 + 1 / math.log2(3)
    assert values["ndcg@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(4)) / ideal)
    assert values["all_gold@10"] == 1
    assert values["char_recall@5"] is None


def test_a_document_stands_where_its_first_passage_stands() -> None:
    values = ranking_values(_case(Gold("a")), [_passage("a"), _passage("b"), _passage("a", 100, 200)])
    assert values["hit@1"] == 1 and values["ndcg@10"] == 1


def test_all_gold_needs_every_item() -> None:
    case = _case(Gold("a", 0, 10), Gold("b", 0, 10))
    assert ranking_values(case, [_passage("a")])["all_gold@10"] == 0
    assert ranking_values(case, [_passage("a"), _passage("b")])["all_gold@10"] == 1


def test_what_stands_below_the_tenth_place_does_not_count() -> None:
    others = [_passage(f"x{i}") for i in range(10)]
    values = ranking_values(_case(Gold("a")), [*others, _passage("a")])
    assert values["hit@10"] == 0 and values["ndcg@10"] == 0


def test_overlapping_spans_and_groups_are_one_item() -> None:
    overlapping = gold_items([Gold("a", 0, 10), Gold("a", 5, 15), Gold("a", 20, 30)])
    assert [len(item) for item in overlapping] == [2, 1]
    assert [len(item) for item in gold_items([Gold("a", 0, 10, group=1), Gold("b", 0, 10, group=1)])] == [2]


def test_one_passage_that_holds_everything_is_a_whole_answer() -> None:
    values = ranking_values(_case(Gold("a", 0, 10), Gold("a", 50, 60)), [_passage("a")])
    assert values["ndcg@10"] == 1

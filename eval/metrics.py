"""What a run is measured by. Pure: Cases, Answers and texts in, numbers out."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eval.dataset import Case, Gold
from rag.folding import contains, fold
from rag.types import Answer, Citation, Passage

Measure = Callable[[Case, Answer], float | None]  # None: does not apply
Average = Literal["mean", "median"]

SEARCHED = 5  # passages that hit@5 looks at
HEAD = 400  # a passage that holds this many characters of a longer gold span holds enough of it
RESAMPLES = 2000
TIMINGS = ("search_s", "first_token_s", "total_s")
COSTS = (*TIMINGS, "prompt_tokens", "tokens_per_s")  # what an answer took: neither right nor wrong
LOWER_IS_BETTER = ("false_refusal", *TIMINGS, "prompt_tokens")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95% interval over n questions; all None where n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def measures(texts: Mapping[str, str]) -> dict[str, Measure]:
    """All measures by name. `texts` maps each source to the text that its offsets point into."""
    return {
        "answer_correct": answer_correct,
        "refusal_recall": refusal_recall,
        "false_refusal": false_refusal,
        "quote_exact": lambda case, answer: quote_exact(answer, texts),
        "citation_precision": citation_precision,
        "citation_recall": citation_recall,
        "hit@5": hit_at_5,
        **{name: _timing(name) for name in COSTS},
    }


def answer_correct(case: Case, answer: Answer) -> float | None:
    """1 when every group of keys (without keys: any reference answer) stands in the text. A refusal is wrong."""
    if not case.answerable or not (case.keys or case.answers):
        return None
    if refused(answer):
        return 0.0
    return float(is_correct(case, answer.text))


def is_correct(case: Case, text: str) -> bool:
    folded = fold(without_marks(text))
    return all(any(contains(folded, member) for member in group) for group in key_groups(case))


def key_groups(case: Case) -> tuple[tuple[str, ...], ...]:
    """What has to be said, each as its alternatives; without keys, any reference answer."""
    return case.keys or (tuple(_without_article(reference) for reference in case.answers),)


def refusal_recall(case: Case, answer: Answer) -> float | None:
    return None if case.answerable else float(refused(answer))


def false_refusal(case: Case, answer: Answer) -> float | None:
    return float(refused(answer)) if case.answerable else None


def quote_exact(answer: Answer, texts: Mapping[str, str]) -> float | None:
    """Share of citations whose quote is the document's text at their offsets."""
    if not answer.citations:
        return None
    return fmean(float(texts.get(c.source, "")[c.start : c.end] == c.quote != "") for c in answer.citations)


def citation_precision(case: Case, answer: Answer) -> float | None:
    """Share of an answer's citations that overlap a gold span."""
    if not case.answerable or not case.spans or refused(answer) or not answer.citations:
        return None
    return fmean(float(any(_cites(c, gold) for gold in case.spans)) for c in answer.citations)


def citation_recall(case: Case, answer: Answer) -> float | None:
    """Share of gold groups that a citation overlaps. A refusal cites nothing."""
    if not case.answerable or not case.spans:
        return None
    cited = [any(_cites(c, gold) for c in answer.citations for gold in group) for group in case.span_groups]
    return fmean(map(float, cited))


def hit_at_5(case: Case, answer: Answer) -> float | None:
    """1 when one of the first five passages holds a gold span, or comes from a gold document without a span."""
    if not case.gold:
        return None
    passages = [hit.passage for hit in answer.passages[:SEARCHED]]
    return float(any(holds(passage, gold) for passage in passages for gold in case.gold))


def failed_values(case: Case, names: Sequence[str]) -> dict[str, float | None]:
    """The measures of a question that ended in an error: 0 where an answer would have had a chance to be right.

    A failure is no refusal and has neither quotes nor timings: those measures leave it out.
    """
    applies = {
        "answer_correct": case.answerable and bool(case.keys or case.answers),
        "refusal_recall": not case.answerable,
        "citation_precision": case.answerable and bool(case.spans),
        "citation_recall": case.answerable and bool(case.spans),
        "hit@5": bool(case.gold),
    }
    return {name: 0.0 if applies.get(name) else None for name in names}


def estimate(values: Sequence[float | None], average: Average = "mean") -> Estimate:
    """The average with its percentile bootstrap interval (Efron & Tibshirani, 1993, ch. 13), the same at each call."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not known.size:
        return Estimate(None, None, None, 0)
    low, high = interval(lambda drawn: _average(known[drawn], average), known.size)
    return Estimate(float(_average(known, average)), low, high, known.size)


def auroc(positive: Sequence[float], negative: Sequence[float]) -> Estimate:
    """Probability that a positive lies above a negative, ties half (Hanley & McNeil, 1982), with its bootstrap interval."""
    if not positive or not negative:
        return Estimate(None, None, None, 0)
    both = np.array([*positive, *negative], dtype=np.float64)
    n, first = both.size, len(positive)
    wins = (both[:first, None] > both[first:]) + 0.5 * (both[:first, None] == both[first:])

    def drawn_auroc(drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        times = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64)
        won = np.einsum("rp,pq,rq->r", times[:, :first], wins, times[:, first:], optimize=True)
        pairs = times[:, :first].sum(1) * times[:, first:].sum(1)
        return np.asarray(won[pairs > 0] / pairs[pairs > 0], dtype=np.float64)  # a draw of one kind alone says nothing

    low, high = interval(drawn_auroc, n)
    return Estimate(float(wins.mean()), low, high, n)


def typical(values: Sequence[float], average: Average) -> float:
    return float(_average(np.array(values, dtype=np.float64), average))


def paired_interval(pairs: Sequence[tuple[float, float]], average: Average) -> tuple[float, float]:
    """95% interval of the second average less the first, each pair drawn together."""
    first, second = np.array(pairs, dtype=np.float64).T
    return interval(lambda drawn: _average(second[drawn], average) - _average(first[drawn], average), len(pairs))


def average_of(name: str) -> Average:
    """A few slow answers say little of what is usual, so what answers take has a median."""
    return "median" if name in COSTS else "mean"


def _average(values: NDArray[np.float64], average: Average) -> NDArray[np.float64]:
    """Along the last axis."""
    averaged = np.median(values, axis=-1) if average == "median" else np.mean(values, axis=-1)
    return np.asarray(averaged, dtype=np.float64)


def interval(
    statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]], n: int, seed: int = 0
) -> tuple[float, float]:
    """95% percentile interval. `statistic` takes drawn places, shape (rows, n), and gives one value a row.

    It is nan where a draw has none; such draws are left out.
    """
    generator = np.random.default_rng(seed)
    # In blocks of 100 rows: a public set has a thousand questions and more.
    drawn = [statistic(generator.integers(0, n, size=(100, n))) for _ in range(RESAMPLES // 100)]
    low, high = np.nanpercentile(np.concatenate(drawn), [2.5, 97.5])
    return float(low), float(high)


def confidence(answer: Answer) -> float | None:
    """How sure the program is that the documents answer the question: 0 where it did not even ask the model."""
    if answer.reason == "off_topic":
        return 0.0
    return answer.timings.get("check")


def refused(answer: Answer) -> bool:
    return answer.status == "not_in_documents"


def _timing(name: str) -> Measure:
    return lambda case, answer: answer.timings.get(name)


def without_marks(text: str) -> str:
    return re.sub(r"\s*\[\d+(?:\s*,\s*\d+)*\]", "", text)


def _without_article(reference: str) -> str:
    return re.sub(r"^\s*(?:the|an?)\s+(?=\S)", "", reference, flags=re.IGNORECASE)


def _cites(citation: Citation, gold: Gold) -> bool:
    return overlap(citation.source, citation.start, citation.end, gold)


def overlap(source: str, start: int, end: int, gold: Gold) -> bool:
    """Whether a span and the gold share at least half of the shorter one."""
    if gold.start is None or gold.end is None or source != gold.doc_id:
        return False
    shared = min(end, gold.end) - max(start, gold.start)
    return 2 * shared >= min(end - start, gold.end - gold.start) and shared > 0


def holds(passage: Passage, gold: Gold) -> bool:
    if passage.source != gold.doc_id:
        return False
    if gold.start is None or gold.end is None:
        return True
    return passage.start <= gold.start and passage.end >= min(gold.end, gold.start + HEAD)

"""At which stage of its way a question failed. Pure: a Case, its Answer and its trace in, a name out."""

from collections.abc import Mapping, Sequence
from typing import Literal

from eval.dataset import Case, Gold, gold_problem
from eval.metrics import answer_correct, citation_recall, holds, overlap, refused
from rag.types import Answer, Trace

Stage = Literal[
    "not_indexed", "not_retrieved", "cut", "wrong", "answered_unanswerable", "refused_answerable", "miscited"
]
MEANING: Mapping[Stage, str] = {  # in the order of a question's way
    "not_indexed": "the gold is not among the documents as they are stored",
    "not_retrieved": "no fetched passage holds the gold",
    "cut": "a passage that holds the gold was fetched, but it was not among the sentences sent to the model",
    "refused_answerable": "the gold was sent, and the question was refused",
    "wrong": "the gold was sent, and the answer is wrong",
    "answered_unanswerable": "answered, though the documents do not say",
    "miscited": "the answer is right, but a gold fact is not cited",
}


def stage_of(case: Case, answer: Answer, trace: Trace | None, texts: Mapping[str, str]) -> Stage | None:
    """None: nothing went wrong. Where several facts are needed, the one that was lost first counts.

    Without a `trace` it is not known what was sent: what was fetched counts as sent.
    """
    if not case.answerable:
        return None if refused(answer) else "answered_unanswerable"
    if not refused(answer) and answer_correct(case, answer) != 0:
        recall = citation_recall(case, answer)
        return "miscited" if recall is not None and recall < 1 else None
    lost = [_lost(group, answer, trace, texts) for group in _groups(case)]
    for stage in ("not_indexed", "not_retrieved", "cut"):
        if stage in lost:
            return stage
    return "refused_answerable" if refused(answer) else "wrong"


def _groups(case: Case) -> Sequence[Sequence[Gold]]:
    """Facts that are needed, each as its alternatives; where no gold has a span, any gold document will do."""
    return case.span_groups or ([case.gold] if case.gold else [])


def _lost(group: Sequence[Gold], answer: Answer, trace: Trace | None, texts: Mapping[str, str]) -> Stage | None:
    stored = [gold for gold in group if not gold_problem(gold, texts)]
    if not stored:
        return "not_indexed"
    passages = [hit.passage for hit in answer.passages]
    fetched = [gold for gold in stored if any(holds(p, gold) for p in passages)]
    if not fetched:
        return "not_retrieved"
    if trace is None:
        return None
    sent = [e for e in trace.evidence if e.cut is None]
    return None if any(_sent(gold, e.source, e.start, e.end) for gold in fetched for e in sent) else "cut"


def _sent(gold: Gold, source: str, start: int, end: int) -> bool:
    return source == gold.doc_id and (gold.start is None or overlap(source, start, end, gold))

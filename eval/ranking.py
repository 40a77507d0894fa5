"""How well a ranking of passages finds the gold. Pure: Cases and passages in, numbers out.

Where gold has spans, a rank is a passage; where it has none, a rank is a distinct document. A gold item counts once, at
its first hit; gold spans of one document that overlap are one item. Questions without gold are left out by the caller.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log2

from eval.dataset import Case, Gold
from eval.metrics import holds
from rag.types import Passage

DEPTH = 10  # passages that are looked at
READ = 5  # passages whose characters are counted
MEASURES = ("hit@1", "hit@5", "hit@10", "mrr@10", "ndcg@10", "all_gold@10", "char_recall@5", "char_precision@5")

Item = tuple[Gold, ...]  # alternatives: any of them will do


@dataclass(frozen=True, slots=True)
class Span:
    source: str
    start: int
    end: int


def ranking_values(case: Case, passages: Sequence[Passage]) -> dict[str, float | None]:
    """The measures of one question over its best passages, best first; None where a measure does not apply.

    ndcg@10 has gain 1 an item, discounted by log2(1 + rank), over the ideal of min(items, 10) (Järvelin & Kekäläinen, 2002).
    """
    items = gold_items(case.gold)
    ranked = passages if case.spans else _documents(passages)
    firsts = [_first(item, ranked[:DEPTH]) for item in items]
    found = [rank for rank in firsts if rank is not None]
    best = min(found, default=None)
    ideal = sum(1 / log2(1 + rank) for rank in range(1, min(len(items), DEPTH) + 1))
    recall, precision = _characters([*case.spans], passages[:READ])
    return {
        "hit@1": float(best == 1),
        "hit@5": float(best is not None and best <= READ),
        "hit@10": float(best is not None),
        "mrr@10": 1 / best if best else 0.0,
        "ndcg@10": min(1.0, sum(1 / log2(1 + rank) for rank in found) / ideal),
        "all_gold@10": float(len(found) == len(items)) if len({g.doc_id for g in case.gold}) > 1 else None,
        "char_recall@5": recall,
        "char_precision@5": precision,
    }


def gold_items(gold: Iterable[Gold]) -> list[Item]:
    """What is to be found: documents, or spans with those that overlap them or share their group."""
    items: list[list[Gold]] = []
    for g in sorted(set(gold), key=lambda g: (g.doc_id, g.start or 0, g.end or 0)):
        same = next((item for item in items if any(_one_item(g, other) for other in item)), None)
        if same is None:
            items.append([g])
        else:
            same.append(g)
    return [tuple(item) for item in items]


def _one_item(a: Gold, b: Gold) -> bool:
    if a.group is not None or b.group is not None:
        return a.group == b.group
    if a.doc_id != b.doc_id:
        return False
    if a.start is None or a.end is None or b.start is None or b.end is None:
        return True
    return a.start < b.end and b.start < a.end


def _documents(passages: Sequence[Passage]) -> list[Passage]:
    """The first passage of each document."""
    firsts: dict[str, Passage] = {}
    for passage in passages:
        firsts.setdefault(passage.source, passage)
    return list(firsts.values())


def _first(item: Item, passages: Sequence[Passage]) -> int | None:
    """Rank, from 1, of the first passage that holds one of the alternatives."""
    ranks = (rank for rank, passage in enumerate(passages, 1) if any(holds(passage, gold) for gold in item))
    return next(ranks, None)


def _characters(gold: Sequence[Gold], passages: Sequence[Passage]) -> tuple[float | None, float | None]:
    """Share of the gold's characters that the passages show, and of the passages' characters that are gold."""
    if not gold:
        return None, None
    wanted = _union(Span(g.doc_id, g.start, g.end) for g in gold if g.start is not None and g.end is not None)
    shown = _union(Span(p.source, p.start, p.end) for p in passages)
    both = sum(max(0, min(w.end, s.end) - max(w.start, s.start)) for w in wanted for s in shown if w.source == s.source)
    read = sum(s.end - s.start for s in shown)
    return both / sum(w.end - w.start for w in wanted), both / read if read else 0.0


def _union(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for _, group in groupby(sorted(spans, key=lambda s: (s.source, s.start, s.end)), lambda s: s.source):
        for span in group:
            last = merged[-1] if merged else None
            if last and last.source == span.source and span.start <= last.end:
                merged[-1] = Span(last.source, last.start, max(last.end, span.end))
            else:
                merged.append(span)
    return merged


def by_type(
    cases: Sequence[Case], values: Sequence[Mapping[str, float | None]]
) -> dict[str, list[Mapping[str, float | None]]]:
    """The values of the questions of each type, types in the order of their names."""
    types = sorted({case.type for case in cases})
    return {kind: [v for case, v in zip(cases, values, strict=True) if case.type == kind] for kind in types}

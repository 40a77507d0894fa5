"""Where a sentence was lost on its way from the documents into an answer. Pure: what happened in, a diagnosis out."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rag.chunking import plain
from rag.retrieval import words
from rag.types import Answer, Evidence, Hit, LeftOut, Passage, Place

# In the order of the way; `in_answer`: not lost.
Stage = Literal[
    "not_parsed",
    "not_indexed",
    "split",
    "not_found",
    "ranked_low",
    "gate",
    "cut",
    "refused",
    "not_in_answer",
    "in_answer",
]
WORD = re.compile(r"[^\W_]+")
MARKUP = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>|(?<=\])\([^()\s]*\)")  # tags, and where links lead
REMEDIES: dict[Stage, str] = {
    "not_parsed": "`rag documents` shows whether the file is in, `rag documents text SOURCE` what was read of it.",
    "not_indexed": "Headings are read with the passages under them, and are not quoted. Expect a sentence of the text.",
    "split": "A passage ends at headings, pages and RAG_PASSAGE_TOKENS: expect one of the parts, or raise that.",
    "not_found": "The question shares neither words nor meaning with it: ask in its words.",
    "ranked_low": "Raise RAG_PASSAGES, or ask in the words of the sentence.",
    "gate": "Lower RAG_GATE: nothing was near enough to ask the model.",
    "cut": "Raise RAG_EVIDENCE_TOKENS: better sentences filled the budget.",
    "refused": "The model holds that it does not answer the question, or wrote nothing that it supports. Ask more exactly,"
    " or lower RAG_CHECK.",
    "not_in_answer": "The model read it and used something else: ask more exactly, or try a larger model (RAG_LLM).",
    "in_answer": "",
}
WORTH_LITTLE = "It is worth much less than the best sentence: ask in the words of the sentence."  # cut for that
MOST = 0.5  # share of the sentence that must have been sent to count as sent


@dataclass(frozen=True, slots=True)
class Near:
    """What stands in the documents that is most like the sentence. `share`: of its words that stand there."""

    source: str
    start: int
    end: int
    text: str
    share: float


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    ok: bool
    found: str


@dataclass(frozen=True, slots=True)
class Journey:
    """What became of one question."""

    places: Sequence[Place]  # where the sentence stands in stored texts
    near: Sequence[Passage]  # what a search for the sentence itself finds
    ranked: Sequence[Hit]  # all candidates of the question, best first
    sent: Sequence[Evidence]  # what was chosen for the model
    aside: Sequence[tuple[Evidence, LeftOut]]  # what was not, and why
    answer: Answer
    gate: float
    check: float

    @property
    def passages(self) -> list[Passage]:
        """Those that hold the sentence or some of it."""
        return [p for p in self.near if any(_overlaps(place, p) for place in self.places)]

    @property
    def fetched(self) -> bool:
        return any(_overlaps(place, hit.passage) for place in self.places for hit in self.answer.passages)

    @property
    def folded(self) -> bool:
        """Into a fetched passage that says nearly the same."""
        return any(self.holds(also.source, also.start, also.end) for hit in self.answer.passages for also in hit.also)

    @property
    def why_cut(self) -> LeftOut | None:
        return next((why for e, why in self.aside if self.holds(e.passage.source, e.start, e.end)), None)

    @property
    def cited(self) -> bool:
        return any(self.holds(c.source, c.start, c.end) for c in self.answer.citations)

    def holds(self, source: str, start: int, end: int) -> bool:
        """Whether a span holds most of the sentence, or lies in it: of two sentences, each alone will do."""
        for place in self.places:
            both = min(place.end, end) - max(place.start, start)
            if place.source == source and both > MOST * min(place.end - place.start, end - start):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`stage`: where the sentence was lost. `rank`: its passage's place among `candidates`; `ranks`: in each list."""

    question: str
    expected: str
    stage: Stage
    remedy: str
    steps: tuple[Step, ...]
    places: tuple[Place, ...]
    nearest: Near | None
    rank: int | None
    candidates: int
    ranks: Mapping[str, int]
    score: float | None
    status: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def locate(text: str, sentence: str) -> Iterator[tuple[int, int]]:
    """Where the words of `sentence` stand in a row in `text`, case, accents, punctuation and markup aside."""
    wanted = [word for word, _, _ in _words(sentence)]
    there = _words(text)
    for i in range(len(there) - len(wanted) + 1):
        if there[i][0] == wanted[0] and [word for word, _, _ in there[i : i + len(wanted)]] == wanted:
            yield there[i][1], there[i + len(wanted) - 1][2]


def holds_words(text: str, sentence: str) -> bool:
    """What `locate` would find something in, seen faster."""
    wanted, there = (" ".join(words(MARKUP.sub(" ", t).replace("_", " "))) for t in (sentence, text))
    return f" {wanted} " in f" {there} "


def _nearest(sentence: str, passages: Sequence[Passage]) -> Near | None:
    """The sentence of the passages that holds most of the words."""
    wanted = Counter(words(sentence))
    best: Near | None = None
    for passage in passages:
        for span in passage.sentences:
            quote = passage.quote(span)
            share = (wanted & Counter(words(quote))).total() / max(wanted.total(), 1)
            if best is None or share > best.share:
                best = Near(passage.source, span.start, span.end, plain(quote), round(share, 2))
    return best


def diagnose(expected: str, way: Journey) -> Diagnosis:
    near = None if way.places else _nearest(expected, way.near)
    steps = list(_steps(way, near))
    lost: Stage = next((stage for stage, step in steps if not step.ok), "in_answer")
    stage: Stage = "in_answer" if way.cited else lost
    best = _best(way)
    hit = way.ranked[best - 1] if best else None
    return Diagnosis(
        question=way.answer.question,
        expected=expected,
        stage=stage,
        remedy=WORTH_LITTLE if stage == "cut" and way.why_cut == "worth" else REMEDIES[stage],
        steps=tuple(step for _, step in steps),
        places=tuple(way.places),
        nearest=near,
        rank=best,
        candidates=len(way.ranked),
        ranks=dict(hit.ranks) if hit else {},
        score=round(hit.score, 4) if hit else None,
        status=way.answer.status,
        text=way.answer.text,
    )


def _steps(way: Journey, near: Near | None) -> Iterator[tuple[Stage, Step]]:
    """What was seen at each step, up to where nothing more can be said, and the stage that it would be lost at."""
    if not way.places:
        told = "these words stand in no stored text"
        if near:
            told += f"; nearest, with {near.share:.0%} of them: {near.source}, {near.start}–{near.end}: “{near.text}”"
        yield "not_parsed", Step("parsed", False, told)
        return
    first = way.places[0]
    more = f" and {len(way.places) - 1} more" if way.places[1:] else ""
    told = f"stands in {first.source}, characters {first.start}–{first.end}{more}"
    yield "not_parsed", Step("parsed", True, told)
    if not way.passages:
        yield "not_indexed", Step("indexed", False, "but in no passage: it is a heading")
        return
    whole = any(_within(place, p) for place in way.places for p in way.passages)
    parts = ", ".join(f"{p.start}–{p.end}" for p in way.passages)
    yield "split", Step("whole", whole, "in one passage" if whole else f"split between the passages {parts}")
    best = _best(way)
    if best is None:
        yield "not_found", Step("found", False, f"not among the {len(way.ranked)} candidates of the lists")
        return
    hit = way.ranked[best - 1]
    ranks = ", ".join(f"{name} {rank}" for name, rank in hit.ranks.items())
    told = f"place {best} of {len(way.ranked)}, score {hit.score:.2f} ({ranks})"
    if not way.fetched:
        told += ", folded into a near-duplicate" if way.folded else f", and {len(way.answer.passages)} were fetched"
    yield "ranked_low", Step("ranked", way.fetched or way.folded, told)
    passed = way.answer.reason != "off_topic"
    yield "gate", Step("gate", passed, f"the best score {way.ranked[0].score:.2f}, RAG_GATE {way.gate:.2f}")
    sent = any(way.holds(e.passage.source, e.start, e.end) for e in way.sent)
    told = f"{'one' if sent else 'none'} of the {len(way.sent)} sentences that were chosen for the model"
    yield "cut", Step("evidence", sent, told if sent or not way.why_cut else f"{told} ({way.why_cut})")
    answered = way.answer.status != "not_in_documents"
    sure = way.answer.timings.get("check")
    told = "" if sure is None else f", the check gave {sure:.2f}, RAG_CHECK {way.check:.2f}"
    yield "refused", Step("answered", answered, f"{way.answer.status}{told}")
    told = "a footnote of the answer" if way.cited else "the answer cites other sentences"
    yield "not_in_answer", Step("cited", way.cited, told)


def _best(way: Journey) -> int | None:
    """The place, from 1, of the best candidate that holds the sentence, else some of it."""
    for holds in (_within, _overlaps):
        for rank, hit in enumerate(way.ranked, 1):
            if any(holds(place, hit.passage) for place in way.places):
                return rank
    return None


def _within(place: Place, passage: Passage) -> bool:
    return place.source == passage.source and passage.start <= place.start and place.end <= passage.end


def _overlaps(place: Place, passage: Passage) -> bool:
    return place.source == passage.source and place.start < passage.end and passage.start < place.end


def _words(text: str) -> list[tuple[str, int, int]]:
    """(folded word, start, end) of each word; markup counts as space."""
    masked = MARKUP.sub(lambda m: " " * len(m.group()), text)
    return [(" ".join(words(m.group())), m.start(), m.end()) for m in WORD.finditer(masked)]

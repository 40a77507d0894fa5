"""Candidates -> ranked passages -> the few sentences that the model reads. Pure functions over vectors and words."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.chunking import plain
from rag.folding import CAPITAL
from rag.index import Candidate
from rag.questions import AnswerKind, answer_kind
from rag.screening import asks_about_orders, fake_turns, gives_orders
from rag.types import Evidence, Hit, LeftOut, Place

WORTH_READING = 0.7  # share of the best sentence's score; what is worth less costs time and misleads a small model
# What the parts of a sentence's worth count. So the sentence that answers is sent most often: measured on three question sets.
OF_COSINE, OF_PASSAGE, OF_WORDS = 0.2, 0.4, 0.4
# What a word of the question counts that a sentence does not say again: title and headings have it, or the sentence before.
IN_TITLE, BEFORE = 0.5, 0.25
OF_KIND = 0.05  # what counts that a sentence has a date, a figure or a name, where the question wants one
WORD = re.compile(r"\w+")
NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
STOP_WORDS = frozenset(
    "a about after all also an and any are as at be been being between both but by can could did do does during each for"
    " from had has have he her him his how i if in into is it its itself may might more most much my no nor not of on one"
    " only or other our out over own said says same she should so some such than that the their them then there these they"
    " this those through to too under until up upon was we were what when where which while who whom whose why will with"
    " would you your s t according".split()
)


class Weights(NamedTuple):
    """What each score counts. They add up to 1."""

    sentence: float  # cosine of the best sentence
    passage: float  # cosine of the passage
    lexical: float  # BM25, scaled to [0, 1] by the best of the query
    coverage: float  # most of the question's rarity that one sentence holds


READ = Weights(0.3, 0.3, 0.17, 0.23)  # the embedder reads the language of question and passage
UNREAD = Weights(0.2, 0.2, 0.2, 0.4)  # both are in a language that it does not read: words tell more
ACROSS = Weights(0.27, 0.27, 0.0, 0.46)  # two languages: only names, figures and cognates are shared, and stems are not
DATE = re.compile(
    r"\b(?:1\d{3}|20\d\d|\d{1,2}(?:st|nd|rd|th) century|january|february|march|april|may \d|june|july|august|september"
    r"|october|november|december|siglo [xvi]+|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre"
    r"|noviembre|diciembre)\b",
    re.IGNORECASE,
)
FIGURE = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|half|hundred|thousand|million|billion|twice"
    r"|double|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|mitad|cien|mil|millones|doble)\b",
    re.IGNORECASE,
)
NAME = re.compile(rf"(?<=[^\W\d_A-Z] |[,;:)] ){CAPITAL}[\w’'-]+")  # not the first word of a sentence
SAME = 0.9  # share of all their words that near-duplicates have in common
PREFIX = 5  # letters: founded and founding meet, and so do constitution and constitución
STOP_PREFIXES = frozenset(word[:PREFIX] for word in STOP_WORDS)  # a stop word and another may begin alike
RESCORED = 60  # candidates whose sentences are read for coverage; the others keep what they have


def rank(
    candidates: Sequence[Candidate],
    vector: NDArray[np.float32],
    query: str,
    *,
    language: str = "en",
    reads: Callable[[str], bool] = lambda _: True,
) -> list[Hit]:
    """Best first. `language`: of the query; `reads`: whether the embedder reads a language.

    Weighted sum of normalised scores, not of ranks (Bruch et al., 2023, "An Analysis of Fusion Functions").
    """
    best_lexical = max((c.lexical_score for c in candidates), default=0.0) or 1.0
    cosines = [candidate.vectors @ vector for candidate in candidates]
    best_sentences = [float(c[1:].max()) for c in cosines]
    places = _places(best_sentences)
    hits: list[Hit] = []
    weights: list[Weights] = []
    for candidate, near, best, place in zip(candidates, cosines, best_sentences, places, strict=True):
        w = _weights(language, candidate.passage.language, reads)
        score = w.sentence * best + w.passage * float(near[0]) + w.lexical * candidate.lexical_score / best_lexical
        places_in = {"dense": candidate.dense_rank, "sentence": place, "lexical": candidate.lexical_rank}
        ranks = {name: value for name, value in places_in.items() if value is not None}
        hits.append(Hit(candidate.passage, score, ranks, tuple(near[1:].tolist())))
        weights.append(w)
    order = sorted(range(len(hits)), key=lambda i: -hits[i].score)
    read = order[:RESCORED]
    covered = coverage(query, [[h.passage.quote(s) for s in h.passage.sentences] for h in map(hits.__getitem__, read)])
    rescored = [
        replace(hits[i], score=hits[i].score + weights[i].coverage * c) for i, c in zip(read, covered, strict=True)
    ]
    return sorted(rescored + [hits[i] for i in order[RESCORED:]], key=lambda hit: -hit.score)


def _weights(asked: str, written: str, reads: Callable[[str], bool]) -> Weights:
    if asked != written:
        return ACROSS
    return READ if reads(written) else UNREAD


def coverage(query: str, passages: Sequence[Sequence[str]]) -> list[float]:
    """For each passage, given as its sentences, the most of the query's words that one sentence holds, weighed by rarity.

    Rarity is the inverse document frequency ln(1 + N / (1 + n)) among these passages.
    """
    asked = _keys(query)
    held = [[_held(asked, sentence) for sentence in sentences] for sentences in passages]
    found = Counter(key for sentences in held for key in frozenset[str]().union(*sentences))
    rarity = {key: float(np.log1p(len(passages) / (1 + found[key]))) for key in asked}
    total = sum(rarity.values()) or 1.0
    return [max((sum(rarity[k] for k in keys) for keys in sentences), default=0.0) / total for sentences in held]


def fold_duplicates(hits: Sequence[Hit]) -> list[Hit]:
    """Passages that say the same as a better one, in all but a few words, are named in its `also` instead."""
    kept: list[tuple[Hit, frozenset[str]]] = []
    for hit in hits:
        said = frozenset(words(hit.passage.text))
        same = next((i for i, (_, other) in enumerate(kept) if _alike(said, other)), None)
        if same is None:
            kept.append((hit, said))
        else:
            first, other = kept[same]
            p = hit.passage
            kept[same] = (replace(first, also=(*first.also, Place(p.source, p.start, p.end))), other)
    return [hit for hit, _ in kept]


def _alike(a: frozenset[str], b: frozenset[str]) -> bool:
    """Jaccard similarity; sizes that differ too much cannot reach it."""
    if min(len(a), len(b)) < SAME * max(len(a), len(b)):
        return False
    return len(a & b) >= SAME * len(a | b)


def _keys(text: str) -> frozenset[str]:
    return frozenset(word[:PREFIX] for word in words(text) if word not in STOP_WORDS)


def _held(asked: frozenset[str], text: str) -> frozenset[str]:
    """`asked & _keys(text)`: some thousand words are looked at in each search."""
    found = asked.intersection([word[:PREFIX] for word in words(text)])
    return found if found.isdisjoint(STOP_PREFIXES) else found & _keys(text)


def _places(scores: Sequence[float]) -> list[int]:
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    places = [0] * len(scores)
    for place, i in enumerate(order, 1):
        places[i] = place
    return places


def words(text: str) -> list[str]:
    """Folded words: lower case, no accents."""
    folded = text.casefold()
    if not folded.isascii():
        folded = NOT_ASCII.sub(lambda found: _without_accents(found.group()), folded)
    return WORD.findall(folded)


@lru_cache(10_000)  # the same few letters and marks in every text
def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def stem(word: str) -> str:
    """A crude common stem, so that founded, founding and founds meet. Only ever compared with itself."""
    for ending in ("ations", "ation", "ments", "ment", "ings", "ing", "ies", "ied", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def content_stems(text: str) -> frozenset[str]:
    """The stems of the words that carry meaning."""
    return frozenset(stem(w) for w in words(text) if w not in STOP_WORDS)


def select_evidence(
    hits: Sequence[Hit],
    question: str,
    rarity: Mapping[str, float],
    budget: int,
    count: Callable[[str], int],
    aside: Callable[[Evidence, LeftOut], None] = lambda *_: None,
    *,
    worth: float = WORTH_READING,
) -> list[Evidence]:
    """The best sentences of the hits within `budget` tokens as `count` counts them, in the order of their scores.

    Sentences that give orders to a model are left out, unless the question is about such orders.

    `aside` is told of every sentence that is left out, and why.

    The best one is read whatever its size, its neighbours where they fit. A sentence is worth its own cosine, the score of
    its passage, and the share of the question's rarity that it holds, or in part its title, headings and the sentence before
    it, and whether it has a date, figure or name where one is wanted; what is worth less than `worth` times the best is
    not read.
    """
    asked = {word[:PREFIX]: rarity.get(word, 0.0) for word in words(question)}
    total = sum(asked.values()) or 1.0
    kind = answer_kind(question)
    scored: list[Evidence] = []
    for hit in hits:
        p = hit.passage
        titled = _prefixes(" ".join((p.title, *p.heading)))
        before: frozenset[str] = frozenset()
        for sentence, cosine in zip(p.sentences, hit.sentence_scores, strict=True):
            text = p.quote(sentence)
            held = _prefixes(text)
            overlap = sum(
                value * max(key in held, IN_TITLE * (key in titled) + BEFORE * (key in before))
                for key, value in asked.items()
            )
            score = OF_COSINE * cosine + OF_PASSAGE * hit.score + OF_WORDS * overlap / total
            score += OF_KIND * _is_of_kind(kind, text, asked)
            scored.append(Evidence(p, sentence.start, sentence.end, text, score))
            before = held
    scored.sort(key=lambda e: -e.score)
    if not asks_about_orders(question):
        orders = frozenset(_orders(hits))
        for evidence in scored:
            if (evidence.passage.source, evidence.start) in orders:
                aside(evidence, "order")
        scored = [e for e in scored if (e.passage.source, e.start) not in orders]
    chosen: list[Evidence] = []
    seen: set[str] = set()
    full: LeftOut | None = None  # why nothing more is read
    beside = _beside(scored)
    for evidence in [*scored[:1], *beside, *(e for e in scored[1:] if e not in beside)]:
        key = " ".join(words(evidence.text))
        if key in seen or not key:
            aside(evidence, "duplicate")
            continue
        size = 0 if full else count(plain(evidence.text))
        if evidence in beside and size > budget:
            aside(evidence, "budget")
            continue
        if chosen and not full and evidence not in beside:
            enough = evidence.score >= worth * scored[0].score
            full = "worth" if not enough else "budget" if size > budget else None
        if full:
            aside(evidence, full)
            continue
        seen.add(key)
        budget -= size
        chosen.append(evidence)
    return sorted(chosen, key=lambda e: -e.score)


def _is_of_kind(kind: AnswerKind | None, text: str, asked: Mapping[str, float]) -> bool:
    """Whether a sentence has what answers of this kind have; a name must be another than those of the question."""
    if kind == "time":
        return DATE.search(text) is not None
    if kind == "number":
        return FIGURE.search(text) is not None
    return kind == "name" and any(not _prefixes(name) <= asked.keys() for name in NAME.findall(text))


def _prefixes(text: str) -> frozenset[str]:
    return frozenset(word[:PREFIX] for word in words(text))


def _orders(hits: Sequence[Hit]) -> Iterator[tuple[str, int]]:
    """Source and start of each sentence that speaks to a model."""
    for p in (hit.passage for hit in hits):
        texts = [p.quote(s) for s in p.sentences]
        for sentence, text, turn in zip(p.sentences, texts, fake_turns(texts), strict=True):
            if turn or gives_orders(text):
                yield p.source, sentence.start


def _beside(scored: Sequence[Evidence]) -> list[Evidence]:
    """The sentences before and after the best one: they say whom its pronouns mean, and often go on with what it began.

    A row of a table needs none: each is read behind its headers.
    """
    if not scored or scored[0].passage.rows:
        return []
    best = scored[0]
    sentences = best.passage.sentences
    at = next(i for i, s in enumerate(sentences) if s.start == best.start)
    near = {s.start for s in sentences[max(at - 1, 0) : at + 2]} - {best.start}
    return [e for e in scored if e.passage == best.passage and e.start in near]

"""Candidates -> ranked passages -> the few sentences that the model reads. Pure functions over vectors and words."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.chunking import plain
from rag.index import Candidate
from rag.types import Evidence, Hit

SENTENCE, PASSAGE, LEXICAL = 0.35, 0.35, 0.3  # weights of the three scores
WORTH_READING = 0.75  # share of the best sentence's score; what is worth less costs time and misleads a small model
WORD = re.compile(r"\w+")
STOP_WORDS = frozenset(
    "a about after all also an and any are as at be been being between both but by can could did do does during each for"
    " from had has have he her him his how i if in into is it its itself may might more most much my no nor not of on one"
    " only or other our out over own said says same she should so some such than that the their them then there these they"
    " this those through to too under until up upon was we were what when where which while who whom whose why will with"
    " would you your s t according".split()
)


def rank(candidates: Sequence[Candidate], query: NDArray[np.float32]) -> list[Hit]:
    """Best first. Score: cosines of passage and best sentence, BM25 scaled to [0, 1] by the best of this query.

    Weighted sum of normalised scores, not of ranks (Bruch et al., 2023, "An Analysis of Fusion Functions").
    """
    best_lexical = max((c.lexical_score for c in candidates), default=0.0) or 1.0
    hits: list[Hit] = []
    all_cosines = [candidate.vectors @ query for candidate in candidates]
    best_sentences = [float(cosines[1:].max()) for cosines in all_cosines]
    rows = zip(candidates, all_cosines, best_sentences, _places(best_sentences), strict=True)
    for candidate, cosines, best_sentence, sentence_rank in rows:
        score = (
            SENTENCE * best_sentence + PASSAGE * float(cosines[0]) + LEXICAL * candidate.lexical_score / best_lexical
        )
        ranks = {"dense": candidate.dense_rank, "sentence": sentence_rank, "lexical": candidate.lexical_rank}
        hits.append(
            Hit(
                passage=candidate.passage,
                score=score,
                ranks={name: place for name, place in ranks.items() if place is not None},
                sentence_scores=tuple(float(c) for c in cosines[1:]),
            )
        )
    return sorted(hits, key=lambda hit: -hit.score)


def _places(scores: Sequence[float]) -> list[int]:
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    places = [0] * len(scores)
    for place, i in enumerate(order, 1):
        places[i] = place
    return places


def words(text: str) -> list[str]:
    """Folded words: lower case, no accents."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    return WORD.findall("".join(c for c in folded if not unicodedata.combining(c)))


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
) -> list[Evidence]:
    """The best sentences of the hits within `budget` tokens as `count` counts them, in the order of their scores.

    The best one is read whatever its size. A sentence is worth its own cosine, the score of its passage, and the share
    of the question's rarity that it holds.
    """
    asked = {stem(w): rarity.get(w, 0.0) for w in words(question)}
    total = sum(asked.values()) or 1.0
    scored: list[Evidence] = []
    for hit in hits:
        for sentence, cosine in zip(hit.passage.sentences, hit.sentence_scores, strict=True):
            text = hit.passage.quote(sentence)
            held = {stem(w) for w in words(text)}
            overlap = sum(value for key, value in asked.items() if key in held) / total
            score = 0.4 * cosine + 0.4 * hit.score + 0.2 * overlap
            scored.append(Evidence(hit.passage, sentence.start, sentence.end, text, score))
    scored.sort(key=lambda e: -e.score)
    chosen: list[Evidence] = []
    seen: set[str] = set()
    for evidence in scored:
        key = " ".join(words(evidence.text))
        size = count(plain(evidence.text))
        if key in seen or not key:
            continue
        if chosen and (size > budget or evidence.score < WORTH_READING * scored[0].score):
            break
        seen.add(key)
        budget -= size
        chosen.append(evidence)
    return chosen

"""Answer sentence -> the evidence that says it, and how well. Computed from the text, whatever the model claims."""

import re
from calendar import month_name
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass

from rag.chunking import plain
from rag.retrieval import STOP_WORDS, stem, words
from rag.types import Citation, Evidence, Support

QUOTED_WORDS = 4  # shorter copies are phrases that any sentence shares
SUPPORTED, PARTIAL = 0.6, 0.35  # least share of a sentence's weighted words that its evidence holds
SECOND = 0.2  # least share that one more citation must add
ALIKE = 0.1  # least share, names left out, that evidence must hold to stand beside the first
NAMED = 0.1  # what a name or number counts on top of its weight as a word
MOST_CITATIONS = 3
BEFORE = 2  # sentences of the passage before the evidence that its pronouns may point to

NEGATIONS = frozenset("not no never neither nor none nobody nothing without cannot".split())
UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
NUMBER_WORDS = {word: str(i) for i, word in enumerate((UNITS + " eighteen nineteen").split())}
TENS = {word: 10 * i for i, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}
NUMBER_WORDS |= {word: str(n) for word, n in TENS.items()}
NUMBER_WORDS |= {f"{ten}-{UNITS.split()[i]}": str(n + i) for ten, n in TENS.items() for i in range(1, 10)}
ISO_DATE = re.compile(r"\b\d{4}-(\d\d)-\d\d\b")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
CAPITALISED = r"(?<![\w'’])[^\W\d_a-zß-öø-ÿ](?:[\w'’.-]*\w)?"
NAME = re.compile(rf"{CAPITALISED}(?:[ -]{CAPITALISED})*")


@dataclass(frozen=True, slots=True)
class Match:
    """The evidence for one sentence, best first; empty where `support` is unsupported."""

    support: Support
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What must agree between a sentence and its evidence."""

    stems: frozenset[str]
    numbers: frozenset[str]
    names: tuple[frozenset[str], ...]  # the stems of each run of capitalised words
    negated: bool

    @property
    def name_stems(self) -> frozenset[str]:
        return frozenset[str]().union(*self.names)


def facts(text: str) -> Facts:
    text = plain(text)
    lowered = text.lower()
    folded = words(text)
    numbers = {n.replace(",", "").lstrip("0") or "0" for n in NUMBER.findall(text)}
    spoken = re.findall(r"[a-z]+(?:-[a-z]+)?", lowered)
    numbers |= {NUMBER_WORDS[word] for word in spoken if word in NUMBER_WORDS} - {"0", "1"}
    runs = [[stem(w) for w in words(run) if w not in STOP_WORDS] for run in NAME.findall(text)]
    stems = frozenset(stem(w) for w in folded if w not in STOP_WORDS | NUMBER_WORDS.keys()) | numbers
    negated = bool(NEGATIONS & set(folded)) or "n't" in lowered.replace("’", "'")
    months = {stem(month_name[int(month)].lower()) for month in ISO_DATE.findall(text) if 1 <= int(month) <= 12}
    return Facts(stems | months, frozenset(numbers), tuple(frozenset(run) for run in runs if run), negated)


def match(
    sentence: str,
    evidence: Sequence[Evidence],
    *,
    question: str = "",
    rarity: Mapping[str, float] | None = None,
) -> Match:
    """The smallest set of evidence that holds the sentence's words, numbers and names.

    `question` gives context that an answer may repeat without proof, `rarity` weighs words (Index.rarity); without it all
    words weigh the same.
    """
    said = facts(sentence)
    if not said.stems or not evidence:
        return Match("unsupported")
    asked = facts(question)
    weights = _weights(sentence, said, asked, rarity)
    held = [facts(e.text) for e in evidence]
    if copied := [e for e in evidence if _is_copy(sentence, e.text)]:
        return Match("quoted", (copied[0],))
    chosen = _cover(said, weights, held)
    covered = frozenset[str]().union(*(held[i].stems for i in chosen))
    known = covered.union(*(_context(evidence[i]) for i in chosen))
    share = sum(weights[s] for s in said.stems & covered)
    open_names = _open_names(said, asked, known, held)
    around = frozenset[str]().union(*(_around(evidence[i], evidence) for i in chosen))
    about_another = any(name <= asked.name_stems and name.isdisjoint(around) for name in open_names)
    if share < PARTIAL or said.numbers - known or about_another:
        return Match("unsupported")
    flipped = said.negated != held[chosen[0]].negated
    full = share >= SUPPORTED and not open_names and not flipped
    return Match("supported" if full else "partial", tuple(evidence[i] for i in chosen))


def _open_names(said: Facts, asked: Facts, known: Set[str], held: Sequence[Facts]) -> list[frozenset[str]]:
    """The names that the evidence lacks. A surname stands for the name that the question or other evidence gives whole."""
    whole = [asked.stems, *(facts.stems for facts in held)]
    return [
        name
        for name in said.names
        if not name <= known and (name.isdisjoint(known) or not any(name <= stems for stems in whole))
    ]


def _cover(said: Facts, weights: Mapping[str, float], held: Sequence[Facts]) -> list[int]:
    """Greedily the evidence that holds most of what is not yet held; names and numbers count extra."""
    chosen: list[int] = []
    covered: set[str] = set()
    needed = said.numbers | said.name_stems
    for _ in range(MOST_CITATIONS):
        gains = [
            sum(weights[s] for s in (said.stems & known.stems) - covered)
            + NAMED * len((needed & known.stems) - covered)
            for known in held
        ]
        best = max(range(len(held)), key=lambda i: (gains[i], -i))
        if best in chosen or gains[best] < (SECOND if chosen else 1e-9):
            break
        chosen.append(best)
        covered |= held[best].stems
    # Evidence that shares nothing with the sentence but a name is about something else: it lends the name no support.
    deeds = said.stems - said.name_stems
    return chosen[:1] + [i for i in chosen[1:] if sum(weights[s] for s in deeds & held[i].stems) >= ALIKE]


def attribute(
    sentence: str,
    evidence: Sequence[Evidence],
    *,
    question: str = "",
    rarity: Mapping[str, float] | None = None,
) -> tuple[Citation, ...]:
    """The citations of one answer sentence, numbered from 1; none where nothing supports it."""
    found = match(sentence, evidence, question=question, rarity=rarity)
    return tuple(cite(e, found.support, number) for number, e in enumerate(found.evidence, 1))


def cite(evidence: Evidence, support: Support, number: int) -> Citation:
    p = evidence.passage
    return Citation(
        number=number,
        source=p.source,
        title=p.title,
        start=evidence.start,
        end=evidence.end,
        quote=evidence.text,
        support=support,
        page=p.page,
        heading=p.heading,
        sheet=p.sheet,
        row=p.row(evidence.start),
        author=p.author,
        publisher=p.publisher,
        date=p.date,
    )


def _weights(sentence: str, said: Facts, asked: Facts, rarity: Mapping[str, float] | None) -> dict[str, float]:
    """Stem -> its share of the sentence; words that the question had already count half."""
    raw = dict.fromkeys(said.stems, 1.0)
    if rarity:
        known = {stem(word): rarity[word] for word in words(plain(sentence)) if word in rarity}
        raw |= {key: value for key, value in known.items() if key in raw}
    raw = {key: value * (0.5 if key in asked.stems else 1.0) for key, value in raw.items()}
    total = sum(raw.values()) or 1.0
    return {key: value / total for key, value in raw.items()}


def _context(evidence: Evidence) -> frozenset[str]:
    """What the reader of a passage knows at the sentence: title, headings, author, and the sentences before it."""
    p = evidence.passage
    before = [p.quote(s) for s in p.sentences if s.end <= evidence.start][-BEFORE:]
    known = (p.title, *p.heading, p.author or "", p.publisher or "", *before)
    return frozenset(stem(w) for text in known for w in words(plain(text)))


def _around(evidence: Evidence, others: Sequence[Evidence]) -> frozenset[str]:
    """The words of what was found of the same document: whom a passage calls by another name is named there in full."""
    passages = {e.passage for e in others if e.passage.source == evidence.passage.source}
    return frozenset(stem(w) for p in passages for w in words(plain(f"{p.title} {' '.join(p.heading)} {p.text}")))


def _is_copy(sentence: str, quote: str) -> bool:
    said = words(plain(sentence))
    return len(said) >= QUOTED_WORDS and f" {' '.join(said)} " in f" {' '.join(words(plain(quote)))} "


def status_of(supports: Collection[Support]) -> str:
    """`answered` where every sentence is quoted or supported, `partial` where some are; else empty: a refusal."""
    if all(s in ("quoted", "supported") for s in supports):
        return "answered" if supports else ""
    return "partial" if any(s != "unsupported" for s in supports) else ""

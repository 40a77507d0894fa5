"""Answer sentence -> the evidence that says it, and how well. Computed from the text, whatever the model claims."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from rag.chunking import plain
from rag.claims import NO_RUN, READ, Claim, Found, Token, found_in, is_thing, read, without_yes
from rag.conflicts import contradictions
from rag.folding import CAPITAL
from rag.questions import asks_for_name, asks_for_number, is_open
from rag.retrieval import content_stems, stem, words
from rag.types import Citation, Evidence, Support

RULES_VERSION = 2  # rises with what is here and in claims.py and conflicts.py
QUOTED_WORDS = 4  # shorter copies are phrases that any sentence shares
SUPPORTED, PARTIAL = 0.65, 0.35  # least share of a sentence's weighted words that its evidence holds
SECOND = 0.2  # least share that one more citation must add
ALIKE = 0.1  # least share, names left out, that evidence must hold to stand beside the first
NAMED = 0.1  # what a name or number counts on top of its weight as a word
MOST_CITATIONS = 3
BEFORE = 2  # sentences of the passage before the evidence that its pronouns may point to
LIGHT = 0.3  # what a word weighs that says little by itself
LIGHT_WORDS = frozenset(
    "amount amounts back become becomes became come comes came comparison compared every fewer get gets got go goes going gone"
    " less lugar make makes made must number numero per place since take takes taken took tendra went within way".split()
)
NEAR = 8  # words between two neighbours of a sentence that evidence says together


@dataclass(frozen=True, slots=True)
class Match:
    """The evidence for one sentence, best first; empty where `support` is unsupported.

    `score`, from 0 to 1, orders sentences by how much of them all the evidence together holds.
    """

    support: Support
    evidence: tuple[Evidence, ...] = ()
    score: float = 0.0


ROUGHLY = frozenset(
    "0 1 single sole once twice no dozen dozens hundreds thousands millions pair couple docena docenas cientos miles millones par".split()
)
# "a third of", "la cuarta parte" as they are folded; "a third mill" is none.
FRACTION = re.compile(
    r"\b(?:an?|1|una?) (?:\d+th|quarter|tercio)(?= (?:of|del?|parte?|was|were|is|are|has|have|had|fue|es)\b|$)|\bla \d+th parte\b"
)
FIGURES = frozenset({"number", "year", "date", "day"})
# Words, figures, and the signs that make them others.
WRITTEN = re.compile(r"\d+(?:[.,]\d+)*|\w+|[€$£¥<>=≤≥±]|(?<!\w)[-−](?=\d)")
ROUND = frozenset({"100", "1000", "1000000", "1000000000"})  # "millions of people" has no figure in every language
LEAST_SHARED = 3  # words that a text must share with a statement to speak of the same matter
SAME_MATTER, SAME_WORDS = 0.5, 0.75  # and their share of the statement's weight


def match(
    sentence: str,
    evidence: Sequence[Evidence],
    *,
    question: str = "",
    rarity: Mapping[str, float] | None = None,
) -> Match:
    """The smallest set of evidence that holds the sentence's words, figures and names, and whether it contradicts them.

    `question` gives context that an answer may repeat without proof, `rarity` weighs words (Index.rarity); without it all
    words weigh the same.
    """
    sentence = without_yes(sentence)
    said = read(sentence)
    if not said.tokens or not evidence:
        return Match("unsupported")
    asked = read(question)
    held = [read(e.text) for e in evidence]
    found = [found_in(said, h) for h in held]
    weights = _weights(said, asked, rarity)
    copies = {i: _copies(sentence, e.text) for i, e in enumerate(evidence) if _has_words(sentence, e.text)}
    for i, whole in copies.items():
        if any(whole) and said.numbers <= held[i].numbers and not contradictions(said, [held[i]]):
            return Match("quoted", (evidence[i],), 1.0)
    names = frozenset[str]().union(*said.names)
    told = [_keys(said, *(found_in(said, read(text)) for text in _context(e))) for e in evidence]
    chosen = _cover(said, weights, found, [names & t for t in told])
    covered = _keys(said, *found)
    score = _score(said, found)
    cited = _keys(said, *(found[i] for i in chosen))
    known = cited.union(*(told[i] for i in chosen))
    share = sum(weights[key] for key in cited)
    open_names = _open_names(said, asked, known, covered, held)
    asked_names = [name for name in open_names if name <= asked.keys]
    around = frozenset[str]().union(*(_around(evidence[i], evidence) for i in chosen if asked_names))
    about_another = any(name.isdisjoint(around) for name in asked_names)
    open_figures = {t.key for t in said.tokens if t.kind in ("number", "year", "day")} - known
    # How many the asker takes for granted ("the two factors") is no claim of the answer's own; when it was, is.
    repeated = {t.key for t in asked.tokens if t.kind == "number"}
    if share < (SUPPORTED if about_another else PARTIAL) or open_figures - repeated:
        return Match("unsupported", (), score)
    open_dates = {t.key for t in said.tokens if t.kind in ("date", "side")} - known
    open_things = {t.key for t in said.tokens if is_thing(said, t)} - known - asked.keys
    against = contradictions(said, [held[i] for i in chosen])
    open_ones = (*open_names, *open_figures, *open_dates, *open_things)
    other_signs = any(not whole for whole in copies.values())  # 40 degrees and −40, $500 and €500
    full = share >= SUPPORTED and not (open_ones or against or other_signs)
    return Match("supported" if full else "partial", tuple(evidence[i] for i in chosen), score)


def _score(said: Claim, found: Sequence[Found]) -> float:
    """Two thirds the share of the words that the evidence holds, one third that of neighbours it holds near each other."""
    share = len(_keys(said, *found)) / len(said.keys)
    neighbours = list(pairwise(range(len(said.tokens))))
    if not neighbours:
        return share
    near = [any(_near(f.get(i, ()), f.get(j, ())) for f in found) for i, j in neighbours]
    return (2 * share + sum(near) / len(near)) / 3


def _near(some: Sequence[Token], others: Sequence[Token]) -> bool:
    return any(abs(a.at - b.at) <= NEAR for a in some for b in others)


def _open_names(
    said: Claim, asked: Claim, known: Set[str], covered: Set[str], held: Sequence[Claim]
) -> list[frozenset[str]]:
    """The names that the evidence lacks. A surname stands for the name that the question or other evidence gives whole.

    Not where the evidence knows only others of the name: who is asked for Edna Smith may be told of Edna Marsh.
    """
    whole = asked.keys | covered
    others = [run for claim in held for run in claim.runs]

    def is_another(run: Sequence[str]) -> bool:
        alike = [other for other in others if not set(run).isdisjoint(other)]
        return bool(alike) and all(run[-1] not in other and other[-1] not in run for other in alike)

    def is_open(run: Sequence[str]) -> bool:
        name = set(run)
        return not name <= known and (name.isdisjoint(known) or not name <= whole or is_another(run))

    return [frozenset(run) for run in said.runs if is_open(run)]


def _keys(said: Claim, *found: Found) -> frozenset[str]:
    return frozenset(said.tokens[i].key for f in found for i in f)


def _cover(
    said: Claim, weights: Mapping[str, float], found: Sequence[Found], named: Sequence[frozenset[str]]
) -> list[int]:
    """Greedily the evidence that holds most of what is not yet held; names and numbers count extra.

    `named`: the names that the reader of each knows from its passage; they need no second footnote.
    """
    held = [_keys(said, f) for f in found]
    needed = {t.key for t in said.tokens if t.kind != "word"}
    chosen: list[int] = []
    covered: set[str] = set()
    for _ in range(MOST_CITATIONS):
        gains = [sum(weights[k] + NAMED * (k in needed) for k in keys - covered) for keys in held]
        best = max(range(len(held)), key=lambda i: (gains[i], -i))
        if best in chosen or gains[best] < (SECOND if chosen else 1e-9):
            break
        chosen.append(best)
        covered |= held[best] | named[best]
    # Evidence that shares nothing with the sentence but a name is about something else: it lends the name no support.
    deeds = {t.key for t in said.tokens if t.kind != "name"}
    return chosen[:1] + [i for i in chosen[1:] if sum(weights[k] for k in deeds & held[i]) >= ALIKE]


def denies(statement: str, text: str, rarity: Mapping[str, float] | None = None) -> bool:
    """Whether a text speaks of what the statement says and gives another figure or date, or the opposite.

    A question counts as the statement of what it takes for granted.
    """
    said, held = read(statement), read(text)
    found = found_in(said, held)
    weights = {t.key: (rarity or {}).get(t.word, 1.0) for t in said.tokens if t.kind not in FIGURES}
    shared = {said.tokens[i].key for i in found} & weights.keys()
    share = sum(weights[k] for k in shared) / (sum(weights.values()) or 1.0)
    if len(shared) < LEAST_SHARED or share < SAME_MATTER:
        return False
    if _names_more(said, found) and _names_more(held, found_in(held, said)):  # each of somebody else
        return False
    against = contradictions(said, [held])
    # Negation stands for much else ("not only", "no fewer than"): it counts where nearly all the rest is the same.
    return (
        bool(against & {"fact", "opposite"})
        or _other_figure(said, held)
        or ("negation" in against and share >= SAME_WORDS)
    )


def _names_more(claim: Claim, found: Found) -> bool:
    """Whether it names somebody who is not `found` in the other."""
    return any(t.kind == "name" and i not in found for i, t in enumerate(claim.tokens))


def _other_figure(said: Claim, held: Claim) -> bool:
    """A figure of a kind and unit of which the other has only different ones. What holds of another year does not count."""
    mine, theirs = _figures(said), _figures(held)
    differ = {sort for sort, keys in mine.items() if sort in theirs and keys.isdisjoint(theirs[sort])}
    amounts = [sort for sort in (*mine, *theirs) if sort[0] == "number"]
    return bool(differ) and not (amounts and any(kind != "number" for kind, _ in differ))


def _figures(claim: Claim) -> dict[tuple[str, str], set[str]]:
    """(kind, unit) -> the figures."""
    figures: dict[tuple[str, str], set[str]] = {}
    for token in claim.tokens:
        if token.kind in FIGURES:
            figures.setdefault((token.kind, token.unit), set()).add(token.key)
    return figures


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


def _weights(said: Claim, asked: Claim, rarity: Mapping[str, float] | None) -> dict[str, float]:
    """Key -> its share of the sentence; words that the question had already count half."""
    raw = {
        t.key: (rarity or {}).get(t.word, 1.0)
        * (0.5 if t.key in asked.keys else 1.0)
        * (LIGHT if t.word in LIGHT_WORDS else 1)
        for t in said.tokens
    }
    total = sum(raw.values()) or 1.0
    return {key: value / total for key, value in raw.items()}


def _context(evidence: Evidence) -> Iterator[str]:
    """What the reader of a passage knows at the sentence: title, headings, author, and the sentences before it."""
    p = evidence.passage
    yield from (text for text in (p.title, *p.heading, p.author, p.publisher) if text)
    yield from [p.quote(s) for s in p.sentences if s.end <= evidence.start][-BEFORE:]


def _around(evidence: Evidence, others: Sequence[Evidence]) -> frozenset[str]:
    """The words of what was found of the same document: whom a passage calls by another name is named there in full."""
    passages = {e.passage for e in others if e.passage.source == evidence.passage.source}
    return frozenset(stem(w) for p in passages for text in (p.title, *p.heading, p.text) for w in _words(text))


def _has_words(sentence: str, quote: str) -> bool:
    """Whether the quote holds the words of the sentence one behind the other."""
    said = _words(sentence)
    return len(said) >= QUOTED_WORDS and f" {' '.join(said)} " in f" {' '.join(_words(quote))} "


def _copies(sentence: str, quote: str) -> list[bool]:
    """For each place where the quote holds the sentence with its signs: whether it cuts no name in two there."""
    text = plain(quote)
    said = [_folded(m.group()) for m in WRITTEN.finditer(plain(sentence))]
    held = list(WRITTEN.finditer(text))
    written, size = [_folded(m.group()) for m in held], len(said)
    places = [at for at in range(len(held) - size + 1) if written[at : at + size] == said]
    return [not _cuts_name(text, held[at].start(), held[at + size - 1].end()) for at in places]


def _folded(written: str) -> str:
    return " ".join(words(written)) or written


def _cuts_name(text: str, start: int, end: int) -> bool:
    """Whether a name goes on before the start or behind the end (York in New York)."""
    before = re.search(rf"({CAPITAL}[\w'’-]*)\s+\Z", text[:start])
    begun = before is not None and content_stems(before.group(1)) and text[start].isupper()
    goes_on = re.search(rf"\b{CAPITAL}[\w'’-]*\Z", text[start:end]) and re.match(rf"\s+{CAPITAL}", text[end:])
    return bool(begun or goes_on)


@lru_cache(maxsize=READ)
def _words(text: str) -> tuple[str, ...]:
    return tuple(words(plain(text)))


def says_the_same(translation: str, sentence: str) -> bool:
    """Whether a translation says something, with the figures and dates of the sentence and no others."""
    there, here = read(translation), read(sentence)
    return bool(there.tokens) and _figures_in(there, here) and _figures_in(here, there)


def _figures_in(claim: Claim, other: Claim) -> bool:
    found = found_in(claim, other)
    return all(i in found for i, t in enumerate(claim.tokens) if t.kind in FIGURES and t.key not in ROUND)


def replies(question: str, sentences: Sequence[str]) -> bool:
    """Whether sentences tell what a question asks: something that it does not say itself, and a number where it wants one."""
    asked, said = read(question), [read(s) for s in sentences]
    known = [found_in(claim, asked) for claim in said]
    new = [t for claim, old in zip(said, known, strict=True) for t in _untold(claim, old, asks_for_name(question))]
    if asks_for_number(question):
        shares = set(FRACTION.findall(" ".join(asked.words)))
        return any(t.kind in FIGURES for t in new) or any(
            claim.quantities - asked.quantities
            or ROUGHLY & set(claim.words) - set(asked.words)
            or set(FRACTION.findall(" ".join(claim.words))) - shares
            for claim in said
        )
    return bool(new) or not is_open(question)


def _untold(claim: Claim, known: Found, names: bool) -> Iterator[Token]:
    """The words that are not `known`; unless `names` are asked for, one in full tells nothing of who is named already."""
    named = {claim.tokens[i].run for i, tokens in known.items() if any(t.kind == "name" for t in tokens)} - {NO_RUN}
    return (t for i, t in enumerate(claim.tokens) if i not in known and (names or t.run not in named))


def status_of(supports: Collection[Support]) -> str:
    """`answered` where every sentence is quoted or supported, `partial` where some are; else empty: a refusal."""
    if all(s in ("quoted", "supported") for s in supports):
        return "answered" if supports else ""
    return "partial" if any(s != "unsupported" for s in supports) else ""

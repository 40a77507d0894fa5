"""`rag bench support`: how well the support check tells what the evidence says from what it does not."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from eval.metrics import Estimate, auroc, estimate, interval
from rag.attribution import match
from rag.chunking import split_sentences
from rag.claims import claims_nothing, read
from rag.errors import InputError
from rag.retrieval import words
from rag.types import Evidence, Passage, Sentence, Support

if TYPE_CHECKING:
    from rich.console import Console

UNFAITHFUL = 2.5  # a mean human rating under this; ratings go from 1 to 4
NO_CLAIM = 0.5  # score of an answer that only says that it knows nothing, or is polite: neither supported nor wrong
Item = TypeVar("Item")
MEASURES = ("changed_caught", "true_kept", "true_supported", "spearman", "auroc")


@dataclass(frozen=True, slots=True)
class Pair:
    """What the evidence says, in other words, and the same with one fact changed."""

    id: str
    kind: str
    evidence: tuple[str, ...]
    true: str
    changed: str
    question: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    doc_id: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Ratings:
    faithfulness: float  # the mean of what people gave, 1 to 4


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer and the texts that it was written from."""

    id: str
    question: str
    response: str
    human: Ratings
    contexts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the two sentences of a pair were marked."""

    pair: Pair
    true: Support
    changed: Support


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    measures: Mapping[str, Estimate]


def support(path: Path, limit: int | None = None, seed: int = 0) -> list[Result]:
    """The results of a file of pairs, by split and kind, or of a folder with rated answers. Raises InputError."""
    if path.is_dir():
        texts, rated = _read_rated(path)
        return [Result(path.resolve().name, rated_measures(texts, _sample(rated, limit, seed)))]
    outcomes = [outcome(pair) for pair in _sample(_read_pairs(path), limit, seed)]
    groups = {path.stem: outcomes}
    for split in sorted({o.pair.split for o in outcomes} - {""}):
        of_split = groups[f"{path.stem} ({split})"] = [o for o in outcomes if o.pair.split == split]
        for kind in sorted({o.pair.kind for o in of_split}):
            groups[f"{path.stem} ({split}, {kind})"] = [o for o in of_split if o.pair.kind == kind]
    return [Result(name, pair_measures(some)) for name, some in groups.items()]


def outcome(pair: Pair) -> Outcome:
    evidence = _passage(pair.id, "", pair.evidence)
    true, changed = (match(said, evidence, question=pair.question).support for said in (pair.true, pair.changed))
    return Outcome(pair, true, changed)


def pair_measures(outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
    """`true_supported` shows what the other two cost: marking all as partial would satisfy them."""
    good = ("quoted", "supported")
    return {
        "changed_caught": estimate([float(o.changed not in good) for o in outcomes]),
        "true_kept": estimate([float(o.true != "unsupported") for o in outcomes]),
        "true_supported": estimate([float(o.true in good) for o in outcomes]),
    }


def rated_measures(texts: Mapping[str, Text], rated: Sequence[Rated]) -> dict[str, Estimate]:
    rarity = _rarity([text.text for text in texts.values()])
    held = {name: _passage(name, text.title, tuple(_sentences(text.text))) for name, text in texts.items()}
    scores = np.array(
        [answer_score(r.response, [e for c in r.contexts for e in held[c]], r.question, rarity) for r in rated]
    )
    human = np.array([r.human.faithfulness for r in rated])
    wrong = human < UNFAITHFUL
    return {
        "spearman": _over_draws(lambda drawn: spearman(scores[drawn], human[drawn]), len(rated)),
        "auroc": auroc(list(scores[~wrong]), list(scores[wrong])),
    }


def answer_score(response: str, evidence: Sequence[Evidence], question: str, rarity: Mapping[str, float]) -> float:
    """The mean score of the sentences that claim something, each by the number of its different words with meaning."""
    scores: list[tuple[float, int]] = []
    for sentence in _sentences(response):
        if not claims_nothing(sentence):
            found = match(sentence, evidence, question=question, rarity=rarity)
            scores.append((found.score, len(read(sentence).keys)))
    total = sum(length for _, length in scores)
    return sum(score * length for score, length in scores) / total if total else NO_CLAIM


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation; equal values share the mean of their ranks. nan where all of one side are equal."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def support_as_json(results: Sequence[Result]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """{set: {measure: {value, low, high, n}}}"""
    return {result.name: {name: asdict(value) for name, value in result.measures.items()} for result in results}


def print_support(results: Sequence[Result], console: "Console", *, command: str) -> None:
    from rich.table import Table

    names = [name for name in MEASURES if any(name in result.measures for result in results)]
    table = Table()
    for heading in ("", "n", *names):
        table.add_column(heading, justify="left" if not heading else "right")
    for result in results:
        n = max(value.n for value in result.measures.values())
        table.add_row(result.name, str(n), *(_cell(result.measures.get(name)) for name in names))
    console.print(table)
    console.print(f"{command}\n95% intervals, bootstrapped over pairs or answers", highlight=False)


def _cell(value: Estimate | None) -> str:
    if value is None or value.value is None:
        return "–"
    return f"{value.value:.3f} ({value.low:.2f}–{value.high:.2f})"


def _over_draws(statistic: Callable[[NDArray[np.int64]], float], n: int) -> Estimate:
    value = statistic(np.arange(n))
    if np.isnan(value):
        return Estimate(None, None, None, n)
    low, high = interval(lambda rows: np.array([statistic(row) for row in rows], dtype=np.float64), n)
    return Estimate(value, low, high, n)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _rarity(texts: Sequence[str]) -> dict[str, float]:
    """As the index has it: ln(1 + N / (1 + n)) over the texts."""
    found = Counter(word for text in texts for word in set(words(text)))
    return {word: float(np.log1p(len(texts) / (1 + n))) for word, n in found.items()}


def _passage(source: str, title: str, sentences: Sequence[str]) -> list[Evidence]:
    """Every sentence of a passage as evidence."""
    text = " ".join(sentences)
    starts = [sum(len(s) + 1 for s in sentences[:i]) for i in range(len(sentences))]
    spans = tuple(Sentence(start, start + len(s)) for start, s in zip(starts, sentences, strict=True))
    passage = Passage(source, title, 0, len(text), text, spans)
    return [Evidence(passage, s.start, s.end, passage.quote(s), 0.0) for s in spans]


def _sentences(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from (line[s.start : s.end] for s in split_sentences(line))


def _sample(items: Sequence[Item], limit: int | None, seed: int) -> list[Item]:
    if not limit or limit >= len(items):
        return list(items)
    chosen = sorted(random.Random(seed).sample(range(len(items)), limit))
    return [items[i] for i in chosen]


def _read_pairs(path: Path) -> list[Pair]:
    adapter = TypeAdapter(Pair)
    pairs: list[Pair] = []
    for number, line in _lines(path):
        try:
            pairs.append(adapter.validate_json(line))
        except ValidationError as error:
            raise _unusable(path, number, error, "a pair (id, kind, evidence, true, changed)") from error
    if not pairs:
        raise InputError(f"{path} holds no pairs.", "paths")
    return pairs


def _read_rated(folder: Path) -> tuple[dict[str, Text], list[Rated]]:
    """The texts by id, and the answers with a mean human rating."""
    texts, answers = TypeAdapter(Text), TypeAdapter(Rated)
    found: dict[str, Text] = {}
    rated: list[Rated] = []
    for name, adapter in (("corpus.jsonl", texts), ("questions.jsonl", answers)):
        for number, line in _lines(folder / name):
            try:
                item = adapter.validate_json(line)
            except ValidationError as error:
                raise _unusable(folder / name, number, error, "a record of a set with rated answers") from error
            if isinstance(item, Text):
                found[item.doc_id] = item
            else:
                rated.append(item)
    if unknown := next((c for answer in rated for c in answer.contexts if c not in found), None):
        raise InputError(f"{folder / 'questions.jsonl'} names the text {unknown!r}, which corpus.jsonl lacks.", "paths")
    return found, rated


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read {path}: {error}.", "paths") from error
    yield from ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _unusable(path: Path, number: int, error: ValidationError, wanted: str) -> InputError:
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    return InputError(f"{path}, line {number}: not {wanted}: {field + ': ' if field else ''}{first['msg']}.", "paths")

"""What a run leaves behind: its rows, what they add up to, and how two runs differ."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from eval.dataset import Case, Gold
from eval.metrics import (
    COSTS,
    LOWER_IS_BETTER,
    Estimate,
    average_of,
    confidence,
    estimate,
    failed_values,
    paired_interval,
    typical,
)
from eval.stages import MEANING, Stage, stage_of
from rag.errors import InputError, RagError
from rag.types import Answer, Trace

ROWS = "rows.jsonl"
SUMMARY = "summary.json"
REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class Quote:
    """A citation or a gold span, with its words."""

    source: str
    quote: str
    start: int | None = None
    end: int | None = None
    support: str | None = None
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One question of a run. `measures` holds None where a measure does not apply; `error` is set where it failed."""

    id: str
    type: str
    question: str
    answerable: bool
    answers: tuple[str, ...]
    status: str | None
    text: str | None
    measures: dict[str, float | None]
    citations: tuple[Quote, ...] = ()
    gold: tuple[Quote, ...] = ()
    history: tuple[str, ...] = ()  # earlier turns as "role: content"
    standalone_question: str | None = None
    reason: str | None = None
    missing: str | None = None
    error: str | None = None
    stage: Stage | None = None  # where it went wrong
    confidence: float | None = None  # that the documents answer the question
    passages: tuple[str, ...] = ()  # the texts that were fetched, best first
    trial_error: str | None = None  # of a further measure, which then is 0; the answer itself stands

    @property
    def failed(self) -> bool:
        """Whether a person should look at it: an error, a lost or wrong answer, an inexact quote."""
        shown = [self.measures.get(name) for name in ("answer_correct", "refusal_recall", "quote_exact")]
        return (
            self.error is not None or self.stage is not None or any(value is not None and value < 1 for value in shown)
        )


class TrialError(Exception):
    """Some of a question's further measures could not be taken. `values`: all of them, those as 0."""

    def __init__(self, message: str, values: Mapping[str, float | None]) -> None:
        super().__init__(message)
        self.values = values


@dataclass(frozen=True, slots=True)
class Difference:
    """The later run less the earlier one over the questions that both have; `before` and `after` are over those."""

    before: float
    after: float
    value: float
    low: float
    high: float
    n: int
    dropped: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    before: str
    after: str
    differences: dict[str, Difference]
    common: int
    only_before: int
    only_after: int

    @property
    def dropped(self) -> tuple[str, ...]:
        """Measures that got worse by more than chance explains. Timings depend on the machine and never count."""
        return tuple(name for name, difference in self.differences.items() if difference.dropped)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"dropped": list(self.dropped)}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run was made with."""

    model: str
    fingerprint: str
    questions: str
    questions_sha256: str
    date: str  # UTC, ISO 8601
    versions: dict[str, str]
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Run:
    rows: tuple[Row, ...]
    summary: dict[str, Estimate]
    by_type: dict[str, dict[str, Estimate]]
    origin: Origin
    out: Path
    comparison: Comparison | None = None
    warnings: tuple[str, ...] = ()  # gold that does not fit the documents
    stopped: bool = False  # before its last question

    @property
    def errors(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.error is not None)

    @property
    def trial_errors(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.trial_error is not None)

    def as_dict(self) -> dict[str, dict[str, float | int | None]]:
        """{measure: {value, low, high, n}}: what `rag eval run --json` prints."""
        return {name: asdict(value) for name, value in self.summary.items()}


_ROW = TypeAdapter(Row)


def answered_row(
    case: Case,
    answer: Answer,
    values: Mapping[str, float | None],
    texts: Mapping[str, str],
    trace: Trace | None = None,
    trial_error: str | None = None,
) -> Row:
    cited = tuple(Quote(c.source, c.quote, c.start, c.end, c.support) for c in answer.citations)
    return Row(
        **_asked(case, texts),
        status=answer.status,
        text=answer.text,
        measures=dict(values),
        citations=cited,
        standalone_question=answer.standalone_question if case.history else None,
        reason=answer.reason,
        missing=answer.missing,
        stage=stage_of(case, answer, trace, texts),
        confidence=confidence(answer),
        passages=tuple(hit.passage.text for hit in answer.passages),
        trial_error=trial_error,
    )


def failed_row(case: Case, error: RagError, names: Sequence[str], texts: Mapping[str, str]) -> Row:
    message = f"{type(error).__name__}: {error}"
    return Row(**_asked(case, texts), status=None, text=None, measures=failed_values(case, names), error=message)


def write_row(row: Row) -> str:
    return json.dumps(asdict(row), ensure_ascii=False)


def read_rows(path: Path) -> list[Row]:
    """The rows of a run: its folder, or the rows.jsonl in it. Raises InputError."""
    path = path / ROWS if path.is_dir() else path
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the run {path}: {error}.", "run") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(_ROW.validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "row"
            raise InputError(f"{path}, line {number}: field {field}: {first['msg']}.", "run") from error
    if not rows:
        raise InputError(f"{path} holds no rows.", "run")
    return rows


def summarise(rows: Sequence[Row]) -> dict[str, Estimate]:
    names = dict.fromkeys(name for row in rows for name in row.measures)
    return {name: estimate([row.measures.get(name) for row in rows], average_of(name)) for name in names}


def summarise_by_type(rows: Sequence[Row]) -> dict[str, dict[str, Estimate]]:
    """Per type of question, the rates of right answers and of refusals, right and wrong."""
    shown = ("answer_correct", "refusal_recall", "false_refusal")
    types = sorted({row.type for row in rows})
    return {
        kind: {name: estimate([row.measures.get(name) for row in rows if row.type == kind]) for name in shown}
        for kind in types
    }


def by_stage(rows: Sequence[Row]) -> dict[Stage, list[Row]]:
    """The rows that went wrong at each stage, in the order of a question's way."""
    found = {stage: [row for row in rows if row.stage == stage] for stage in MEANING}
    return {stage: lost for stage, lost in found.items() if lost}


def risk_coverage(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """(share of the questions answered, share of those answers that are wrong), surest answers first.

    The risk-coverage curve of a program that may refuse (El-Yaniv & Wiener, 2010). A question that failed is one that
    was not answered. Left out of both shares: questions of which it is not known what a right answer is, and answers of
    which it is not known how sure the program was.
    """
    judged = [row for row in rows if _wrong(row) is not None]
    known = [row for row in judged if not _answered(row) or row.confidence is not None]
    answered = [row for row in known if _answered(row)]
    answered.sort(key=lambda row: -(row.confidence or 0.0))
    points, wrong = [], 0.0
    for place, row in enumerate(answered, 1):
        wrong += _wrong(row) or 0.0
        following = answered[place] if place < len(answered) else None
        if following is None or following.confidence != row.confidence:  # equally sure ones come together
            points.append((place / len(known), wrong / place))
    return points


def _answered(row: Row) -> bool:
    return row.error is None and row.status != "not_in_documents"


def _wrong(row: Row) -> float | None:
    """Of a question, were it answered as it was; None where no right answer is known."""
    if not row.answerable:
        return 1.0
    right = row.measures.get("answer_correct")
    return None if right is None else 1 - right


def compare(
    rows_a: Sequence[Row], rows_b: Sequence[Row], *, before: str = "before", after: str = "after"
) -> Comparison:
    """b less a, per measure, over the questions that both runs asked in the same words."""
    asked_a = {(row.id, row.question): row for row in rows_a}
    asked_b = {(row.id, row.question): row for row in rows_b}
    common = [key for key in asked_b if key in asked_a]
    names = dict.fromkeys(name for key in common for name in asked_b[key].measures)
    differences = {}
    for name in names:
        a = [asked_a[key].measures.get(name) for key in common]
        b = [asked_b[key].measures.get(name) for key in common]
        if difference := _difference(name, a, b):
            differences[name] = difference
    only_a, only_b = len(asked_a) - len(common), len(asked_b) - len(common)
    return Comparison(before, after, differences, len(common), only_a, only_b)


def _difference(name: str, a: Sequence[float | None], b: Sequence[float | None]) -> Difference | None:
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    if not pairs:
        return None
    average = average_of(name)
    first, second = typical([x for x, _ in pairs], average), typical([y for _, y in pairs], average)
    low, high = paired_interval(pairs, average)
    worse = low > 0 if name in LOWER_IS_BETTER else high < 0
    return Difference(first, second, second - first, low, high, len(pairs), worse and name not in COSTS)


def _gold(gold: Gold, texts: Mapping[str, str]) -> Quote:
    words = texts.get(gold.doc_id, "")[gold.start : gold.end] if gold.start is not None else ""
    return Quote(gold.doc_id, gold.quote or words, gold.start, gold.end, group=gold.group)


def _asked(case: Case, texts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": case.id,
        "type": case.type,
        "question": case.question,
        "answerable": case.answerable,
        "answers": case.answers,
        "gold": tuple(_gold(gold, texts) for gold in case.gold),
        "history": tuple(f"{message.role}: {message.content}" for message in case.history),
    }

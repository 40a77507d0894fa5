"""Question files: one JSON object a line, read into Cases."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pydantic import TypeAdapter, ValidationError

from rag.errors import InputError
from rag.types import Message


@dataclass(frozen=True, slots=True)
class Gold:
    """Where the answer stands: `text[start:end]` of the document, or the whole document where there is no span.

    Items with the same `group` are alternatives; an item without one is a group of its own.
    """

    doc_id: str
    start: int | None = None
    end: int | None = None
    group: int | None = None
    quote: str | None = None

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None):
            raise ValueError("start and end go together")
        if self.start is not None and self.end is not None and not 0 <= self.start < self.end:
            raise ValueError(f"start {self.start} and end {self.end} are no span")


@dataclass(frozen=True, slots=True)
class Case:
    """One question. `keys`: the answer is correct when every group has a member in its text.

    `contexts`, `context_para`: the documents, or the paragraph, that a set gives the question to be answered from.
    """

    id: str
    question: str
    answers: tuple[str, ...] = ()
    keys: tuple[tuple[str, ...], ...] = ()
    gold: tuple[Gold, ...] = ()
    answerable: bool = True
    type: str = "question"
    history: tuple[Message, ...] = ()
    standalone: str | None = None
    language: str | None = None
    contexts: tuple[str, ...] = ()
    context_para: Gold | None = None
    accepted: bool | None = True  # None: a draft that nobody has looked at

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise ValueError("id is empty")
        if not self.question.strip():
            raise ValueError("question is empty")
        if any(not group or not all(member.strip() for member in group) for group in self.keys):
            raise ValueError("keys holds an empty group or an empty alternative")

    @property
    def spans(self) -> tuple[Gold, ...]:
        return tuple(gold for gold in self.gold if gold.start is not None)

    @property
    def span_groups(self) -> tuple[tuple[Gold, ...], ...]:
        """The gold spans, alternatives together: a whole answer cites one span of every group."""
        groups: dict[int | tuple[int], list[Gold]] = {}
        for position, gold in enumerate(self.spans):
            groups.setdefault((position,) if gold.group is None else gold.group, []).append(gold)
        return tuple(tuple(group) for group in groups.values())


_CASE = TypeAdapter(Case)


def load_cases(path: Path) -> list[Case]:
    """Reads a question file (UTF-8, with or without a byte-order mark); fields that are not known are passed over, and so are
    drafts that are not accepted.

    Raises InputError that names file, line and field: not JSON, a missing or bad field, an id that occurs twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"Cannot read the questions {path}: {error.strerror}.", "questions") from error
    except UnicodeDecodeError as error:
        raise InputError(f"Cannot read the questions {path}: it is not UTF-8 text.", "questions") from error
    cases: dict[str, Case] = {}
    # str.splitlines would also cut at U+2028, which may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        case = _parse(line, f"{path}, line {number}")
        if case.id in cases:
            raise InputError(f"{path}, line {number}: field id: {case.id!r} occurs twice.", "id")
        cases[case.id] = case
    accepted = [case for case in cases.values() if case.accepted]
    if cases and not accepted:
        raise InputError(
            f"{path} holds only drafts: accept some with `rag eval init`, or set accepted to true.", "questions"
        )
    if not cases:
        raise InputError(f"{path} holds no questions.", "questions")
    return accepted


def drawn(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """At most so many of them in their order, the same ones each time."""
    if limit is None or limit >= len(cases):
        return list(cases)
    chosen = set(Random(0).sample(range(len(cases)), limit))
    return [case for i, case in enumerate(cases) if i in chosen]


def digest(*asked: object) -> str:
    """Of whole cases and what goes with them: changes with any of their fields."""
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:12]


def gold_problems(cases: Sequence[Case], texts: Mapping[str, str]) -> list[str]:
    """What in the gold does not fit the documents. `texts` maps each source to its text."""
    found = ((case, gold, gold_problem(gold, texts)) for case in cases for gold in case.gold)
    return [f"{case.id}: {gold.doc_id} {problem}" for case, gold, problem in found if problem]


def gold_problem(gold: Gold, texts: Mapping[str, str]) -> str | None:
    """What in one gold item does not fit the documents; None where it fits."""
    text = texts.get(gold.doc_id)
    if text is None:
        return "is not among the documents"
    if gold.start is None or gold.end is None:
        return None
    if gold.end > len(text):
        return f"ends before the gold span {gold.start}-{gold.end}"
    if gold.quote is not None and text[gold.start : gold.end] != gold.quote:
        return f"has other words at {gold.start}-{gold.end} than the gold quote"
    return None


def _parse(line: str, place: str) -> Case:
    try:
        return _CASE.validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
    if not first["loc"] and first["type"] in {"json_invalid", "dataclass_type"}:
        raise InputError(f"{place}: not a JSON object: {first['msg']}.", "questions")
    message = first["msg"].removeprefix("Value error, ")
    # What Case refuses as a whole begins with the name of the field.
    field = ".".join(map(str, first["loc"])) or message.split()[0]
    raise InputError(f"{place}: field {field}: {message}.", field)

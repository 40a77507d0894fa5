"""How answers came about: what the model was asked, the last traces on disk, and a trace as text to read."""

import json
import logging
import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from rag.generation import count_tokens
from rag.models.llm import LLM
from rag.types import Message, ModelCall, Trace

if TYPE_CHECKING:
    from pydantic import TypeAdapter

KEPT = 1000  # traces; the oldest go
FATES = {
    "sent": "read",
    "not_sent": "no sentence of it was worth reading",
    "duplicate": "says the same as a better one",
    "not_fetched": "not among the first",
}
CUTS = {
    "duplicate": "says the same as a better one",
    "worth": "worth too little",
    "budget": "over the token budget",
    "order": "speaks to a model",
}
SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, trace TEXT NOT NULL);
"""

log = logging.getLogger(__name__)


class Traced:
    """A model whose calls are kept in `calls`, also those that fail or are stopped."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self.name = llm.name
        self.cites = llm.cites
        self.calls: list[ModelCall] = []

    def stream(self, messages: Sequence[Message]) -> Generator[str]:
        started = time.perf_counter()
        first: float | None = None
        said: list[str] = []
        try:
            with closing(self._llm.stream(messages)) as chunks:
                for text in chunks:
                    first = first or time.perf_counter() - started
                    said.append(text)
                    yield text
        finally:
            self._keep(messages, started, "".join(said), first)

    def yes_probability(self, messages: Sequence[Message]) -> float | None:
        started = time.perf_counter()
        probability = self._llm.yes_probability(messages)
        self._keep(messages, started, probability=probability)
        return probability

    @property
    def busy(self) -> bool:
        return self._llm.busy

    def wait(self) -> None:
        self._llm.wait()

    def close(self) -> None:
        self._llm.close()

    def _keep(
        self,
        messages: Sequence[Message],
        started: float,
        reply: str = "",
        first: float | None = None,
        probability: float | None = None,
    ) -> None:
        sent = sum(count_tokens(message.content) for message in messages)
        took = round(time.perf_counter() - started, 3)
        begun = None if first is None else round(first, 3)
        self.calls.append(ModelCall(tuple(messages), sent, reply, count_tokens(reply), took, begun, probability))


def usage(calls: Sequence[ModelCall]) -> dict[str, float]:
    """What the calls for one answer sent, as cl100k_base counts, and how fast the last reply was written."""
    speeds = [speed for call in calls if (speed := call.tokens_per_s)]
    return {"prompt_tokens": sum(call.prompt_tokens for call in calls)} | (
        {"tokens_per_s": speeds[-1]} if speeds else {}
    )


class TraceStore:
    """The newest traces in one SQLite file, which is made with the first. Safe from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._logged_ahead = False
        self._first = Lock()

    def keep(self, trace: Trace) -> None:
        """An answer does not fail because its trace cannot be written: that is logged."""
        try:
            with self._open() as db:
                text = json.dumps(trace.as_dict(), ensure_ascii=False)
                db.execute("INSERT INTO answers (id, trace) VALUES (?, ?)", (trace.id, text))
                db.execute("DELETE FROM answers WHERE number <= (SELECT max(number) FROM answers) - ?", (KEPT,))
        except (sqlite3.Error, UnicodeEncodeError) as error:
            log.warning("The trace of an answer could not be kept in %s: %s", self._path, error)

    def get(self, answer_id: str) -> Trace | None:
        """None where it is unknown, or older than those that are kept. Raises sqlite3.Error."""
        if not self._path.exists():
            return None
        with self._open() as db:
            row = db.execute("SELECT trace FROM answers WHERE id = ?", (answer_id,)).fetchone()
        return as_trace(json.loads(row[0])) if row else None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=10)) as db:
            with self._first:  # two that change the mode at once do not wait for each other: one fails
                if not self._logged_ahead:
                    db.execute("PRAGMA journal_mode = WAL")
                    self._logged_ahead = True
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(SCHEMA)
            with db:
                yield db


def as_trace(data: Mapping[str, Any]) -> Trace:
    """What `Trace.as_dict` gave, also from JSON."""
    return _adapter().validate_python(data)


@cache
def _adapter() -> "TypeAdapter[Trace]":
    from pydantic import TypeAdapter

    return TypeAdapter(Trace)


def explained(trace: Trace) -> str:
    """A trace as lines to read in a terminal."""
    return "\n".join(_lines(trace))


def _lines(t: Trace) -> Iterator[str]:
    yield f"Why this answer ({t.id})"
    yield f"  Searched for: {t.search_text}" + ("" if t.language == t.search_language else f" ({t.search_language})")
    if len(t.parts) > 1:
        yield f"  In parts: {' | '.join(t.parts)}"
    if t.sources:
        yield f"  Only in: {', '.join(t.sources)}"
    yield "  Rarity of its words: " + ", ".join(f"{term.word} {term.rarity:.1f}" for term in t.terms)
    yield f"  Passages, the best of {t.found} found (a best score under {t.gate:g} is off topic):"
    for n, c in enumerate(t.candidates, 1):
        ranks = ", ".join(f"{name} {rank}" for name, rank in c.ranks.items())
        yield f"    {n:2}. {c.score:.2f} ({ranks}) {c.source} {c.start}–{c.end}: {FATES[c.fate]}"
    sent = [e for e in t.evidence if e.cut is None]
    yield f"  Evidence: {sum(e.tokens for e in sent)} of at most {t.evidence_budget} tokens"
    for e in sent:
        yield f"    {e.score:.2f} {e.source} {e.start}–{e.end}, {e.tokens} tokens: {_short(e.text)}"
    cut = [e for e in t.evidence if e.cut]
    yield f"  Cut: {len(cut)} sentences"
    for e in cut:
        yield f"    {e.score:.2f} {e.source} {e.start}–{e.end}, {CUTS[e.cut or 'worth']}: {_short(e.text)}"
    for n, call in enumerate(t.calls, 1):
        yield f"  Call {n} of {t.model}: {_cost(call)}"
        for message in call.messages:
            yield f"    {message.role}: " + message.content.replace("\n", "\n      ")
        if call.reply:
            yield "    reply: " + call.reply.replace("\n", "\n      ")
    if t.check is not None:
        yield f"  The evidence answers the question with a probability of {t.check:.3f}; at least {t.least_check:g} is asked."
    for j in t.judged:
        score = "" if j.score is None else f" {j.score:.2f}"
        yield f"  {j.support}{score} {''.join(f'[{n}]' for n in j.citations)} {j.text}"
    yield f"  Status: {t.status}" + (f" ({t.reason})" if t.reason else "")
    yield "  Timings: " + ", ".join(f"{name} {value:g}" for name, value in t.timings.items())


def _cost(call: ModelCall) -> str:
    parts = [f"{call.prompt_tokens} prompt tokens", f"{call.total_s:.2f} s"]
    if call.probability is not None:
        parts.append(f"probability of yes {call.probability:.3f}")
    if call.reply:
        parts.append(f"{call.reply_tokens} tokens written")
    if call.tokens_per_s:
        parts.append(f"{call.tokens_per_s:.0f} tokens/s")
    return ", ".join(parts)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:119]}…"

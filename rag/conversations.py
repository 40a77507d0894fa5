"""Conversations and what readers said of the answers, kept in one SQLite file.

Each belongs to an owner, an opaque name: a browser's own, as long as there is no login. Nobody reads another's.
"""

import hashlib
import json
import sqlite3
import threading
import unicodedata
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rag.errors import InputError, StoreError
from rag.types import Answer, Citation, Hit, Trace

FILE = "conversations.sqlite"  # in RAG_HOME
QUESTIONS = "questions.jsonl"  # beside it, what readers made of answers for `rag eval run --questions`
TITLE_CHARACTERS = 120
REASON_CHARACTERS = 1500
LISTED = 200  # conversations that a list shows, the latest first

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL, created TEXT NOT NULL, changed TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS conversations_owner ON conversations (owner, changed);
CREATE TABLE IF NOT EXISTS turns (
    conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE, number INTEGER NOT NULL,
    turn TEXT NOT NULL, words TEXT NOT NULL, PRIMARY KEY (conversation, number)
);
CREATE TABLE IF NOT EXISTS feedback (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, conversation TEXT NOT NULL, number INTEGER NOT NULL,
    helpful INTEGER NOT NULL, reason TEXT NOT NULL, created TEXT NOT NULL, turn TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and what came of it so far. It is over with an answer, with a failure, or stopped."""

    question: str
    standalone_question: str = ""
    passages: tuple[Hit, ...] | None = None  # None: the search is not done
    text: str = ""
    answer: Answer | None = None
    trace: Trace | None = None
    failure: str | None = None
    stopped: bool = False
    sources: tuple[str, ...] = ()  # only these were asked; empty: all

    @property
    def over(self) -> bool:
        return self.answer is not None or self.failure is not None or self.stopped

    def as_dict(self) -> dict[str, Any]:
        answer = self.answer.as_dict() if self.answer else None
        return {
            "question": self.question,
            "sources": list(self.sources),
            "answer": answer,
            "failure": self.failure,
            "stopped": self.stopped,
        }


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the list shows. Times are UTC, ISO 8601; the title is the first question."""

    id: str
    title: str
    created: str
    changed: str
    turns: int

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("id", "title", "created", "changed", "turns")}


@dataclass(frozen=True, slots=True)
class Feedback:
    """`turn` is a copy: it stays when the answer is written anew or its conversation deleted."""

    id: str
    conversation: str
    number: int
    helpful: bool
    reason: str
    created: str
    turn: Turn

    def as_dict(self) -> dict[str, Any]:
        names = ("id", "conversation", "number", "helpful", "reason", "created")
        return {name: getattr(self, name) for name in names} | {"turn": self.turn.as_dict()}


class Conversations:
    """Safe from any thread. Every call raises StoreError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._using():
            self._db = sqlite3.connect(path, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    def listed(self, owner: str, search: str = "") -> list[Conversation]:
        """The latest first. `search`: only those that hold every word of it in a question or an answer."""
        wanted = _folded(search).split()
        holds = "EXISTS (SELECT 1 FROM turns t WHERE t.conversation = c.id AND instr(t.words, ?))"
        where = " AND ".join(["owner = ?", *[holds] * len(wanted)])
        rows = self._read(
            "SELECT id, title, created, changed, (SELECT count(*) FROM turns t WHERE t.conversation = c.id)"
            f" FROM conversations c WHERE {where} ORDER BY changed DESC, rowid DESC LIMIT {LISTED}",
            (owner, *wanted),
        )
        return [Conversation(*row) for row in rows]

    def get(self, owner: str, id_: str) -> tuple[Conversation, tuple[Turn, ...]]:
        """Raises InputError where the owner has none of that name."""
        found = self._read(
            "SELECT id, title, created, changed FROM conversations WHERE owner = ? AND id = ?", (owner, id_)
        )
        if not found:
            raise _unknown(id_)
        rows = self._read("SELECT turn FROM turns WHERE conversation = ? ORDER BY number", (id_,))
        turns = tuple(_turn(row[0]) for row in rows)
        turns = tuple(turn if turn.over else replace(turn, stopped=True) for turn in turns)  # the server ended then
        _, title, created, changed = found[0]
        return Conversation(id_, title, created, changed, len(turns)), turns

    def put(self, owner: str, id_: str, turns: Sequence[Turn]) -> str:
        """Keeps the last of `turns` in its place; what stood there and after it, before an edit, goes. Gives the id.

        An empty `id_` begins a conversation with all of `turns`; so does one that was deleted meanwhile.
        """
        now, number = _now(), len(turns)
        with self._using(), self._db:
            known = self._db.execute("SELECT 1 FROM conversations WHERE owner = ? AND id = ?", (owner, id_)).fetchone()
            if not known:
                id_, number = uuid.uuid4().hex, 1
                self._db.execute("INSERT INTO conversations VALUES (?, ?, '', ?, ?)", (id_, owner, now, now))
            title = " ".join(turns[0].question.split())[:TITLE_CHARACTERS]
            self._db.execute("UPDATE conversations SET changed = ?, title = ? WHERE id = ?", (now, title, id_))
            self._db.execute("DELETE FROM turns WHERE conversation = ? AND number >= ?", (id_, number))
            rows = [(id_, n, _dump(turn), _words(turn)) for n, turn in enumerate(turns[number - 1 :], number)]
            self._db.executemany("INSERT INTO turns VALUES (?, ?, ?, ?)", rows)
        return id_

    def remove(self, owner: str, id_: str) -> None:
        """Raises InputError where the owner has none of that name."""
        with self._using(), self._db:
            gone = self._db.execute("DELETE FROM conversations WHERE owner = ? AND id = ?", (owner, id_)).rowcount
        if not gone:
            raise _unknown(id_)

    def judge(self, owner: str, id_: str, number: int, helpful: bool, reason: str = "") -> Feedback:
        """What a reader says of an answer, in place of what they said before. Raises InputError."""
        if len(reason) > REASON_CHARACTERS:
            raise InputError(f"A reason can have {REASON_CHARACTERS:,} characters.", "reason")
        _, turns = self.get(owner, id_)
        if not 1 <= number <= len(turns):
            raise InputError(f"The conversation has no turn {number}.", "number")
        turn = turns[number - 1]
        said = Feedback(uuid.uuid4().hex, id_, number, helpful, reason.strip(), _now(), turn)
        kept = _dump(turn)
        with self._using(), self._db:
            self._db.execute(
                "DELETE FROM feedback WHERE owner = ? AND conversation = ? AND number = ? AND turn = ?",
                (owner, id_, number, kept),
            )
            self._db.execute(
                "INSERT INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (said.id, owner, id_, number, helpful, said.reason, said.created, kept),
            )
        return said

    def feedback(self, owner: str | None = None) -> list[Feedback]:
        """The latest first; of one owner, or of all."""
        rows = self._read(
            "SELECT id, conversation, number, helpful, reason, created, turn FROM feedback"
            " WHERE ?1 IS NULL OR owner = ?1 ORDER BY rowid DESC",
            (owner,),
        )
        return [
            Feedback(id_, conversation, number, bool(helpful), reason, created, _turn(turn))
            for id_, conversation, number, helpful, reason, created, turn in rows
        ]

    def _read(self, sql: str, parameters: Sequence[object]) -> list[Any]:
        with self._using():
            return self._db.execute(sql, parameters).fetchall()

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                raise StoreError(f"Conversations cannot be kept in {self.path}: {error}. Look at that file.") from error


def as_eval_question(turns: Sequence[Turn]) -> dict[str, Any]:
    """The last of `turns`, which must have an answer, as a line of a question file; what was said before is its history.

    Raises InputError.
    """
    *before, last = turns
    if last.answer is None:
        raise InputError("Only an answer or a refusal can become a question of the eval.", "number")
    answer, refused = last.answer, last.answer.status == "not_in_documents"
    history = []
    for turn in before:
        if turn.answer:
            history.append({"role": "user", "content": turn.question})
            history.append({"role": "assistant", "content": _plain(turn.answer)})
    gold = [{"doc_id": c.source, "start": c.start, "end": c.end, "quote": c.quote} for c in answer.citations]
    key = hashlib.sha256(json.dumps([last.question, history]).encode()).hexdigest()[:12]
    return {
        "id": f"page-{key}",
        "question": last.question,
        "answers": [] if refused else [_plain(answer)],
        "gold": [] if refused else gold,
        "answerable": not refused,
        "type": "page",
        "history": history,
    }


def add_eval_question(path: Path, question: dict[str, Any]) -> int:
    """Puts it into a question file, in place of one of the same id. Gives how many there are. Raises StoreError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        lines = [line for line in lines if line.strip() and json.loads(line).get("id") != question["id"]]
        lines.append(json.dumps(question, ensure_ascii=False))
        fresh = path.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
        fresh.replace(path)
    except (OSError, ValueError, AttributeError) as error:
        raise StoreError(f"Cannot add a question to {path}: {error}") from error
    return len(lines)


def _plain(answer: Answer) -> str:
    return " ".join(sentence.text for sentence in answer.sentences) or answer.text


def as_json(conversation: Conversation, turns: Sequence[Turn]) -> dict[str, Any]:
    return conversation.as_dict() | {"turns": [turn.as_dict() for turn in turns]}


def as_markdown(conversation: Conversation, turns: Sequence[Turn]) -> str:
    """Questions as headings, answers with their marks, and under each the exact quotes with where they stand."""
    parts = [f"# {conversation.title}", f"{conversation.created}"]
    for turn in turns:
        parts.append(f"## {' '.join(turn.question.split())}")
        if turn.answer is None:
            parts.append(
                f"Failed: {turn.failure}" if turn.failure else f"{turn.text}\n\n(stopped, not checked)".strip()
            )
            continue
        parts.append(turn.answer.text)
        parts += [f"Not answered: {turn.answer.missing}"] if turn.answer.missing else []
        parts += turn.answer.notes
        parts += [_citation(c) for c in turn.answer.citations]
    return "\n\n".join(parts) + "\n"


def _citation(c: Citation) -> str:
    place = [c.title, *c.heading, f"page {c.page}" if c.page else "", f"sheet {c.sheet}" if c.sheet else ""]
    place += [f"row {c.row}" if c.row else "", f"{c.source}, characters {c.start} to {c.end}", c.support]
    return f"[{c.number}] “{' '.join(c.quote.split())}” — {'; '.join(part for part in dict.fromkeys(place) if part)}"


_TURN: TypeAdapter[Turn] = TypeAdapter(Turn)


def _dump(turn: Turn) -> str:
    return _TURN.dump_json(turn).decode()


def _words(turn: Turn) -> str:
    return _folded(f"{turn.question} {turn.answer.text if turn.answer else turn.text}")


def _turn(kept: str) -> Turn:
    """A turn that an earlier version kept in another form still has its question and text."""
    try:
        return _TURN.validate_json(kept)
    except ValidationError:
        data: Mapping[str, Any] = json.loads(kept)
        answer: Mapping[str, Any] = data.get("answer") or {}
        return Turn(str(data.get("question", "")), text=str(answer.get("text") or data.get("text", "")), stopped=True)


def _folded(text: str) -> str:
    """Small letters without accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in apart if not unicodedata.combining(character))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _unknown(id_: str) -> InputError:
    return InputError(f"No conversation {id_!r}. GET /v1/conversations lists them.", "id")

"""A question under way, and the turn that it becomes. Knows nothing of Gradio."""

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from rag.conversations import Turn
from rag.errors import RagError
from rag.types import QUESTION_CHARACTERS, Delta, Done, Event, Message, Retrieved, Waiting
from ui.words import ENGLISH, Words

log = logging.getLogger(__name__)


class Streams(Protocol):
    def stream(
        self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = (), user: str = "page"
    ) -> Iterator[Event]: ...


class Run:
    """One question under way, in a thread of its own: stopping never waits for a silent model.

    `user`: who asks, among those who take turns.
    """

    def __init__(
        self,
        rag: Streams,
        question: str,
        history: Sequence[Message],
        sources: Sequence[str] = (),
        user: str = "page",
    ) -> None:
        self._items: queue.SimpleQueue[Event | Exception | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self.shown = False  # whether the page has its last word, or is gone
        events = rag.stream(question, history, sources, user)
        threading.Thread(target=self._pump, args=(events,), daemon=True, name="ask").start()

    def stop(self) -> None:
        """The stream is closed at its next event, which ends the model's work; `take` returns at once."""
        self._stopped.set()
        self._items.put(None)

    def take(self, wait_s: float) -> list[Event | Exception]:
        """All that has come, waiting for the first; empty after `wait_s`, or when stopped."""
        try:
            items = [self._items.get(timeout=wait_s)]
        except queue.Empty:
            return []
        while not self._items.empty():
            items.append(self._items.get())
        return [item for item in items if item is not None]

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def _pump(self, events: Iterator[Event]) -> None:
        try:
            for event in events:
                if self._stopped.is_set():
                    break
                self._items.put(event)
            else:
                self._items.put(EOFError("the stream ended without an answer"))
            if close := getattr(events, "close", None):
                close()
        except Exception as error:  # handed over to the page, which shows a failure
            self._items.put(error)


def advance(turn: Turn, item: Event | Exception, words: Words = ENGLISH) -> Turn:
    """The turn after one more event; what comes after its end changes nothing."""
    if turn.over:
        return turn
    match item:
        case Retrieved():
            return replace(turn, standalone_question=item.standalone_question, passages=item.passages)
        case Waiting():
            return turn
        case Delta():
            return replace(turn, text=turn.text + item.text)
        case Done():
            return replace(turn, answer=item.answer, trace=item.trace)
        case RagError():
            return replace(turn, failure=str(item))
        case _:
            log.error("answering failed", exc_info=item)
            return replace(turn, failure=words("unexpected"))


def history_of(turns: Sequence[Turn]) -> list[Message]:
    """Questions and answers as plain text, without marks; what failed or was stopped said nothing."""
    messages = []
    for turn in turns:
        if turn.answer is None:
            continue
        said = " ".join(sentence.text for sentence in turn.answer.sentences) or turn.answer.text
        messages += [Message("user", turn.question), Message("assistant", said)]
    return messages


def problem_with(question: str, words: Words = ENGLISH) -> str:
    """Why a question cannot be sent; empty where it can."""
    if not question.strip():
        return words("no_question")
    if len(question) > QUESTION_CHARACTERS:
        return words("too_long", most=f"{QUESTION_CHARACTERS:,}", n=f"{len(question):,}")
    return ""

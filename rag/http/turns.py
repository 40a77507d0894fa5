"""The queue in front of the model: bounded, and fair between those who ask."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence

from rag.errors import BusyError
from rag.http.opening import Opening
from rag.pipeline import Rag
from rag.types import Event, Message, Waiting

WAITING = 64  # questions that may wait, all in all
WAITING_EACH = 16  # and of one asker
REMOTE_AT_ONCE = 8  # answers that a model elsewhere writes at the same time; the local one writes one after the other
SAY_AGAIN_S = 1.0  # how often a place in the queue is told, which is when a client that went away is noticed
FIRST_GUESS_S = 5.0  # how long an answer takes, before there was one


class Ticket:
    """A question that waits, told apart from others by being itself."""

    def __init__(self, user: str) -> None:
        self.user = user


class Turns:
    """Streams answers as a Rag does, but waits for its turn before the model is asked.

    What can be searched for without the model is searched for first: its evidence is there while it waits. Without a model
    nothing waits.
    """

    def __init__(self, rag: Rag | Opening) -> None:
        self.rag = rag
        self._changed = threading.Condition()
        self._queues: dict[str, deque[Ticket]] = {}  # by asker, in the order of their next turns
        self._running: set[Ticket] = set()
        self._answer_s = FIRST_GUESS_S

    def stream(
        self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = (), user: str = "page"
    ) -> Iterator[Event]:
        """Waiting, where others are before, then what `Rag.stream` gives. Raises BusyError."""
        rag = self.rag.wait() if isinstance(self.rag, Opening) else self.rag
        events = rag.stream(question, history, sources)
        if rag.llm is None:
            yield from events
            return
        at_once = 1 if rag.settings.llm.partition(":")[0] == "local" else REMOTE_AT_ONCE
        ticket = self._join(user)
        try:
            if not rag.asks_first(question, history):
                yield next(events)
            yield from self._wait(ticket, at_once)
            started = time.monotonic()
            yield from events
            self._answer_s += 0.2 * (time.monotonic() - started - self._answer_s)
        finally:
            self._leave(ticket)
            if close := getattr(events, "close", None):
                close()

    def counts(self) -> tuple[int, int]:
        """(answers being written, questions waiting)."""
        with self._changed:
            return len(self._running), sum(map(len, self._queues.values()))

    def _join(self, user: str) -> Ticket:
        with self._changed:
            mine, all_ = len(self._queues.get(user, ())), sum(map(len, self._queues.values()))
            if mine >= WAITING_EACH or all_ >= WAITING:
                what = f"{mine} of your questions are" if mine >= WAITING_EACH else f"{all_} questions are"
                raise BusyError(f"{what} waiting already. Ask again later.", math.ceil(self._answer_s))
            ticket = Ticket(user)
            self._queues.setdefault(user, deque()).append(ticket)
            return ticket

    def _wait(self, ticket: Ticket, at_once: int) -> Iterator[Waiting]:
        while True:
            with self._changed:
                place = self._place(ticket)
                if place == 1 and len(self._running) < at_once:
                    self._begin(ticket)
                    return
            yield Waiting(place)
            with self._changed:
                if self._place(ticket) == place and not (place == 1 and len(self._running) < at_once):
                    self._changed.wait(SAY_AGAIN_S)

    def _begin(self, ticket: Ticket) -> None:
        """Its asker goes to the end of the row."""
        queue = self._queues.pop(ticket.user)
        queue.popleft()
        if queue:
            self._queues[ticket.user] = queue
        self._running.add(ticket)
        self._changed.notify_all()

    def _leave(self, ticket: Ticket) -> None:
        with self._changed:
            self._running.discard(ticket)
            queue = self._queues.get(ticket.user)
            if queue and ticket in queue:
                queue.remove(ticket)
            if queue is not None and not queue:
                del self._queues[ticket.user]
            self._changed.notify_all()

    def _place(self, ticket: Ticket) -> int:
        """From 1. Askers take turns, so before the n-th of one come at most n of each asker before, n - 1 of each after."""
        users = list(self._queues)
        nth = self._queues[ticket.user].index(ticket)
        mine = users.index(ticket.user)
        return (
            1
            + nth
            + sum(min(len(self._queues[user]), nth + (at < mine)) for at, user in enumerate(users) if at != mine)
        )

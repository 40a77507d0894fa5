"""Slow work in a thread of its own, its events, and server-sent events made of them."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

import anyio
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from rag.http.problems import problem_of
from rag.types import Answer, Done, Event, Message, event_as_json

POLL_S = 0.2  # how soon a client that went away is noticed
CLIENT_GONE = 499  # nginx's status for a request that nobody waits for

T = TypeVar("T")
Named = tuple[str, dict[str, Any]]  # an event's name and data


class Streams(Protocol):
    def stream(
        self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = (), user: str = "page"
    ) -> Iterator[Event]: ...


class EventStream(StreamingResponse):
    """Server-sent events. Closes `events`, where the lines come from, also when the client went away."""

    def __init__(self, lines: AsyncIterator[str], events: AsyncGenerator[object]) -> None:
        super().__init__(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self.events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.events.aclose()


async def lines(first: Event | Named | Exception, rest: AsyncIterator[Event | Named | Exception]) -> AsyncIterator[str]:
    yield _line(first)
    async for event in rest:
        yield _line(event)


def _line(event: Event | Named | Exception) -> str:
    if isinstance(event, Exception):
        name, data = "error", problem_of(event)
    else:
        name, data = event if isinstance(event, tuple) else event_as_json(event)
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


class _Gone(Exception):  # noqa: N818 - no error: nobody listens any more
    pass


async def from_thread(work: Callable[[Callable[[T], None]], None]) -> AsyncGenerator[T | Exception]:
    """What `work(put)` puts, as it comes; an exception is the last. Once this is closed, `put` raises _Gone.

    A thread of its own rather than one of the pool's: a slow model must not keep other requests from a thread.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[T | Exception | None] = asyncio.Queue()
    gone = threading.Event()

    def hand_over(item: T | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop was closed: the server has stopped
            loop.call_soon_threadsafe(items.put_nowait, item)

    def put(item: T) -> None:
        if gone.is_set():
            raise _Gone
        hand_over(item)

    def run() -> None:
        try:
            work(put)
        except _Gone:
            pass
        except Exception as error:
            hand_over(error)
        finally:
            hand_over(None)

    # in this context, so that what is measured there belongs to this request
    threading.Thread(target=copy_context().run, args=(run,), daemon=True, name="api").start()
    try:
        while (item := await items.get()) is not None:
            yield item
    finally:
        gone.set()


def answering(
    rag: Streams, question: str, history: Sequence[Message], sources: Sequence[str], user: str
) -> AsyncGenerator[Event | Exception]:
    """The events of an answer; an exception is the last. Closing it stops the model at its next word."""

    def work(put: Callable[[Event], None]) -> None:
        events = rag.stream(question, history, sources, user)
        try:
            for event in events:
                put(event)
        finally:
            if close := getattr(events, "close", None):
                close()

    return from_thread(work)


async def answer_of(request: Request, events: AsyncGenerator[Event | Exception]) -> Answer | None:
    """The last word; None where the client went away, which stops the work. Raises the error that was the last."""
    last: Event | Exception | None = None
    async with anyio.create_task_group() as group, aclosing(events):
        group.start_soon(_cancel_when_gone, request, group.cancel_scope)
        async for event in events:
            last = event
        group.cancel_scope.cancel()
    if isinstance(last, Exception):
        raise last
    return last.answer if isinstance(last, Done) else None


async def _cancel_when_gone(request: Request, scope: anyio.CancelScope) -> None:
    while not await request.is_disconnected():
        await anyio.sleep(POLL_S)
    scope.cancel()

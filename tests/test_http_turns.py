"""The queue in front of the model."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from rag.api import create_app, streams_of
from rag.errors import BusyError, InputError
from rag.http import turns as turns_module
from rag.http.turns import Turns
from rag.pipeline import Rag
from rag.types import Delta, Done, Event, Message, Retrieved, Waiting
from tests.fakes import FakeLLM, fake_rag
from tests.test_page import served

QUESTION = "Who built the lighthouse on Farrow Point?"
SENTENCE = "The lighthouse on Farrow Point was built by Edna Marsh in 1887."
SOON_S = 20


class Held(FakeLLM):
    """Begins an answer and goes on when it is let."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.at_work = self.most = 0

    def answer(self, messages: Sequence[Message]) -> str:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        self.began.release()
        assert self.go.acquire(timeout=SOON_S)
        self.at_work -= 1
        return SENTENCE


class Asking:
    """A question in a thread of its own; `events` as they come."""

    def __init__(self, turns: Turns, user: str, log: list[str], history: Sequence[Message] = ()) -> None:
        self.events: list[Event] = []
        self.user, self.log = user, log
        self.waits = threading.Event()
        self.close = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(turns, history), daemon=True)
        self.thread.start()

    def _run(self, turns: Turns, history: Sequence[Message]) -> None:
        events = turns.stream(QUESTION, history, (), self.user)
        for event in events:
            self.events.append(event)
            if isinstance(event, Waiting):
                self.waits.set()
            if isinstance(event, Done):
                self.log.append(self.user)
            if self.close.is_set():
                break
        events.close()  # type: ignore[attr-defined]

    @property
    def places(self) -> list[int]:
        return list(dict.fromkeys(event.position for event in self.events if isinstance(event, Waiting)))


@pytest.fixture
def llm() -> Held:
    return Held()


@pytest.fixture
def turns(tmp_path: Path, corpus: Path, llm: Held) -> Iterator[Turns]:
    with fake_rag(tmp_path / "home", llm) as rag:
        rag.ingest([corpus])
        yield Turns(rag)


def queued(turns: Turns, *users: str, log: list[str]) -> list[Asking]:
    """The questions in this order, each waiting before the next is asked."""
    asked = []
    for user in users:
        asked.append(Asking(turns, user, log))
        assert asked[-1].waits.wait(SOON_S)
    return asked


def finish(llm: Held, *asked: Asking) -> None:
    for _ in asked:
        llm.go.release()
    for asking in asked:
        asking.thread.join(SOON_S)
        assert not asking.thread.is_alive()


def test_the_model_writes_one_answer_at_a_time_and_each_asker_has_a_turn(turns: Turns, llm: Held) -> None:
    log: list[str] = []
    first = Asking(turns, "ana", log)
    assert llm.began.acquire(timeout=SOON_S)
    rest = queued(turns, "ana", "ana", "ana", "bob", "eve", "bob", log=log)
    assert [asking.places[0] for asking in rest] == [1, 2, 3, 2, 3, 5]
    assert turns.counts() == (1, 6)
    finish(llm, first, *rest)
    assert log == ["ana", "ana", "bob", "eve", "ana", "bob", "ana"]
    assert llm.most == 1
    assert turns.counts() == (0, 0)


def test_who_waits_has_the_evidence_already_and_sees_the_queue_move(turns: Turns, llm: Held) -> None:
    log: list[str] = []
    first = Asking(turns, "ana", log)
    assert llm.began.acquire(timeout=SOON_S)
    second, third = queued(turns, "bob", "eve", log=log)
    assert isinstance(third.events[0], Retrieved)
    assert isinstance(third.events[1], Waiting)
    finish(llm, first, second, third)
    assert third.places == [2, 1]
    kinds = [type(event) for event in first.events]
    assert Waiting not in kinds and kinds[0] is Retrieved and Delta in kinds and kinds[-1] is Done


def test_a_follow_up_asks_the_model_for_nothing_before_its_turn(turns: Turns, llm: Held) -> None:
    log: list[str] = []
    first = Asking(turns, "ana", log)
    assert llm.began.acquire(timeout=SOON_S)
    second = Asking(turns, "bob", log, [Message("user", "What is on Farrow Point?"), Message("assistant", "A light.")])
    assert second.waits.wait(SOON_S)
    assert isinstance(second.events[0], Waiting)
    assert len(llm.prompts) == 1
    for _ in range(3):
        llm.go.release()
    finish(llm, first, second)


def test_who_leaves_the_queue_makes_room(turns: Turns, llm: Held) -> None:
    log: list[str] = []
    first = Asking(turns, "ana", log)
    assert llm.began.acquire(timeout=SOON_S)
    gone, after = queued(turns, "bob", "eve", log=log)
    gone.close.set()
    gone.thread.join(SOON_S)
    assert turns.counts() == (1, 1)
    finish(llm, first, after)
    assert log == ["ana", "eve"]


def test_the_queue_is_bounded_for_one_asker_and_for_all(
    turns: Turns, llm: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns_module, "WAITING", 3)
    monkeypatch.setattr(turns_module, "WAITING_EACH", 2)
    log: list[str] = []
    first = Asking(turns, "ana", log)
    assert llm.began.acquire(timeout=SOON_S)
    waiting = queued(turns, "ana", "ana", log=log)
    with pytest.raises(BusyError, match="2 of your questions") as full:
        next(turns.stream(QUESTION, (), (), "ana"))
    assert full.value.retry_s >= 1
    waiting += queued(turns, "bob", log=log)
    with pytest.raises(BusyError, match="3 questions"):
        next(turns.stream(QUESTION, (), (), "eve"))
    finish(llm, first, *waiting)


def test_a_bad_question_leaves_nothing_in_the_queue(turns: Turns) -> None:
    for ask in (lambda: turns.stream(" "), lambda: turns.stream(QUESTION, (), ["none.md"])):
        with pytest.raises(InputError):
            list(ask())
    assert turns.counts() == (0, 0)


def test_without_a_model_nobody_waits(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([corpus])
        turns = Turns(rag)
        open_streams = [turns.stream(QUESTION) for _ in range(5)]
        assert [type(next(events)) for events in open_streams] == [Retrieved] * 5
        assert turns.counts() == (0, 0)


def test_over_http_a_full_queue_is_429_and_search_goes_on(
    turns: Turns, llm: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns_module, "WAITING_EACH", 1)
    assert isinstance(turns.rag, Rag)
    app = create_app(turns.rag)
    with served(app) as address, httpx.Client(base_url=address, timeout=SOON_S) as client:
        body = {"question": QUESTION}

        def ask(lines: list[str], waits: threading.Event) -> None:
            with client.stream("POST", "/v1/answer/stream", json=body) as response:
                for line in response.iter_lines():
                    lines.append(line)
                    if line == "event: waiting":
                        waits.set()

        def start() -> tuple[threading.Thread, list[str], threading.Event]:
            lines: list[str] = []
            waits = threading.Event()
            thread = threading.Thread(target=ask, args=(lines, waits), daemon=True)
            thread.start()
            return thread, lines, waits

        first, _, _ = start()
        assert llm.began.acquire(timeout=SOON_S)
        second, lines, waits = start()
        assert waits.wait(SOON_S)
        for path in ("/v1/answer", "/v1/answer/stream"):
            refused = client.post(path, json=body)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
        assert client.post("/v1/search", json={"query": "keeper"}).status_code == 200
        assert client.get("/health").status_code == 200
        llm.go.release()
        llm.go.release()
        first.join(SOON_S)
        second.join(SOON_S)
        assert 'data: {"position": 1}' in lines
        assert "event: done" in lines


def test_the_page_asks_through_the_same_queue(turns: Turns, llm: Held) -> None:
    assert isinstance(turns.rag, Rag)
    streams = streams_of(create_app(turns.rag))
    llm.go.release()
    ask: Callable[..., Iterator[Event]] = streams.stream
    assert isinstance(list(ask(QUESTION))[-1], Done)

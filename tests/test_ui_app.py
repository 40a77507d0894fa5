"""What the chat window does between a question and its HTML; the page itself is driven in test_page.py."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from rag.conversations import Turn
from rag.errors import ModelError
from rag.types import Answer, AnswerSentence, Delta, Done, Event, Message, Retrieved
from ui.app import Sent, read_sent
from ui.asking import Run, advance, history_of, problem_with
from ui.words import ENGLISH

ANSWER = Answer(
    question="How many queens?",
    standalone_question="How many queens?",
    status="answered",
    text="One. [1] It is blue. [2]",
    sentences=(AnswerSentence("One.", "quoted", (1,)), AnswerSentence("It is blue.", "supported", (2,))),
    citations=(),
    passages=(),
    model="fake",
    timings={},
    fingerprint="f",
)
REFUSAL = replace(ANSWER, status="not_in_documents", text="The documents do not say.", sentences=())


class Blocking:
    """Says one word, then nothing until `go`; `closed` says that its stream was closed."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.closed = threading.Event()

    def stream(
        self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = (), user: str = "page"
    ) -> Iterator[Event]:
        try:
            yield Delta("One")
            self.go.wait(10)
            yield Delta(" more")
            yield Done(ANSWER)
        finally:
            self.closed.set()


class Silent:
    def stream(
        self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = (), user: str = "page"
    ) -> Iterator[Event]:
        return iter(())


def test_a_turn_grows_with_its_events_and_ends_with_the_answer() -> None:
    turn = advance(Turn("And she?"), Retrieved("How many queens?", ()))
    assert (turn.standalone_question, turn.passages) == ("How many queens?", ())
    turn = advance(advance(turn, Delta("One")), Delta("."))
    assert (turn.text, turn.over) == ("One.", False)
    turn = advance(turn, Done(ANSWER))
    assert (turn.answer, turn.over) == (ANSWER, True)
    assert advance(turn, ModelError("late")) is turn


def test_a_known_error_says_its_message_and_an_unknown_one_does_not(caplog: pytest.LogCaptureFixture) -> None:
    assert advance(Turn("Why?"), ModelError("The model died.")).failure == "The model died."
    assert advance(Turn("Why?"), ValueError("secret")).failure == ENGLISH("unexpected")
    assert "secret" in caplog.text


def test_the_history_is_plain_text_of_what_was_answered() -> None:
    turns = (
        Turn("How many queens?", answer=ANSWER),
        Turn("Failed?", failure="It failed."),
        Turn("Stopped?", text="Half an", stopped=True),
        Turn("How old?", answer=REFUSAL),
    )
    assert history_of(turns) == [
        Message("user", "How many queens?"),
        Message("assistant", "One. It is blue."),
        Message("user", "How old?"),
        Message("assistant", "The documents do not say."),
    ]


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_not_sent(question: str) -> None:
    assert problem_with(question) == "Write a question first."


def test_the_longest_question_is_4000_characters() -> None:
    assert problem_with("x" * 4000) == ""
    assert problem_with("x" * 4001) == "A question can have 4,000 characters; this one has 4,001. Shorten it."


def test_stopping_does_not_wait_for_a_silent_model_and_closes_its_stream() -> None:
    rag = Blocking()
    run = Run(rag, "How many queens?", ())
    assert run.take(5) == [Delta("One")]
    run.stop()
    assert run.take(5) == []
    assert run.stopped
    rag.go.set()
    assert rag.closed.wait(5)
    assert run.take(0.01) == []  # what came after the stop is dropped


def test_a_stream_without_an_end_is_an_error() -> None:
    (error,) = Run(Silent(), "How many queens?", ()).take(5)
    assert isinstance(error, EOFError)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('{"sources": ["a/", "b.md"], "replaces": 2}', Sent(("a/", "b.md"), 2)),
        ('{"sources": null}', Sent(None, 0)),
        ('{"sources": [7, "b.md"], "replaces": -3}', Sent(("b.md",), 0)),
        ('{"replaces": "two"}', Sent()),
        ("[1]", Sent()),
        ("", Sent()),
    ],
)
def test_what_the_browser_sends_with_a_question_is_read_without_trust(text: str, sent: Sent) -> None:
    assert read_sent(text) == sent

"""The load bench against a real server over HTTP, and what it makes of a server that mixes answers up."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from eval.bench_load import load, print_load
from rag.api import create_app
from rag.pipeline import Rag
from tests.fakes import FakeLLM, fake_rag
from tests.test_page import served

QUESTIONS = ("Who built the lighthouse on Farrow Point?", "How large was the wheel of the mill at Lindal?")


def test_many_callers_each_get_the_answer_to_their_own_question(rag: Rag) -> None:
    with served(create_app(rag)) as address:
        result = load(address, QUESTIONS, seconds=2, readers=6, answers=3, memory=lambda: 10.0)
    assert result.sound and result.model == "fake-llm"
    done = {c.kind: len(c.seconds) for c in result.calls}
    assert done.keys() == {"health", "search", "answers"} and min(done.values()) > 0
    console = Console(width=140, record=True)
    print_load(result, console, command="rag bench load", readers=6, answers=3)
    assert "10 MB early" in console.export_text()


def test_without_a_model_half_of_the_readers_ask_too(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([corpus])
        with served(create_app(rag)) as address:
            result = load(address, QUESTIONS, seconds=1, readers=4, answers=1)
    assert {c.kind for c in result.calls} == {"health", "search", "answers", "extractive answers"}


def test_answers_that_are_anothers_are_counted(tmp_path: Path, corpus: Path) -> None:
    class Mixing(Rag):
        def stream(self, question: str, history: Sequence[object] = (), sources: Sequence[str] = ()):  # type: ignore[no-untyped-def,override]
            return super().stream(QUESTIONS[0], (), sources)

    with fake_rag(tmp_path / "home", FakeLLM("It measured 6 metres.")) as rag:
        rag.ingest([corpus])
        rag.__class__ = Mixing
        with served(create_app(rag)) as address:
            result = load(address, QUESTIONS, seconds=1, readers=1, answers=2)
    assert not result.sound
    assert next(c for c in result.calls if c.kind == "answers").mixed > 0

"""The trace of an answer, from the question to the last check, and where it is kept."""

import json
import threading
from pathlib import Path

import pytest

from rag import tracing
from rag.pipeline import Rag
from rag.tracing import Traced, TraceStore, as_trace, explained, usage
from rag.types import Done, Message, ModelCall, Term, Trace
from tests.fakes import FakeLLM, fake_rag

QUESTION = "Who built the lighthouse on Farrow Point?"
TRACE = Trace(
    id="a1",
    asked="2026-01-02T03:04:05+00:00",
    question="And when?",
    standalone_question="When was the mill built?",
    search_text="When was the mill built?",
    parts=("When was the mill built?",),
    language="en",
    search_language="en",
    sources=(),
    terms=(Term("mill", 2.1),),
    found=0,
    candidates=(),
    gate=0.25,
    evidence=(),
    evidence_budget=200,
    calls=(ModelCall((Message("user", "When?"),), 1, "In 1902.", 4, 2.5, first_s=1.0),),
    check=0.9,
    least_check=0.7,
    judged=(),
    status="not_in_documents",
    reason="off_topic",
    model="fake-llm",
    timings={"total_s": 0.1},
    fingerprint="f",
)


def trace_of(rag: Rag, question: str = QUESTION, history: list[Message] | None = None) -> Trace:
    done = [event for event in rag.stream(question, history or []) if isinstance(event, Done)]
    assert done[0].trace is not None
    return done[0].trace


def test_a_trace_tells_what_was_searched_read_and_judged(rag: Rag) -> None:
    trace = trace_of(rag)
    assert trace.search_text == QUESTION
    assert {term.word: term.rarity > 0 for term in trace.terms}["lighthouse"]
    assert trace.candidates[0].source == "lighthouse.md"
    assert trace.candidates[0].fate == "sent"
    assert trace.candidates[0].ranks["lexical"] == 1
    sent = [e.text for e in trace.evidence if e.cut is None]
    assert sent[0] == "The lighthouse on Farrow Point was built by Edna Marsh in 1887."
    assert all(e.tokens > 0 for e in trace.evidence)
    check, answer = trace.calls
    assert check.probability == trace.check == 1.0
    assert sent[0] in answer.messages[-1].content
    assert answer.prompt_tokens > 20
    assert trace.timings["prompt_tokens"] == check.prompt_tokens + answer.prompt_tokens
    assert answer.reply == sent[0]
    assert [(j.support, j.citations, j.score) for j in trace.judged] == [("quoted", (1,), 1.0)]
    assert trace.timings["total_s"] > 0


def test_the_speed_of_an_answer_is_that_of_the_last_reply_that_was_written() -> None:
    def call(reply_tokens: int, total_s: float, first_s: float | None) -> ModelCall:
        return ModelCall((), 100, "", reply_tokens, total_s, first_s)

    assert usage([call(0, 1.0, None)]) == {"prompt_tokens": 100}
    assert usage([call(21, 2.0, 1.0), call(41, 3.0, 1.0)]) == {"prompt_tokens": 200, "tokens_per_s": 20.0}


def test_sentences_that_are_worth_too_little_or_over_the_budget_are_named(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("\n\n".join(f"The ferry to Orrin leaves at {n} on day {n} of the month." for n in range(2, 30)))
    with fake_rag(tmp_path / "home", FakeLLM("At nine."), evidence_tokens=50) as rag:
        rag.ingest([note])
        trace = trace_of(rag, "When does the ferry to Orrin leave?")
    assert {e.cut for e in trace.evidence} == {None, "budget"}
    assert sum(e.tokens for e in trace.evidence if e.cut is None) <= 50


def test_a_copy_of_a_passage_is_named_as_such(tmp_path: Path) -> None:
    text = "The ferry to Orrin leaves at nine from the north pier, and it takes two hours in fair weather."
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(text)
    with fake_rag(tmp_path / "home", FakeLLM("At nine.")) as rag:
        rag.ingest([tmp_path / "a.txt", tmp_path / "b.txt"])
        trace = trace_of(rag, "When does the ferry to Orrin leave?")
    assert [c.fate for c in trace.candidates] == ["sent", "duplicate"]


def test_the_rewriting_of_a_follow_up_is_among_the_calls(rag: Rag) -> None:
    history = [Message("user", QUESTION), Message("assistant", "Edna Marsh.")]
    trace = trace_of(rag, "And when?", history)
    assert len(trace.calls) == 3
    assert "And when?" in trace.calls[0].messages[-1].content


def test_a_refusal_without_a_model_call_has_a_trace_too(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home", FakeLLM("Nothing."), gate=0.99) as rag:
        rag.ingest([corpus])
        trace = trace_of(rag, "Where do penguins sleep in winter?")
    assert (trace.status, trace.reason, trace.calls) == ("not_in_documents", "off_topic", ())


def test_an_answer_names_its_trace_which_outlives_the_program(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home", FakeLLM("Edna Marsh built the lighthouse.")) as rag:
        rag.ingest([corpus])
        answer = rag.ask(QUESTION)
        kept = rag.trace(answer.id)
    with fake_rag(tmp_path / "home") as again:
        assert again.trace(answer.id) == kept
        assert kept is not None
        assert kept.question == QUESTION
        assert again.trace("unknown") is None


def test_only_the_newest_traces_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "KEPT", 2)
    store = TraceStore(tmp_path / "answers.sqlite")
    for name in ("a", "b", "c"):
        store.keep(as_trace(TRACE.as_dict() | {"id": name}))
    assert [name for name in "abc" if store.get(name)] == ["b", "c"]


def test_traces_are_kept_from_many_threads(tmp_path: Path) -> None:
    store = TraceStore(tmp_path / "answers.sqlite")
    traces = [as_trace(TRACE.as_dict() | {"id": str(n)}) for n in range(12)]
    threads = [threading.Thread(target=store.keep, args=(trace,)) for trace in traces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(store.get(trace.id) == trace for trace in traces)


def test_an_answer_stands_where_its_trace_cannot_be_written(
    rag: Rag, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rag.traces = TraceStore(tmp_path / "no" / "such" / "folder" / "answers.sqlite")
    assert rag.ask(QUESTION).status == "answered"
    assert "could not be kept" in caplog.text


def test_a_trace_goes_through_json_unharmed() -> None:
    assert as_trace(json.loads(json.dumps(TRACE.as_dict()))) == TRACE


def test_the_speed_of_writing_leaves_the_wait_for_the_first_word_out() -> None:
    assert TRACE.calls[0].tokens_per_s == 2.0
    assert TRACE.as_dict()["calls"][0]["tokens_per_s"] == 2.0


def test_a_stopped_call_is_kept_and_stops_the_model() -> None:
    llm = FakeLLM("one two three")
    traced = Traced(llm)
    words = traced.stream([Message("user", "Count.")])
    next(words)
    words.close()
    assert llm.closed_early == 1
    assert [(call.reply, call.prompt_tokens) for call in traced.calls] == [("one", 2)]


def test_the_text_form_names_every_stage(rag: Rag) -> None:
    text = explained(trace_of(rag))
    for said in (
        f"Searched for: {QUESTION}",
        "lighthouse.md",
        ": read",
        "Evidence: ",
        "Call 2 of fake-llm: ",
        "probability of 1.000; at least 0.7",
        "quoted 1.00 [1] The lighthouse",
        "Status: answered",
        "total_s",
    ):
        assert said in text

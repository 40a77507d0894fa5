"""The chat window on a page of its own. Gradio is imported where it is used: it takes seconds."""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rag.errors import RagError
from rag.types import QUESTION_CHARACTERS, Delta, Done, Event, Message, Retrieved, Waiting
from ui.render import Turn, render_key, render_notice, render_sources, render_turn

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import FastAPI

SAMPLE_QUESTIONS = (
    "When was CELAC founded, and where?",
    "Who doubts that leaving the OAS is wise, and why?",
    "¿Qué productos llevó México a Cuba en dos barcos?",
    "What did Kamala Harris and López Obrador sign?",
)
TICK_S = 0.25  # longest time without a look at the stop button
STILL_ANSWERING = "An answer is still being written. Wait for it, or stop it, and ask again."
UNEXPECTED = "An unexpected error came up while answering. The log of the server has the details."
HEADER = (
    '<header class="fn-header"><h1>Footnote</h1><p>Ask your documents. Every sentence of an answer carries '
    "a footnote to the exact words that support it, or you are told that the documents do not say.</p></header>"
)

log = logging.getLogger(__name__)


class Streams(Protocol):
    def stream(self, question: str, history: Sequence[Message] = ()) -> Iterator[Event]: ...


class Run:
    """One question under way, in a thread of its own: stopping never waits for a silent model."""

    def __init__(self, rag: Streams, question: str, history: Sequence[Message]) -> None:
        self._items: queue.SimpleQueue[Event | Exception | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self.shown = False  # whether the page has its last word, or is gone
        threading.Thread(target=self._pump, args=(rag, question, history), daemon=True, name="ask").start()

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

    def _pump(self, rag: Streams, question: str, history: Sequence[Message]) -> None:
        try:
            events = rag.stream(question, history)
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


def advance(turn: Turn, item: Event | Exception) -> Turn:
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
            return replace(turn, failure=UNEXPECTED)


def history_of(turns: Sequence[Turn]) -> list[Message]:
    """Questions and answers as plain text, without marks; what failed or was stopped said nothing."""
    messages = []
    for turn in turns:
        if turn.answer is None:
            continue
        said = " ".join(sentence.text for sentence in turn.answer.sentences) or turn.answer.text
        messages += [Message("user", turn.question), Message("assistant", said)]
    return messages


def problem_with(question: str) -> str:
    """Why a question cannot be sent; empty where it can."""
    if not question.strip():
        return "Write a question first."
    if len(question) > QUESTION_CHARACTERS:
        return f"A question can have {QUESTION_CHARACTERS:,} characters; this one has {len(question):,}. Shorten it."
    return ""


def build(rag: Streams, *, examples: Sequence[str] = (), offered: Callable[[], bool] = lambda: True) -> "gr.Blocks":
    """The page's parts and what happens between them. Style, script and theme come in with `mount`.

    `offered` is asked at each visit whether the examples fit what is indexed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read by gradio when it is imported
    import gradio as gr

    blocks = gr.Blocks(title="Footnote", analytics_enabled=False, fill_width=True)
    with blocks:
        turns = gr.State(())
        run = gr.State(None)
        gr.HTML(HEADER, elem_id="fn-top", apply_default_css=False)
        with gr.Row(elem_id="fn-main"):
            with gr.Column(elem_id="fn-chat"):
                past = gr.HTML(elem_id="fn-past", apply_default_css=False)
                current = gr.HTML(elem_id="fn-current", apply_default_css=False)
                with gr.Column(elem_id="fn-examples", visible=bool(examples)) as example_list:
                    gr.HTML("<p>For instance:</p>", apply_default_css=False)
                    buttons = [gr.Button(example, elem_classes="fn-example") for example in examples]
            with gr.Column(elem_id="fn-sources"):
                current_sources = gr.HTML(elem_id="fn-current-sources", apply_default_css=False)
                past_sources = gr.HTML(elem_id="fn-past-sources", apply_default_css=False)
                gr.HTML(render_key(), apply_default_css=False)
            with gr.Column(elem_id="fn-composer"):
                notice = gr.HTML(elem_id="fn-notice", apply_default_css=False)
                with gr.Row(elem_id="fn-line"):
                    box = gr.Textbox(
                        placeholder="Ask the documents…",
                        label="Question",
                        show_label=False,
                        container=False,
                        lines=1,
                        max_lines=6,
                        autofocus=True,
                        elem_id="fn-box",
                    )
                    send = gr.Button("Ask", variant="primary", elem_id="fn-send")
                    stop = gr.Button("Stop", variant="stop", visible=False, elem_id="fn-stop")
                    clear = gr.Button("Clear", variant="secondary", elem_id="fn-clear")

        def ask(question: str, turns_before: tuple[Turn, ...], before: Run | None) -> Iterator[dict[Any, Any]]:
            problem = STILL_ANSWERING if before and not before.shown else problem_with(question)
            if problem:
                yield {notice: render_notice(problem)}
                return
            begun = time.monotonic()
            turn = Turn(question.strip())
            number = len(turns_before) + 1
            running = Run(rag, turn.question, history_of(turns_before))
            try:
                yield {
                    past: "".join(render_turn(t, i) for i, t in enumerate(turns_before, 1)),
                    past_sources: "".join(render_sources(t, i) for i, t in enumerate(turns_before, 1)),
                    current: render_turn(turn, number),
                    current_sources: render_sources(turn, number),
                    run: running,
                    box: "",
                    notice: "",
                    example_list: gr.Column(visible=False),
                    send: gr.Button(visible=False),
                    stop: gr.Button(visible=True),
                    clear: gr.Button(interactive=False),
                }
                while not turn.over:
                    searched = turn.passages
                    for item in running.take(TICK_S):
                        turn = advance(turn, item)
                    if running.stopped and not turn.over:
                        turn = replace(turn, stopped=True)
                    update: dict[Any, Any] = {current: render_turn(turn, number, waited_s=time.monotonic() - begun)}
                    if turn.over or turn.passages is not searched:
                        update[current_sources] = render_sources(turn, number)
                    if turn.over:  # with the last words, so that whoever reads them can ask on
                        update |= {turns: (*turns_before, turn), run: None, clear: gr.Button(interactive=True)}
                        update |= {send: gr.Button(visible=True), stop: gr.Button(visible=False)}
                    yield update
            finally:
                running.stop()
                running.shown = True

        def stop_running(running: Run | None) -> None:
            if running is not None:
                running.stop()

        def start_over() -> dict[Any, Any]:
            return {
                turns: (),
                **dict.fromkeys((past, past_sources, current, current_sources, notice), ""),
                example_list: gr.Column(visible=bool(examples) and offered()),
            }

        shown = [past, past_sources, current, current_sources, turns, run, box, notice, example_list, send, stop, clear]
        # `multiple`: with `once` the browser drops a question that is sent before the last answer's event has ended.
        asking: dict[str, Any] = {"outputs": shown, "show_progress": "hidden", "concurrency_limit": None}
        asking |= {"trigger_mode": "multiple", "api_visibility": "private"}
        quick: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
        blocks.load(lambda: gr.Column(visible=bool(examples) and offered()), None, example_list, **quick)
        gr.on([send.click, box.submit], ask, [box, turns, run], **asking)
        for button, example in zip(buttons, examples, strict=True):
            button.click(ask, [gr.State(example), turns, run], **asking)
        stop.click(stop_running, [run], None, **quick)
        clear.click(
            start_over, None, [past, past_sources, current, current_sources, turns, notice, example_list], **quick
        )
    return blocks


def mount(
    app: "FastAPI", rag: Streams, *, examples: Sequence[str] = (), offered: Callable[[], bool] = lambda: True
) -> "FastAPI":
    """The chat window at "/" of `app`. Call it last: it answers every path that no route before it takes."""
    blocks = build(rag, examples=examples, offered=offered)
    import gradio as gr

    here = Path(__file__).parent
    style = (here / "style.css").read_text(encoding="utf-8")
    # plain strings, since a font object of gradio's would load a font
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
        body_background_fill="#fbfaf6",
        body_background_fill_dark="#171613",
        body_text_color="#211e1a",
        body_text_color_dark="#e8e3d8",
    )
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=theme,
        head=f"{ICON}<style>{style}</style>",  # `css=` would rewrite the selectors
        js=(here / "page.js").read_text(encoding="utf-8"),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        max_file_size=1,  # the page takes no files
    )
    return app


ICON = (
    '<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=%27http://www.w3.org/2000/svg%27 viewBox=%270 0 32 32%27%3E'
    "%3Crect width=%2732%27 height=%2732%27 rx=%277%27 fill=%27%231f4a63%27/%3E%3Ctext x=%2716%27 y=%2724%27 "
    "font-family=%27Georgia,serif%27 font-size=%2724%27 fill=%27%23fbfaf6%27 text-anchor=%27middle%27%3E1%3C/text%3E"
    '%3C/svg%3E">'
)

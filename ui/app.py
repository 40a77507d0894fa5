"""The chat window on a page of its own. Gradio is imported where it is used: it takes seconds."""

import importlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.client import size_of
from rag.conversations import Conversations, Turn
from rag.errors import InputError, StoreError
from rag.http.access import caller_of
from rag.http.conversations import Readers, owner_of
from rag.http.evals import RUN, Evaluates
from rag.index import Stored
from rag.keys import allows
from rag.types import Waiting
from ui.asking import Run, Streams, advance, history_of, problem_with
from ui.documents import SHOWN, render_documents, render_documents_view
from ui.evals import render_evals_view, render_run, render_start
from ui.render import esc, render_key, render_notice, render_sources, render_turn
from ui.side import render_conversations, render_pick
from ui.words import NAMES, WORDS, Language, Words, language_of

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
VIEWS = ("ask", "documents", "evals")
WANTED = "() => [new URLSearchParams(location.search).get('c') ?? '', null]"

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "documents.js", "evals.js")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """What page.js sends with a question: the checked sources (none: all), and the turn that it replaces (0: none)."""

    sources: tuple[str, ...] | None = ()  # None: every box is unchecked
    replaces: int = 0


def read_sent(text: str) -> Sent:
    """Anything that page.js would not write counts as nothing."""
    try:
        data = json.loads(text)
        sources = data.get("sources", [])
        picked = None if sources is None else tuple(s for s in sources if isinstance(s, str))
        return Sent(picked, max(0, int(data.get("replaces", 0))))
    except (ValueError, TypeError, AttributeError):
        return Sent()


def build(
    rag: Streams,
    kept: Conversations,
    words: Words,
    *,
    examples: Sequence[str] = (),
    offered: Callable[[], bool] = lambda: True,
    megabytes: int = 100,
) -> "gr.Blocks":
    """The page's parts and what happens between them. Style, script and theme come in with `mount`.

    `offered` is asked at each visit whether the examples fit what is indexed. `megabytes`: of the largest file taken.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read by gradio when it is imported
    os.environ.setdefault("MPLBACKEND", "agg")  # gradio asks matplotlib, which would look for a screen
    import gradio as gr

    blocks = gr.Blocks(title="Footnote", analytics_enabled=False, fill_width=True)
    with blocks:
        turns = gr.State(())
        run = gr.State(None)
        key = gr.State("")  # of the open conversation; empty: none is kept yet
        sent = gr.Textbox(visible="hidden")  # page.js fills it as a question is sent
        opened = gr.HTML(elem_id="fn-opened", apply_default_css=False)  # tells page.js the key
        gr.HTML(_header(words), elem_id="fn-top", apply_default_css=False)
        gr.HTML(render_documents_view(words, megabytes), elem_id="fn-documents", apply_default_css=False)
        gr.HTML(render_evals_view(words), elem_id="fn-evals", apply_default_css=False)
        with gr.Row(elem_id="fn-main"):
            with gr.Column(elem_id="fn-side"):
                gr.HTML(_side(words), apply_default_css=False)
            with gr.Column(elem_id="fn-chat"):
                past = gr.HTML(elem_id="fn-past", apply_default_css=False)
                current = gr.HTML(elem_id="fn-current", apply_default_css=False)
                with gr.Column(elem_id="fn-examples", visible=bool(examples)) as example_list:
                    gr.HTML(f"<p>{words('for_instance')}</p>", apply_default_css=False)
                    buttons = [gr.Button(example, elem_classes="fn-example") for example in examples]
            with gr.Column(elem_id="fn-sources"):
                current_sources = gr.HTML(elem_id="fn-current-sources", apply_default_css=False)
                past_sources = gr.HTML(elem_id="fn-past-sources", apply_default_css=False)
                gr.HTML(render_key(words), apply_default_css=False)
            with gr.Column(elem_id="fn-composer"):
                notice = gr.HTML(elem_id="fn-notice", apply_default_css=False)
                gr.HTML(_editing(words), apply_default_css=False)
                with gr.Row(elem_id="fn-line"):
                    box = gr.Textbox(
                        placeholder=words("placeholder"),
                        label=words("question"),
                        show_label=False,
                        container=False,
                        lines=1,
                        max_lines=6,
                        autofocus=True,
                        elem_id="fn-box",
                    )
                    send = gr.Button(words("ask"), variant="primary", elem_id="fn-send")
                    stop = gr.Button(words("stop"), variant="stop", visible=False, elem_id="fn-stop")
                # pressed by page.js
                again = gr.Button(words("do.again"), visible="hidden", elem_id="fn-again")
                reopen = gr.Button("Open", visible="hidden", elem_id="fn-reopen")

        def ask(
            question: str,
            sent_text: str,
            turns_before: tuple[Turn, ...],
            before: Run | None,
            open_key: str,
            request: gr.Request,
        ) -> Iterator[dict[Any, Any]]:
            told = read_sent(sent_text)
            problem = words("still_answering") if before and not before.shown else problem_with(question, words)
            if problem := problem or ("" if told.sources is not None else words("no_source")):
                yield {notice: render_notice(problem)}
                return
            begun = time.monotonic()
            if told.replaces:
                turns_before = turns_before[: told.replaces - 1]
            turn = Turn(question.strip(), sources=told.sources or ())
            number = len(turns_before) + 1
            owner = _owner(request)
            keep = _Keeping(kept, owner, open_key, turns_before, words("not_kept"))
            running = Run(rag, turn.question, history_of(turns_before), turn.sources, owner)
            place = 0
            try:
                keep.put(turn)
                yield {
                    **shown_past(turns_before),
                    current: render_turn(turn, number, words),
                    current_sources: render_sources(turn, number, words),
                    run: running,
                    key: keep.key,
                    opened: _key(keep.key),
                    box: "",
                    notice: render_notice(keep.problem),
                    example_list: gr.Column(visible=False),
                    send: gr.Button(visible=False),
                    stop: gr.Button(visible=True),
                }
                while not turn.over:
                    searched = turn.passages
                    for item in running.take(TICK_S):
                        place = item.position if isinstance(item, Waiting) else 0
                        turn = advance(turn, item, words)
                    if running.stopped and not turn.over:
                        turn = replace(turn, stopped=True)
                    update: dict[Any, Any] = {
                        current: render_turn(turn, number, words, waited_s=time.monotonic() - begun, place=place)
                    }
                    if turn.over or turn.passages is not searched:
                        update[current_sources] = render_sources(turn, number, words)
                    if turn.over:  # with the last words, so that whoever reads them can ask on
                        keep.put(turn)
                        update |= {turns: (*turns_before, turn), run: None}
                        update |= {key: keep.key, opened: _key(keep.key)}
                        update |= {send: gr.Button(visible=True), stop: gr.Button(visible=False)}
                        update |= {notice: render_notice(keep.problem)} if keep.problem else {}
                    yield update
            finally:
                if not turn.over:  # the page is gone
                    keep.put(replace(turn, stopped=True))
                running.stop()
                running.shown = True

        def ask_again(
            sent_text: str, turns_before: tuple[Turn, ...], before: Run | None, open_key: str, request: gr.Request
        ) -> Iterator[dict[Any, Any]]:
            number = read_sent(sent_text).replaces
            if 1 <= number <= len(turns_before):
                question = turns_before[number - 1].question
                yield from ask(question, sent_text, turns_before, before, open_key, request)

        def stop_running(running: Run | None) -> None:
            if running is not None:
                running.stop()

        def shown_past(before: Sequence[Turn]) -> dict[Any, Any]:
            return {
                past: "".join(render_turn(t, i, words) for i, t in enumerate(before, 1)),
                past_sources: "".join(render_sources(t, i, words) for i, t in enumerate(before, 1)),
            }

        def open_kept(wanted: str, before: Run | None, request: gr.Request) -> dict[Any, Any]:
            """The conversation that the page's address names; an address without one begins anew."""
            if before and not before.shown:
                return {notice: render_notice(words("still_answering"))}
            held: tuple[Turn, ...] = ()
            problem = ""
            if wanted:
                try:
                    _, held = kept.get(_owner(request), wanted)
                except (InputError, StoreError) as error:
                    problem = words("unknown_here") if isinstance(error, InputError) else str(error)
            last, number = held[-1:], len(held)
            return {
                **shown_past(held[:-1]),
                current: "".join(render_turn(turn, number, words) for turn in last),
                current_sources: "".join(render_sources(turn, number, words) for turn in last),
                turns: held,
                key: wanted if held else "",
                opened: _key(wanted if held else ""),
                notice: render_notice(problem),
                example_list: gr.Column(visible=not held and bool(examples) and offered()),
            }

        asks = [sent, turns, run, key]
        chat = [past, past_sources, current, current_sources, turns, key, opened, notice, example_list]
        shown = [*chat, run, box, send, stop]
        # `multiple`: with `once` the browser drops a question that is sent before the last answer's event has ended.
        asking: dict[str, Any] = {"outputs": shown, "show_progress": "hidden", "concurrency_limit": None}
        asking |= {"trigger_mode": "multiple", "api_visibility": "private"}
        quick: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
        opening: dict[str, Any] = {"js": WANTED, **quick}
        blocks.load(open_kept, [sent, run], chat, **opening)
        reopen.click(open_kept, [sent, run], chat, **opening)
        with_sent = "(question, sent, ...rest) => [question, window.footnote.sent(), ...rest]"
        gr.on([send.click, box.submit], ask, [box, *asks], js=with_sent, **asking)
        for button, example in zip(buttons, examples, strict=True):
            button.click(ask, [gr.State(example), *asks], js=with_sent, **asking)
        again.click(ask_again, asks, js="(sent, ...rest) => [window.footnote.sent(), ...rest]", **asking)
        stop.click(stop_running, [run], None, **quick)
    return blocks


class _Keeping:
    """Keeps a turn as it goes on. Where that fails the answer is shown all the same, and the reader is told."""

    def __init__(self, kept: Conversations, owner: str, key: str, before: tuple[Turn, ...], not_kept: str) -> None:
        self._kept, self._owner, self._before, self._not_kept = kept, owner, before, not_kept
        self.key = key
        self.problem = ""

    def put(self, turn: Turn) -> None:
        try:
            self.key = self._kept.put(self._owner, self.key, (*self._before, turn))
        except StoreError as error:
            log.warning("a turn was not kept", exc_info=error)
            self.problem = f"{self._not_kept} {error}"


class _InLanguage:
    """The page in the language that a browser chose or asks for; what its page asks later goes to the same one."""

    def __init__(self, pages: Mapping[Language, ASGIApp]) -> None:
        self.pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.pages[_language(scope)](scope, receive, send)


def _language(scope: Scope) -> Language:
    headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
    return language_of(headers.get(b"cookie", ""), headers.get(b"accept-language", ""))


def _header(words: Words) -> str:
    links = "".join(
        f'<a href="/{"" if view == "ask" else f"?v={view}"}" data-view="{view}">{words(f"view.{view}")}</a>'
        for view in VIEWS
    )
    languages = "".join(
        f'<button type="button" data-language="{language}" lang="{language}" '
        f'aria-pressed="{str(language == words.language).lower()}">{name}</button>'
        for language, name in NAMES.items()
    )
    return (
        f'<header class="fn-header"><h1>Footnote</h1><p>{words("tagline")}</p>'
        f'<nav class="fn-views" aria-label="{words("views")}">{links}</nav>'
        f'<div class="fn-languages" role="group" aria-label="{words("language")}">{languages}</div></header>'
    )


def _side(words: Words) -> str:
    return (
        f'<a class="fn-new" href="/">{words("new")}</a><details class="fn-drawer" open><summary>{words("side")}</summary>'
        f'<nav aria-label="{words("conversations")}"><input type="search" id="fn-search" autocomplete="off" '
        f'placeholder="{words("search_conversations")}" aria-label="{words("search_conversations")}">'
        f'<div id="fn-conversations" aria-live="polite"></div></nav><section aria-label="{words("sources_to_ask")}">'
        f'<h3>{words("ask_only")}</h3><div id="fn-pick"></div></section></details>'
    )


def _editing(words: Words) -> str:
    keep = f'<button type="button" class="fn-keep">{words("keep_them")}</button>'
    return f'<p class="fn-editing">{words("replacing")} {keep}</p>'


def _script(words: Words) -> str:
    """The scripts as the one function that Gradio calls: page.js is given the words and hands on what the others share."""
    page, *others = ((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    rest = "".join(f"({other})(page);\n" for other in others)
    return f"() => {{\nconst page = ({page})({json.dumps(words.for_scripts())});\n{rest}}}"


def _owner(request: "gr.Request") -> str:
    """Of an event of the page: gradio keeps the request that brought it."""
    caller = request.request.scope.get("caller") if request.request else None
    return owner_of(request.headers.get("cookie"), caller)


def _key(key: str) -> str:
    return f'<data value="{esc(key)}"></data>'


def mount(
    app: "FastAPI",
    rag: Streams,
    kept: Conversations,
    *,
    documents: Callable[[], Sequence[Stored] | None] = lambda: None,
    examples: Sequence[str] = (),
    offered: Callable[[], bool] = lambda: True,
    megabytes: int = 100,
    evals: Evaluates | None = None,
) -> "FastAPI":
    """The chat window at "/" of `app`. Call it last: it answers every path that no route before it takes.

    `documents` gives what is indexed, None while that is not known.
    """
    # Gradio's first event imports it, on the thread that serves everybody.
    threading.Thread(target=importlib.import_module, args=("matplotlib",), daemon=True).start()
    import gradio as gr
    from fastapi import Request
    from fastapi.responses import HTMLResponse

    def words_of(request: Request) -> Words:
        return WORDS[_language(request.scope)]

    def conversations(request: Request, search: str = "") -> HTMLResponse:
        found = kept.listed(owner_of(request.headers.get("cookie"), caller_of(request)), search)
        return HTMLResponse(render_conversations(found, search, words_of(request)))

    def pick(request: Request) -> HTMLResponse:
        return HTMLResponse(render_pick(documents(), words_of(request)))

    def stored(request: Request, search: str = "") -> HTMLResponse:
        found = documents()
        if found is not None and search.strip():
            found = [
                d for d in found if all(word in f"{d.source} {d.title}".lower() for word in search.lower().split())
            ]
        sizes = [size_of(d.path) for d in (found or ())[:SHOWN]]
        writes = allows(caller_of(request).scope, "write")
        return HTMLResponse(render_documents(found, sizes, words_of(request), writes=writes, search=search.strip()))

    def runs(request: Request) -> HTMLResponse:
        counts, held = (evals.questions(), evals.listed()) if evals else ({}, ())
        writes = allows(caller_of(request).scope, "write")
        return HTMLResponse(render_start(counts, held, words_of(request), writes=writes))

    def run(request: Request, id: str) -> HTMLResponse:
        found = evals.get(id) if evals and RUN.fullmatch(id) else None
        return HTMLResponse(render_run(found, words_of(request)) if found else "", 200 if found else 404)

    app.get("/page/evals", include_in_schema=False)(runs)
    app.get("/page/evals/{id}", include_in_schema=False)(run)
    for part in (conversations, pick, stored):
        app.get(f"/page/{part.__name__}", include_in_schema=False)(part)
    app.add_middleware(Readers)
    style = (HERE / "style.css").read_text(encoding="utf-8")
    # plain strings, since a font object of gradio's would load a font
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
        body_background_fill="#fbfaf6",
        body_background_fill_dark="#171613",
        body_text_color="#211e1a",
        body_text_color_dark="#e8e3d8",
    )
    for words in WORDS.values():
        gr.mount_gradio_app(
            app,
            build(rag, kept, words, examples=examples, offered=offered, megabytes=megabytes),
            path="/",
            theme=theme,
            head=f"{ICON}<style>{style}</style>",  # `css=` would rewrite the selectors
            js=_script(words),
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            show_error=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            max_file_size=1,  # what is uploaded goes to /v1/documents
        )
    pages = [route for route in app.routes if isinstance(route, Mount) and route.path == ""]
    for route in pages:
        app.routes.remove(route)
    app.mount("/", _InLanguage(dict(zip(WORDS, (route.app for route in pages), strict=True))))
    return app


ICON = (
    '<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=%27http://www.w3.org/2000/svg%27 viewBox=%270 0 32 32%27%3E'
    "%3Crect width=%2732%27 height=%2732%27 rx=%277%27 fill=%27%231f4a63%27/%3E%3Ctext x=%2716%27 y=%2724%27 "
    "font-family=%27Georgia,serif%27 font-size=%2724%27 fill=%27%23fbfaf6%27 text-anchor=%27middle%27%3E1%3C/text%3E"
    '%3C/svg%3E">'
)

"""The answer endpoint: `create_app(rag)` is the whole HTTP interface but for the chat page."""

import asyncio
import http
import json
import logging
import secrets
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import anyio
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from fastapi_offline import FastAPIOffline
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.conversations import Conversations
from rag.errors import (
    DiskFullError,
    EmptyIndexError,
    InputError,
    InUseError,
    ModelError,
    ModelTimeout,
    RagError,
    StoreError,
)
from rag.http.conversations import conversations_router
from rag.pipeline import Progress, Rag
from rag.tracing import KEPT
from rag.types import Done, Event, Message, event_as_json

log = logging.getLogger(__name__)

STATUS_OF = {  # the first that fits
    EmptyIndexError: 409,
    InUseError: 409,
    DiskFullError: 507,
    StoreError: 500,
    ModelTimeout: 504,
    ModelError: 502,
    InputError: 422,
}
PROBLEM = "application/problem+json"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
POLL_S = 0.2  # how soon a client that went away is noticed

T = TypeVar("T")
Named = tuple[str, dict[str, Any]]  # an event's name and data
Body = ConfigDict(extra="forbid")


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("Half a character (a lone surrogate): not valid Unicode") from None
    return text


Text = Annotated[str, AfterValidator(_whole)]


class Turn(BaseModel):
    model_config = Body
    role: Literal["user", "assistant"]
    content: Text


class AnswerRequest(BaseModel):
    model_config = Body
    question: Text = Field(description="1 to 4,000 characters", examples=["What did the board decide?"])
    history: list[Turn] = Field(default=[], description="the conversation so far, oldest first")
    sources: list[str] = Field(default=[], description="only these: exact sources, or folders with a slash at the end")


class SearchRequest(BaseModel):
    model_config = Body
    query: Text
    k: int = Field(default=10, ge=1, le=100)
    sources: list[str] = []


class DiagnoseRequest(BaseModel):
    model_config = Body
    question: Text
    expected: Text = Field(description="a sentence of the documents that the answer should rest on")


class IngestRequest(BaseModel):
    model_config = Body
    paths: list[str] = Field(description="absolute paths on this machine")
    prune: bool = False
    only: list[str] | None = Field(
        default=None, description="of what lies under the paths, only these files and folders"
    )


class RemoveRequest(BaseModel):
    model_config = Body
    sources: list[str]


class Opening:
    """A Rag that is being opened in a thread, so that the page is there first. Its calls wait for it."""

    def __init__(self, opener: Callable[[], Rag]) -> None:
        self._opener = opener
        self._opened = threading.Event()
        self._rag: Rag | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._open, name="opening", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        return self._rag is not None

    def wait(self) -> Rag:
        """Raises what stopped the opening."""
        self._opened.wait()
        if self._rag is None:
            raise self.error or StoreError("The index could not be opened.")
        return self._rag

    def stream(self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = ()) -> Iterator[Event]:
        return self.wait().stream(question, history, sources)

    def close(self) -> None:
        self._opened.wait()
        if self._rag:
            self._rag.close()

    def _open(self) -> None:
        try:
            self._rag = self._opener()
        except BaseException as error:
            self.error = error
            if not isinstance(error, RagError):
                log.error("The index could not be opened", exc_info=error)
        finally:
            self._opened.set()


def create_app(
    rag: Rag | Opening,
    *,
    token: str | None = None,
    host: str = "127.0.0.1",
    conversations: Conversations | None = None,
) -> FastAPI:
    """`token` opens the calls that change documents; without one they are closed. `host` is where it is served."""
    app = FastAPIOffline(  # its /docs page brings its own scripts: the plain one loads them from another host
        title="Footnote",
        version=version("footnote-rag"),
        description=__doc__ or "",
        redoc_url=None,
        static_url="/docs-assets",
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.add_middleware(SameOrigin, host=host)
    _add_errors(app)
    opened: Callable[[], Rag] = rag.wait if isinstance(rag, Opening) else lambda: rag
    ingesting = Lock()  # one at a time: each decides by what is stored when it starts
    problems: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "content": {PROBLEM: {}}}
        for code, text in {
            409: "nothing is indexed",
            422: "bad input",
            502: "model failed",
            504: "model timed out",
        }.items()
    }

    def admin(request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token or not secrets.compare_digest(given.encode(), token.encode()):
            needed = "This call needs the token of the running server."
            raise HTTPException(401, needed, headers={"WWW-Authenticate": "Bearer"})

    @app.get("/health", summary="Whether questions can be answered")
    async def health() -> Response:
        if isinstance(rag, Opening) and not rag.ready:
            reason = str(rag.error) if rag.error else "starting"
            return JSONResponse({"status": "failed" if rag.error else "starting", "reasons": [reason]}, 503)
        return JSONResponse({"status": "ready"})

    @app.post("/v1/answer", summary="A cited answer", responses=problems)
    async def answer(request: Request, body: AnswerRequest) -> JSONResponse:
        last: Event | Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_when_gone, request, group.cancel_scope)
            async for event in _answering(opened, body):
                last = event
            group.cancel_scope.cancel()
        if isinstance(last, Exception):
            raise last
        return JSONResponse(last.answer.as_dict() if isinstance(last, Done) else {})

    @app.post("/v1/answer/stream", summary="A cited answer as server-sent events", responses=problems)
    async def answer_stream(body: AnswerRequest) -> StreamingResponse:
        events = _answering(opened, body)
        first = await anext(events)
        if isinstance(first, Exception):  # nothing was sent yet: it can still be a plain problem
            raise first
        return EventStream(_lines(first, events), events)

    @app.get("/v1/answers/{answer_id}/trace", summary="How a recent answer came about")
    def trace(answer_id: str) -> dict[str, Any]:
        if found := opened().trace(answer_id):
            return found.as_dict()
        raise HTTPException(404, f"No answer {answer_id!r} is kept: it is older than the last {KEPT:,}, or never was.")

    @app.post("/v1/search", summary="The best passages", responses=problems)
    def search(body: SearchRequest) -> dict[str, Any]:
        return {"passages": [hit.as_dict() for hit in opened().search(body.query, body.k, body.sources)]}

    @app.post("/v1/diagnose", summary="Where a sentence was lost on its way into the answer", responses=problems)
    def diagnose(body: DiagnoseRequest) -> dict[str, Any]:
        return opened().diagnose(body.question, body.expected).as_dict()

    @app.get("/v1/documents", summary="What is indexed")
    def documents() -> dict[str, Any]:
        return {"documents": [stored.as_dict() for stored in opened().documents()]}

    @app.get("/v1/documents/text", summary="The text that every offset points into", response_class=PlainTextResponse)
    def text(source: Annotated[str, Query()]) -> PlainTextResponse:
        return PlainTextResponse(opened().text(source))

    @app.post("/v1/documents/remove", summary="Takes documents out of the index", dependencies=[Depends(admin)])
    def remove(body: RemoveRequest) -> dict[str, Any]:
        opened().remove(body.sources)
        return {"removed": body.sources}

    @app.post("/v1/ingest", summary="Brings files of this machine in, as events", dependencies=[Depends(admin)])
    async def ingest(body: IngestRequest) -> StreamingResponse:
        events = _ingesting(opened, body, turn=ingesting)
        return EventStream(_lines(await anext(events), events), events)

    if conversations:
        app.include_router(conversations_router(conversations))

    @app.api_route("/v1/{_:path}", methods=[*http.HTTPMethod], include_in_schema=False)
    def unknown(request: Request) -> None:
        """Before the chat page is asked, which is mounted behind and has answers of its own."""
        routes = [r for r in app.routes if isinstance(r, Route) and r.path == request.url.path]
        if not routes:
            raise HTTPException(404, f"There is no {request.url.path}; /docs lists what there is.")
        allowed = ", ".join(sorted({method for route in routes for method in route.methods or ()}))
        raise HTTPException(405, f"{request.url.path} takes {allowed}.", headers={"Allow": allowed})

    return app


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


async def _lines(
    first: Event | Named | Exception, rest: AsyncIterator[Event | Named | Exception]
) -> AsyncIterator[str]:
    yield _line(first)
    async for event in rest:
        yield _line(event)


def _line(event: Event | Named | Exception) -> str:
    if isinstance(event, Exception):
        name, data = "error", problem_of(event)
    else:
        name, data = event if isinstance(event, tuple) else event_as_json(event)
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def problem_of(error: Exception) -> dict[str, Any]:
    """An error as a problem document (RFC 9457) with `errors: [{field, message}]`."""
    if not isinstance(error, RagError):
        log.error("unexpected error", exc_info=error)
        return _problem(500, "An unexpected error; the log has it.")
    status = next((code for kind, code in STATUS_OF.items() if isinstance(error, kind)), 500)
    fields = [{"field": error.field, "message": str(error)}] if isinstance(error, InputError) else []
    return _problem(status, str(error), fields)


def _problem(status: int, detail: str, errors: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    title = http.HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, "errors": list(errors)}


def _respond(problem: dict[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem, problem["status"], headers, media_type=PROBLEM)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RagError)
    async def ours(_: Request, error: RagError) -> Response:
        return _respond(problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        errors = [{"field": _field(e), "message": str(e["msg"])} for e in error.errors()]
        return _respond(_problem(422, "; ".join(f"{e['field']}: {e['message']}" for e in errors), errors))

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return _respond(_problem(error.status_code, str(error.detail)), error.headers)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        return _respond(problem_of(error))


def _field(error: Mapping[str, Any]) -> str:
    """`history.0.role` of a validation error; `body` where the whole body is at fault (then `loc` has a position)."""
    names = error["loc"][1:]
    return "body" if error["type"] == "json_invalid" or not names else ".".join(map(str, names))


async def _cancel_when_gone(request: Request, scope: anyio.CancelScope) -> None:
    while not await request.is_disconnected():
        await anyio.sleep(POLL_S)
    scope.cancel()


def _answering(opened: Callable[[], Rag], body: AnswerRequest) -> AsyncGenerator[Event | Exception]:
    """The events of an answer; an exception is the last. Closing it stops the model at its next word."""

    def work(put: Callable[[Event], None]) -> None:
        history = [Message(turn.role, turn.content) for turn in body.history]
        events = opened().stream(body.question, history, body.sources)
        try:
            for event in events:
                put(event)
        finally:
            if close := getattr(events, "close", None):
                close()

    return _from_thread(work)


def _ingesting(opened: Callable[[], Rag], body: IngestRequest, turn: Lock) -> AsyncGenerator[Named | Exception]:
    """Events `progress` {done, total, path}, then `done` with the report. Closing it ends the ingest at its next file.

    What is finished then is kept.
    """

    def work(put: Callable[[Named], None]) -> None:
        def progress(p: Progress) -> None:
            put(("progress", {"done": p.done, "total": p.total, "path": p.path}))

        with turn:
            only = None if body.only is None else set(map(Path, body.only))
            paths = [Path(path) for path in body.paths]
            report = opened().ingest(paths, prune=body.prune, only=only, progress=progress)
        put(("done", report.as_dict()))

    return _from_thread(work)


class _Gone(Exception):  # noqa: N818 - no error: nobody listens any more
    pass


async def _from_thread(work: Callable[[Callable[[T], None]], None]) -> AsyncGenerator[T | Exception]:
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

    threading.Thread(target=run, daemon=True, name="api").start()
    try:
        while (item := await items.get()) is not None:
            yield item
    finally:
        gone.set()


class SameOrigin:
    """Refuses requests that another web page makes a browser send: a foreign Host (DNS rebinding) or Origin."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.names = LOOPBACK | {host.lower()}
        self.anywhere = host in ("0.0.0.0", "::")
        if self.anywhere:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if not self._known(host) or (origin is not None and urlsplit(origin).netloc.lower() != host.lower()):
            response = _respond(_problem(403, "A request from another site: its Host or Origin is not this server's."))
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _known(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").lower()
        return name in self.names or (self.anywhere and _is_address(name))


def _is_address(name: str) -> bool:
    """Another site can point a name of its own at this machine, but not an address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

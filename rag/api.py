"""The answer endpoint: `create_app(rag)` is the whole HTTP interface but for the chat page."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPMethod
from importlib.metadata import version
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from rag.conversations import Conversations
from rag.http.access import Access, caller_of
from rag.http.backups import routes as backup_routes
from rag.http.bodies import STRICT, BodyLimit, Text
from rag.http.conversations import routes as conversation_routes
from rag.http.description import describe
from rag.http.documents import routes as document_routes
from rag.http.evals import Evaluates
from rag.http.evals import routes as eval_routes
from rag.http.observing import Counted, Figures, Observed
from rag.http.openai_shape import routes as openai_routes
from rag.http.opening import Opening
from rag.http.origin import LOOPBACK, SameOrigin
from rag.http.pages import routes as page_routes
from rag.http.problems import add_errors, documented
from rag.http.spans import Spans
from rag.http.streams import CLIENT_GONE, EventStream, Named, Streams, answer_of, answering, lines
from rag.http.turns import Turns
from rag.keys import Keys
from rag.mcp import mcp_routes, mcp_server, mcp_sessions
from rag.pipeline import Rag
from rag.tracing import KEPT
from rag.types import Message, event_as_json

__all__ = ["Opening", "create_app", "streams_of"]


class Turn(BaseModel):
    model_config = STRICT
    role: Literal["user", "assistant"]
    content: Text


class AnswerRequest(BaseModel):
    model_config = STRICT
    question: Text = Field(description="1 to 4,000 characters", examples=["What did the board decide?"])
    history: list[Turn] = Field(default=[], description="the conversation so far, oldest first")
    sources: list[Text] = Field(default=[], description="only these: exact sources, or folders with a slash at the end")

    @property
    def turns(self) -> list[Message]:
        return [Message(turn.role, turn.content) for turn in self.history]


class SearchRequest(BaseModel):
    model_config = STRICT
    query: Text
    k: int = Field(default=10, ge=1, le=100)
    sources: list[Text] = []


class DiagnoseRequest(BaseModel):
    model_config = STRICT
    question: Text
    expected: Text = Field(description="a sentence of the documents that the answer should rest on")


def create_app(
    rag: Rag | Opening,
    *,
    token: str | None = None,
    host: str = "127.0.0.1",
    keys: Keys | None = None,
    conversations: Conversations | None = None,
    spans: Spans | None = None,
    evals: Callable[[Streams], Evaluates] | None = None,
) -> FastAPI:
    """`token` is the running server's own key. `evals` is given what answers, through the queue. `host` is where it is served: elsewhere than on loopback, and wherever
    there are `keys`, nobody gets in without one.
    """
    opened: Callable[[], Rag] = rag.wait if isinstance(rag, Opening) else lambda: rag
    turns = Turns(rag)
    figures = Figures(turns.counts, lambda: None if _starting(rag) else opened().index.counts())
    spans = spans or Spans()
    streams: Streams = Counted(turns, figures, spans)
    mcp = mcp_server(_Inside(opened, streams))
    app = FastAPIOffline(  # its /docs page brings its own scripts: the plain one loads them from another host
        title="Footnote",
        version=version("footnote-rag"),
        description=__doc__ or "",
        redoc_url=None,
        static_url="/docs-assets",
        swagger_ui_parameters={"validatorUrl": None},
        lifespan=lambda _: mcp_sessions(mcp),
    )
    app.state.streams = streams
    app.add_middleware(BodyLimit)  # from the inside to the outside
    app.add_middleware(Access, keys=keys, token=token, open_=host in LOOPBACK)
    app.add_middleware(SameOrigin, host=host)
    app.add_middleware(Observed, figures=figures, spans=spans)
    add_errors(app)
    problems = documented(409, 422, 429, 502, 504)

    @app.get(
        "/health",
        summary="Whether questions can be answered",
        responses={503: {"description": "not yet, or not at all"}},
    )
    async def health() -> Response:
        if isinstance(rag, Opening) and not rag.ready:
            reason = str(rag.error) if rag.error else "starting"
            return JSONResponse({"status": "failed" if rag.error else "starting", "reasons": [reason]}, 503)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    def metrics() -> Response:
        return figures.response()

    @app.post("/v1/answer", summary="A cited answer", responses=problems)
    async def answer(request: Request, body: AnswerRequest) -> Response:
        user = caller_of(request).name
        answer = await answer_of(request, answering(streams, body.question, body.turns, body.sources, user))
        return JSONResponse(answer.as_dict()) if answer else Response(status_code=CLIENT_GONE)

    @app.post(
        "/v1/answer/stream",
        summary="A cited answer as server-sent events",
        responses=problems | {200: {"content": {"text/event-stream": {}}}},
        response_class=StreamingResponse,
    )
    async def answer_stream(request: Request, body: AnswerRequest) -> StreamingResponse:
        events = answering(streams, body.question, body.turns, body.sources, caller_of(request).name)
        first = await anext(events)
        if isinstance(first, Exception):  # nothing was sent yet: it can still be a plain problem
            raise first
        return EventStream(lines(first, events), events)

    @app.get("/v1/answers/{answer_id}/trace", summary="How a recent answer came about", responses=documented(404))
    def trace(answer_id: str) -> dict[str, Any]:
        if found := opened().trace(answer_id):
            return found.as_dict()
        raise HTTPException(404, f"No answer {answer_id!r} is kept: it is older than the last {KEPT:,}, or never was.")

    @app.post("/v1/search", summary="The best passages", responses=documented(409, 422))
    def search(body: SearchRequest) -> dict[str, Any]:
        return {"passages": [hit.as_dict() for hit in opened().search(body.query, body.k, body.sources)]}

    @app.post("/v1/diagnose", summary="Where a sentence was lost on its way into the answer", responses=problems)
    def diagnose(body: DiagnoseRequest) -> dict[str, Any]:
        return opened().diagnose(body.question, body.expected).as_dict()

    app.include_router(openai_routes(streams))
    app.include_router(document_routes(opened))
    app.include_router(backup_routes(opened))
    app.include_router(page_routes(opened))
    if conversations:
        app.include_router(conversation_routes(conversations))
    app.state.evals = evals(streams) if evals else None
    if app.state.evals:
        app.include_router(eval_routes(app.state.evals))
    app.router.routes += mcp_routes(mcp)

    @app.api_route("/v1/{_:path}", methods=[*HTTPMethod], include_in_schema=False)
    def unknown(request: Request) -> None:
        """Before the chat page is asked, which is mounted behind and has answers of its own."""
        scope: Scope = {**request.scope, "path_params": {}}
        near = [route for route in _flat(app.routes) if route.include_in_schema]
        routes = [route for route in near if route.matches(scope)[0] is not Match.NONE]
        if not routes:
            raise HTTPException(404, f"There is no {request.url.path}; /docs lists what there is.")
        allowed = ", ".join(sorted({method for route in routes for method in route.methods or ()}))
        raise HTTPException(405, f"{request.url.path} takes {allowed}.", headers={"Allow": allowed})

    describe(app)
    return app


def streams_of(app: FastAPI) -> Streams:
    """What answers the questions of an app, through its queue: the chat page asks there as well."""
    streams: Streams = app.state.streams
    return streams


def evals_of(app: FastAPI) -> Evaluates | None:
    """What runs the question sets of an app: the page shows the same runs."""
    evals: Evaluates | None = app.state.evals
    return evals


class _Inside:
    """The tools' way to the answers: through the queue, in this process."""

    def __init__(self, opened: Callable[[], Rag], streams: Streams) -> None:
        self._opened, self._streams = opened, streams

    def stream(self, question: str, history: Sequence[Message], sources: Sequence[str]) -> Iterator[Named]:
        yield from map(event_as_json, self._streams.stream(question, history, sources, "mcp"))

    def search(self, query: str, k: int, sources: Sequence[str] = ()) -> list[dict[str, Any]]:
        return [hit.as_dict() for hit in self._opened().search(query, k, sources)]

    def text(self, source: str) -> str:
        return self._opened().text(source)


def _flat(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    """Also the routes of included routers."""
    for route in routes:
        if isinstance(route, Route):
            yield route
        elif router := getattr(route, "original_router", None):
            yield from _flat(router.routes)


def _starting(rag: Rag | Opening) -> bool:
    return isinstance(rag, Opening) and not rag.ready

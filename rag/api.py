"""The answer endpoint: `create_app(rag)` is the whole HTTP interface but for the chat page."""

import secrets
from collections.abc import AsyncGenerator, Callable
from http import HTTPMethod
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import Scope

from rag.conversations import Conversations
from rag.http.bodies import Text
from rag.http.conversations import routes as conversation_routes
from rag.http.openai_shape import routes as openai_routes
from rag.http.opening import Opening
from rag.http.origin import SameOrigin
from rag.http.pages import routes as page_routes
from rag.http.problems import add_errors, documented
from rag.http.streams import CLIENT_GONE, EventStream, Named, answer_of, answering, from_thread, lines
from rag.pipeline import Progress, Rag
from rag.tracing import KEPT
from rag.types import Message

__all__ = ["Opening", "create_app"]

Body = ConfigDict(extra="forbid")


class Turn(BaseModel):
    model_config = Body
    role: Literal["user", "assistant"]
    content: Text


class AnswerRequest(BaseModel):
    model_config = Body
    question: Text = Field(description="1 to 4,000 characters", examples=["What did the board decide?"])
    history: list[Turn] = Field(default=[], description="the conversation so far, oldest first")
    sources: list[str] = Field(default=[], description="only these: exact sources, or folders with a slash at the end")

    @property
    def turns(self) -> list[Message]:
        return [Message(turn.role, turn.content) for turn in self.history]


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
    dry_run: bool = Field(default=False, description="say what would be done, and do nothing")
    only: list[str] | None = Field(
        default=None, description="of what lies under the paths, only these files and folders"
    )


class RemoveRequest(BaseModel):
    model_config = Body
    sources: list[str]


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
    add_errors(app)
    opened: Callable[[], Rag] = rag.wait if isinstance(rag, Opening) else lambda: rag
    ingesting = Lock()  # one at a time: each decides by what is stored when it starts
    problems = documented(409, 422, 502, 504)

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
    async def answer(request: Request, body: AnswerRequest) -> Response:
        answer = await answer_of(request, answering(rag, body.question, body.turns, body.sources))
        return JSONResponse(answer.as_dict()) if answer else Response(status_code=CLIENT_GONE)

    @app.post("/v1/answer/stream", summary="A cited answer as server-sent events", responses=problems)
    async def answer_stream(body: AnswerRequest) -> StreamingResponse:
        events = answering(rag, body.question, body.turns, body.sources)
        first = await anext(events)
        if isinstance(first, Exception):  # nothing was sent yet: it can still be a plain problem
            raise first
        return EventStream(lines(first, events), events)

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
        return EventStream(lines(await anext(events), events), events)

    app.include_router(openai_routes(rag))
    app.include_router(page_routes(opened))
    if conversations:
        app.include_router(conversation_routes(conversations))

    @app.api_route("/v1/{_:path}", methods=[*HTTPMethod], include_in_schema=False)
    def unknown(request: Request) -> None:
        """Before the chat page is asked, which is mounted behind and has answers of its own."""
        scope: Scope = {**request.scope, "path_params": {}}
        near = [r for r in app.routes if isinstance(r, Route) and r.include_in_schema]
        routes = [r for r in near if r.matches(scope)[0] is not Match.NONE]
        if not routes:
            raise HTTPException(404, f"There is no {request.url.path}; /docs lists what there is.")
        allowed = ", ".join(sorted({method for route in routes for method in route.methods or ()}))
        raise HTTPException(405, f"{request.url.path} takes {allowed}.", headers={"Allow": allowed})

    return app


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
            report = opened().ingest(paths, prune=body.prune, only=only, dry=body.dry_run, progress=progress)
        put(("done", report.as_dict()))

    return from_thread(work)

"""`/v1/conversations` and `/v1/feedback`, and who a browser is as long as there is no login."""

import hashlib
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.conversations import (
    QUESTIONS,
    REASON_CHARACTERS,
    Conversations,
    add_eval_question,
    as_eval_question,
    as_json,
    as_markdown,
)
from rag.errors import InputError
from rag.http.access import ANYBODY, SERVER, Caller, caller_of
from rag.http.bodies import STRICT, Text
from rag.http.problems import documented

READER = "footnote_reader"  # cookie; a random name that a browser keeps
KEPT_S = 400 * 24 * 3600  # the longest that browsers allow


class Chosen(BaseModel):
    model_config = STRICT
    conversation: Text
    number: int = Field(ge=1, description="which turn of the conversation, from 1")


class Judgement(Chosen):
    helpful: bool
    reason: Text = Field(default="", max_length=REASON_CHARACTERS)


def owner_of(cookies: str | None, caller: Caller | None = None) -> str:
    """What conversations are kept under: the key of who calls, so that they are there in each of their browsers; without
    a key that of the Cookie header; without either one name for all.
    """
    name = f"key {caller.name}" if caller and caller not in (ANYBODY, SERVER) else _reader(cookies)
    return hashlib.sha256(name.encode()).hexdigest()[:32] if name else "anybody"


def routes(kept: Conversations) -> APIRouter:
    router = APIRouter(tags=["Conversations"])

    def owner(request: Request) -> str:
        return owner_of(request.headers.get("cookie"), caller_of(request))

    @router.get("/v1/conversations", summary="Kept conversations, the latest first")
    def listed(request: Request, search: Annotated[Text, Query()] = "") -> dict[str, Any]:
        return {"conversations": [c.as_dict() for c in kept.listed(owner(request), search)]}

    @router.get("/v1/conversations/{id}", summary="A conversation with all its citations")
    def get(request: Request, id: str, format: Literal["json", "markdown"] = "json") -> Response:
        conversation, turns = kept.get(owner(request), id)
        name = re.sub(r"[^A-Za-z0-9]+", "-", conversation.title).strip("-")[:60] or "conversation"
        if format == "markdown":
            headers = {"Content-Disposition": f'attachment; filename="{name}.md"'}
            return PlainTextResponse(as_markdown(conversation, turns), 200, headers, "text/markdown")
        headers = {"Content-Disposition": f'attachment; filename="{name}.json"'}
        return JSONResponse(as_json(conversation, turns), 200, headers)

    @router.delete(
        "/v1/conversations/{id}", summary="Forgets a conversation", status_code=204, responses=documented(422)
    )
    def remove(request: Request, id: str) -> None:
        kept.remove(owner(request), id)

    @router.get("/v1/feedback", summary="What was said of answers, the latest first")
    def feedback(request: Request) -> dict[str, Any]:
        return {"feedback": [said.as_dict() for said in kept.feedback(owner(request))]}

    @router.post(
        "/v1/feedback", summary="Says whether an answer helped, and why", status_code=201, responses=documented(422)
    )
    def judge(request: Request, body: Judgement) -> dict[str, Any]:
        return kept.judge(owner(request), body.conversation, body.number, body.helpful, body.reason).as_dict()

    @router.post("/v1/evals/questions", summary="Makes an answer a question of the eval", responses=documented(422))
    def add_question(request: Request, body: Chosen) -> dict[str, Any]:
        _, turns = kept.get(owner(request), body.conversation)
        if body.number > len(turns):
            raise InputError(f"The conversation has no turn {body.number}.", "number")
        path = kept.path.with_name(QUESTIONS)
        question = as_eval_question(turns[: body.number])
        return {"question": question, "questions": add_eval_question(path, question)}

    return router


class Readers:
    """Gives a browser its name with the page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or _reader(_cookies(scope)):
            await self.app(scope, receive, send)
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                name = secrets.token_urlsafe(24)
                value = f"{READER}={name}; Path=/; Max-Age={KEPT_S}; HttpOnly; SameSite=Lax"
                MutableHeaders(scope=message).append("Set-Cookie", value)
            await send(message)

        await self.app(scope, receive, named)


def _cookies(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"), "")


def _reader(cookies: str | None) -> str:
    try:
        held = SimpleCookie(cookies or "").get(READER)
    except CookieError:
        return ""
    return held.value if held and re.fullmatch(r"[\w-]{32}", held.value) else ""

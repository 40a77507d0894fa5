"""Answers in the shape of OpenAI's chat completions, for clients that speak nothing else.

The last message is the question, the messages before it are the history. Beside `choices` stands the rest of the answer:
`status`, `citations`, `sentences`, `passages` and so on, as in /v1/answer.
"""

import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from rag.errors import InputError
from rag.generation import count_tokens
from rag.http.access import caller_of
from rag.http.bodies import Text
from rag.http.problems import documented, problem_of
from rag.http.streams import CLIENT_GONE, EventStream, Streams, answer_of, answering
from rag.types import Answer, Delta, Done, Event, Message, Waiting

MODEL = "footnote"
IGNORED = ConfigDict(extra="ignore")  # temperature, tools and the like have no meaning here


class Part(BaseModel):
    model_config = IGNORED
    type: str
    text: Text = ""


class ChatMessage(BaseModel):
    model_config = IGNORED
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | list[Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class StreamOptions(BaseModel):
    model_config = IGNORED
    include_usage: bool = False


class ChatRequest(BaseModel):
    model_config = IGNORED
    model: Text = Field(default=MODEL, description="any name is taken; the server has one model")
    messages: list[ChatMessage] = Field(
        min_length=1,
        description="the last one is the question; system messages are not read",
        examples=[[{"role": "user", "content": "What did the board decide?"}]],
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    sources: list[Text] = Field(default=[], description="only these: exact sources, or folders with a slash at the end")


def routes(rag: Streams) -> APIRouter:
    router = APIRouter(tags=["OpenAI's shape"])

    @router.post(
        "/v1/chat/completions", summary="A cited answer, whole or streamed", responses=documented(409, 422, 502, 504)
    )
    async def complete(request: Request, body: ChatRequest) -> Response:
        question, history = question_of(body.messages)
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time())}
        read = sum(count_tokens(message.text) for message in body.messages)
        events = answering(rag, question, history, body.sources, caller_of(request).name)
        if not body.stream:
            answer = await answer_of(request, events)
            return JSONResponse(completion(answer, head, read)) if answer else Response(status_code=CLIENT_GONE)
        first = await anext(events)
        if isinstance(first, Exception):  # nothing was sent yet: it can still be a plain problem
            raise first
        usage = body.stream_options is not None and body.stream_options.include_usage
        return EventStream(_lines(first, events, head, read, usage=usage), events)

    @router.get("/v1/models", summary="The one model")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model()]}

    @router.get("/v1/models/{model}", summary="The one model", responses=documented(404))
    async def model(model: Annotated[str, Field()]) -> dict[str, Any]:
        if model != MODEL:
            raise HTTPException(404, f"There is no model {model!r}; the one there is is called {MODEL!r}.")
        return _model()

    return router


def question_of(messages: Sequence[ChatMessage]) -> tuple[str, list[Message]]:
    """The question and the history before it. Raises InputError where the last message is not the asker's."""
    last = messages[-1]
    if last.role != "user":
        raise InputError("The last message must be the user's: it is the question.", "messages")
    before = [m for m in messages[:-1] if m.role in ("user", "assistant") and m.text.strip()]
    return last.text, [Message("user" if m.role == "user" else "assistant", m.text) for m in before]


def completion(answer: Answer, head: dict[str, Any], read: int) -> dict[str, Any]:
    """`read`: tokens of the messages."""
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(answer, read)} | _beside(answer)


async def _lines(
    first: Event | Exception, rest: AsyncGenerator[Event | Exception], head: dict[str, Any], read: int, *, usage: bool
) -> AsyncIterator[str]:
    head = {**head, "object": "chat.completion.chunk", "model": MODEL}
    yield _line(head | _piece({"role": "assistant", "content": ""}))
    said = ""
    event: Event | Exception | None = first
    while event is not None:
        if isinstance(event, Exception):
            yield _line(problem_of(event))
            return
        if isinstance(event, Waiting):
            yield ": waiting\n\n"  # a comment, which keeps the connection alive
        if isinstance(event, Delta):
            said += event.text
            yield _line(head | _piece({"content": event.text}))
        if isinstance(event, Done):
            if left := _left(event.answer.text, said):
                yield _line(head | _piece({"content": left}))
            yield _line(head | _beside(event.answer) | _piece({}, "stop"))
            if usage:
                yield _line(head | {"choices": [], "usage": _usage(event.answer, read)})
        event = await anext(rest, None)
    yield "data: [DONE]\n\n"


def _left(text: str, said: str) -> str:
    """What is still to be said. Where the last check took back what was said, the final text follows it."""
    if text.startswith(said):
        return text[len(said) :]
    return "" if said.strip() == text.strip() else f"\n\n{text}"


def _piece(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}


def _beside(answer: Answer) -> dict[str, Any]:
    """All of the answer but its text, which is the content of the message; its id has a name of its own."""
    rest = {name: value for name, value in answer.as_dict().items() if name not in ("id", "text")}
    return rest | {"answer_id": answer.id}


def _usage(answer: Answer, read: int) -> dict[str, int]:
    written = count_tokens(answer.text)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _model() -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": 0, "owned_by": MODEL}


def _line(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"

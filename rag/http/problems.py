"""Errors as problem documents (RFC 9457), the one form in which the endpoint tells of them."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from rag.errors import (
    BusyError,
    DiskFullError,
    EmptyIndexError,
    InputError,
    InUseError,
    ModelError,
    ModelTimeout,
    RagError,
    StoreError,
)

log = logging.getLogger(__name__)

STATUS_OF = {  # the first that fits
    BusyError: 429,
    EmptyIndexError: 409,
    InUseError: 409,
    DiskFullError: 507,
    StoreError: 500,
    ModelTimeout: 504,
    ModelError: 502,
    InputError: 422,
}
PROBLEM = "application/problem+json"


def problem_of(error: Exception) -> dict[str, Any]:
    """`errors: [{field, message}]` names the fields that are at fault."""
    if not isinstance(error, RagError):
        log.error("unexpected error", exc_info=error)
        return problem(500, "An unexpected error; the log has it.")
    status = next((code for kind, code in STATUS_OF.items() if isinstance(error, kind)), 500)
    fields = [{"field": error.field, "message": str(error)}] if isinstance(error, InputError) else []
    return problem(status, str(error), fields)


def problem(status: int, detail: str, errors: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    """`error` says the same once more where OpenAI's clients look for it."""
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": detail, "errors": list(errors)}
    return told | {"error": {"message": detail, "type": title, "code": status}}


DESCRIPTIONS = {
    400: "not a form that can be read",
    401: "a key is needed",
    403: "the key does not allow it, or the request comes from another site",
    404: "there is no such thing",
    405: "another method is taken",
    409: "nothing is indexed yet",
    411: "the length of the body is missing",
    413: "too large",
    415: "not a kind of file that can be read",
    422: "bad input",
    429: "too many requests: Retry-After says when to come again",
    500: "an unexpected error",
    502: "the model failed",
    504: "the model gave no word in time",
    507: "no room on the disk",
}


class Fault(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """The body of every error."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["The question is empty."])
    error: dict[str, Any] = Field(examples=[{"message": "The question is empty.", "type": "…", "code": 422}])
    errors: list[Fault] = Field(examples=[[{"field": "question", "message": "The question is empty."}]])


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a call, for its description. Those of every call are added by themselves."""
    return {
        status: {
            "description": DESCRIPTIONS[status],
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def respond(body: dict[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(body, body["status"], headers, media_type=PROBLEM)


def add_errors(app: FastAPI) -> None:
    @app.exception_handler(RagError)
    async def ours(_: Request, error: RagError) -> Response:
        later = {"Retry-After": str(error.retry_s)} if isinstance(error, BusyError) else None
        return respond(problem_of(error), later)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        errors = [{"field": _field(e), "message": str(e["msg"])} for e in error.errors()]
        return respond(problem(422, "; ".join(f"{e['field']}: {e['message']}" for e in errors), errors))

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return respond(problem(error.status_code, str(error.detail)), error.headers)


def _field(error: Mapping[str, Any]) -> str:
    """`history.0.role` of a validation error; `body` where the whole body is at fault (then `loc` has a position)."""
    names = error["loc"][1:]
    return "body" if error["type"] == "json_invalid" or not names else ".".join(map(str, names))

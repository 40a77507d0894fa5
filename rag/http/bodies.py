"""What requests may hold."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.http.problems import problem, respond

STRICT = ConfigDict(extra="forbid")
JSON_BYTES = 2_000_000
FILES_BYTES = 1_000_000_000  # of one request that brings files, all in all
BRING_FILES = ("/v1/documents", "/gradio_api/upload")


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("Half a character (a lone surrogate): not valid Unicode") from None
    return text


Text = Annotated[str, AfterValidator(_whole)]


class BodyLimit:
    """Refuses bodies that are too large, also those that do not say how large they are."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = FILES_BYTES if scope["path"].rstrip("/") in BRING_FILES else JSON_BYTES
        told = f"The body is larger than {limit // 1_000_000:,} MB."
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and int(said) > limit:
            await respond(problem(413, told))(scope, receive, send)
            return
        read = 0

        async def counting() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413, told)
            return message

        await self.app(scope, counting, send)

"""Answers, search and passages as tools of the Model Context Protocol: at /mcp, and over stdin and stdout with `rag mcp`."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any, Protocol, TypeVar

import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ToolAnnotations
from pydantic import Field
from starlette.routing import BaseRoute

from rag.errors import RagError
from rag.http.streams import Named, from_thread
from rag.types import Message

MOST_CHARACTERS = 20_000  # of one reading
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
USE = (
    "Questions to the documents that are indexed here. `ask` answers with a citation for every sentence, or says that the"
    " documents do not say. A citation names source, start and end: `read_passage` gives the words around it."
)

T = TypeVar("T")
Question = Annotated[str, Field(description="a whole question, at most 4,000 characters")]
Sources = Annotated[list[str] | None, Field(description="only these documents, or folders with a slash at the end")]


class Answers(Protocol):
    """What the tools stand on; passages and answers in their JSON form."""

    def stream(self, question: str, history: Sequence[Message], sources: Sequence[str]) -> Iterator[Named]: ...
    def search(self, query: str, k: int, sources: Sequence[str] = ()) -> list[dict[str, Any]]: ...
    def text(self, source: str) -> str: ...


def mcp_server(answers: Answers) -> MCPServer:
    server = MCPServer(
        "footnote", title="Footnote", instructions=USE, version=version("footnote-rag"), log_level="WARNING"
    )

    @server.tool(title="Ask the documents", annotations=READS)
    async def ask(question: Question, sources: Sources = None) -> dict[str, Any]:
        """A cited answer; status not_in_documents where the documents do not say."""

        def work(put: Callable[[Named], None]) -> None:
            for event in answers.stream(question, (), sources or ()):
                put(event)

        async with aclosing(from_thread(work)) as events:
            async for event in events:
                if isinstance(event, Exception):
                    raise _told(event)
                if event[0] == "done":
                    return event[1]
        raise ToolError("The answer broke off.")

    @server.tool(title="Search the documents", annotations=READS)
    async def search(
        query: Question, k: Annotated[int, Field(ge=1, le=100)] = 10, sources: Sources = None
    ) -> dict[str, Any]:
        """The best passages, best first, each with its place in every ranking."""
        return {"passages": await _in_thread(lambda: answers.search(query, k, sources or ()))}

    @server.tool(title="Read a passage", annotations=READS)
    async def read_passage(
        source: str, start: Annotated[int, Field(ge=0)] = 0, end: Annotated[int | None, Field(ge=0)] = None
    ) -> dict[str, Any]:
        """The text of a document between two offsets, in characters; at most 20,000 of them."""
        text = await _in_thread(lambda: answers.text(source))
        last = min(len(text) if end is None else end, len(text), start + MOST_CHARACTERS)
        if start >= last:
            raise ToolError(f"{source!r} has {len(text):,} characters; nothing stands between {start} and {end}.")
        return {"source": source, "start": start, "end": last, "text": text[start:last], "characters": len(text)}

    return server


def mcp_routes(server: MCPServer) -> list[BaseRoute]:
    """For an app that runs `mcp_sessions`. Hosts and origins are checked before them."""
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    return list(server.streamable_http_app(stateless_http=True, transport_security=security).routes)


@asynccontextmanager
async def mcp_sessions(server: MCPServer) -> AsyncIterator[None]:
    async with server.session_manager.run():
        yield


async def _in_thread(call: Callable[[], T]) -> T:
    try:
        return await anyio.to_thread.run_sync(call)
    except RagError as error:
        raise _told(error) from error


def _told(error: Exception) -> Exception:
    """What the caller may read of an error; an unexpected one stays as it is and is told without its details."""
    return ToolError(str(error)) if isinstance(error, RagError) else error

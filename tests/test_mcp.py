"""The tools, asked by the official client over HTTP and over a pipe."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import TextContent

from rag.api import create_app
from rag.client import Local
from rag.mcp import mcp_server
from rag.pipeline import Rag
from tests.servers import ROOT, environment
from tests.test_page import served

QUESTION = "Who built the lighthouse on Farrow Point?"
SENTENCE = "The lighthouse on Farrow Point was built by Edna Marsh in 1887."


def talk(target: Any, work: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Client(target) as client:
            await work(client)

    anyio.run(run)


async def call(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def refusal(client: Client, name: str, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def use_every_tool(client: Client) -> None:
    tools = (await client.list_tools()).tools
    assert {tool.name for tool in tools} == {"ask", "search", "read_passage"}
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
    answer = await call(client, "ask", question=QUESTION)
    assert answer["status"] == "answered"
    [citation] = answer["citations"]
    assert citation["quote"] == SENTENCE
    span = {name: citation[name] for name in ("source", "start", "end")}
    assert (await call(client, "read_passage", **span))["text"] == SENTENCE
    found = await call(client, "search", query="keeper", k=1, sources=["lighthouse.md"])
    assert [p["source"] for p in found["passages"]] == ["lighthouse.md"]


def test_every_tool_over_http(rag: Rag) -> None:
    with served(create_app(rag)) as address:
        talk(f"{address}/mcp", use_every_tool)


def test_what_cannot_be_done_is_told_as_an_error(rag: Rag) -> None:
    async def work(client: Client) -> None:
        assert "empty" in await refusal(client, "ask", question=" ")
        assert "none.md" in await refusal(client, "ask", question=QUESTION, sources=["none.md"])
        assert "none.md" in await refusal(client, "read_passage", source="none.md")
        assert "nothing stands" in await refusal(client, "read_passage", source="mill.txt", start=100_000)
        assert "k" in await refusal(client, "search", query="keeper", k=0)

    talk(mcp_server(Local(rag)), work)


def test_a_reading_is_bounded(rag: Rag, corpus: Path) -> None:
    (corpus / "long.txt").write_text("All buoys are red. " * 2000, encoding="utf-8")
    rag.ingest([corpus])

    async def work(client: Client) -> None:
        read = await call(client, "read_passage", source="long.txt", start=10)
        assert (read["start"], read["end"], len(read["text"]), read["characters"]) == (10, 20_010, 20_000, 38_000)

    talk(mcp_server(Local(rag)), work)


def test_another_site_cannot_use_the_tools(rag: Rag) -> None:
    with served(create_app(rag)) as address:
        response = httpx.post(f"{address}/mcp", json={}, headers={"origin": "http://evil.example"})
    assert response.status_code == 403


@pytest.mark.model
def test_the_command_speaks_over_a_pipe_and_prints_nothing_else(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The ferry to Orrin leaves at nine.", encoding="utf-8")
    script = (
        "import sys; from pathlib import Path; from rag.cli import main; from rag import Rag, load_settings\n"
        f"with Rag.open(load_settings()) as rag: rag.ingest([Path({str(note)!r})])\n"
        "sys.argv = ['rag', 'mcp']; main()"
    )
    env = environment(tmp_path / "home", llm="extractive")
    command = StdioServerParameters(command=sys.executable, args=["-c", script], env=env, cwd=str(ROOT))

    async def work(client: Client) -> None:
        answer = await call(client, "ask", question="When does the ferry to Orrin leave?")
        assert [c["quote"] for c in answer["citations"]] == ["The ferry to Orrin leaves at nine."]

    talk(stdio_client(command), work)

"""The same question has the same answer object wherever it is asked."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import openai
import pytest
from mcp import Client as McpClient

from rag.api import create_app, streams_of
from rag.client import Client, announce, withdraw
from rag.langchain import answerer
from rag.pipeline import Rag
from rag.types import Done
from tests.fakes import FakeLLM, fake_rag
from tests.servers import rag_command
from tests.test_page import served

QUESTIONS = {
    "answered": "Who built the lighthouse on Farrow Point?",
    "not_in_documents": "Which airline serves the moon base?",
}
SENTENCE = "The lighthouse on Farrow Point was built by Edna Marsh in 1887."
EACH_TIME = {"id", "timings"}  # of this asking, not of the answer


@pytest.fixture(scope="module")
def rag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rag]:
    folder = tmp_path_factory.mktemp("one")
    (folder / "lighthouse.md").write_text(f"# The Farrow lighthouse\n\n## Building\n\n{SENTENCE}\n")
    llm = FakeLLM(lambda messages: SENTENCE if "Who built" in messages[-1].content else "NOT FOUND")
    with fake_rag(folder / "home", llm) as rag:
        rag.ingest([folder / "lighthouse.md"])
        yield rag


@pytest.fixture(scope="module")
def address(rag: Rag) -> Iterator[str]:
    app = create_app(rag, token="t")
    with served(app) as address:
        announce(rag.settings.home, address, "t")
        yield address
        withdraw(rag.settings.home)


def over_mcp(address: str, question: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with McpClient(f"{address}/mcp") as client:
            result = await client.call_tool("ask", {"question": question})
            return dict(result.structured_content or {})

    return anyio.run(ask)


def in_openais_shape(address: str, question: str, *, stream: bool) -> dict[str, Any]:
    """The answer put together again from what stands beside `choices`."""
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none")
    messages: list[Any] = [{"role": "user", "content": question}]
    if stream:
        chunks = list(client.chat.completions.create(model="footnote", messages=messages, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        model, beside = chunks[-1].model, chunks[-1].model_extra
    else:
        whole = client.chat.completions.create(model="footnote", messages=messages)
        text, model, beside = whole.choices[0].message.content or "", whole.model, whole.model_extra
    answer = {**(beside or {}), "text": text, "model": model, "id": ""}
    del answer["answer_id"]
    return answer


def streamed(address: str, question: str) -> dict[str, Any]:
    lines = httpx.post(f"{address}/v1/answer/stream", json={"question": question}).text.splitlines()
    answer: dict[str, Any] = json.loads(lines[lines.index("event: done") + 1].removeprefix("data: "))
    return answer


def for_the_page(rag: Rag, question: str) -> dict[str, Any]:
    last = list(streams_of(create_app(rag)).stream(question, (), (), "page"))[-1]
    assert isinstance(last, Done)
    answer: dict[str, Any] = json.loads(json.dumps(last.answer.as_dict()))
    return answer


@pytest.mark.parametrize("status", QUESTIONS)
def test_every_way_in_gives_the_same_object(rag: Rag, address: str, status: str, tmp_path: Path) -> None:
    question = QUESTIONS[status]
    client = Client(address)
    command = rag_command(rag.settings.home, "ask", question, "--json")
    assert command.code == 0, command.err
    answers: dict[str, dict[str, Any]] = {
        "rest": httpx.post(f"{address}/v1/answer", json={"question": question}).json(),
        "stream": streamed(address, question),
        "openai": in_openais_shape(address, question, stream=False),
        "openai, streamed": in_openais_shape(address, question, stream=True),
        "mcp": over_mcp(address, question),
        "client": client.ask(question),
        "client, streamed": list(client.stream(question))[-1][1],
        "langchain": answerer(client).invoke(question),
        "--json": json.loads(command.out),
        "page": for_the_page(rag, question),
        "program": json.loads(json.dumps(rag.ask(question).as_dict())),
    }
    client.close()
    first = answers["rest"]
    assert first["status"] == status
    assert bool(first["citations"]) == (status == "answered")
    for way, answer in answers.items():
        assert set(answer) == set(first), way
        same = {name: value for name, value in answer.items() if name not in EACH_TIME}
        assert same == {name: value for name, value in first.items() if name not in EACH_TIME}, way


def test_documents_are_the_same_list(rag: Rag, address: str) -> None:
    client = Client(address)
    listed = json.loads(rag_command(rag.settings.home, "documents", "--json").out)["documents"]
    assert httpx.get(f"{address}/v1/documents").json()["documents"] == client.documents() == listed
    client.close()

"""The clients that speak OpenAI's protocol, unchanged, against a real server with fake models."""

import json
from collections.abc import Iterator, Sequence

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

from rag.api import create_app
from rag.errors import ModelError
from rag.http.openai_shape import ChatMessage, question_of
from rag.types import Message
from tests.fakes import FakeLLM, fake_rag
from tests.test_page import served

QUESTION = "Who built the lighthouse on Farrow Point?"
SENTENCE = "The lighthouse on Farrow Point was built by Edna Marsh in 1887."
ANSWER = f"{SENTENCE} [1]"


class Replying(FakeLLM):
    """Rewrites every follow-up to one question, and answers with `reply`."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.says = SENTENCE
        self.fails: ModelError | None = None

    def answer(self, messages: Sequence[Message]) -> str:
        if "Conversation:" in messages[-1].content:
            return "Who built the lighthouse?"
        self.error = self.fails
        return self.says


@pytest.fixture(scope="module")
def llm() -> Replying:
    return Replying()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, llm: Replying) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("openai")
    (folder / "lighthouse.md").write_text(f"# The Farrow lighthouse\n\n{SENTENCE} It cost 4,200 crowns.\n")
    with fake_rag(folder / "home", llm) as rag:
        rag.ingest([folder / "lighthouse.md"])
        with served(create_app(rag)) as address:
            yield address


@pytest.fixture
def client(address: str, llm: Replying) -> openai.OpenAI:
    llm.says, llm.fails, llm.error = SENTENCE, None, None
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def asked(*turns: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]  # type: ignore[misc]


def test_a_completion_carries_the_answer_with_its_citations_and_status(client: openai.OpenAI, address: str) -> None:
    got = client.chat.completions.create(model="footnote", messages=asked(QUESTION), temperature=0.2)
    assert got.object == "chat.completion"
    assert got.choices[0].message.content == ANSWER
    assert got.choices[0].finish_reason == "stop"
    assert got.usage is not None and got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens > 0
    assert got.model_extra is not None and got.model_extra["status"] == "answered"
    assert [c["quote"] for c in got.model_extra["citations"]] == [SENTENCE]
    plain = httpx.post(f"{address}/v1/answer", json={"question": QUESTION}).json()
    assert got.model_extra["citations"] == plain["citations"]
    assert got.model == plain["model"]


def test_a_streamed_completion_says_the_same_and_ends_with_the_citations(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="footnote", messages=asked(QUESTION), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    *said, last, usage = chunks
    assert said[0].choices[0].delta.role == "assistant"
    assert len(said) > 5
    assert "".join(chunk.choices[0].delta.content or "" for chunk in said) == ANSWER
    assert last.choices[0].finish_reason == "stop"
    assert last.model_extra is not None and last.model_extra["status"] == "answered"
    assert [c["quote"] for c in last.model_extra["citations"]] == [SENTENCE]
    assert usage.choices == [] and usage.usage is not None and usage.usage.completion_tokens > 5


def test_the_last_messages_are_the_history(client: openai.OpenAI) -> None:
    got = client.chat.completions.create(
        model="x",
        messages=[
            {"role": "system", "content": "Be brief."},
            *asked("What is on Farrow Point?", "A light.", "Who built it?"),
        ],
    )
    assert got.model_extra is not None
    assert got.model_extra["question"] == "Who built it?"
    assert got.model_extra["standalone_question"] == "Who built the lighthouse?"


def test_only_the_named_sources_are_asked(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="No document"):
        client.chat.completions.create(model="x", messages=asked(QUESTION), extra_body={"sources": ["none.md"]})


def test_a_refusal_is_a_completion_that_says_so(client: openai.OpenAI, llm: Replying) -> None:
    llm.says = "NOT FOUND"
    got = client.chat.completions.create(model="footnote", messages=asked(QUESTION))
    assert got.choices[0].message.content == "The documents do not say."
    assert got.model_extra is not None
    assert (got.model_extra["status"], got.model_extra["citations"]) == ("not_in_documents", [])
    assert got.model_extra["passages"] != []


def test_words_that_the_last_check_takes_back_are_followed_by_the_final_text(
    client: openai.OpenAI, llm: Replying
) -> None:
    llm.says = "Quantum turnips sing at midnight."
    stream = client.chat.completions.create(model="footnote", messages=asked(QUESTION), stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == "Quantum turnips sing at midnight.\n\nThe documents do not say."


def test_bad_requests_are_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="last message"):
        client.chat.completions.create(model="x", messages=asked(QUESTION, "An answer."))
    with pytest.raises(openai.UnprocessableEntityError, match="empty"):
        client.chat.completions.create(model="x", messages=asked(" "), stream=True)
    with pytest.raises(openai.UnprocessableEntityError, match="messages"):
        client.chat.completions.create(model="x", messages=[])


def test_a_failure_is_an_error_before_and_in_the_middle_of_a_stream(client: openai.OpenAI, llm: Replying) -> None:
    llm.fails = ModelError("The model died.")
    with pytest.raises(openai.InternalServerError, match="The model died"):
        client.chat.completions.create(model="x", messages=asked(QUESTION))
    with pytest.raises(openai.APIError, match="The model died"):
        list(client.chat.completions.create(model="x", messages=asked(QUESTION), stream=True))


def test_the_one_model_is_listed_and_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["footnote"]
    assert client.models.retrieve("footnote").object == "model"
    with pytest.raises(openai.NotFoundError, match="gpt"):
        client.models.retrieve("gpt-5")


def test_langchains_client_works_unchanged(address: str, client: openai.OpenAI) -> None:
    chat = ChatOpenAI(base_url=f"{address}/v1", api_key="none", model="footnote")  # type: ignore[arg-type]
    messages = [
        SystemMessage("Be brief."),
        HumanMessage("What is there?"),
        AIMessage("A light."),
        HumanMessage(QUESTION),
    ]
    assert chat.invoke(messages).content == ANSWER
    assert "".join(str(chunk.content) for chunk in chat.stream(QUESTION)) == ANSWER


def test_each_line_of_the_stream_is_json_and_the_last_says_done(address: str, client: openai.OpenAI) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": True}
    response = httpx.post(f"{address}/v1/chat/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    assert all(json.loads(line)["object"] == "chat.completion.chunk" for line in lines)


def test_the_question_is_the_text_of_the_last_message_and_empty_turns_are_left_out() -> None:
    parts = [{"type": "text", "text": "Who"}, {"type": "image_url"}, {"type": "text", "text": "built it?"}]
    messages = [
        ChatMessage(role="developer", content="Be brief."),
        ChatMessage(role="user", content="What is there?"),
        ChatMessage(role="assistant", content=None),
        ChatMessage(role="tool", content="{}"),
        ChatMessage.model_validate({"role": "user", "content": parts}),
    ]
    assert question_of(messages) == ("Who\nbuilt it?", [Message("user", "What is there?")])

"""The index and the answers for users of LangChain.

from rag.client import Client
from rag.langchain import FootnoteRetriever, answerer

client = Client()
documents = FootnoteRetriever(client=client).invoke("What did the board decide?")
answer = answerer(client).invoke("What did the board decide?")
"""

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda

from rag.client import Caller
from rag.errors import ModelError
from rag.types import Message


class FootnoteRetriever(BaseRetriever):
    """Passages as LangChain's documents; `metadata` is the rest of the passage: source, offsets, page, ranks."""

    client: Any  # a Client, or Local(rag)
    k: int = 10
    sources: tuple[str, ...] = ()

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        found = self.client.search(query, self.k, self.sources)
        return [
            Document(page_content=p["text"], metadata={name: p[name] for name in p if name != "text"}) for p in found
        ]


def answerer(client: Caller) -> Runnable[str | dict[str, Any], dict[str, Any]]:
    """Takes a question, or {question, history, sources} as in POST /v1/answer; gives the answer, as JSON has it."""

    def answer(asked: str | dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {"question": asked} if isinstance(asked, str) else asked
        history = [Message(turn["role"], turn["content"]) for turn in body.get("history", ())]
        for name, data in client.stream(body["question"], history, body.get("sources", ())):
            if name == "done":
                return data
        raise ModelError("The answer broke off.")

    return RunnableLambda(answer, name="Footnote")

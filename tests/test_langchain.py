"""The index as LangChain's retriever and the answers as its Runnable, in this process and over HTTP."""

import json

import pytest
from langchain_core.runnables import RunnableLambda

from rag.api import create_app
from rag.client import Client, Local
from rag.errors import InputError
from rag.langchain import FootnoteRetriever, answerer
from rag.pipeline import Rag
from tests.test_page import served

QUESTION = "Who built the lighthouse on Farrow Point?"
SENTENCE = "The lighthouse on Farrow Point was built by Edna Marsh in 1887."


def test_passages_are_documents_whose_metadata_say_where_they_stand(rag: Rag) -> None:
    retriever = FootnoteRetriever(client=Local(rag), k=2, sources=("lighthouse.md",))
    documents = retriever.invoke("first keeper")
    assert len(documents) == 2
    best = documents[0]
    where = best.metadata
    assert best.page_content == rag.text("lighthouse.md")[where["start"] : where["end"]]
    assert (where["source"], where["ranks"]["lexical"]) == ("lighthouse.md", 1)


def test_answers_are_a_step_of_a_chain(rag: Rag) -> None:
    chain = answerer(Local(rag)) | RunnableLambda(lambda answer: answer["citations"][0]["quote"])
    assert chain.invoke(QUESTION) == SENTENCE
    history = [{"role": "user", "content": "What is on Farrow Point?"}]
    answer = answerer(Local(rag)).invoke({"question": QUESTION, "history": history, "sources": ["lighthouse.md"]})
    assert answer["status"] == "answered"
    with pytest.raises(InputError, match="No document"):
        answerer(Local(rag)).invoke({"question": QUESTION, "sources": ["none.md"]})


def test_both_work_over_http(rag: Rag) -> None:
    with served(create_app(rag)) as address:
        client = Client(address)
        there = (FootnoteRetriever(client=client).invoke("keeper"), answerer(client).invoke(QUESTION)["citations"])
        client.close()
    here = Local(rag)
    documents = FootnoteRetriever(client=here).invoke("keeper")
    assert [d.page_content for d in there[0]] == [d.page_content for d in documents]
    assert there[1] == json.loads(json.dumps(answerer(here).invoke(QUESTION)["citations"]))

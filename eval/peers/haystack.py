"""Haystack as its documentation has it: DocumentSplitter, embedder and writer with their defaults, store in memory."""

from pathlib import Path

from haystack import Document, Pipeline
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)

PACKAGES = ("haystack-ai", "sentence-transformers-haystack", "sentence-transformers")


class Peer:
    def __init__(self, model: str, home: Path, corpus: Path) -> None:
        store = InMemoryDocumentStore()
        embedder = SentenceTransformersDocumentEmbedder(model=model, batch_size=32, progress_bar=False)
        self.indexing = Pipeline()
        self.indexing.add_component("splitter", DocumentSplitter())
        self.indexing.add_component("embedder", embedder)
        self.indexing.add_component("writer", DocumentWriter(store))
        self.indexing.connect("splitter", "embedder")
        self.indexing.connect("embedder", "writer")
        self.querying = Pipeline()
        self.querying.add_component("embedder", SentenceTransformersTextEmbedder(model=model, progress_bar=False))
        self.querying.add_component("retriever", InMemoryEmbeddingRetriever(store))
        self.querying.connect("embedder.embedding", "retriever.query_embedding")
        self.indexing.warm_up()
        embedder.run(documents=[Document(content="warm")])
        self.search("warm", 1)
        self.store = store
        self.window = 256  # what the model's own configuration says, and nothing here changes
        self.chunks: list[tuple[str, int, int]] = []

    def ingest(self, documents: list[tuple[str, str, str]]) -> None:
        loaded = [Document(content=text, meta={"source": source}) for source, _, text in documents]
        self.indexing.run({"splitter": {"documents": loaded}})
        self.chunks = [span(document) for document in self.store.filter_documents()]

    def search(self, question: str, k: int) -> list[tuple[str, int, int]]:
        found = self.querying.run({"embedder": {"text": question}, "retriever": {"top_k": k}})
        return [span(document) for document in found["retriever"]["documents"]]


def span(document: Document) -> tuple[str, int, int]:
    start = document.meta["split_idx_start"]
    return document.meta["source"], start, start + len(document.content or "")

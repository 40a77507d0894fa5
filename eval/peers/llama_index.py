"""LlamaIndex as its starter tutorial has it: VectorStoreIndex.from_documents with every default, in memory."""

from pathlib import Path

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.embeddings.huggingface import HuggingFaceEmbedding

PACKAGES = ("llama-index-core", "llama-index-embeddings-huggingface", "sentence-transformers")


class Peer:
    def __init__(self, model: str, home: Path, corpus: Path) -> None:
        self.embedder = HuggingFaceEmbedding(model_name=model, embed_batch_size=32)
        self.embedder.get_query_embedding("warm")
        self.window = int(self.embedder._model.max_seq_length)
        self.chunks: list[tuple[str, int, int]] = []

    def ingest(self, documents: list[tuple[str, str, str]]) -> None:
        # A title is metadata, which is embedded with the text; a plain file has none.
        loaded = [
            Document(doc_id=source, text=text, metadata={"title": title} if title else {})
            for source, title, text in documents
        ]
        self.index = VectorStoreIndex.from_documents(loaded, embed_model=self.embedder)
        nodes = self.index.docstore.docs.values()
        self.chunks = [span(node) for node in nodes if isinstance(node, TextNode)]

    def search(self, question: str, k: int) -> list[tuple[str, int, int]]:
        found = self.index.as_retriever(similarity_top_k=k).retrieve(question)
        return [span(hit.node) for hit in found if isinstance(hit.node, TextNode)]


def span(node: TextNode) -> tuple[str, int, int]:
    return node.ref_doc_id or "", node.start_char_idx or 0, node.end_char_idx or 0

"""LangChain as its tutorial on retrieval has it: recursive splitter of 1000 characters with 200 overlap, Chroma."""

from pathlib import Path

from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_huggingface import HuggingFaceEmbeddings
from langchain_text_splitters import RecursiveCharacterTextSplitter

PACKAGES = ("langchain-core", "langchain-text-splitters", "langchain-chroma", "langchain-huggingface", "chromadb")


class Peer:
    def __init__(self, model: str, home: Path, corpus: Path) -> None:
        embeddings = HuggingFaceEmbeddings(model_name=model, encode_kwargs={"batch_size": 32})
        embeddings.embed_query("warm")
        self.window = int(embeddings._client.max_seq_length)
        self.store = Chroma(
            collection_name="documents", embedding_function=embeddings, persist_directory=str(home / "chroma")
        )
        self.chunks: list[tuple[str, int, int]] = []

    def ingest(self, documents: list[tuple[str, str, str]]) -> None:
        loaded = [Document(page_content=text, metadata={"source": source}) for source, _, text in documents]
        splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200, add_start_index=True)
        splits = splitter.split_documents(loaded)
        self.store.add_documents(documents=splits)
        self.chunks = [span(split) for split in splits]

    def search(self, question: str, k: int) -> list[tuple[str, int, int]]:
        return [span(found) for found in self.store.similarity_search(question, k=k)]


def span(split: Document) -> tuple[str, int, int]:
    start = split.metadata["start_index"]
    return split.metadata["source"], start, start + len(split.page_content)

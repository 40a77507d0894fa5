"""This program: `Rag.ingest` of the files and `Rag.search`."""

from pathlib import Path

from rag.chunking import chunk
from rag.config import load_settings
from rag.loading import Found, parse, read, walk
from rag.pipeline import Rag

PACKAGES = ("footnote-rag", "chromadb", "tantivy", "sentence-transformers")
MAX_MB = 2000


class Peer:
    window = None  # a passage is made to fit, with its title and headings

    def __init__(self, model: str, home: Path, corpus: Path) -> None:
        settings = load_settings({}, home=home, llm="extractive", max_file_mb=MAX_MB)
        self.rag = Rag.open(settings)
        self.rag.embedder.embed_query("warm")
        self.corpus = corpus

    def ingest(self, documents: list[tuple[str, str, str]]) -> None:
        self.rag.ingest([self.corpus])

    def search(self, question: str, k: int) -> list[tuple[str, int, int]]:
        found = (hit.passage for hit in self.rag.search(question, k))
        return [(p.source, p.start, p.end) for p in found]

    @property
    def chunks(self) -> list[tuple[str, int, int]]:
        """Cut once more: the index does not list its passages."""
        embedder, limit = self.rag.embedder, self.rag.settings.passage_tokens
        files = [f for f in walk(self.corpus, MAX_MB * 1_000_000) if isinstance(f, Found)]
        documents = (d for f in files for d in parse(read(f), f.path.suffix, f.name))
        passages = (p for d in documents for p in chunk(d, embedder.count_tokens, limit, embedder.max_tokens))
        return [(p.source, p.start, p.end) for p in passages]

    def close(self) -> None:
        self.rag.close()

"""What search is compared with in the same run: BM25, dense search, and both fused by rank, over plain chunks.

Chunks have 1,000 characters with 200 overlap and know nothing of title or heading, as the common tutorials have it.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.ranking import DEPTH
from rag.errors import StoreError
from rag.models.embedder import Embedder
from rag.types import Document, Passage

NAMES = ("bm25", "dense", "rrf")
CHARACTERS, OVERLAP = 1000, 200
DEEP = 100  # of each list, before they are fused
RRF = 60  # Cormack et al., 2009, "Reciprocal Rank Fusion"
BLOCK = 1024  # chunks that are embedded and kept at a time


def cut(document: Document) -> list[Passage]:
    """Ends at the last paragraph, line, sentence or word that fits; the next chunk begins at a word."""
    text, start, chunks = document.text, 0, []
    while start < len(text):
        end = _end(text, start)
        chunks.append(Passage(document.source, "", start, end, text[start:end], ()))
        if end == len(text):
            break
        start = max(start + 1, text.find(" ", end - OVERLAP, end) + 1 or end)
    return [chunk for chunk in chunks if chunk.text.strip()]


def _end(text: str, start: int) -> int:
    if len(text) - start <= CHARACTERS:
        return len(text)
    for mark in ("\n\n", "\n", ". ", " "):
        at = text.rfind(mark, start + CHARACTERS // 2, start + CHARACTERS)
        if at > 0:
            return at + len(mark)
    return start + CHARACTERS


class Bm25:
    """BM25 with tantivy's constants (k1 1.2, b 0.75) over English stems; a question is the OR of its words."""

    def __init__(self, texts: Sequence[str]) -> None:
        import tantivy

        builder = tantivy.SchemaBuilder()
        builder.add_unsigned_field("n", stored=True)
        builder.add_text_field("text", tokenizer_name="en_stem")
        self._index = tantivy.Index(builder.build())
        writer = self._index.writer()
        for n, text in enumerate(texts):
            document = tantivy.Document()
            document.add_unsigned("n", n)
            document.add_text("text", text)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()

    def rank(self, question: str, k: int) -> list[int]:
        words = " ".join(re.findall(r"\w+", question.lower()))
        if not words:
            return []
        searcher = self._index.searcher()
        hits = searcher.search(self._index.parse_query(words, ["text"]), k).hits
        return [searcher.doc(address)["n"][0] for _, address in hits]


def fuse(rankings: Iterable[Sequence[int]], k: int) -> list[int]:
    """The best k by the sum of 1 / (60 + rank)."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (RRF + rank)
    return sorted(scores, key=lambda item: -scores[item])[:k]


@dataclass(frozen=True, slots=True)
class Baselines:
    chunks: Sequence[Passage]
    vectors: NDArray[np.float32]
    bm25: Bm25
    embedder: Embedder

    def search(self, question: str) -> Mapping[str, list[Passage]]:
        near = self.vectors @ self.embedder.embed_query(question)
        dense = [int(i) for i in np.argsort(-near, kind="stable")[:DEEP]]
        lexical = self.bm25.rank(question, DEEP)
        rankings = {"bm25": lexical, "dense": dense, "rrf": fuse([lexical, dense], DEPTH)}
        return {name: [self.chunks[i] for i in ranking[:DEPTH]] for name, ranking in rankings.items()}


def open_baselines(documents: Iterable[Document], embedder: Embedder, folder: Path) -> Baselines:
    """Embeds the chunks block by block into `folder`; blocks that are there already are taken as they are."""
    chunks = [chunk for document in documents for chunk in cut(document)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        blocks = [_block(chunks[at : at + BLOCK], embedder, folder) for at in range(0, len(chunks), BLOCK)]
    except OSError as error:
        raise StoreError(f"Cannot keep the vectors of the baselines in {folder}: {error.strerror}.") from error
    return Baselines(chunks, np.vstack(blocks), Bm25([chunk.text for chunk in chunks]), embedder)


def _block(chunks: Sequence[Passage], embedder: Embedder, folder: Path) -> NDArray[np.float32]:
    texts = [chunk.text for chunk in chunks]
    path = folder / f"{hashlib.sha256(repr(texts).encode()).hexdigest()[:16]}.npy"
    if path.exists():
        kept: NDArray[np.float32] = np.load(path)
        return kept
    made = embedder.embed_documents(texts)
    np.save(path, made)
    return made

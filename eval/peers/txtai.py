"""txtai with hybrid search (its sparse and dense index, equally weighed) over paragraphs, as its documentation splits."""

import re
from pathlib import Path

from txtai import Embeddings

PACKAGES = ("txtai", "faiss-cpu", "transformers")
PARAGRAPH_END = re.compile(r"(?:\r?\n){2,}")  # where txtai's Segmentation(paragraphs=True) cuts


class Peer:
    def __init__(self, model: str, home: Path, corpus: Path) -> None:
        self.embeddings = Embeddings(path=model, hybrid=True, encodebatch=32)
        self.embeddings.index([(0, "warm", None)])
        self.window = int(self.embeddings.model.model.maxlength)
        self.chunks: list[tuple[str, int, int]] = []

    def ingest(self, documents: list[tuple[str, str, str]]) -> None:
        texts = []
        for source, _, text in documents:
            at = 0
            for end, after in [*((m.start(), m.end()) for m in PARAGRAPH_END.finditer(text)), (len(text), len(text))]:
                part = text[at:end]
                if part.strip():
                    start = at + len(part) - len(part.lstrip())
                    self.chunks.append((source, start, start + len(part.strip())))
                    texts.append(re.sub(r" +", " ", part).strip())
                at = after
        self.embeddings.index([(i, text, None) for i, text in enumerate(texts)])

    def search(self, question: str, k: int) -> list[tuple[str, int, int]]:
        return [self.chunks[i] for i, _ in self.embeddings.search(question, k)]

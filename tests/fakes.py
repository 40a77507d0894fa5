"""Stand-ins for the models, for quick tests. Chroma, SQLite and tantivy are always the real ones."""

import hashlib
import re
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.config import Settings, load_settings
from rag.errors import RagError
from rag.index import Index
from rag.pipeline import Rag
from rag.storing import recipe_of
from rag.types import Message

DIMENSION = 64


class FakeEmbedder:
    """Bag of words hashed into a few dimensions: texts that share words are near each other."""

    name = "fake"
    dimension = DIMENSION
    max_tokens = 254

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.embed_query(text) for text in texts])

    def embed_query(self, text: str) -> NDArray[np.float32]:
        vector = np.full(DIMENSION, 1e-3, np.float32)
        for word in re.findall(r"\w+", text.lower()):
            vector[int(hashlib.md5(word.encode()).hexdigest(), 16) % DIMENSION] += 1
        return vector / np.float32(np.linalg.norm(vector))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]

    def reads(self, language: str) -> bool:
        return True

    def close(self) -> None:
        pass


class FakeLLM:
    """Says `reply` word by word, or what `reply(messages)` returns; `yes` is its probability of yes, or gives it by the prompt.

    `prompts` keeps the messages of every stream; `closed_early` counts streams that were closed before their end.
    """

    name = "fake-llm"

    def __init__(
        self,
        reply: str | Callable[[Sequence[Message]], str] = "NOT FOUND",
        *,
        yes: float | Callable[[str], float] | None = 1.0,
        error: RagError | None = None,
        cites: bool = False,
    ) -> None:
        self.reply, self.yes, self.error, self.cites = reply, yes, error, cites
        self.prompts: list[Sequence[Message]] = []
        self.closed_early = 0

    def stream(self, messages: Sequence[Message]) -> Generator[str]:
        self.prompts.append(messages)
        text = self.reply if isinstance(self.reply, str) else self.reply(messages)
        finished = False
        try:
            yield from re.findall(r"\s*\S+", text)
            if self.error:
                raise self.error
            finished = True
        finally:
            if not finished and not self.error:
                self.closed_early += 1

    def yes_probability(self, messages: Sequence[Message]) -> float | None:
        return self.yes(messages[-1].content) if callable(self.yes) else self.yes

    @property
    def busy(self) -> bool:
        return False

    def wait(self) -> None:
        pass

    def close(self) -> None:
        pass


def fake_rag(home: Path, llm: FakeLLM | None = None, **settings: object) -> Rag:
    """A Rag over a real store in `home` with the fake models."""
    made: Settings = load_settings(environ={}, home=home, models=home / "models", **settings)
    if llm is None:
        made = made.model_copy(update={"llm": "extractive"})
    embedder = FakeEmbedder()
    index = Index(home / "index", recipe_of(embedder, made.passage_tokens))
    return Rag(made, index=index, embedder=embedder, llm=llm)

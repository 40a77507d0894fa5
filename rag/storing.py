"""From a document to what the store keeps: cut into passages, embedded, handed on."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rag.chunking import chunk, embedded_text, plain
from rag.errors import LoadError
from rag.index import Entry
from rag.models.embedder import Embedder
from rag.types import Document, Passage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draft:
    """A document's passages, not embedded yet. `words`: per passage, what embedder and lexical index read."""

    document: Document
    path: str
    root: str
    passages: Sequence[Passage]
    words: Sequence[str]


def cut(document: Document, path: str, root: str, embedder: Embedder, passage_tokens: int) -> Draft:
    """Raises LoadError where nothing but headings is there."""
    limit = embedder.max_tokens
    passages = chunk(document, embedder.count_tokens, passage_tokens, limit)
    if not passages:
        raise LoadError(f"Cannot read {document.source!r}: it holds no text but headings.")
    return Draft(document, path, root, passages, [embedded_text(p, embedder.count_tokens, limit) for p in passages])


def embedded(
    cuts: Sequence[Draft], embedder: Embedder, known: Mapping[str, NDArray[np.float32]] | None = None
) -> list[Entry]:
    """All in one go, each distinct text once: overlapping passages share sentences. Raises ModelError.

    `known`: vectors of texts that were embedded before.
    """
    texts = [
        text
        for c in cuts
        for passage, words in zip(c.passages, c.words, strict=True)
        for text in (words, *(plain(passage.quote(s)) for s in passage.sentences))
    ]
    distinct = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    known = known or {}
    if missing := [text for text in distinct if text not in known]:
        known = {**known, **dict(zip(missing, embedder.embed_documents(missing), strict=True))}
    vectors = np.stack([known[text] for text in distinct])
    entries, at = [], 0
    for c in cuts:
        matrices = []
        for passage in c.passages:
            size = 1 + len(passage.sentences)
            matrices.append(vectors[[distinct[text] for text in texts[at : at + size]]])
            at += size
        entries.append(Entry(c.document, c.path, c.root, c.passages, matrices, c.words))
    return entries


def vectors_of(
    stored: Iterable[tuple[Passage, NDArray[np.float32]]], embedder: Embedder
) -> dict[str, NDArray[np.float32]]:
    """What `embedded` would look up in `known`, of passages that are stored with their vectors."""
    found: dict[str, NDArray[np.float32]] = {}
    for passage, matrix in stored:
        found[embedded_text(passage, embedder.count_tokens, embedder.max_tokens)] = matrix[0]
        found.update((plain(passage.quote(s)), row) for s, row in zip(passage.sentences, matrix[1:], strict=True))
    return found


def ahead(items: Iterable[T], size: int) -> Generator[T]:
    """The items, made in a thread of their own, at most `size` of them before they are asked for.

    What goes wrong in making them is raised here. When this is closed, the thread ends with the item that it is making.
    """
    made: Queue[tuple[T] | BaseException | None] = Queue(size)
    closed = Event()

    def make() -> None:
        try:
            for item in items:
                made.put((item,))
                if closed.is_set():
                    return
        except BaseException as error:  # handed to who waits for the next item
            made.put(error)
        else:
            made.put(None)

    Thread(target=make, daemon=True).start()  # a daemon: Ctrl-C need not wait for the file that is being read
    try:
        while (got := made.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            yield got[0]
    finally:
        closed.set()
        try:
            while True:
                made.get_nowait()  # makes room, should the thread wait for some
        except Empty:
            pass

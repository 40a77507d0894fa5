"""From a document to what the store keeps: cut into passages, embedded, handed on."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rag.chunking import embedded_text, passages_of, plain
from rag.errors import LoadError
from rag.index import Entry, Index
from rag.models.embedder import Embedder
from rag.schema import Recipe
from rag.types import Document, Passage

T = TypeVar("T")
PART_PASSAGES = 512  # of a large document that are embedded and stored at a time
BATCH_PASSAGES = 128  # embedded and stored at a time: what Ctrl-C may lose
DRAFTS_AHEAD = 4  # that may wait for the embedder
PROBE = "A lighthouse keeper wrote down the weather of every night for thirty years."


@dataclass(frozen=True, slots=True)
class Draft:
    """A document's passages, or a part of them, not embedded yet.

    `document`: of later parts without its text, which is stored with the first: a large one is let go when it is cut.
    `words`: per passage, what embedder and lexical index read.
    """

    document: Document
    path: str
    root: str
    passages: Sequence[Passage]
    words: Sequence[str]
    part: int = 0
    last: bool = True


def recipe_of(embedder: Embedder, passage_tokens: int) -> Recipe:
    """What an index is made with today."""
    probe = tuple(round(float(x), 4) for x in embedder.embed_documents([PROBE])[0])
    return Recipe(embedder.name, embedder.dimension, embedder.max_tokens, passage_tokens, probe=probe)


def cut(document: Document, path: str, root: str, embedder: Embedder, passage_tokens: int) -> Iterator[Draft]:
    """One, or the parts of a large document. Raises LoadError where nothing but headings is there."""
    limit = embedder.max_tokens
    held: list[Passage] = []
    part = 0

    def draft(*, last: bool) -> Draft:
        words = [embedded_text(p, embedder.count_tokens, limit) for p in held]
        return Draft(replace(document, text="") if part else document, path, root, tuple(held), words, part, last)

    for passage in passages_of(document, embedder.count_tokens, passage_tokens, limit):
        if len(held) == PART_PASSAGES:
            yield draft(last=False)
            held, part = [], part + 1
        held.append(passage)
    if not held:
        raise LoadError(f"Cannot read {document.source!r}: it holds no text but headings.")
    yield draft(last=True)


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
        entries.append(Entry(c.document, c.path, c.root, c.passages, matrices, c.words, c.part, c.last))
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


def rebuild(old: Index, recipe: Recipe, embedder: Embedder, progress: Callable[[int, int, str], None]) -> Index:
    """The same documents by another recipe, out of their stored texts; `old` serves meanwhile and is left as it is.

    `progress`: documents done, documents in all, the one that is being read. Raises ModelError, StoreError.
    """
    new = old.beside(recipe)
    try:
        with closing(ahead(_drafts(old, recipe, embedder, progress), DRAFTS_AHEAD)) as drafts:
            batch: list[Draft] = []
            for draft in drafts:
                batch.append(draft)
                if sum(len(d.passages) for d in batch) >= BATCH_PASSAGES:
                    new.replace(embedded(batch, embedder))
                    batch = []
            if batch:
                new.replace(embedded(batch, embedder))
        new.remove(sorted(set(new.sources()) - set(old.sources())))  # what was removed meanwhile
        new.take_over()
    except BaseException:
        new.close(discard=True)
        raise
    return new


def _drafts(
    old: Index, recipe: Recipe, embedder: Embedder, progress: Callable[[int, int, str], None]
) -> Iterator[Draft]:
    sources = old.sources()
    for done, source in enumerate(sources):
        progress(done, len(sources), source)
        if stored := old.document(source):
            with suppress(LoadError):  # nothing of it could be found
                yield from cut(*stored, embedder, recipe.passage_tokens)


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

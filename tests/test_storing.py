from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.errors import LoadError
from rag.storing import ahead, cut, embedded
from rag.types import Document
from tests.fakes import FakeEmbedder, fake_rag


class Counting(FakeEmbedder):
    """Keeps every text that it is asked to embed."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        return super().embed_documents(texts)


def document(text: str) -> Document:
    return Document("a.md", "A", text, "0")


def test_a_document_of_headings_alone_is_named() -> None:
    with pytest.raises(LoadError, match=r"'a\.md'.*no text but headings"):
        next(cut(document("# One\n\n## Two\n"), "/a.md", "/", FakeEmbedder(), 200))


def test_a_sentence_that_stands_in_two_passages_is_embedded_once() -> None:
    text = " ".join(f"Mill number {i} at the river ground barley and oats." for i in range(42))
    embedder = Counting()
    [made] = cut(document(text), "/a.md", "/", embedder, 60)
    [entry] = embedded([made], embedder)
    spans = [s for p in made.passages for s in p.sentences]
    assert len(set(spans)) < len(spans)  # the last passage overlaps the one before it
    assert len(embedder.texts) == len(set(embedder.texts)) == len(made.passages) + len(set(spans))
    for passage, words, vectors in zip(entry.passages, entry.words, entry.vectors, strict=True):
        expected = FakeEmbedder().embed_documents([words, *(passage.quote(s) for s in passage.sentences)])
        np.testing.assert_array_equal(vectors, expected)


def test_the_parts_of_a_large_document_are_without_its_text_after_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.storing.PART_PASSAGES", 2)
    text = "# A\n\nBarley grew.\n\n# B\n\nOats grew.\n\n# C\n\nRye grew.\n"
    drafts = list(cut(document(text), "/a.md", "/", FakeEmbedder(), 200))
    assert [d.document.text for d in drafts] == [text, ""]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(text)
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([tmp_path / "docs"])
        assert rag.text("a.md") == text
        assert [p.text for p, _ in rag.index.stored("a.md")] == ["Barley grew.", "Oats grew.", "Rye grew."]


def test_what_is_made_ahead_comes_in_order() -> None:
    assert list(ahead(iter(range(100)), 3)) == list(range(100))
    assert list(ahead([], 3)) == []


def test_what_goes_wrong_ahead_is_raised_where_its_item_would_come() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LoadError("broken")

    coming = ahead(items(), 3)
    assert next(coming) == 1
    with pytest.raises(LoadError, match="broken"):
        next(coming)


def test_no_more_is_made_ahead_than_may_wait_and_nothing_when_it_is_closed() -> None:
    made: list[int] = []
    ended = Event()

    def items() -> Iterator[int]:
        try:
            for i in range(1000):
                made.append(i)
                yield i
        finally:
            ended.set()

    coming = ahead(items(), 2)
    assert next(coming) == 0
    coming.close()
    assert ended.wait(5)
    assert len(made) <= 5

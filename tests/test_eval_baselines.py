from itertools import pairwise
from pathlib import Path

import pytest

from eval.baselines import Bm25, cut, fuse, open_baselines
from rag.types import Document
from tests.fakes import FakeEmbedder


def document(text: str, source: str = "a.txt") -> Document:
    return Document(source, "A title", text, "")


def test_chunks_cover_the_text_overlap_and_keep_to_their_size() -> None:
    text = " ".join(f"Sentence number {n} stands here." for n in range(200))
    chunks = cut(document(text))
    assert chunks[0].start == 0 and chunks[-1].end == len(text)
    for chunk in chunks:
        assert len(chunk.text) <= 1000
        assert chunk.text == text[chunk.start : chunk.end]
    for a, b in pairwise(chunks):
        assert 100 < a.end - b.start <= 200
        assert text[b.start - 1] == " "


def test_a_chunk_ends_at_a_paragraph_where_one_ends_in_its_second_half() -> None:
    first, second = "word " * 140, "other " * 100
    assert cut(document(f"{first}\n\n{second}"))[0].end == len(first) + 2


@pytest.mark.parametrize("text", ["", "   \n ", "short", "x" * 2500])
def test_any_text_is_cut(text: str) -> None:
    assert sum(len(c.text) for c in cut(document(text))) >= len(text.strip())


def test_bm25_ranks_by_rare_words_and_their_stems() -> None:
    bm25 = Bm25(["the mill ground barley", "the mill stands", "the keepers of the light kept a goat"])
    assert bm25.rank("Who keeps the goats?", 10)[0] == 2
    assert bm25.rank("barley AND (mill", 10)[0] == 0  # no query language
    assert bm25.rank("?!", 10) == []
    assert len(bm25.rank("mill", 1)) == 1


def test_fusion_sums_the_reciprocal_ranks() -> None:
    assert fuse([[1, 2, 3], [3, 2]], 2) == [3, 2]  # 1/63 + 1/61 over 2/62 over 1/61


def test_every_baseline_searches_the_same_chunks_and_vectors_are_kept(tmp_path: Path) -> None:
    documents = [
        document("The mill ground barley until 1902.", "mill.txt"),
        document("Nine rooms has the inn.", "inn.txt"),
    ]
    first = open_baselines(documents, FakeEmbedder(), tmp_path)
    found = first.search("How many rooms has the inn?")
    assert {name: passages[0].source for name, passages in found.items()} == dict.fromkeys(
        ("bm25", "dense", "rrf"), "inn.txt"
    )

    class Broken(FakeEmbedder):
        def embed_documents(self, texts: object) -> None:  # type: ignore[override]
            raise AssertionError("embedded again")

    again = open_baselines(documents, Broken(), tmp_path)
    assert (again.vectors == first.vectors).all()

import json
from pathlib import Path

import numpy as np
import pytest

from eval.bench_speed import Pool, _fill
from rag.index import Index
from rag.storing import cut, embedded, recipe_of
from rag.types import Document
from tests.fakes import FakeEmbedder
from tests.servers import rag_command
from tests.test_eval_bench import _set

FAKE = FakeEmbedder()


def test_an_index_of_any_size_is_filled_with_real_passages_first_and_made_ones_after(tmp_path: Path) -> None:
    document = Document("a.md", "A", "# A\n\nThe mill ground barley.\n\n# B\n\nThe inn has nine rooms.", "0")
    [entry] = embedded(list(cut(document, "/a.md", "/", FAKE, 200)), FAKE)
    pool = Pool(tuple(entry.passages), tuple(entry.vectors), tuple(entry.words))
    index = Index(tmp_path / "index", recipe_of(FAKE, 200))
    _fill(index, pool, 50)
    assert index.counts() == (3, 50)
    real, *_, made = index.stored("folder-00/000000.md")
    assert real[0].text == "The mill ground barley."
    np.testing.assert_allclose(real[1], pool.vectors[0], atol=1e-3)
    assert len(made[0].sentences) == 6
    assert {made[0].quote(s) for s in made[0].sentences} <= {"The mill ground barley.", "The inn has nine rooms."}
    np.testing.assert_allclose(np.linalg.norm(made[1], axis=1), 1, atol=1e-2)
    assert set(index.nearest(pool.vectors[0][0], limit=3)) == set(
        index.nearest(pool.vectors[0][0], limit=3, exact=True)
    )
    index.close()


def test_sizes_that_are_no_numbers_are_bad_input(tmp_path: Path) -> None:
    done = rag_command(tmp_path / "home", "bench", "speed", str(tmp_path), "--sizes", "many", llm="extractive")
    assert done.code == 2 and "not 'many'" in done.err


@pytest.mark.model
def test_the_command_measures_and_writes_what_it_found(tmp_path: Path) -> None:
    arguments = ("bench", "speed", str(_set(tmp_path / "s")), "--sizes", "30", "--out", str(tmp_path / "out"))
    done = rag_command(tmp_path / "home", *arguments, timeout=500, llm="extractive")
    assert done.code == 0, done.err
    assert "times plain encode" in done.out and "recall@100" in done.out
    said = json.loads((tmp_path / "out" / "speed.json").read_text())
    assert [s["passages"] for s in said["search"]] == [30]
    assert said["embedding"]["cosine"] > 0.999
    assert said["start"]["model"] == "extractive" and said["start"]["first_word_s"] > 0
    assert (tmp_path / "out" / "speed.svg").read_text().startswith("<?xml")

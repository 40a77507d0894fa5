import json
from pathlib import Path

import pytest

from eval.bench import read_set, retrieval, retrieval_as_json
from rag.config import load_settings
from rag.errors import InputError
from tests.servers import rag_command


def _set(folder: Path) -> Path:
    (folder / "documents").mkdir(parents=True)
    mill = "The mill at Lindal ground barley until 1902."
    (folder / "documents" / "mill.txt").write_text("\ufeff" + mill, encoding="utf-8")
    (folder / "documents" / "inn.txt").write_text("The inn at Farrow has nine rooms.", encoding="utf-8")
    records = [
        {"id": "m", "question": "What did the mill grind?", "gold": [{"doc_id": "mill.txt", "start": 26, "end": 32}]},
        {"id": "i", "question": "How many rooms has the inn?", "gold": [{"doc_id": "inn.txt"}], "type": "count"},
        {"id": "n", "question": "Who built the bridge?", "answerable": False},
    ]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return folder


def test_a_set_leaves_out_questions_without_gold_and_counts_no_byte_order_mark(tmp_path: Path) -> None:
    questions = read_set(_set(tmp_path / "s"))
    assert [case.id for case in questions.cases] == ["m", "i"]
    gold = questions.cases[0].gold[0]
    assert (gold.start, gold.end) == (25, 31)


def test_a_sample_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    folder = _set(tmp_path / "s")
    assert read_set(folder, limit=1, seed=3) == read_set(folder, limit=1, seed=3)
    assert len(read_set(folder, limit=1).cases) == 1


def test_a_folder_that_is_no_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither documents/ nor corpus\.jsonl"):
        read_set(tmp_path)
    (tmp_path / "corpus.jsonl").write_text('{"doc_id": "a", "text": "A."}')
    (tmp_path / "questions.jsonl").write_text('{"id": "q", "question": "Who?"}')
    with pytest.raises(InputError, match="where its answer stands"):
        read_set(tmp_path)


@pytest.mark.model
def test_a_set_is_ingested_searched_and_scored(tmp_path: Path) -> None:
    settings = load_settings({}, home=tmp_path / "home", llm="extractive")
    result = retrieval(read_set(_set(tmp_path / "s")), settings)
    measured = retrieval_as_json([result])["s"]
    assert measured["hit@1"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 2}
    assert measured["char_recall@5"]["n"] == 1
    assert list(result.by_type()) == ["count", "question"]
    again = retrieval(read_set(tmp_path / "s"), settings, resume=True, baselines=True)
    assert again.values == result.values
    beside = retrieval_as_json([again])["s"]
    assert [beside[f"{name}:hit@5"]["value"] for name in ("bm25", "dense", "rrf")] == [1.0, 1.0, 1.0]


@pytest.mark.model
def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    folder = _set(tmp_path / "s")
    done = rag_command(tmp_path / "home", "bench", "retrieval", str(folder), "--json", llm="extractive")
    assert done.code == 0 and json.loads(done.out)["s"]["hit@5"]["n"] == 2
    done = rag_command(tmp_path / "home", "bench", "retrieval", str(folder), "--resume", llm="extractive")
    assert "s: 2 documents, 2 passages" in done.out and "1.000" in done.out
    done = rag_command(tmp_path / "home", "bench", "retrieval", str(tmp_path))
    assert done.code == 2 and "holds neither documents/" in done.err

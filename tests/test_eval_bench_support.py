import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from eval.bench_support import spearman, support, support_as_json
from rag.errors import InputError
from tests.servers import rag_command

PAIRS = Path(__file__).parent.parent / "eval" / "data" / "minimal_pairs.jsonl"
PAIR = {"id": "a", "kind": "number", "split": "dev", "evidence": ["The mill cost 40 crowns."]}


def _write(path: Path, *records: object) -> Path:
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def test_the_pairs_that_ship_are_whole() -> None:
    pairs = [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    assert len(pairs) == len({p["id"] for p in pairs}) >= 300
    assert all(p["true"] != p["changed"] and not {p["true"], p["changed"]} & set(p["evidence"]) for p in pairs)
    kinds = Counter((p["kind"], p["split"]) for p in pairs)
    assert len(kinds) == 16 and min(kinds.values()) >= 10


def test_the_pairs_that_ship_are_told_apart() -> None:
    measured = support_as_json(support(PAIRS))["minimal_pairs (test)"]
    assert measured["changed_caught"]["value"] >= 0.85  # type: ignore[operator]
    assert measured["true_kept"]["value"] >= 0.95  # type: ignore[operator]


def test_pairs_are_counted_by_split_and_kind(tmp_path: Path) -> None:
    good = PAIR | {"true": "The price of the mill was 40 crowns.", "changed": "The price of the mill was 90 crowns."}
    missed = good | {"id": "b", "kind": "name", "changed": good["true"], "true": "Bees visit lavender."}
    measured = support_as_json(support(_write(tmp_path / "p.jsonl", good, missed)))
    assert measured["p"]["changed_caught"] == {"value": 0.5, "low": 0.0, "high": 1.0, "n": 2}
    assert measured["p (dev, number)"]["true_supported"]["value"] == 1.0
    assert measured["p (dev, name)"]["true_kept"]["value"] == 0.0


def test_rated_answers_are_scored_against_their_own_texts(tmp_path: Path) -> None:
    mill = {"doc_id": "m", "title": "", "text": "The mill at Lindal ground barley until 1902.\nIt cost 40 crowns."}
    inn = {"doc_id": "i", "title": "", "text": "The inn at Farrow has nine rooms."}
    _write(tmp_path / "corpus.jsonl", mill, inn)
    said = [
        ("m", "The mill ground barley until 1902.", 4),
        ("i", "The mill ground barley.", 1),
        ("", "I don't know.", 3),
    ]
    _write(
        tmp_path / "questions.jsonl",
        *(
            {
                "id": str(n),
                "question": "What?",
                "response": r,
                "contexts": [c] if c else [],
                "human": {"faithfulness": h},
            }
            for n, (c, r, h) in enumerate(said)
        ),
    )
    [result] = support(tmp_path)
    assert result.measures["auroc"].value == 1.0
    assert result.measures["spearman"].value == pytest.approx(1.0)  # what claims nothing lies between the two


def test_ranks_that_are_equal_share_their_place() -> None:
    assert spearman(np.array([1.0, 2, 2, 3]), np.array([1.0, 2, 2, 9])) == pytest.approx(1.0)
    assert np.isnan(spearman(np.array([1.0, 1, 1]), np.array([1.0, 2, 3])))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"p\.jsonl, line 1: not a pair .*changed"):
        support(_write(tmp_path / "p.jsonl", PAIR | {"true": "T."}))
    with pytest.raises(InputError, match=r"corpus\.jsonl"):
        support(tmp_path)
    _write(tmp_path / "corpus.jsonl", {"doc_id": "m", "text": "T."})
    answer = {"id": "1", "question": "Q?", "response": "R.", "contexts": ["x"], "human": {"faithfulness": 1}}
    _write(tmp_path / "questions.jsonl", answer)
    with pytest.raises(InputError, match=r"the text 'x', which corpus\.jsonl lacks"):
        support(tmp_path)


def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    pair = PAIR | {"true": "The price of the mill was 40 crowns.", "changed": "The price of the mill was 90 crowns."}
    path = str(_write(tmp_path / "p.jsonl", pair))
    done = rag_command(tmp_path / "home", "bench", "support", path, "--json")
    assert done.code == 0 and json.loads(done.out)["p"]["changed_caught"]["value"] == 1.0
    done = rag_command(tmp_path / "home", "bench", "support", path)
    assert "p (dev, number)" in done.out and "rag bench support" in done.out
    assert rag_command(tmp_path / "home", "bench", "support", str(tmp_path / "none")).code == 2

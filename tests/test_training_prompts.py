import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eval.training.prompts import DATA, Listening, asked, cut, read_documents, scopes
from rag.config import load_settings
from rag.generation import ASKS_WHETHER
from rag.pipeline import Rag
from rag.types import Message

MILL = {
    "family": "mills",
    "title": "The mill at Lindal",
    "text": "The mill at Lindal was built by Edna Marsh in 1820. It ground barley for the whole valley.",
    "questions": [
        {"question": "Who built the mill at Lindal?", "answer": "Edna Marsh"},
        {"question": "Who paid for the mill at Lindal?", "answer": None},
    ],
}
HUT = {
    "family": "mills",
    "title": "The mill at Farrow",
    "text": "The mill at Farrow was built by Tom Reed in 1845. A storm took its sails.",
    "questions": [{"question": "What became of the sails of the mill at Farrow?", "answer": "A storm took its sails"}],
}


def written(path: Path) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in (MILL, HUT)), encoding="utf-8")
    return path


def test_documents_become_files_and_their_questions_name_them(tmp_path: Path) -> None:
    questions = read_documents(written(tmp_path / "data.jsonl"), tmp_path)
    assert [(q.id, q.source, q.answer) for q in questions] == [
        ("0-0", "0.md", "Edna Marsh"),
        ("0-1", "0.md", None),
        ("1-0", "1.md", "A storm took its sails"),
    ]
    assert (tmp_path / "1.md").read_text(encoding="utf-8").startswith("# The mill at Farrow\n\nThe mill at Farrow was")


def test_of_the_documents_some_can_be_taken_and_keep_their_numbers(tmp_path: Path) -> None:
    data = written(tmp_path / "data.jsonl")
    assert [q.id for q in read_documents(data, tmp_path, skip=1)] == ["1-0"]
    assert [q.id for q in read_documents(data, tmp_path, limit=1)] == ["0-0", "0-1"]


def test_asked_once_a_question_goes_to_its_document_or_to_all_and_every_fourth_also_to_the_others() -> None:
    assert [scopes(n, True, once=True) for n in range(4)] == [["all", "others"], ["own"], ["all"], ["own"]]
    assert scopes(0, False, once=True) == ["all"]
    assert scopes(0, True, once=False) == ["own", "all", "others"]
    assert scopes(0, False, once=False) == ["own", "all"]


@pytest.mark.model
def test_a_question_is_asked_of_its_document_of_all_and_of_all_others(tmp_path: Path) -> None:
    questions = read_documents(written(tmp_path / "data.jsonl"), tmp_path)
    rag = Rag.open(load_settings(environ={}, llm="extractive", home=tmp_path / "home", gate=0.0))
    rag.ingest([tmp_path / "0.md", tmp_path / "1.md"])
    found = {(q.id, scope): (messages[-1].content, answered) for q, scope, messages, answered in asked(rag, questions)}
    rag.close()
    assert {key: answered for key, (_, answered) in found.items()} == {
        ("0-0", "own"): True,
        ("0-0", "all"): True,
        ("0-0", "others"): False,
        ("0-1", "own"): False,
        ("0-1", "all"): False,
        ("1-0", "own"): True,
        ("1-0", "all"): True,
        ("1-0", "others"): False,
    }
    assert "Tom Reed" in found["0-0", "others"][0] and "Edna Marsh" not in found["0-0", "others"][0]


def test_a_prompt_is_cut_where_the_adapter_wakes() -> None:
    def tokens(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/apply-template":
            return {"prompt": "\n".join(m["content"] for m in body["messages"])}
        return {"tokens": [ord(c) for c in body["content"]]}

    evidence, ask = (
        "Passages:\n[Mill]\nThe mill ground barley.\n\n",
        f"{ASKS_WHETHER}? What did it grind? Reply yes or no.",
    )
    messages = [Message("system", "Be brief."), Message("user", evidence + ask)]
    prefix, suffix = cut(messages, tokens, [ord(c) for c in ASKS_WHETHER])
    assert "".join(map(chr, prefix)) == f"Be brief.\n{evidence}"
    assert "".join(map(chr, suffix)) == ask
    with pytest.raises(ValueError, match="The prompt does not say"):
        cut([Message("user", "Something else.")], tokens, [ord(c) for c in ASKS_WHETHER])


def test_the_listener_lets_everything_through_and_keeps_what_it_was_asked() -> None:
    listening = Listening()
    assert listening.yes_probability([Message("user", "Whether?")]) == 1.0
    assert listening.checks == [[Message("user", "Whether?")]]


def test_what_ships_has_answers_word_for_word_and_as_many_near_misses() -> None:
    records = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    assert len(records) >= 310
    kinds = Counter(q["answer"] is not None for record in records for q in record["questions"])
    assert kinds[True] == kinds[False] > 1700
    for record in records:
        assert all(q["answer"] in record["text"] for q in record["questions"] if q["answer"]), record["title"]
    families = Counter(record["family"] for record in records)
    assert Counter(families.values()) == {2: 61, 3: 47, 4: 1, 5: 8, 6: 1}


def test_what_ships_shares_no_question_with_the_questions_that_it_is_measured_on() -> None:
    ours = {
        q["question"] for line in DATA.read_text(encoding="utf-8").splitlines() for q in json.loads(line)["questions"]
    }
    measured = DATA.parent / "seeds.jsonl"
    theirs = {json.loads(line)["question"] for line in measured.read_text(encoding="utf-8").splitlines()}
    assert theirs and not ours & theirs

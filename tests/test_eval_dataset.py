import json
from pathlib import Path

import pytest

from eval.dataset import Case, Gold, gold_problems, load_cases
from rag.errors import InputError
from rag.types import Message

BRIDGE = {"id": "b1", "question": "How long is the bridge?", "answers": ["40 metres"], "answerable": True}


def _file(folder: Path, *lines: object) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines), encoding="utf-8")
    return path


def test_every_field_of_a_question_is_read(tmp_path: Path) -> None:
    record = {
        "id": "q1",
        "question": "And who built it?",
        "answers": ["Ana Ruiz."],
        "keys": [["Ruiz"], ["Ana", "A."]],
        "gold": [{"doc_id": "bridge.md", "start": 3, "end": 9, "group": 1, "quote": "A Ruiz"}, {"doc_id": "b.md"}],
        "answerable": True,
        "type": "follow_up",
        "history": [{"role": "user", "content": "How long is it?"}, {"role": "assistant", "content": "40 metres."}],
        "standalone": "Who built the bridge?",
        "language": "en",
    }
    assert load_cases(_file(tmp_path, record)) == [
        Case(
            id="q1",
            question="And who built it?",
            answers=("Ana Ruiz.",),
            keys=(("Ruiz",), ("Ana", "A.")),
            gold=(Gold("bridge.md", 3, 9, 1, "A Ruiz"), Gold("b.md")),
            answerable=True,
            type="follow_up",
            history=(Message("user", "How long is it?"), Message("assistant", "40 metres.")),
            standalone="Who built the bridge?",
            language="en",
        )
    ]


def test_a_question_needs_no_more_than_an_id_and_its_words(tmp_path: Path) -> None:
    assert load_cases(_file(tmp_path, {"id": "1", "question": "Why?"})) == [Case("1", "Why?")]


def test_unknown_fields_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text("\n" + json.dumps(BRIDGE | {"fake_answer": "4"}) + "\r\n\n", encoding="utf-8-sig")
    assert [case.id for case in load_cases(path)] == ["b1"]


def test_a_line_separator_inside_a_question_does_not_end_the_line(tmp_path: Path) -> None:
    line = '{"id": "1", "question": "one\u2028two"}'
    assert load_cases(_file(tmp_path, line))[0].question == "one\u2028two"


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        ("{oops", "questions", "line 2: not a JSON object: Invalid JSON"),
        ("[1]", "questions", "line 2: not a JSON object"),
        ({"question": "Why?"}, "id", "line 2: field id: Field required"),
        ({"id": "2"}, "question", "line 2: field question: Field required"),
        ({"id": "2", "question": " "}, "question", "line 2: field question: question is empty"),
        ({"id": 2, "question": "Why?"}, "id", "line 2: field id"),
        (BRIDGE, "id", "line 2: field id: 'b1' occurs twice"),
        ({"id": "2", "question": "Why?", "answers": "No"}, "answers", "line 2: field answers"),
        ({"id": "2", "question": "Why?", "keys": ["No"]}, "keys.0", "line 2: field keys.0"),
        ({"id": "2", "question": "Why?", "keys": [[]]}, "keys", "line 2: field keys: keys holds an empty group"),
        ({"id": "2", "question": "Why?", "gold": [{}]}, "gold.0.doc_id", "line 2: field gold.0.doc_id"),
        ({"id": "2", "question": "Why?", "gold": [{"doc_id": "a", "start": 1}]}, "gold.0", "go together"),
        ({"id": "2", "question": "Why?", "gold": [{"doc_id": "a", "start": 5, "end": 5}]}, "gold.0", "no span"),
        ({"id": "2", "question": "Why?", "history": [{"role": "robot", "content": ""}]}, "history.0.role", "role"),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_field(tmp_path: Path, line: object, field: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_cases(_file(tmp_path, BRIDGE, line))
    assert "questions.jsonl" in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.field == field


def test_a_file_that_cannot_be_read_or_is_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jsonl: No such file"):
        load_cases(tmp_path / "gone.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"\xe9")
    with pytest.raises(InputError, match=r"latin\.jsonl: it is not UTF-8"):
        load_cases(tmp_path / "latin.jsonl")
    with pytest.raises(InputError, match="holds no questions"):
        load_cases(_file(tmp_path, ""))


def test_spans_with_one_group_number_are_alternatives() -> None:
    one, other, lone, whole = Gold("a", 0, 1, 1), Gold("b", 2, 3, 1), Gold("a", 5, 6), Gold("c")
    case = Case("1", "Why?", gold=(one, lone, other, whole))
    assert case.spans == (one, lone, other)
    assert case.span_groups == ((one, other), (lone,))


def test_gold_that_does_not_fit_the_documents_is_told() -> None:
    gold = (Gold("gone.md"), Gold("a.md", 0, 99), Gold("a.md", 0, 3, quote="Two"), Gold("a.md", 0, 3, quote="One"))
    assert gold_problems([Case("q", "Why?", gold=gold)], {"a.md": "One two."}) == [
        "q: gone.md is not among the documents",
        "q: a.md ends before the gold span 0-99",
        "q: a.md has other words at 0-3 than the gold quote",
    ]


def test_drafts_that_are_not_accepted_are_passed_over(tmp_path: Path) -> None:
    lines = ('{"id": "a", "question": "A?", "accepted": true}', '{"id": "b", "question": "B?", "accepted": null}')
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join([*lines, '{"id": "c", "question": "C?", "accepted": false}']), encoding="utf-8")
    assert [case.id for case in load_cases(path)] == ["a"]
    path.write_text(lines[1], encoding="utf-8")
    with pytest.raises(InputError, match="only drafts: accept some with `rag eval init`"):
        load_cases(path)

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eval.bench import QuestionSet
from eval.bench_answers import (
    Result,
    Row,
    _ask,
    _estimates,
    _within,
    answer_values,
    answers,
    answers_as_json,
    balanced,
    citation_support,
    closed,
    read_answer_set,
    rouge_l,
    squad,
    token_f1,
)
from eval.dataset import Case, Gold
from eval.metrics import auroc, confidence
from rag.cli import app
from rag.config import Settings, load_settings
from rag.errors import InputError, ModelError
from rag.pipeline import Rag
from rag.types import Answer, AnswerSentence, Citation, Evidence, Hit, Message, Passage, Sentence
from tests.fakes import FakeLLM, fake_rag

TEXT = "The mill at Lindal ground barley. Its wheel measured 6 metres."
PASSAGE = Passage("mill.txt", "Mill", 0, len(TEXT), TEXT, (Sentence(0, 33), Sentence(34, 62)))
HITS = (Hit(PASSAGE, 0.9, {"dense": 1}),)
BARLEY = Citation(1, "mill.txt", "Mill", 0, 33, TEXT[:33], "supported")
WHEEL = Citation(2, "mill.txt", "Mill", 34, 62, TEXT[34:], "supported")


def _answer(*sentences: AnswerSentence, citations: tuple[Citation, ...] = (BARLEY, WHEEL), **more: object) -> Answer:
    timings = {"check": 0.8, "search_s": 0.1, "first_token_s": 1.0, "total_s": 2.0, "prompt_tokens": 300}
    text = " ".join(s.text for s in sentences)
    answer = Answer("What?", "What?", "answered", text, sentences, citations, HITS, "fake", timings, "f")
    return replace(answer, **more)


def _refusal(reason: str = "not_stated") -> Answer:
    return _answer(citations=(), status="not_in_documents", reason=reason, text="The documents do not say.")


def _never(sentence: str, evidence: object, question: str) -> bool:
    return False


def test_words_are_compared_as_squad_compares_them() -> None:
    assert squad("The  Norse-man, a Viking.") == ["norseman", "viking"]
    assert token_f1("The Viking raid", "viking") == pytest.approx(2 / 3)
    assert token_f1("", "viking") == 0


def test_rouge_l_counts_the_longest_common_order_of_words() -> None:
    assert rouge_l("barley was ground", "barley was ground") == 1
    assert rouge_l("a b c d", "d c b a") == pytest.approx(0.25)
    assert rouge_l("", "a") == 0


def test_a_right_answer_scores_in_every_measure_that_applies() -> None:
    case = Case("m", "What?", ("barley",), gold=(Gold("mill.txt", 26, 32), Gold("mill.txt", 19, 32)))
    said = AnswerSentence("It ground barley.", "supported", (1,))
    values = answer_values(case, _answer(said, citations=(BARLEY,)), _never)
    assert values == {
        "em": 0.0,
        "f1": 0.5,
        "contains": 1.0,
        "rougeL": 0.5,
        "no_answer_recall": None,
        "false_refusal": 0.0,
        "citation_precision": 1.0,
        "citation_recall": 1.0,
        "gold_precision": 1.0,
        "gold_recall": 1.0,
        "search_s": 0.1,
        "first_token_s": 1.0,
        "total_s": 2.0,
        "prompt_tokens": 300,
        "tokens_per_s": None,  # of a reply of one word
    }


def test_a_wrong_refusal_scores_nothing_and_a_right_one_only_as_a_refusal() -> None:
    wrong = answer_values(Case("m", "What?", ("The documents do not say.",)), _refusal(), _never)
    assert (wrong["em"], wrong["contains"], wrong["false_refusal"], wrong["no_answer_recall"]) == (0, 0, 1, None)
    right = answer_values(Case("n", "What?", answerable=False), _refusal(), _never)
    assert (right["em"], right["no_answer_recall"], right["citation_recall"]) == (None, 1, None)


def test_a_citation_is_of_use_where_it_supports_alone_or_the_rest_does_not_without_it() -> None:
    both = AnswerSentence("It ground barley with a wheel of 6 metres.", "supported", (1, 2))

    def barley_alone(sentence: str, evidence: list[Evidence], question: str) -> bool:
        return any("barley" in e.text for e in evidence)

    assert citation_support(_answer(both), barley_alone) == (0.5, 1.0)
    assert citation_support(_answer(both), _never) == (1.0, 1.0)  # only together
    assert citation_support(replace(_answer(both), passages=()), barley_alone) == (0.5, 1.0)  # read elsewhere
    partial = AnswerSentence("It ground oats.", "partial", (1,))
    assert citation_support(_answer(both, partial), _never) == (pytest.approx(2 / 3), 0.5)


def test_a_question_that_the_model_was_not_asked_has_no_confidence() -> None:
    assert confidence(_refusal("off_topic")) == 0
    assert confidence(_refusal()) == 0.8
    assert confidence(_answer(timings={})) is None


def test_auroc_counts_ties_half_and_needs_both_kinds() -> None:
    assert auroc([0.9, 0.5], [0.5, 0.1]).value == pytest.approx(0.875)
    perfect = auroc([0.9] * 20, [0.1] * 20)
    assert (perfect.value, perfect.low, perfect.high, perfect.n) == (1.0, 1.0, 1.0, 40)
    assert auroc([0.9], []).value is None


def test_a_sample_is_half_answerable_as_far_as_there_are_and_always_the_same() -> None:
    cases = [Case(str(n), "What?", answerable=n % 10 == 0) for n in range(100)]
    drawn = balanced(cases, 16)
    assert drawn == balanced(cases, 16)
    assert sum(case.answerable for case in drawn) == 8
    assert [int(case.id) for case in drawn] == sorted(int(case.id) for case in drawn)
    assert sum(case.answerable for case in balanced(cases, 40)) == 10
    assert balanced(cases, 1000) == tuple(cases)


def _set(folder: Path) -> Path:
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "mill.txt").write_text("\ufeff" + f"A village.\n\n{TEXT}", encoding="utf-8")
    para = {"doc_id": "mill.txt", "start": 13, "end": 13 + len(TEXT)}  # counts the byte-order mark
    gold = {"doc_id": "mill.txt", "start": 39, "end": 45}
    records = [
        {"id": "m", "question": "What did the mill at Lindal ground?", "answers": ["barley"], "gold": [gold]},
        {"id": "n", "question": "Who built the bridge over the Orm?", "answerable": False},
    ]
    for record in records:
        record["context_para"] = para
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return folder


def test_a_paragraph_given_with_a_question_becomes_a_document_and_its_gold_moves_along(tmp_path: Path) -> None:
    made, sources = closed(read_answer_set(_set(tmp_path / "s")), tmp_path / "made")
    record = json.loads(made.corpus.read_text(encoding="utf-8"))
    assert record == {"doc_id": "mill.txt#12-74", "title": "mill", "text": TEXT}
    assert sources == [("mill.txt#12-74",)] * 2
    gold = made.cases[0].gold[0]
    assert gold.doc_id == "mill.txt#12-74" and TEXT[gold.start : gold.end] == "barley"


def test_gold_outside_the_paragraph_is_left_out() -> None:
    para = Gold("mill.txt", 10, 50)
    assert _within(Gold("mill.txt", 60, 70), para, "p") is None
    assert _within(Gold("inn.txt"), para, "p") is None
    assert _within(Gold("mill.txt"), para, "p") == Gold("p")


def test_passages_given_by_name_are_taken_from_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"doc_id": d, "title": d.upper(), "text": f"Text {d}."}) for d in "abc")
    )
    lines = [{"id": "1", "question": "A?", "contexts": ["c", "a"]}, {"id": "2", "question": "B?", "contexts": ["c"]}]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    made, sources = closed(read_answer_set(tmp_path), tmp_path / "made")
    assert sources == [("c", "a"), ("c",)]
    assert [json.loads(line)["doc_id"] for line in made.corpus.read_text().splitlines()] == ["c", "a"]
    (tmp_path / "questions.jsonl").write_text(json.dumps({"id": "1", "question": "A?"}))
    with pytest.raises(InputError, match="question 1 has no passages of its own"):
        closed(read_answer_set(tmp_path), tmp_path / "made")


@pytest.mark.model
def test_a_set_is_asked_scored_and_gone_on_with(tmp_path: Path) -> None:
    settings = load_settings({}, home=tmp_path / "home", llm="extractive")
    made = read_answer_set(_set(tmp_path / "s"))
    first = answers(made, settings, out=tmp_path / "rows", given=True)
    assert first.name == "s (closed)"
    measured = answers_as_json([first])["s (closed)"]
    assert measured["contains"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 1}
    assert measured["no_answer_recall"]["n"] == 1
    assert measured["rougeL"]["n"] == 0  # the references are a few words
    path = tmp_path / "rows" / "s-closed.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    other = json.loads(lines[0]) | {"text": "kept"}
    path.write_text(json.dumps(other) + "\n" + lines[1][:40], encoding="utf-8")  # as a kill leaves it
    again = answers(made, settings, out=tmp_path / "rows", given=True, resume=True)
    assert again.rows[0].text == "kept" and again.rows[1].id == "n"


def _row(id_: str, answerable: bool, sure: float, **values: float | None) -> Row:
    said = "answered" if answerable else "not_in_documents"
    return Row(id_, "What?", "kind", answerable, said, None, "", sure, values, "f", "d")


def test_the_command_prints_a_table_or_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (_row("m", True, 0.9, contains=1.0), _row("n", False, 0.2, no_answer_recall=1.0))
    asked: dict[str, object] = {}

    def instead(questions: QuestionSet, settings: Settings, **options: object) -> Result:
        asked.update(options, cases=len(questions.cases))
        return Result(questions.name, rows, "fake:small")

    monkeypatch.setattr("eval.bench_answers.answers", instead)
    command = ["bench", "answers", str(_set(tmp_path / "s")), "--closed", "--limit", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["s"]["auroc"]["value"] == 1.0
    assert (asked["cases"], asked["given"], asked["resume"], asked["out"]) == (1, True, False, tmp_path)
    done = CliRunner().invoke(app, command)
    assert "s: 2 questions" in done.stdout and "contains" in done.stdout and "em" not in done.stdout.split()
    assert "model fake:small ·" in done.stdout  # not what the settings ask for
    rows = (*rows, replace(rows[0], error="ModelError: gone"))
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1 and "1 questions failed" in done.stderr


def test_a_failed_question_is_wrong_but_no_refusal() -> None:
    class Broken:
        fingerprint = "f"

        def ask(self, *_: object) -> Answer:
            raise ModelError("The model gave nothing.")

    row = _ask(Broken(), Case("m", "What?", ("barley",)), ())  # type: ignore[arg-type]
    assert row.error == "ModelError: The model gave nothing."
    assert (row.values["contains"], row.values["false_refusal"]) == (0.0, None)
    assert _estimates([row])["contains"].n == 1
    gold = (Gold("mill.txt", 26, 32),)
    row = _ask(Broken(), Case("m", "What?", keys=(("barley",),), gold=gold), ())  # type: ignore[arg-type]
    assert row.values["contains"] == row.values["gold_recall"] == row.values["gold_precision"] == 0.0
    row = _ask(Broken(), Case("n", "What?", answerable=False, gold=gold), ())  # type: ignore[arg-type]
    assert (row.values["no_answer_recall"], row.values["gold_recall"]) == (0.0, None)


def _mill(folder: Path, llm: FakeLLM) -> Rag:
    (folder / "mill.txt").write_text(TEXT, encoding="utf-8")
    rag = fake_rag(folder / "home", llm)
    rag.ingest([folder / "mill.txt"])
    return rag


def test_the_plain_prompt_reads_the_same_evidence_and_refuses_in_its_own_words(tmp_path: Path) -> None:
    llm = FakeLLM(
        lambda m: "It ground barley." if "barley" in m[-1].content and "grind" in m[-1].content else "NOT FOUND",
        yes=0.1,
    )
    rag = _mill(tmp_path, llm)
    answered = _ask(rag, Case("m", "What did the mill at Lindal grind?", ("barley",)), (), plain=llm)
    assert answered.status == "not_in_documents" and answered.values["contains"] == 0.0
    assert answered.plain is not None and answered.plain["contains"] == 1.0 and answered.plain["false_refusal"] == 0.0
    said = llm.prompts[-1]
    assert "reply only: NOT FOUND" in said[0].content and "ground barley" in said[1].content
    refused = _ask(rag, Case("n", "How deep is the mill at Lindal?", answerable=False), (), plain=llm)
    assert refused.plain is not None and refused.plain["no_answer_recall"] == 1.0
    shown = answers_as_json([Result("s", (answered, refused), "fake")])
    assert shown["s"]["false_refusal"]["value"] == 1.0
    assert shown["s, plain prompt"]["false_refusal"]["value"] == 0.0
    assert shown["s, plain prompt"]["auroc"]["n"] == 0


def test_a_failure_of_the_plain_prompt_leaves_the_answer_as_it_is(tmp_path: Path) -> None:
    def reply(messages: Sequence[Message]) -> str:
        if "reply only: NOT FOUND" in messages[0].content:
            raise ModelError("gone")
        return "The mill at Lindal ground barley."

    llm = FakeLLM(reply)
    rag = _mill(tmp_path, llm)
    row = _ask(rag, Case("m", "What did the mill at Lindal grind?", ("barley",)), (), plain=llm)
    assert (row.status, row.values["contains"], row.error) == ("answered", 1.0, "plain prompt: ModelError: gone")
    assert row.plain is not None and (row.plain["contains"], row.plain["false_refusal"]) == (0.0, None)


def test_the_plain_prompt_is_measured_on_the_same_questions_by_the_same_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = FakeLLM("The mill at Lindal ground barley.")
    rag = _mill(tmp_path, llm)
    monkeypatch.setattr("eval.bench_answers.indexed", lambda *_, **__: nullcontext((rag, 0.0)))
    ground = Case("m", "What did the mill at Lindal grind?", ("barley",))
    questions = QuestionSet("s", tmp_path, (ground, Case("x", "x" * 100_000, ("oats",))))  # too long to be asked

    def shown(**options: bool) -> dict[str, list[int | float | None]]:
        measured = answers_as_json([answers(questions, rag.settings, out=tmp_path / "rows", **options)])
        return {
            name: [values["contains"]["value"], values["contains"]["n"], values["rougeL"]["n"]]
            for name, values in measured.items()
        }

    both = {"s": [0.5, 2, 0], "s, plain prompt": [0.5, 2, 0]}
    assert shown(plain=True) == both
    assert shown(resume=True) == {"s": [0.5, 2, 0]}  # what was asked before is not shown
    prompts = len(llm.prompts)
    assert shown(resume=True, plain=True) == both
    assert len(llm.prompts) == prompts


def test_a_question_that_has_changed_in_anything_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = FakeLLM("The mill at Lindal ground barley.")
    rag = _mill(tmp_path, llm)
    monkeypatch.setattr("eval.bench_answers.indexed", lambda *_, **__: nullcontext((rag, 0.0)))
    ground = Case("m", "What did the mill at Lindal grind?", ("oats",))

    def right(case: Case) -> tuple[float | None, int]:
        done = answers(QuestionSet("s", tmp_path, (case,)), rag.settings, out=tmp_path / "rows", resume=True)
        return done.rows[0].values["contains"], len(llm.prompts)

    assert right(ground) == right(ground) == (0.0, 1)
    assert right(replace(ground, answers=("barley",))) == (1.0, 2)
    assert right(replace(ground, answers=("barley",), gold=(Gold("mill.txt"),))) == (1.0, 3)
    assert right(replace(ground, answers=(), answerable=False)) == (None, 4)
    assert right(replace(ground, history=(Message("user", "Hm?"),)))[1] > 4


@pytest.mark.model
def test_the_plain_prompt_needs_a_model(tmp_path: Path) -> None:
    settings = load_settings({}, home=tmp_path / "home", llm="extractive")
    with pytest.raises(InputError, match="--plain needs a model"):
        answers(read_answer_set(_set(tmp_path / "s")), settings, out=tmp_path / "rows", plain=True)

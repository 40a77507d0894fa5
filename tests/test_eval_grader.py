"""The grader and the packaged questions, held against each other."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.dataset import Case, gold_problems, load_cases
from eval.metrics import is_correct
from rag.folding import contains, fold

ROOT = Path(__file__).parents[1]
CASES = load_cases(ROOT / "eval" / "data" / "seeds.jsonl")
ANSWERABLE = [case for case in CASES if case.answerable]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "seeds").glob("*.md")}

NUMBER_WORDS = {"one", "two", "six", "seis"}
MONTHS = {"January", "June", "July", "December"}
# Small words join the parts of a name, as in "Río de Janeiro".
NAME = re.compile(r"[A-ZÁÉÍÓÚÑ][\w&-]*(?:\s+(?:(?:de|del|of|la|y)\s+)?[A-ZÁÉÍÓÚÑ][\w&-]*)*")
FIGURE = re.compile(r"\d[\d.,]*\d|\d")
# Words that begin a reference without being a name.
OPENERS = set(re.findall(r"\b[a-z]+\b", " ".join(TEXTS.values()))) | {"el", "la", "las", "hardly"}


def _parts(text: str) -> Iterator[tuple[str, int, int]]:
    """What a reference turns on: (kind, start, end) of each figure, number word, month and whole name."""
    for match in FIGURE.finditer(text):
        yield "figure", *match.span()
    for match in re.finditer(r"\b[^\W\d_]+\b", text):
        if match[0].lower() in NUMBER_WORDS:
            yield "number word", *match.span()
        elif match[0] in MONTHS:
            yield "month", *match.span()
    opener = re.match(r"\w+\s*(?:del?\s+|la\s+)?", text)
    begin = opener.end() if opener and opener[0].split()[0].lower() in OPENERS else 0
    for match in NAME.finditer(text, begin):
        if match[0] not in MONTHS:
            yield "name", *match.span()


def _mutants(case: Case, others: dict[str, list[str]]) -> Iterator[str]:
    """The reference with each of its parts in turn changed to another of its kind from other references."""
    reference = case.answers[0]
    for kind, start, end in _parts(reference):
        words = set(fold(reference).split())
        fresh = [x for x in others[kind] if x != reference[start:end] and not words & set(fold(x).split())]
        for other in random.Random(case.id + kind).sample(fresh, min(5, len(fresh))):
            yield reference[:start] + other + reference[end:]


def test_every_reference_answer_is_correct() -> None:
    assert [case.id for case in ANSWERABLE if not all(is_correct(case, answer) for answer in case.answers)] == []


@pytest.mark.parametrize("seed", range(10))
def test_references_of_other_questions_are_wrong(seed: int) -> None:
    places = list(range(len(ANSWERABLE)))
    random.Random(seed).shuffle(places)
    pairs = [(ANSWERABLE[one], ANSWERABLE[other]) for one, other in enumerate(places) if one != other]
    right = [(case.id, other.id) for case, other in pairs if is_correct(case, other.answers[0])]
    assert len(right) <= 0.05 * len(pairs), right


def test_references_with_one_figure_or_name_changed_are_wrong() -> None:
    parts: dict[str, list[str]] = {"figure": [], "number word": [], "month": [], "name": []}
    for case in ANSWERABLE:
        for kind, start, end in _parts(case.answers[0]):
            parts[kind].append(case.answers[0][start:end])
    others = {kind: sorted(set(found)) for kind, found in parts.items()}
    mutants = [(case, mutant) for case in ANSWERABLE for mutant in _mutants(case, others)]
    right = [(case.id, mutant) for case, mutant in mutants if is_correct(case, mutant)]
    assert len(mutants) > 400
    assert len({case.id for case, _ in mutants}) > 0.7 * len(ANSWERABLE)
    assert len(right) <= 0.10 * len(mutants), right


def test_each_gold_span_is_its_quote() -> None:
    assert gold_problems(CASES, TEXTS) == []
    assert all(gold.quote and gold.start is not None for case in CASES for gold in case.gold)


def test_each_group_of_keys_stands_in_the_gold_and_none_in_the_question() -> None:
    for case in ANSWERABLE:
        gold = fold(" ".join(gold.quote or "" for gold in case.gold))
        for group in case.keys:
            assert any(contains(gold, member) for member in group), (case.id, group)
            assert not any(contains(fold(case.question), member) for member in group), (case.id, group)


def test_the_packaged_questions_cover_what_people_ask() -> None:
    kinds = [case.type for case in CASES]
    unanswerable = [case for case in CASES if not case.answerable]
    assert len(CASES) >= 100
    assert all(sum(case.id.startswith(source.removesuffix(".md")) for case in CASES) >= 15 for source in TEXTS)
    assert len(unanswerable) >= 20
    assert kinds.count("near_miss") * 2 >= len(unanswerable)
    assert sum(case.language == "es" for case in CASES) >= 12
    assert sum(bool(case.history and case.standalone) for case in CASES) >= 12
    assert all(len({gold.doc_id for gold in case.gold}) >= 2 for case in CASES if case.type == "comparison")
    assert {"fact", "figure", "who_said", "who_wrote", "comparison"} <= set(kinds)
    assert all(case.keys and case.gold and case.answers for case in ANSWERABLE)
    assert not any(case.keys or case.gold or case.answers for case in unanswerable)

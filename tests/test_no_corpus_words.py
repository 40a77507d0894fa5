"""The program knows nothing of the documents and questions that it is measured on."""

import json
import re
from calendar import day_name, month_name
from pathlib import Path

from rag import generation
from rag.types import Message

ROOT = Path(__file__).parent.parent
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
QUESTIONS = [ROOT / "eval" / "data" / "seeds.jsonl"]
RUN = 5  # words in a row that no two texts share by chance

# What the corpus and the program have in common, and why.
WORDS_ALIKE = {
    "Cuánto": "a word that asks",
    "English": "a language",
    "Spanish": "a language",
    "PDF": "a kind of file",
    "Translate": "what is done with questions",
    "Western": "a side",
}
WORDS_ALIKE |= dict.fromkeys(
    "US USA EU Estados Unidos Kingdom European Europea".split(), "countries and unions that everybody writes short"
)
WORDS_ALIKE |= {name: "of the calendar" for name in [*month_name, *day_name]}
FIGURES_ALIKE = {
    "2010": "a code point",
    "2019": "a code point",
    "130": "exit status of an interrupt",
    "200": "HTTP status and a default",
    "230": "a default",
}
FIGURES_ALIKE_IN_PROMPTS = {"21": "an oak of an invented example"}


def corpus() -> str:
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "seeds").glob("*.md"))]
    for path in QUESTIONS:
        for line in path.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            turns = [turn["content"] for turn in case.get("history", [])]
            keys = [key for group in case.get("keys", []) for key in group]
            texts += [case["question"], *case.get("answers", []), *turns, *keys]
    return "\n".join(texts)


def program() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rag").rglob("*.py")))


def prompts() -> str:
    talk = [Message("user", "")]
    made = [
        *generation.answer_messages("", [], may_refuse=True, cites=False),
        *generation.check_messages("", []),
        *generation.standalone_messages("", talk),
        *(m for language in generation.LANGUAGE_NAMES for m in generation.translate_messages("", language)),
    ]
    return "\n".join(message.content for message in made)


def names(text: str) -> set[str]:
    """The words that are only ever written with a capital."""
    words = WORD.findall(text)
    common = {word for word in words if word[0].islower()}
    return {word for word in words if word[0].isupper() and len(word) > 1 and word.lower() not in common}


def runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}


def test_the_corpus_is_there_to_be_compared_with() -> None:
    assert len(names(corpus())) > 100
    assert len(set(FIGURE.findall(corpus()))) > 50


def test_no_name_of_the_corpus_occurs_in_the_program_or_its_prompts() -> None:
    said = set(WORD.findall(program() + prompts()))
    folded = {word.lower() for word in said if len(word) > 5}  # a short name in small letters is a common word
    assert {name for name in names(corpus()) if name in said or name.lower() in folded} <= WORDS_ALIKE.keys()


def test_no_figure_of_the_corpus_occurs_in_the_program() -> None:
    long = {figure for figure in FIGURE.findall(corpus()) if len(re.sub(r"\D", "", figure)) > 2}
    assert long & set(FIGURE.findall(program())) <= FIGURES_ALIKE.keys()


def test_no_figure_of_the_corpus_occurs_in_a_prompt() -> None:
    said = {figure for figure in FIGURE.findall(prompts()) if len(figure) > 1}
    assert said & set(FIGURE.findall(corpus())) <= FIGURES_ALIKE_IN_PROMPTS.keys()


def test_no_sentence_of_the_corpus_occurs_in_the_program_or_its_prompts() -> None:
    assert not runs(corpus()) & runs(program() + prompts())

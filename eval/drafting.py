"""`rag eval init`: questions drafted from documents by the model, for a person to accept, edit or reject.

A draft is a line of a question file whose `accepted` is null; only accepted ones are asked in a run. Rejected ones stay,
so that the same sentence is not drafted again.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Any

from rag.chunking import chunk, plain
from rag.errors import InputError, LoadError
from rag.folding import contains, fold
from rag.generation import check_messages
from rag.loading import Skipped, parse, read, walk
from rag.models.llm import LLM
from rag.retrieval import content_stems
from rag.types import Document, Evidence, Message, Passage

SHORTEST, LONGEST = 8, 45  # words of a sentence that is worth a question
ANSWER_WORDS = 12
ALIKE = 0.7  # share of their words that two questions have in common when they are the same
HELD = 0.6  # least share of the question's words that the sentence itself has: else it asks about the title
SHARED = 2  # least number of them
TRIES = 6  # sentences read for each question that is wanted
PASSAGE_WORDS = 180
LOOSE = re.compile(r"(he|she|it|they|this|that|these|those|there|here|such|él|ella|ellos|esto|esta|este)\b", re.I)
NAMED = re.compile(r"\d|(?<=[\w,;:] )[^\W\d_a-zß-öø-ÿ]\w+")  # a figure, or a capital that does not begin the sentence
POINTS_BACK = re.compile(r"\b(the|this|that) (sentence|passage|text|document|statement)\b", re.I)
QUESTION_SYSTEM = (
    "Write one short question that the sentence answers. Name the people and things that it is about, so that the question "
    "can be understood without the sentence. Use the language of the sentence. Reply with the question only."
)
ANSWER_SYSTEM = (
    "Answer the question in as few words as possible, copied from the sentence. Reply with these words only."
)
REVIEW = "a accept · e edit · r reject · q stop: "


@dataclass(frozen=True, slots=True)
class Place:
    """A sentence that a question may be drafted from."""

    passage: Passage
    start: int
    end: int
    text: str


def read_documents(path: Path, max_bytes: int) -> tuple[list[Document], list[str]]:
    """What a folder holds, under the sources that `rag ingest` gives them, and what could not be read. Raises InputError."""
    documents: list[Document] = []
    failed: list[str] = []
    for found in walk(path, max_bytes):
        if isinstance(found, Skipped):
            failed += [f"{found.path}: {found.reason}"] if found.failed else []
            continue
        aside: list[Skipped] = []
        try:
            documents += parse(read(found), found.path.suffix, found.name, aside)
        except LoadError as error:
            failed.append(str(error))
        failed += [f"{item.path}: {item.reason}" for item in aside if item.failed]
    return documents, failed


def places(documents: Sequence[Document]) -> list[Place]:
    """Sentences with a name or a figure that stand alone, the documents by turns, in an order that is always the same."""
    random = Random(0)
    by_document = []
    for document in documents:
        found = [
            Place(p, s.start, s.end, p.quote(s))
            for p in chunk(document, _count, PASSAGE_WORDS, PASSAGE_WORDS)
            for s in p.sentences
            if _worth_asking(p.quote(s))
        ]
        random.shuffle(found)
        by_document.append(found)
    return [place for turn in zip_longest(*by_document) for place in turn if place is not None]


def draft(
    found: Sequence[Place],
    llm: LLM,
    path: Path,
    wanted: int,
    least_sure: float,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Adds drafts to `path` until it holds `wanted` that are not rejected; gives how many it holds then.

    `least_sure`: probability that the sentence answers the question, where the model tells. Raises InputError, ModelError.
    """
    rows = read_drafts(path)
    taken = {(gold["doc_id"], gold["start"]) for row in rows for gold in row.get("gold", []) if "start" in gold}
    asked = [content_stems(row["question"]) for row in rows]
    held = sum(row.get("accepted", True) is not False for row in rows)
    tries = TRIES * (wanted - held)
    for place in found:
        progress(held, wanted)
        if held >= wanted or tries <= 0:
            break
        if (place.passage.source, place.start) in taken:
            continue
        tries -= 1
        made = _drafted(place, llm, least_sure)
        if made is None or any(_same(content_stems(made[0]), other) for other in asked):
            continue
        asked.append(content_stems(made[0]))
        rows.append(_row(place, *made, number=len(rows) + 1, ids={row["id"] for row in rows}))
        _write(path, rows)
        held += 1
    return held


def review(path: Path, ask: Callable[[str], str], say: Callable[[str], None]) -> None:
    """Goes through the drafts that are still open, until q or the end of input.

    Each decision is on disk before the next is asked for.
    """
    rows = read_drafts(path)
    pending = [row for row in rows if row.get("accepted", True) is None]
    try:
        for number, row in enumerate(pending, 1):
            answer = (row.get("answers") or [""])[0]
            say(f"\n{number} of {len(pending)}  {row['question']}\n  answer: {answer}")
            for gold in row.get("gold", []):
                say(f"  “{' '.join(gold.get('quote', '').split())}”  ({gold['doc_id']})")
            while (choice := ask(REVIEW).strip().lower()) not in ("a", "e", "r", "q"):
                say("One of a, e, r, q.")
            if choice == "q":
                return
            if choice == "e":
                row["question"] = ask("Question (empty: keep): ").strip() or row["question"]
                answer = ask("Answer (empty: keep): ").strip() or answer
                row["answers"], row["keys"] = [answer], [[answer]]
            row["accepted"] = choice != "r"
            _write(path, rows)
    except EOFError:
        return


def read_drafts(path: Path) -> list[dict[str, Any]]:
    """The lines of a question file; none where there is no file. Raises InputError."""
    if not path.exists():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
        if all(isinstance(row["id"], str) and isinstance(row["question"], str) for row in rows):
            return rows
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"Cannot read the questions {path}: {error!r}.", "out") from error
    raise InputError(f"Cannot read the questions {path}: an id or a question is no text.", "out")


def _drafted(place: Place, llm: LLM, least_sure: float) -> tuple[str, str] | None:
    """(question, answer) that pass every check."""
    shown = f"[{place.passage.title}]\n{plain(place.text)}"
    question = _line(llm, QUESTION_SYSTEM, f"{shown}\nQuestion:")
    if not _is_question(question, place):
        return None
    answer = _line(llm, ANSWER_SYSTEM, f"Sentence: {plain(place.text)}\nQuestion: {question}\nAnswer:").rstrip(".")
    said = fold(answer).split()
    if not 0 < len(said) <= ANSWER_WORDS or not contains(fold(place.text), answer) or contains(fold(question), answer):
        return None
    evidence = Evidence(place.passage, place.start, place.end, place.text, 1.0)
    sure = llm.yes_probability(check_messages(question, [evidence]))
    return None if sure is not None and sure < least_sure else (question, answer)


def _is_question(line: str, place: Place) -> bool:
    """One question that says what it is about and does not point back at the sentence."""
    if not line.endswith("?") or line.count("?") > 1 or POINTS_BACK.search(line):
        return False
    asked = content_stems(line)
    shared = len(asked & content_stems(place.text))
    return shared >= max(SHARED, HELD * len(asked))


def _line(llm: LLM, system: str, user: str) -> str:
    reply = "".join(llm.stream([Message("system", system), Message("user", user)])).strip()
    first = reply.splitlines()[0] if reply else ""
    return re.sub(r"^(question|answer)\s*:\s*", "", first, flags=re.I).strip().strip('"“”')


def _worth_asking(text: str) -> bool:
    said = plain(text)
    return (
        SHORTEST <= len(said.split()) <= LONGEST
        and said.rstrip("\"'”’)").endswith(".")
        and not LOOSE.match(said)
        and bool(NAMED.search(said))
    )


def _same(a: frozenset[str], b: frozenset[str]) -> bool:
    return bool(a | b) and len(a & b) >= ALIKE * len(a | b)


def _row(place: Place, question: str, answer: str, *, number: int, ids: set[str]) -> dict[str, Any]:
    while (name := f"draft-{number:03}") in ids:
        number += 1
    gold = {"doc_id": place.passage.source, "start": place.start, "end": place.end, "quote": place.text}
    return {
        "id": name,
        "question": question,
        "answers": [answer],
        "keys": [[answer]],
        "gold": [gold],
        "answerable": True,
        "type": "drafted",
        "language": place.passage.language,
        "accepted": None,
    }


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    aside = path.with_name(path.name + ".part")
    try:
        aside.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.", "out") from error


def _count(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def counts(path: Path) -> tuple[int, int, int]:
    """(accepted, open, rejected)"""
    states = [row.get("accepted", True) for row in read_drafts(path)]
    return states.count(True), states.count(None), states.count(False)

"""`rag bench answers`: how well the product answers the questions of public sets, and refuses what they do not answer."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from eval.bench import QuestionSet, indexed, read_set
from eval.dataset import Case, Gold, digest
from eval.metrics import (
    COSTS,
    Estimate,
    auroc,
    average_of,
    citation_precision,
    citation_recall,
    confidence,
    estimate,
    false_refusal,
    is_correct,
    refusal_recall,
    refused,
)
from eval.ranking import gold_items
from eval.runner import package_versions
from rag.attribution import match
from rag.config import Settings
from rag.errors import InputError, RagError, StoreError
from rag.generation import NOT_FOUND, answer_messages, says_not_found
from rag.ingesting import Progress
from rag.models.llm import LLM
from rag.pipeline import Rag
from rag.retrieval import words
from rag.types import Answer, AnswerSentence, Citation, Evidence, Passage, Sentence, Status, Trace

if TYPE_CHECKING:
    from rich.console import Console

Values = Mapping[str, float | None]
Supports = Callable[[str, Sequence[Evidence], str], bool]  # sentence, evidence, question
LONG = 15  # words of a typical reference from which on an answer is long, and its order of words counts
MEASURES = (
    *("em", "f1", "contains", "rougeL", "no_answer_recall", "false_refusal", "auroc"),
    *("citation_precision", "citation_recall", "gold_precision", "gold_recall", *COSTS),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One question as it was answered. `confidence`: of the answer, whether it was given or refused."""

    id: str
    question: str
    type: str
    answerable: bool
    status: str | None
    reason: str | None
    text: str
    confidence: float | None
    values: dict[str, float | None]
    fingerprint: str
    digest: str  # of its case
    error: str | None = None  # of the question, or of the plain prompt alone
    plain: dict[str, float | None] | None = None  # the same measures of the plain prompt


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    rows: tuple[Row, ...]
    model: str  # that answered

    def plain(self) -> "Result | None":
        """The same questions as the plain prompt answered them; None where it was not asked."""
        rows = tuple(
            replace(row, values=row.plain, confidence=None, error=None) for row in self.rows if row.plain is not None
        )
        return replace(self, name=f"{self.name}, plain prompt", rows=rows) if rows else None

    def measures(self) -> dict[str, Estimate]:
        return _estimates(self.rows)

    def by_type(self) -> dict[str, dict[str, Estimate]]:
        kinds = sorted({row.type for row in self.rows})
        return {kind: _estimates([row for row in self.rows if row.type == kind]) for kind in kinds}


def read_answer_set(folder: Path, questions: str | None = None, limit: int | None = None) -> QuestionSet:
    """All questions of a set, or `limit` of them: drawn with seed 0, half answerable as far as there are. Raises InputError."""
    found = read_set(folder, questions, unanswered=True)
    return replace(found, cases=balanced(found.cases, limit)) if limit else found


def balanced(cases: Sequence[Case], limit: int) -> tuple[Case, ...]:
    """A fixed sample in the order of the file, half of it answerable; what one half lacks the other gives."""
    random = Random(0)
    halves = [[i for i, case in enumerate(cases) if case.answerable is answerable] for answerable in (True, False)]
    for half in halves:
        random.shuffle(half)
    yes, no = halves
    taken = min(len(yes), max(limit - limit // 2, limit - len(no)))
    return tuple(cases[i] for i in sorted([*yes[:taken], *no[: limit - taken]]))


def closed(questions: QuestionSet, folder: Path) -> tuple[QuestionSet, list[tuple[str, ...]]]:
    """The set with only what its questions are given to be answered from, and the sources of each question.

    A paragraph becomes a document of its own in a corpus.jsonl in `folder`, and its gold moves along. Raises InputError
    for a question that is given nothing.
    """
    records: dict[str, dict[str, str]] = {}
    texts: dict[str, dict[str, str]] = _records(questions.corpus)
    cases, sources = [], []
    for case in questions.cases:
        para = case.context_para
        if para is not None and para.start is not None and para.end is not None:
            name = f"{para.doc_id}#{para.start}-{para.end}"
            whole = _text(questions.corpus, para.doc_id)
            records[name] = {"title": Path(para.doc_id).stem.replace("_", " "), "text": whole[para.start : para.end]}
            gold = [_within(g, para, name) for g in case.gold]
            case = replace(case, gold=tuple(g for g in gold if g))
            given: tuple[str, ...] = (name,)
        else:
            given = case.contexts or tuple(dict.fromkeys(g.doc_id for g in case.gold))
            if not given:
                raise InputError(f"{questions.name}: question {case.id} has no passages of its own (--closed).", "dirs")
            for source in given:
                records[source] = texts.get(source) or {"title": source, "text": _text(questions.corpus, source)}
        cases.append(case)
        sources.append(given)
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.jsonl"
    lines = (json.dumps({"doc_id": name, **record}, ensure_ascii=False) for name, record in records.items())
    corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return QuestionSet(f"{questions.name} (closed)", corpus, tuple(cases)), sources


def answers(
    questions: QuestionSet,
    settings: Settings,
    *,
    out: Path,
    given: bool = False,
    plain: bool = False,
    resume: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Result:
    """Asks every question and writes a row for each to `out` as it is answered; `given`: from its own passages alone;
    `plain`: also by the plain prompt, over the same evidence.

    `resume` keeps the rows that were made with the same settings of the same cases. A question that fails becomes a row with its error.
    Raises RagError.
    """
    sources: Sequence[tuple[str, ...]] = [()] * len(questions.cases)
    if given:
        questions, sources = closed(questions, settings.home / "bench" / "closed" / f"{questions.name}-closed")

    def reading(p: Progress) -> None:
        progress(f"{questions.name}: reading", p.done, p.total)

    path = out / (re.sub(r"[^\w.-]+", "-", questions.name).strip("-") + ".jsonl")
    out.mkdir(parents=True, exist_ok=True)
    with indexed(settings, questions.name, questions.corpus, resume=resume, progress=reading) as (rag, _):
        if plain and rag.llm is None:
            raise InputError("--plain needs a model, and RAG_LLM is extractive or its weights are missing.", "plain")
        asked = {case.id: digest(case) for case in questions.cases}
        kept = {
            row.id: row
            for row in (_read(path) if resume else ())
            if row.fingerprint == rag.fingerprint and not row.error and asked.get(row.id, row.digest) == row.digest
            if row.plain is not None or not plain
        }
        with path.open("w", encoding="utf-8") as file:
            file.writelines(_line(row) for row in kept.values())
            for done, (case, only) in enumerate(zip(questions.cases, sources, strict=True)):
                progress(f"{questions.name}: asking", done, len(questions.cases))
                if case.id not in kept:
                    kept[case.id] = _ask(rag, case, only, plain=rag.llm if plain else None)
                    file.write(_line(kept[case.id]))
                    file.flush()
    rows = [kept[id_] if plain else replace(kept[id_], plain=None) for id_ in asked]
    return Result(questions.name, _with_long_answers_scored(questions.cases, rows), rag.model)


def _line(row: Row) -> str:
    return json.dumps(asdict(row), ensure_ascii=False) + "\n"


def _ask(rag: Rag, case: Case, sources: Sequence[str], *, plain: LLM | None = None) -> Row:
    asked = (case.id, case.question, case.type, case.answerable)
    made_with = (rag.fingerprint, digest(case))
    try:
        answer = rag.ask(case.question, case.history, sources)
        values = answer_values(case, answer, lambda *a: _supports(rag, *a))
    except RagError as error:
        failed = _failed_values(case)
        message = f"{type(error).__name__}: {error}"
        prompted = _uncited(failed) if plain else None  # without evidence there is no prompt either
        return Row(*asked, None, None, "", None, failed, *made_with, message, prompted)
    said = "" if refused(answer) else " ".join(s.text for s in answer.sentences)
    row = Row(*asked, answer.status, answer.reason, said, confidence(answer), values, *made_with)
    if plain is None:
        return row
    try:
        return replace(row, plain=_plainly(plain, case, answer, rag.trace(answer.id)))
    except RagError as error:  # the program's own answer stands
        return replace(
            row, plain=_uncited(_failed_values(case)), error=f"plain prompt: {type(error).__name__}: {error}"
        )


def _failed_values(case: Case) -> dict[str, float | None]:
    """As eval.metrics.failed_values: 0 where an answer would have had a chance to be right."""
    scored = ("em", "f1", "contains", "rougeL") if case.answers else ("contains",) if case.keys else ()
    cited = ("gold_precision", "gold_recall") if case.spans else ()
    wrong = (*scored, *cited) if case.answerable else ("no_answer_recall",)
    return {name: 0.0 if name in wrong else None for name in MEASURES}


def _plainly(llm: LLM, case: Case, answer: Answer, trace: Trace | None) -> dict[str, float | None]:
    """The measures of what the model says when it is given the same evidence and merely told that it may refuse."""
    if trace is None:
        raise StoreError(f"The answer to {case.id} left no trace.")
    read = (
        Passage(e.source, e.source, e.start, e.end, e.text, (Sentence(e.start, e.end),))
        for e in trace.evidence
        if not e.cut
    )
    sent = [_evidence(alone, answer) for alone in read]
    said = (
        "".join(llm.stream(answer_messages(trace.search_text, sent, may_refuse=True, cites=False)))
        if sent
        else NOT_FOUND
    )
    status: Status = "not_in_documents" if says_not_found(said) else "answered"
    sentences = (AnswerSentence(said, "unsupported", ()),)
    prompted = replace(answer, status=status, text=said, sentences=sentences, citations=(), timings={})
    return _uncited(answer_values(case, prompted, lambda *_: False))


def _uncited(values: Values) -> dict[str, float | None]:
    """The plain prompt cites nothing."""
    return dict(values) | dict.fromkeys(("citation_precision", "citation_recall", "gold_precision", "gold_recall"))


def _supports(rag: Rag, sentence: str, evidence: Sequence[Evidence], question: str) -> bool:
    rarity = rag.index.rarity(set(words(sentence)))
    return match(sentence, evidence, question=question, rarity=rarity).support in ("quoted", "supported")


def answer_values(case: Case, answer: Answer, supports: Supports) -> dict[str, float | None]:
    """The measures of one question; None where one does not apply. A wrong refusal scores 0 in em, f1 and contains."""
    text = "" if refused(answer) else " ".join(s.text for s in answer.sentences)
    scored = case.answerable and bool(case.answers or case.keys)
    referred = case.answerable and bool(case.answers)
    merged = replace(
        case, gold=tuple(replace(g, group=i) for i, item in enumerate(gold_items(case.gold)) for g in item)
    )
    precision, recall = citation_support(answer, supports)
    return {
        "em": max(float(squad(text) == squad(a)) for a in case.answers) if referred else None,
        "f1": max(token_f1(text, a) for a in case.answers) if referred else None,
        "contains": float(is_correct(case, text)) if scored else None,
        "rougeL": max(rouge_l(text, a) for a in case.answers) if referred else None,
        "no_answer_recall": refusal_recall(case, answer),
        "false_refusal": false_refusal(case, answer),
        "citation_precision": precision,
        "citation_recall": recall,
        "gold_precision": citation_precision(merged, answer),
        "gold_recall": citation_recall(merged, answer),
    } | {name: answer.timings.get(name) for name in COSTS}


def squad(text: str) -> list[str]:
    """Lower case, no punctuation, no articles: the words as SQuAD's own script compares them (Rajpurkar et al., 2016)."""
    bare = re.sub(r"[!-/:-@\[-`{-~]", "", text.lower())
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def token_f1(said: str, reference: str) -> float:
    a, b = squad(said), squad(reference)
    if not a or not b:
        return float(a == b)
    shared = (Counter(a) & Counter(b)).total()
    return 2 * shared / (len(a) + len(b))


def rouge_l(said: str, reference: str) -> float:
    """F1 of the longest common subsequence of words, unstemmed (Lin, 2004)."""
    a, b = (re.findall(r"[a-z0-9]+", text.lower()) for text in (said, reference))
    if not a or not b:
        return 0.0
    row = [0] * (len(b) + 1)
    for word in a:
        last = row
        row = [0]
        for at, other in enumerate(b):
            row.append(last[at] + 1 if word == other else max(last[at + 1], row[at]))
    return 2 * row[-1] / (len(a) + len(b))


def citation_support(answer: Answer, supports: Supports) -> tuple[float | None, float | None]:
    """(precision, recall) of the citations by ALCE's definition (Gao et al., 2023, §4), with our own support test.

    Recall: share of the sentences that their citations together support. Precision: share of the citations that are
    of use, i.e. whose sentence is supported, and by this one alone or not without it.
    """
    if refused(answer) or not answer.sentences:
        return None, None
    cited = {c.number: c for c in answer.citations}
    useful: list[float] = []
    for sentence in answer.sentences:
        whole = sentence.support in ("quoted", "supported")
        evidence = [_cited(cited[n], answer) for n in sentence.citations]
        for i, one in enumerate(evidence):
            rest = evidence[:i] + evidence[i + 1 :]
            asked = answer.standalone_question
            alone = not rest or supports(sentence.text, [one], asked) or not supports(sentence.text, rest, asked)
            useful.append(float(whole and alone))
    recall = fmean(float(s.support in ("quoted", "supported")) for s in answer.sentences)
    return fmean(useful) if useful else 0.0, recall


def _cited(c: Citation, answer: Answer) -> Evidence:
    return _evidence(
        Passage(c.source, c.title, c.start, c.end, c.quote, (Sentence(c.start, c.end),), c.heading), answer
    )


def _evidence(alone: Passage, answer: Answer) -> Evidence:
    """A sentence in the passage that it was read in, or as one of its own where that was not fetched."""
    held = (
        hit.passage
        for hit in answer.passages
        if hit.passage.source == alone.source and hit.passage.start <= alone.start and alone.end <= hit.passage.end
    )
    return Evidence(next(held, alone), alone.start, alone.end, alone.text, 0.0)


def answers_as_json(results: Sequence[Result]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """{set: {measure: {value, low, high, n}}}"""
    shown = _with_plain(results)
    return {result.name: {name: asdict(value) for name, value in result.measures().items()} for result in shown}


def _with_plain(results: Sequence[Result]) -> list[Result]:
    return [one for result in results for one in (result, result.plain()) if one]


def print_answers(results: Sequence[Result], console: "Console", *, command: str) -> None:
    """A table a set: a measure a line, and what the types of questions differ in below."""
    from rich.table import Table

    for result in _with_plain(results):
        measured, kinds = result.measures(), result.by_type()
        kinds = kinds if len(kinds) > 1 else {}
        table = Table(title=f"{result.name}: {len(result.rows)} questions")
        table.add_column("")
        for heading in ("all", "95%", "n", *kinds):
            table.add_column(heading, justify="right")
        for name, value in measured.items():
            if value.n:
                cells = [_number(kind[name].value) for kind in kinds.values()]
                table.add_row(
                    name, _number(value.value), f"{_number(value.low)}–{_number(value.high)}", str(value.n), *cells
                )
        console.print(table)
        for row in result.rows:
            if row.error:
                console.print(f"Failed: {row.id}: {row.error}", markup=False, highlight=False, soft_wrap=True)
    versions = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    models = ", ".join(dict.fromkeys(result.model for result in results))
    console.print(
        f"{command} · model {models} · {versions}\n95% intervals, bootstrapped over the questions", highlight=False
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _estimates(rows: Sequence[Row]) -> dict[str, Estimate]:
    known = [row for row in rows if row.confidence is not None]
    sure = [[row.confidence or 0.0 for row in known if row.answerable is kind] for kind in (True, False)]
    return {
        name: auroc(*sure) if name == "auroc" else estimate([row.values.get(name) for row in rows], average_of(name))
        for name in MEASURES
    }


def _with_long_answers_scored(cases: Sequence[Case], rows: Sequence[Row]) -> tuple[Row, ...]:
    """Without rougeL where the set's references are a few words: their order says nothing."""
    lengths = [len(a.split()) for case in cases for a in case.answers if case.answerable]
    if lengths and median(lengths) >= LONG:
        return tuple(rows)
    left_out: dict[str, float | None] = {"rougeL": None}
    return tuple(
        replace(row, values=row.values | left_out, plain=None if row.plain is None else row.plain | left_out)
        for row in rows
    )


def _records(corpus: Path) -> dict[str, dict[str, str]]:
    """doc_id -> title and text of a corpus.jsonl; empty for a folder of documents."""
    if corpus.is_dir():
        return {}
    lines = corpus.read_text(encoding="utf-8-sig").split("\n")
    records = [json.loads(line) for line in lines if line.strip()]
    return {r["doc_id"]: {"title": r.get("title") or r["doc_id"], "text": r["text"]} for r in records}


def _text(corpus: Path, source: str) -> str:
    """As the program stores it."""
    try:
        return (corpus / source).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"Cannot read {corpus / source}: {error.strerror}.", "dirs") from error


def _within(gold: Gold, para: Gold, name: str) -> Gold | None:
    """Gold as a part of the paragraph; None where it stands elsewhere."""
    if gold.start is None or gold.end is None:
        return replace(gold, doc_id=name) if gold.doc_id == para.doc_id else None
    if para.start is None or para.end is None or not para.start <= gold.start < gold.end <= para.end:
        return None
    return replace(gold, doc_id=name, start=gold.start - para.start, end=gold.end - para.start)


_ROW = TypeAdapter(Row)


def _read(path: Path) -> Iterator[Row]:
    """The rows of an earlier run; a line that a kill cut short is left out."""
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    for line in lines:
        try:
            yield _ROW.validate_json(line)
        except ValidationError:
            continue

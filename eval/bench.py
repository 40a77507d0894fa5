"""`rag bench`: how well the product's own ingest and search do on public question sets, read by path."""

import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eval.baselines import NAMES, open_baselines
from eval.dataset import Case, Gold, load_cases
from eval.metrics import Estimate, estimate
from eval.ranking import DEPTH, MEASURES, by_type, ranking_values
from eval.runner import package_versions
from rag.chunking import CHUNKER_VERSION
from rag.config import Settings
from rag.errors import InputError
from rag.ingesting import Progress
from rag.loading import Found, parse, read, walk
from rag.pipeline import Rag
from rag.types import Document, Passage

if TYPE_CHECKING:
    from rich.console import Console

Values = Mapping[str, float | None]
MAX_MB = 2000
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A folder with documents/ or corpus.jsonl, and questions."""

    name: str
    corpus: Path
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One set: every question's values beside its case, and what it took."""

    name: str
    cases: tuple[Case, ...]
    values: tuple[Values, ...]
    documents: int
    passages: int
    ingest_s: float
    query_s: Estimate  # median seconds a search, query embedding included
    baselines: Mapping[str, tuple[Values, ...]] = field(default_factory=dict)  # of the same questions

    def measures(self) -> dict[str, Estimate]:
        return _estimates(self.values)

    def by_type(self) -> dict[str, dict[str, Estimate]]:
        return {kind: _estimates(values) for kind, values in by_type(self.cases, self.values).items()}


def read_set(
    folder: Path,
    questions: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    *,
    unanswered: bool = False,
) -> QuestionSet:
    """`questions`: another question file of the set, by name or path. `limit`: a sample drawn with `seed`.

    Questions without gold are left out unless `unanswered`. Raises InputError.
    """
    corpus = next((path for path in (folder / "documents", folder / "corpus.jsonl") if path.exists()), None)
    if corpus is None and questions and folder.is_dir():
        corpus = folder  # of documents alone, with questions from elsewhere
    if corpus is None:
        raise InputError(f"{folder} holds neither documents/ nor corpus.jsonl.", "dirs")
    path = folder / (questions or "questions.jsonl")
    if questions and not path.exists():
        path = Path(questions)
    cases = [case for case in load_cases(path) if case.gold or unanswered]
    if not cases:
        raise InputError(f"No question of {path} says where its answer stands (gold).", "questions")
    if limit and limit < len(cases):
        chosen = set(random.Random(seed).sample(range(len(cases)), limit))
        cases = [case for i, case in enumerate(cases) if i in chosen]
    name = folder.resolve().name + (f" ({path.stem})" if questions else "")
    return QuestionSet(name, corpus, tuple(_without_bom(cases, corpus)))


def _without_bom(cases: Sequence[Case], corpus: Path) -> Iterator[Case]:
    """Gold that counts a byte-order mark as character 0, moved to the text as the program stores it."""
    marked = (
        {p.name for p in corpus.iterdir() if p.is_file() and p.read_bytes()[:3] == BOM} if corpus.is_dir() else set()
    )

    def moved(gold: Gold) -> Gold:
        if gold.start is None or gold.end is None or gold.doc_id not in marked:
            return gold
        return replace(gold, start=max(0, gold.start - 1), end=gold.end - 1)

    for case in cases:
        para = moved(case.context_para) if case.context_para else None
        yield replace(case, gold=tuple(moved(gold) for gold in case.gold), context_para=para)


@contextmanager
def indexed(
    settings: Settings, name: str, corpus: Path, *, resume: bool, progress: Callable[[Progress], None]
) -> Iterator[tuple[Rag, float]]:
    """A Rag over the corpus in a home of its own, and the seconds that its ingest took.

    The home stays, so that a later run with `resume` need not embed again.
    """
    kind = f"{Path(settings.embedder).name}-{settings.passage_tokens}-{CHUNKER_VERSION}"
    folder = corpus.resolve()
    folder = folder.parent if folder.name in ("documents", "corpus.jsonl") else folder
    home = settings.home / "bench" / kind / folder.name
    if not resume:
        shutil.rmtree(home, ignore_errors=True)
    with Rag.open(settings.model_copy(update={"home": home, "max_file_mb": MAX_MB})) as rag:
        started = time.perf_counter()
        report = rag.ingest([corpus], prune=True, progress=progress)
        if report.failed:
            raise InputError(f"{name}: cannot read {report.failed[0].path}: {report.failed[0].reason}", "dirs")
        yield rag, time.perf_counter() - started


def retrieval(
    questions: QuestionSet,
    settings: Settings,
    *,
    resume: bool = False,
    baselines: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Result:
    """Ingests the set and searches every question, scoring exactly what `Rag.search` gives. Raises RagError.

    `baselines`: the same questions also through plain BM25, dense search and their fusion.
    """

    def reading(p: Progress) -> None:
        progress(f"{questions.name}: reading", p.done, p.total)

    with indexed(settings, questions.name, questions.corpus, resume=resume, progress=reading) as (rag, ingest_s):
        values: list[Values] = []
        seconds: list[float] = []
        for done, case in enumerate(questions.cases):
            progress(f"{questions.name}: searching", done, len(questions.cases))
            started = time.perf_counter()
            passages = search(rag, case)
            seconds.append(time.perf_counter() - started)
            values.append(ranking_values(case, passages))
        documents, passages_stored = rag.index.counts()
        progress(f"{questions.name}: baselines", 0, 1)
        compared = _baselines(questions, rag) if baselines else {}
    return Result(
        questions.name,
        questions.cases,
        tuple(values),
        documents,
        passages_stored,
        ingest_s,
        estimate(seconds, "median"),
        compared,
    )


def _baselines(questions: QuestionSet, rag: Rag) -> dict[str, tuple[Values, ...]]:
    compared = open_baselines(read_documents(questions.corpus), rag.embedder, rag.settings.home / "baselines")
    values: dict[str, list[Values]] = {name: [] for name in NAMES}
    for case in questions.cases:
        for name, passages in compared.search(case.question).items():
            values[name].append(ranking_values(case, passages))
    return {name: tuple(rows) for name, rows in values.items()}


def read_documents(corpus: Path) -> Iterator[Document]:
    """The texts as this program stores them."""
    for found in walk(corpus, MAX_MB * 1_000_000):
        if isinstance(found, Found):
            yield from parse(read(found), found.path.suffix, found.name)


def search(rag: Rag, case: Case) -> list[Passage]:
    return [hit.passage for hit in rag.search(case.question, DEPTH, history=case.history)]


def retrieval_as_json(results: Sequence[Result]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """{set: {measure: {value, low, high, n}}}"""
    return {
        result.name: {name: asdict(value) for name, value in result.measures().items()}
        | {"query_s": asdict(result.query_s)}
        | {
            f"{name}:{measure}": asdict(value)
            for name, values in result.baselines.items()
            for measure, value in _estimates(values).items()
        }
        for result in results
    }


def print_retrieval(results: Sequence[Result], console: "Console", *, command: str, embedder: str) -> None:
    """A table of the sets, and of the types within each set that has several."""
    from rich.table import Table

    for result in results:
        table = Table(title=f"{result.name}: {result.documents} documents, {result.passages} passages")
        for heading in ("", "n", *MEASURES):
            table.add_column(heading, justify="left" if not heading else "right")
        kinds = result.by_type()
        for kind, measured in [("all", result.measures()), *(kinds.items() if len(kinds) > 1 else ())]:
            cells = [_cell(measured[name], interval=kind == "all") for name in MEASURES]
            table.add_row(kind, str(measured["hit@1"].n), *cells)
        for name, values in result.baselines.items():
            estimates = _estimates(values)
            table.add_row(name, str(len(values)), *[_cell(estimates[m], interval=True) for m in MEASURES])
        console.print(table)
        console.print(
            f"ingest {result.ingest_s:.0f} s, search {1000 * (result.query_s.value or 0):.0f} ms at the median"
        )
    versions = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    console.print(
        f"{command} · embedder {embedder} · {versions}\n95% intervals, bootstrapped over the questions", highlight=False
    )


def _cell(value: Estimate, *, interval: bool) -> str:
    if value.value is None or value.low is None or value.high is None:
        return "–"
    shown = f"{value.value:.3f}"
    return f"{shown}\n{value.low:.2f}–{value.high:.2f}" if interval else shown


def _estimates(values: Sequence[Values]) -> dict[str, Estimate]:
    return {name: estimate([v[name] for v in values]) for name in MEASURES}

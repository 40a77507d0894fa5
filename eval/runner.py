"""Puts the questions to a system, row by row onto disk, and sums up."""

import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from pathlib import Path

from eval.dataset import Case, gold_problems
from eval.metrics import measures
from eval.report import write_report
from eval.results import (
    REPORT,
    ROWS,
    SUMMARY,
    Comparison,
    Origin,
    Row,
    Run,
    TrialError,
    answered_row,
    by_stage,
    compare,
    failed_row,
    read_rows,
    risk_coverage,
    summarise,
    summarise_by_type,
    write_row,
)
from rag.errors import InputError, RagError
from rag.types import Answer, Trace

__all__ = ["Comparison", "Run", "compare_runs", "evaluate", "run"]

# The packages that an answer or a measure hangs on.
PACKAGES = ("chromadb", "langchain", "numpy", "sentence-transformers", "tantivy", "tiktoken", "torch", "xllamacpp")


def run(
    cases: Sequence[Case],
    ask: Callable[[Case], Answer],
    texts: Mapping[str, str],
    trace: Callable[[str], Trace | None] = lambda _: None,
    more: Callable[[Case], Mapping[str, float | None]] = lambda _: {},
) -> Iterator[Row]:
    """One row a question, as it is answered, with `more` measures. A RagError becomes a row with its message, and the run goes on.

    `more` raises TrialError where it cannot take them all; that changes nothing of the answer and its own measures.
    """
    named = measures(texts)
    for case in cases:
        try:
            answer = ask(case)
        except RagError as error:
            yield failed_row(case, error, list(named), texts)
            continue
        values = {name: measure(case, answer) for name, measure in named.items()}
        trial_error = None
        try:
            values |= more(case)
        except TrialError as error:
            values |= error.values
            trial_error = str(error)
        yield answered_row(case, answer, values, texts, trace(answer.id), trial_error)


def evaluate(
    cases: Sequence[Case],
    ask: Callable[[Case], Answer],
    *,
    texts: Mapping[str, str],
    out: Path,
    model: str,
    fingerprint: str,
    against: Path | None,
    questions: Path,
    trace: Callable[[str], Trace | None] = lambda _: None,
    more: Callable[[Case], Mapping[str, float | None]] = lambda _: {},
    progress: bool = True,
    each: Callable[[Row], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Run:
    """Runs the cases and writes rows.jsonl (one row as each question ends), summary.json and report.html to `out`.

    `trace`: of the answer with an id, to tell what the model was sent; `more`: further measures of a case. `each` is
    told of every row. Once it is `stopped`, the answer under way is dropped and what was answered before is summed up.
    Raises InputError where `against` is no run, `out` already holds a whole one, or nothing was answered before the stop.
    """
    earlier = [] if against is None else read_rows(against)
    if earlier and not {(row.id, row.question) for row in earlier} & {(case.id, case.question) for case in cases}:
        raise InputError(f"The run {against} has no question in common with these.", "against")
    if (out / SUMMARY).exists():
        raise InputError(f"{out} already holds a run. Choose another folder with --out, or remove it.", "out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write to {out}: {error.strerror}.", "out") from error
    started = time.perf_counter()
    answered = takewhile(lambda _: not stopped(), run(cases, ask, texts, trace, more))
    rows = _run_to_disk(answered, len(cases), out / ROWS, progress, each)
    if not rows:
        raise InputError("The run was stopped before its first answer.", "questions")
    origin = Origin(
        model=model,
        fingerprint=fingerprint,
        questions=questions.name,
        questions_sha256=hashlib.sha256(questions.read_bytes()).hexdigest(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=package_versions(),
        elapsed_s=round(time.perf_counter() - started, 1),
    )
    comparison = None if against is None else compare(earlier, rows, before=_name(against), after=_name(out))
    done = Run(
        rows=tuple(rows),
        summary=summarise(rows),
        by_type=summarise_by_type(rows),
        origin=origin,
        out=out,
        comparison=comparison,
        warnings=tuple(gold_problems(cases, texts)),
        stopped=len(rows) < len(cases),
    )
    (out / SUMMARY).write_text(json.dumps(_summary(done), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    write_report(done, out / REPORT)
    return done


def compare_runs(a: Path, b: Path) -> Comparison:
    """b against a, each the folder of a run or its rows.jsonl. Raises InputError."""
    comparison = compare(read_rows(a), read_rows(b), before=_name(a), after=_name(b))
    if not comparison.common:
        raise InputError(f"{a} and {b} have no question in common.", "run")
    return comparison


def _run_to_disk(
    answered: Iterator[Row], total: int, path: Path, progress: bool, each: Callable[[Row], None]
) -> list[Row]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rows: list[Row] = []
    with ExitStack() as stack:
        file = stack.enter_context(path.open("w", encoding="utf-8"))
        bar = None
        if progress and sys.stderr.isatty():
            bar = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
            task = bar.add_task("Questions", total=total)
        for row in answered:
            rows.append(row)
            file.write(write_row(row) + "\n")
            file.flush()
            each(row)
            if bar is not None:
                failed, wrong = sum(r.error is not None for r in rows), sum(r.failed for r in rows)
                bar.update(task, advance=1, description=f"Questions · {wrong - failed} wrong · {failed} failed")
    return rows


def _summary(run: Run) -> dict[str, object]:
    return {
        "measures": run.as_dict(),
        "by_type": {kind: {name: asdict(e) for name, e in rates.items()} for kind, rates in run.by_type.items()},
        "questions": len(run.rows),
        "stopped": run.stopped,
        "stages": {stage: [row.id for row in rows] for stage, rows in by_stage(run.rows).items()},
        "risk_coverage": risk_coverage(run.rows),
        "errors": [{"id": row.id, "error": row.error} for row in run.errors],
        "trial_errors": [{"id": row.id, "error": row.trial_error} for row in run.trial_errors],
        "warnings": list(run.warnings),
        "made_with": asdict(run.origin),
        "comparison": None if run.comparison is None else run.comparison.as_dict(),
    }


def package_versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _name(run: Path) -> str:
    folder = run if run.is_dir() else run.parent
    return folder.resolve().name

"""Runs of question sets inside a server: one at a time, each question in the same queue as those of other askers."""

import contextlib
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval.dataset import Case, drawn, load_cases
from eval.report import verdict
from eval.results import REPORT, SUMMARY, Row, read_rows
from eval.runner import evaluate
from rag.conversations import QUESTIONS
from rag.errors import BusyError, EmptyIndexError, InputError, InUseError, RagError
from rag.http.evals import EvalState, QuestionSet
from rag.http.streams import Streams
from rag.pipeline import Rag
from rag.types import Answer, Done

FOLDER = "evals"  # in RAG_HOME, a folder for each run
ASKER = "eval"  # who asks, among those who take turns
LISTED = 50
FAILURES = 200  # of a run, that are told with their answers

log = logging.getLogger(__name__)


class Evals:
    def __init__(self, home: Path, opened: Callable[[], Rag], streams: Streams, sample: Path, questions: Path) -> None:
        """`sample`: the folder of the sample corpus; `questions`: those about it."""
        self.folder = home / FOLDER
        self._opened, self._streams, self._sample = opened, streams, sample
        self._files: dict[QuestionSet, Path] = {"sample": questions, "own": home / QUESTIONS}
        for left in self.folder.glob("*"):  # by a server that was killed in the middle of a run
            if not (left / SUMMARY).exists():
                shutil.rmtree(left, ignore_errors=True)
        self._lock = threading.Lock()
        self._now: EvalState | None = None  # the run under way, or one of this server that failed
        self._stopping = threading.Event()

    def questions(self) -> Mapping[QuestionSet, int]:
        return {which: _count(path) for which, path in self._files.items()}

    def start(self, which: QuestionSet, limit: int | None) -> EvalState:
        rag = self._opened()
        if which == "own" and not self._files["own"].exists():
            raise InputError('No question is kept yet: "Keep as test" below an answer keeps it.', "set")
        cases = drawn(load_cases(self._files[which]), limit)
        documents = [d for d in rag.documents() if which == "own" or d.root == str(self._sample)]
        if not documents and which == "own":
            raise EmptyIndexError("Nothing is indexed yet: `rag ingest PATH` first.")
        if not documents:
            raise InputError("The sample corpus is not indexed: `rag ingest --sample` brings it in.", "set")
        with self._lock:
            if self._now and self._now.status == "running":
                raise InUseError("A run is under way. Wait for it, or stop it.")
            started = datetime.now(UTC)
            id_ = self._free(f"{started:%Y%m%d-%H%M%S}")
            state = EvalState(id_, which, "running", 0, len(cases), started=started.isoformat(timespec="seconds"))
            self._now = state
            self._stopping.clear()
        sources = [d.source for d in documents] if which == "sample" else []
        texts = _Texts(rag, [d.source for d in documents])
        threading.Thread(target=self._run, args=(rag, cases, sources, texts), daemon=True, name="eval").start()
        return state

    def stop(self, id_: str) -> EvalState | None:
        if self._now and self._now.id == id_:
            self._stopping.set()
        return self.get(id_)

    def listed(self) -> Sequence[EvalState]:
        kept = sorted((path.parent.name for path in self.folder.glob(f"*/{SUMMARY}")), reverse=True)[:LISTED]
        found = [replace(state, result=None) for id_ in kept if (state := self.get(id_))]
        now = self._now
        return [now, *found] if now and now.id not in kept else found

    def get(self, id_: str) -> EvalState | None:
        now = self._now
        if now and now.id == id_:
            return now
        try:
            said = json.loads((self.folder / id_ / SUMMARY).read_text(encoding="utf-8"))
            return _kept(id_, said, read_rows(self.folder / id_))
        except (OSError, ValueError, KeyError, RagError):
            return None

    def report(self, id_: str) -> str | None:
        with contextlib.suppress(OSError):
            return (self.folder / id_ / REPORT).read_text(encoding="utf-8")
        return None

    def _free(self, name: str) -> str:
        names = [name, *(f"{name}-{n}" for n in range(2, 100))]
        return next(name for name in names if not (self.folder / name).exists())

    def _run(self, rag: Rag, cases: Sequence[Case], sources: Sequence[str], texts: Mapping[str, str]) -> None:
        state = self._now
        assert state is not None
        out = self.folder / state.id
        try:
            evaluate(
                cases,
                lambda case: self._ask(case, sources),
                texts=texts,
                out=out,
                model=rag.model,
                fingerprint=rag.fingerprint,
                against=self._last(state.set, cases),
                questions=self._files[state.set],
                trace=rag.trace,
                progress=False,
                each=self._count,
                stopped=self._stopping.is_set,
            )
            self._now = None  # from here on the folder tells of it
        except Exception as error:
            if not isinstance(error, RagError):
                log.error("a run of the eval failed", exc_info=error)
                error = RagError("An unexpected error; the log has it.")
            shutil.rmtree(out, ignore_errors=True)
            ended = self._now or state
            stopped = self._stopping.is_set()
            self._now = replace(ended, status="stopped" if stopped else "failed", error=None if stopped else error)

    def _ask(self, case: Case, sources: Sequence[str]) -> Answer:
        while True:
            try:
                return self._answer(case, sources)
            except BusyError as error:  # others fill the queue
                if self._stopping.wait(error.retry_s):
                    raise

    def _answer(self, case: Case, sources: Sequence[str]) -> Answer:
        events = self._streams.stream(case.question, case.history, sources, ASKER)
        try:
            for event in events:
                if isinstance(event, Done):
                    return event.answer
                if self._stopping.is_set():
                    break
        finally:
            if close := getattr(events, "close", None):
                close()
        raise RagError("The run was stopped.")

    def _count(self, row: Row) -> None:
        state = self._now
        assert state is not None
        wrong, failed = row.failed and row.error is None, row.error is not None
        self._now = replace(
            state, done=state.done + 1, wrong=state.wrong + int(wrong), failed=state.failed + int(failed)
        )

    def _last(self, which: QuestionSet, cases: Sequence[Case]) -> Path | None:
        """The last whole run of the same set that asked one of these questions."""
        asked = {(case.id, case.question) for case in cases}
        for state in self.listed():
            path = self.folder / state.id
            whole = state.set == which and state.status == "done"
            if whole and asked & {(row.id, row.question) for row in read_rows(path)}:
                return path
        return None


def _kept(id_: str, said: Mapping[str, Any], rows: Sequence[Row]) -> EvalState:
    which: QuestionSet = "own" if said["made_with"]["questions"] == QUESTIONS else "sample"
    failed = sum(row.error is not None for row in rows)
    lost = [row for row in rows if row.failed]
    comparison = said["comparison"]
    if comparison:
        for name, difference in comparison["differences"].items():
            difference["verdict"] = verdict(name, difference["low"], difference["high"])
    result = dict(said) | {"comparison": comparison, "failures": [_failure(row) for row in lost[:FAILURES]]}
    return EvalState(
        id_,
        which,
        "stopped" if said["stopped"] else "done",
        len(rows),
        len(rows),
        len(lost) - failed,
        failed,
        said["made_with"]["date"],
        result,
    )


def _failure(row: Row) -> dict[str, Any]:
    names = ("id", "type", "question", "answerable", "text", "status", "reason", "error", "stage")
    quotes = {name: [asdict(quote) for quote in getattr(row, name)] for name in ("citations", "gold")}
    return {name: getattr(row, name) for name in names} | {"answers": list(row.answers)} | quotes


class _Texts(Mapping[str, str]):
    """The stored texts by source, each read when it is asked for."""

    def __init__(self, rag: Rag, sources: Sequence[str]) -> None:
        self._rag, self._sources = rag, dict.fromkeys(sources)

    def __getitem__(self, source: str) -> str:
        text = self._rag.index.text(source) if source in self._sources else None
        if text is None:
            raise KeyError(source)
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def _count(path: Path) -> int:
    """Of a question file; one that is not there, or cannot be read, has none."""
    with contextlib.suppress(RagError):
        return len(load_cases(path))
    return 0

"""Documents in: which files are new, changed, moved or gone, and their way into the index."""

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.config import Settings
from rag.errors import LoadError
from rag.index import Entry, Index, Stored
from rag.loading import Found, Skipped, missing, parse, read, settled, walk
from rag.models.embedder import Embedder
from rag.storing import BATCH_PASSAGES, DRAFTS_AHEAD, Draft, ahead, cut, embedded, vectors_of
from rag.types import Document

KNOWN_PASSAGES = 5000  # of a document whose vectors are looked up when it changes; a larger one is embedded whole


@dataclass(frozen=True, slots=True)
class Failure:
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Sources by what happened to them; `skipped` were passed over by rule, `failed` could not be read."""

    added: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    skipped: tuple[Failure, ...] = ()

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` files are through; `path` is the one that was read last."""

    done: int
    total: int
    path: str


FileStage = Literal["reading", "embedding", "storing", "stored"]


@dataclass(frozen=True, slots=True)
class FileProgress:
    """How far one file is. `passages` of it are concerned; a file of several parts or documents goes round again."""

    path: str
    stage: FileStage
    passages: int = 0


@dataclass(frozen=True, slots=True)
class _Gone:
    """Sources that are to be removed."""

    sources: tuple[str, ...]


class Ingestion:
    """One run over some paths, in three threads: one reads files and cuts them into passages, this one embeds them in
    batches, one stores the batch before. What is unchanged, new or gone is decided in the first.
    """

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        settings: Settings,
        progress: Callable[[Progress], None],
        file_progress: Callable[[FileProgress], None],
        *,
        dry: bool,
        again: bool,
    ) -> None:
        self.index, self.embedder, self.settings = index, embedder, settings
        self.progress, self.file_progress, self.dry, self.again = progress, file_progress, dry, again
        self.by_sha256: dict[str, Stored] = {}
        self.before: dict[str, str] = {}  # source -> stored source that has the same or nearly the same text
        self.by_path: dict[str, list[Stored]] = {}
        self.by_source: dict[str, Stored] = {}
        for stored in index.documents():
            self._remember(stored)
        self.outcome: dict[str, list[str]] = {name: [] for name in ("added", "unchanged", "updated", "removed")}
        self.failed: list[Failure] = []
        self.skipped: list[Failure] = []
        self.batch: list[Draft] = []
        self.gone: list[str] = []
        self.waiting: list[tuple[str, str]] = []  # (outcome, source) of what is in the batch
        self.store = ThreadPoolExecutor(1)
        self.storing: tuple[Future[None], list[tuple[str, str]]] | None = None

    def run(self, paths: Sequence[Path], prune: bool, only: Set[Path] | None = None) -> IngestReport:
        found: list[Found] = []
        for path in paths:
            for item in walk(path, self.settings.max_file_mb * 1_000_000):
                at = Path(item.path)
                if only is not None and only.isdisjoint((at, *at.parents)):
                    continue
                if isinstance(item, Found):
                    found.append(item)
                else:
                    (self.failed if item.failed else self.skipped).append(Failure(item.path, item.reason))
        with self.store:
            try:
                with closing(ahead(self._work(found, paths if prune else ()), DRAFTS_AHEAD)) as work:
                    for step in work:
                        self._take(step)
            finally:
                self._hand_on()  # what is finished is kept, also on Ctrl-C
                self._stored()
        self.progress(Progress(len(found), len(found), ""))
        return IngestReport(
            **{name: tuple(sources) for name, sources in self.outcome.items()},
            failed=tuple(self.failed),
            skipped=tuple(self.skipped),
        )

    def _work(self, found: Sequence[Found], pruned: Sequence[Path]) -> Iterator[Progress | tuple[str, Draft] | _Gone]:
        """What there is to do, file by file: (outcome, Draft) for a new or changed document."""
        for done, item in enumerate(found):
            yield Progress(done, len(found), item.name)
            yield from self._file(item)
        if pruned:
            yield self._prune(pruned, {str(item.path) for item in found})

    def _take(self, step: Progress | tuple[str, Draft] | _Gone) -> None:
        if isinstance(step, Progress):
            self.progress(step)
        elif isinstance(step, _Gone):
            self.gone += step.sources
            self.waiting += [("removed", source) for source in step.sources]
        else:
            outcome, draft = step
            self.batch.append(draft)
            if draft.last:
                self.waiting.append((outcome, draft.document.source))
            if sum(len(c.passages) for c in self.batch) >= BATCH_PASSAGES:
                self._hand_on()

    def _hand_on(self) -> None:
        """Embeds the batch and has it stored behind our back."""
        batch, gone, waiting = self.batch, self.gone, self.waiting
        self.batch, self.gone, self.waiting = [], [], []
        if not batch and not gone:
            return
        self._tell(batch, "embedding")
        entries = [] if self.dry or not batch else embedded(batch, self.embedder, self._known(batch))
        self._stored()
        self._tell(batch, "storing")
        self.storing = self.store.submit(self._store, batch, entries, [] if self.dry else gone), waiting

    def _store(self, batch: Sequence[Draft], entries: Sequence[Entry], gone: Sequence[str]) -> None:
        self.index.replace(entries, gone)
        self._tell(batch, "stored")

    def _tell(self, batch: Sequence[Draft], stage: FileStage) -> None:
        passages: dict[str, int] = {}
        for draft in batch:
            passages[draft.path] = passages.get(draft.path, 0) + len(draft.passages)
        for path, count in passages.items():
            self.file_progress(FileProgress(path, stage, count))

    def _known(self, batch: Sequence[Draft]) -> dict[str, NDArray[np.float32]]:
        """The vectors of the documents that these change, move or copy: only what is new is embedded."""
        olds = {self.before[s]: None for draft in batch if (s := draft.document.source) in self.before}
        return {
            text: vector for old in olds for text, vector in vectors_of(self.index.stored(old), self.embedder).items()
        }

    def _stored(self) -> None:
        """Waits until the batch before is stored. Raises what kept it from that."""
        if self.storing:
            (done, waiting), self.storing = self.storing, None
            done.result()
            for outcome, source in waiting:
                self.outcome[outcome].append(source)

    def _file(self, found: Found) -> Iterator[tuple[str, Draft] | _Gone]:
        known = self.by_path.get(str(found.path), [])
        self.file_progress(FileProgress(str(found.path), "reading"))
        try:
            content = read(found)
            if not self.again and [k.sha256 for k in known] == [content.sha256]:
                self.outcome["unchanged"].append(known[0].source)
                return
            aside: list[Skipped] = []  # of the members of an archive
            source = self._source(found, content.sha256)
            documents = parse(content, found.path.suffix, source, aside)
            if len(documents) != 1 or documents[0].source != source:  # records of one file
                documents = [replace(d, source=self._free(d.source, found, d.sha256)) for d in documents]
            del content  # a large file need not stay while its parts are embedded
        except LoadError as error:
            self.failed.append(Failure(str(found.path), str(error)))
            return
        for item in aside:
            (self.failed if item.failed else self.skipped).append(Failure(item.path, item.reason))
        kept = {d.source for d in documents} | {item.path for item in aside if item.failed}
        if gone := tuple(k.source for k in known if k.source not in kept):
            yield _Gone(gone)
        for document in documents:
            if not self.again and not self._changed(document, found):
                self.outcome["unchanged"].append(document.source)
                continue
            if old := self.by_source.get(document.source) or self.by_sha256.get(document.sha256):
                if old.passages <= KNOWN_PASSAGES:
                    self.before[document.source] = old.source
                if old.source != document.source and missing(Path(old.path)):  # it has moved
                    self._forget(old)
                    yield _Gone((old.source,))
            try:
                yield from self._drafts(document, found)
            except LoadError as error:  # one bad record of a file fails alone
                self.failed.append(Failure(str(found.path), str(error)))

    def _drafts(self, document: Document, found: Found) -> Iterator[tuple[str, Draft]]:
        outcome = "updated" if document.source in self.by_source else "added"
        path, root = str(found.path), str(found.root)
        for draft in cut(document, path, root, self.embedder, self.settings.passage_tokens):
            if draft.part == 0:
                size = len(draft.passages), len(document.text)
                self._remember(Stored(document.source, document.title, *size, document.sha256, path, root))
            yield outcome, draft

    def _prune(self, paths: Sequence[Path], present: set[str]) -> _Gone:
        roots = [settled(path) for path in paths]
        gone = [
            stored.source
            for stored in self.by_source.values()
            if stored.path not in present
            and any(Path(stored.path).is_relative_to(root) for root in roots)
            and missing(Path(stored.path))
        ]
        return _Gone(tuple(gone))

    def _changed(self, document: Document, found: Found) -> bool:
        old = self.by_source.get(document.source)
        return old is None or (old.sha256, old.path) != (document.sha256, str(found.path))

    def _source(self, found: Found, digest: str) -> str:
        """The name relative to the folder given; where another file has it, behind as many folder names as it takes."""
        if (
            (known := self.by_path.get(str(found.path)))
            and len(known) == 1
            and known[0].source.endswith(found.path.name)
        ):
            return known[0].source
        return self._free(found.name, found, digest)

    def _free(self, name: str, found: Found, digest: str) -> str:
        parts = list(found.root.parts)
        while (other := self.by_source.get(name)) and other.path != str(found.path) and parts:
            if other.sha256 == digest and missing(Path(other.path)):  # the same document, moved
                return name
            name = f"{parts.pop()}/{name}"
        return name

    def _forget(self, stored: Stored) -> None:
        del self.by_source[stored.source], self.by_sha256[stored.sha256]
        self.by_path[stored.path] = [k for k in self.by_path[stored.path] if k.source != stored.source]

    def _remember(self, stored: Stored) -> None:
        if (old := self.by_source.get(stored.source)) and old.path != stored.path:
            self.by_path[old.path] = [k for k in self.by_path[old.path] if k.source != old.source]
        self.by_source[stored.source] = self.by_sha256[stored.sha256] = stored
        known = [k for k in self.by_path.get(stored.path, []) if k.source != stored.source]
        self.by_path[stored.path] = [*known, stored]

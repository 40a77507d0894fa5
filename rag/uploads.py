"""Documents that were sent to the server: kept under RAG_HOME, so that they can be cited and read again.

A name is only a name: what is left of it is one file name in one folder. A file is written beside its place and moved
there whole; a mark stands beside it until it is indexed, so that a server that was killed finishes the job when it
starts again.
"""

import hashlib
import json
import os
import secrets
import shutil
import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import BinaryIO

from rag.errors import DiskFullError, InputError, LoadError, StoreError
from rag.index import FULL_CODES, Stored
from rag.ingesting import Failure, FileProgress, IngestReport, Progress
from rag.loading import ARCHIVE, READERS, missing
from rag.pipeline import Rag
from rag.readers.common import OLE

FOLDER = "uploads"  # in RAG_HOME
NAME_BYTES = 180
HEAD_BYTES, BLOCK_BYTES = 4096, 1 << 20
INCOMING, PENDING = ".incoming-", ".pending-"
OWNERS = ".owners.json"  # file name -> name of the key that sent it
PACKED = (ARCHIVE, ".docx", ".epub", ".pptx", ".xlsx")
PDF, ZIP = b"%PDF-", (b"PK\x03\x04", b"PK\x05\x06")
FILE_GONE = "Its file is not where it was; what was read of it stays."
WIDE = (b"\xff\xfe", b"\xfe\xff")  # text in two bytes a character, which may be zero


class Owners:
    """Which key sent which file. What was sent without a key, or read from the machine, is everybody's."""

    _changing = threading.Lock()  # one server at a time has the folder

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def may_change(self, path: str | Path, key: str | None) -> bool:
        """`key`: the name of who asks; None: somebody who may change all."""
        path = Path(path)
        return key is None or path.parent != self._folder or self._all().get(path.name, key) == key

    def note(self, name: str, key: str | None) -> None:
        """From here on the file of this name is that key's. Raises StoreError."""
        with self._changing:
            owners = self._all()
            if owners.get(name) == key:
                return
            if key:
                owners[name] = key
            else:
                del owners[name]
            written = self._folder / f"{INCOMING}{secrets.token_hex(8)}"
            try:
                written.write_text(json.dumps(owners, ensure_ascii=False, indent=1), encoding="utf-8")
                written.replace(self._folder / OWNERS)
            except OSError as error:
                raise StoreError(f"Cannot write {self._folder / OWNERS}: {error.strerror}.") from error

    def _all(self) -> dict[str, str]:
        """Raises StoreError: a file that cannot be read must not open what it was to close."""
        try:
            return dict(json.loads((self._folder / OWNERS).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(
                f"{self._folder / OWNERS} cannot be read: {error}. Mend the file, or delete it."
            ) from error


def safe_name(name: str) -> str:
    """The last part of a path of any system, without what a file name cannot hold. Raises LoadError if nothing is left."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip().lstrip(".")
    stem, dot, suffix = kept.rpartition(".")
    if not stem or not suffix:
        raise LoadError(f"Cannot take {name[:100]!r}: a name with an ending is needed, like report.pdf.")
    room = NAME_BYTES - len((dot + suffix).encode())
    return stem.encode()[: max(room, 1)].decode(errors="ignore") + dot + suffix


def check_content(head: bytes, name: str) -> None:
    """Whether the first bytes are what the ending says. Raises LoadError."""
    suffix = Path(name).suffix.lower()
    if suffix not in READERS and suffix != ARCHIVE:
        raise LoadError(f"Cannot take {name!r}: no reader for {suffix}.")
    if suffix == ".pdf":
        fits = PDF in head[:1024]
    elif suffix in PACKED:
        fits = head.startswith((*ZIP, OLE))  # OLE: with a password, which its reader explains
    else:
        fits = not head.startswith((PDF, *ZIP, OLE)) and (b"\0" not in head or head.startswith(WIDE))
    if not fits:
        raise LoadError(f"Cannot take {name!r}: its content is not what {suffix} stands for. Give it its right ending.")


def keep(home: Path, name: str, file: BinaryIO, max_bytes: int) -> Path:
    """Stores a file, in place of one of the same name. Raises LoadError, StoreError."""
    name = safe_name(name)
    head = file.read(HEAD_BYTES)
    check_content(head, name)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > max_bytes:
        raise LoadError(f"Cannot take {name!r}: larger than {max_bytes // 1_000_000} MB (RAG_MAX_FILE_MB).")
    folder = home / FOLDER
    incoming = folder / f"{INCOMING}{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with incoming.open("xb") as out:
            shutil.copyfileobj(file, out)
            out.flush()
            os.fsync(out.fileno())
        (folder / f"{PENDING}{name}").touch()
        incoming.replace(folder / name)
    except OSError as error:
        incoming.unlink(missing_ok=True)
        if error.errno in FULL_CODES:
            raise DiskFullError(f"No room left for {name!r} in {folder}. Free some space and send it again.") from error
        raise StoreError(f"Cannot keep {name!r} in {folder}: {error.strerror}.") from error
    return folder / name


def same_content(rag: Rag, file: BinaryIO) -> str | None:
    """The source of a document that was made of the very same bytes."""
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
    file.seek(0)
    return next((d.source for d in rag.documents() if d.sha256 == digest.hexdigest()), None)


def bring_in(
    rag: Rag,
    paths: Sequence[Path],
    progress: Callable[[Progress], None] = lambda _: None,
    file_progress: Callable[[FileProgress], None] = lambda _: None,
) -> IngestReport:
    """Indexes kept files. One that cannot be read is not kept, unless an earlier one of its name is indexed."""
    report = rag.ingest(paths, progress=progress, file_progress=file_progress)
    known = {d.path for d in rag.documents()}
    for path in paths:
        (path.parent / f"{PENDING}{path.name}").unlink(missing_ok=True)
        if str(path) not in known:
            path.unlink(missing_ok=True)
    return replace(report, failed=_named(report.failed), skipped=_named(report.skipped))


def read_again(
    rag: Rag,
    sources: Sequence[str],
    progress: Callable[[Progress], None] = lambda _: None,
    file_progress: Callable[[FileProgress], None] = lambda _: None,
) -> IngestReport:
    """Reads and indexes the files of documents anew, changed or not. What is stored of a file that is gone stays.

    Raises InputError for a source that is not indexed, and as `Rag.ingest`.
    """
    wanted = stored_of(rag, sources)
    gone = {d.source: Path(d.path) for d in wanted if missing(Path(d.path))}
    report = IngestReport(failed=tuple(Failure(source, FILE_GONE) for source in gone))
    by_root: dict[Path, set[Path]] = {}  # what is to be walked for which files
    for path, root in ((Path(d.path), Path(d.root)) for d in wanted if d.source not in gone):
        by_root.setdefault(path if path.parent == root else root, set()).add(path)
    for root, only in by_root.items():
        more = rag.ingest([root], only=only, again=True, progress=progress, file_progress=file_progress)
        report = joined(report, replace(more, failed=_named(more.failed), skipped=_named(more.skipped)))
    return report


def stored_of(rag: Rag, sources: Sequence[str]) -> list[Stored]:
    """Raises InputError for a source that is not indexed."""
    known = {d.source: d for d in rag.documents()}
    for source in sources:
        if source not in known:
            raise InputError(f"No document {source!r}. `rag documents` lists them.", "sources")
    return [known[source] for source in dict.fromkeys(sources)]


def joined(a: IngestReport, b: IngestReport) -> IngestReport:
    return IngestReport(**{f.name: getattr(a, f.name) + getattr(b, f.name) for f in fields(IngestReport)})


def forget(rag: Rag, sources: Sequence[str]) -> None:
    """Takes documents out of the index; those that were sent here are deleted. Raises InputError, StoreError."""
    folder = rag.settings.home / FOLDER
    gone = {d.path for d in rag.documents() if d.source in set(sources)}
    rag.remove(sources)
    for path in map(Path, gone - {d.path for d in rag.documents()}):
        if path.parent == folder:
            path.unlink(missing_ok=True)
            (folder / f"{PENDING}{path.name}").unlink(missing_ok=True)
            Owners(rag.settings.home).note(path.name, None)


def resume(rag: Rag) -> IngestReport:
    """Finishes what a server that was killed had taken but not indexed."""
    folder = rag.settings.home / FOLDER
    for left in folder.glob(f"{INCOMING}*"):
        left.unlink()
    marks = sorted(folder.glob(f"{PENDING}*"))
    paths = [folder / mark.name.removeprefix(PENDING) for mark in marks]
    for mark, path in zip(marks, paths, strict=True):
        if not path.exists():  # killed between the mark and the move
            mark.unlink()
    return bring_in(rag, [path for path in paths if path.exists()])


def _named(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """By their names: where the server keeps them is nobody's business."""
    return tuple(replace(f, path=Path(f.path).name) if f.path.startswith("/") else f for f in failures)

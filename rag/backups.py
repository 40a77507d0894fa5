"""A home folder as one archive, and back. What is in use is copied whole: databases by SQLite's own way, the index while
nothing is written into it, so a backup can be made while a server answers and ingests.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from rag.client import SERVER_LOCK
from rag.config import Settings
from rag.conversations import FILE, QUESTIONS
from rag.errors import DiskFullError, InputError, InUseError, StoreError
from rag.index import CURRENT, DATABASE, FULL_CODES, LOCK, OWNER
from rag.keys import KEYS_FILE
from rag.pipeline import TRACES
from rag.uploads import FOLDER, INCOMING

MANIFEST = "footnote-backup.json"  # in the archive; its last member, so that one that broke off has none
FORMAT = 1
INDEX = "index"
DATABASES = (FILE, TRACES)
FOLDERS = (FOLDER, "evals")  # what was uploaded, and the runs of the eval
FILES = (KEYS_FILE, QUESTIONS, "rag.toml")
ASIDE = "before-restore-"
BLOCK = 1 << 20
TRIES = 5  # copies of the word index, whose own merging may take files away meanwhile
Report = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """What an archive holds. `home`: where it was made, for what lay in it."""

    format: int
    made: str
    version: str
    home: str
    files: dict[str, str]  # name -> SHA-256


@contextmanager
def still(home: Path) -> Iterator[None]:
    """Holds the index of a folder that no server has. Raises InUseError."""
    (home / INDEX).mkdir(parents=True, exist_ok=True)
    with _held(home / INDEX / LOCK, f"{home} is in use by another command. Wait for it to end, and try again."):
        yield


def check_possible(settings: Settings) -> None:
    """Raises InputError."""
    if settings.chroma_url:
        raise InputError(
            "The vectors lie on the Chroma server, which a backup of this folder would lack. Back up that server and"
            f" {settings.home} together, or ingest with RAG_CHROMA_URL unset.",
            "chroma_url",
        )


def back_up(
    home: Path, file: Path, holding: AbstractContextManager[object], report: Report = lambda *_: None
) -> Backup:
    """Writes all that is the user's in `home` to the archive `file`. In `holding` nothing is written into the index.

    Raises InputError where `file` exists or nothing is there to be kept, StoreError, DiskFullError.
    """
    if file.exists():
        raise InputError(f"{file} exists already. Choose another name, or delete it.", "file")
    if not file.parent.is_dir():
        raise InputError(f"There is no folder {file.parent}.", "file")
    part = file.with_name(f".{file.name}.part")
    copies = home / f".backup-{os.getpid()}"
    try:
        copies.mkdir(parents=True)
        with holding:
            _copy_index(home / INDEX, copies / INDEX)
        for name in DATABASES:
            if (home / name).exists():
                _copy_database(home / name, copies / name)
        found = [*_files_in(copies, copies), *_others(home)]
        if not found:
            raise InputError(f"There is nothing in {home} to be kept.", "file")
        made = _pack(found, part, home, report)
        part.replace(file)
    except (OSError, sqlite3.Error) as error:
        raise _told(error, file) from error
    finally:
        shutil.rmtree(copies, ignore_errors=True)
        part.unlink(missing_ok=True)
    return made


def restore(file: Path, home: Path, *, force: bool = False, report: Report = lambda *_: None) -> Path | None:
    """Puts what an archive holds into `home`. Where something is there, `force` moves it aside and gives where it lies.

    Nothing is touched before the whole archive has been read and compared with its sums. Raises InputError, InUseError,
    StoreError, DiskFullError.
    """
    served = f"{home} is being served. Stop the server first."
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _held(home / SERVER_LOCK, served), still(home):
            held = [name for name in (INDEX, *FOLDERS, *DATABASES, *FILES) if _is_kept(home / name)]
            if held and not force:
                raise InputError(
                    f"{home} holds {', '.join(held)} already. Restore into another RAG_HOME, or add --force,"
                    " which moves these aside.",
                    "force",
                )
            fresh = home / f".restore-{os.getpid()}"
            try:
                backup = _unpack(file, fresh, report)
                _moved_home(fresh, Path(backup.home), home)
                return _swap(home, fresh, held)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    except (OSError, sqlite3.Error) as error:
        raise _told(error, home) from error


def _held(path: Path, told: str) -> AbstractContextManager[object]:
    try:
        return FileLock(path, thread_local=False).acquire(timeout=0)
    except Timeout:
        raise InUseError(told) from None


def _is_kept(path: Path) -> bool:
    """An index of which only the lock is there is none."""
    return (
        any(p.name not in (LOCK, OWNER) for p in path.iterdir())
        if path.name == INDEX and path.exists()
        else path.exists()
    )


def _copy_index(index: Path, to: Path) -> None:
    """The generation that is in use."""
    if not (index / CURRENT).exists():
        return
    name = (index / CURRENT).read_text().strip()
    to.mkdir()
    (to / CURRENT).write_text(name)
    for attempt in range(TRIES):
        try:
            shutil.copytree(index / name, to / name, ignore=shutil.ignore_patterns("*.sqlite*", "*.lock"))
            break
        except (shutil.Error, FileNotFoundError):
            shutil.rmtree(to / name, ignore_errors=True)
            if attempt == TRIES - 1:
                raise
    for path in (index / name).rglob("*.sqlite*"):
        if path.suffix in (".sqlite", ".sqlite3"):
            _copy_database(path, to / name / path.relative_to(index / name))


def _copy_database(path: Path, to: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as copy:
        source.backup(copy)


def _others(home: Path) -> Iterator[tuple[Path, str]]:
    for name in FILES:
        if (home / name).is_file():
            yield home / name, name
    for folder in FOLDERS:
        for path, name in _files_in(home / folder, home):
            if not path.name.startswith(INCOMING):
                yield path, name


def _files_in(folder: Path, root: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path, path.relative_to(root).as_posix()


def _pack(found: list[tuple[Path, str]], part: Path, home: Path, report: Report) -> Backup:
    sums: dict[str, str] = {}
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as out:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for done, (path, name) in enumerate(found):
                report(done, len(found), name)
                digest = hashlib.sha256()
                with suppress(FileNotFoundError):  # an upload that was deleted meanwhile
                    with path.open("rb") as file, archive.open(name, "w", force_zip64=True) as member:
                        while block := file.read(BLOCK):
                            digest.update(block)
                            member.write(block)
                    sums[name] = digest.hexdigest()
            made = Backup(
                FORMAT, datetime.now(UTC).isoformat(timespec="seconds"), version("footnote-rag"), str(home), sums
            )
            archive.writestr(MANIFEST, json.dumps(asdict(made), indent=1))
        out.flush()
        os.fsync(out.fileno())
    report(len(found), len(found), "")
    return made


def _unpack(file: Path, to: Path, report: Report) -> Backup:
    """Raises InputError for what is no backup, or a damaged one."""
    damaged = f"{file} is damaged: {{}}. Restore another backup."
    to.mkdir()
    try:
        with zipfile.ZipFile(file) as archive:
            if MANIFEST not in archive.namelist():
                raise InputError(f"{file} is no backup of this program.", "file")
            backup = Backup(**json.loads(archive.read(MANIFEST)))
            if backup.format != FORMAT:
                raise InputError(f"{file} was made by another version of this program ({backup.version}).", "file")
            for done, (name, sha256) in enumerate(backup.files.items()):
                report(done, len(backup.files), name)
                place = to / _checked(name, damaged)
                place.parent.mkdir(parents=True, exist_ok=True)
                digest = hashlib.sha256()
                with archive.open(name) as member, place.open("wb") as out:
                    while block := member.read(BLOCK):
                        digest.update(block)
                        out.write(block)
                if digest.hexdigest() != sha256:
                    raise InputError(damaged.format(f"{name} is not what was packed"), "file")
            report(len(backup.files), len(backup.files), "")
    except FileNotFoundError as error:
        raise InputError(f"There is no file {file}.", "file") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError) as error:
        raise InputError(damaged.format(error), "file") from error
    return backup


def _checked(name: str, damaged: str) -> PurePosixPath:
    path = PurePosixPath(name)
    known = path.parts and path.parts[0] in (INDEX, *FOLDERS, *DATABASES, *FILES)
    if not known or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise InputError(damaged.format(f"it holds the name {name!r}"), "file")
    return path


def _moved_home(fresh: Path, before: Path, home: Path) -> None:
    """What lay in the home folder lies in another one now."""
    for database in (fresh / INDEX).glob(f"*/{DATABASE}"):
        with closing(sqlite3.connect(database)) as db, db:
            for column in ("path", "root"):
                old, new = str(before / FOLDER), str(home / FOLDER)
                db.execute(
                    f"UPDATE documents SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR {column} GLOB ?",
                    (new, len(old) + 1, old, _literal(old) + "/*"),
                )


def _literal(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def _swap(home: Path, fresh: Path, held: list[str]) -> Path | None:
    aside = home / f"{ASIDE}{datetime.now(UTC):%Y%m%d-%H%M%S}" if held else None
    moves = [(home / name, aside / name) for name in held] if aside else []
    moves += [(path, home / path.name) for path in sorted(fresh.iterdir())]
    if aside:
        aside.mkdir()
    if INDEX not in held:
        shutil.rmtree(home / INDEX)  # nothing but its lock
    done: list[tuple[Path, Path]] = []
    try:
        for source, place in moves:
            source.rename(place)
            done.append((source, place))
    except OSError:
        for source, place in reversed(done):
            place.rename(source)
        raise
    return aside


def _told(error: Exception, path: Path) -> StoreError:
    if isinstance(error, OSError) and error.errno in FULL_CODES:
        return DiskFullError(f"No room left at {path}. Free some space and try again.")
    return StoreError(f"Cannot write at {path}: {error}.")

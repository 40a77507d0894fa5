"""File or folder -> Documents. What each media type needs stands in rag/readers/.

For .txt and .md `Document.text` is the file as UTF-8 with line ends and front matter, only a byte-order mark removed,
so that every offset can be checked against the file.
"""

import errno
import hashlib
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from rag.errors import InputError, LoadError
from rag.folding import CAPITAL
from rag.readers.common import SAVE_AGAIN, UNPACKED_BYTES, UNPACKED_MEMBERS, Raw, open_zip, unpack, whole
from rag.readers.markup import read_eml, read_epub, read_html
from rag.readers.office import read_docx, read_pptx
from rag.readers.pdf import read_pdf
from rag.readers.tables import read_csv, read_xlsx
from rag.readers.text import decoded, read_ipynb, read_json, read_jsonl, read_text
from rag.screening import SHOWN, screen
from rag.types import Document, Flag

# The first line must look like `key:`, or a text between two rules would count as a header.
FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?=[^\s:#][^\n:]*:)(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.S)
HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(.+?)[ \t#]*$", re.M)
SURE_OF_LANGUAGE = 0.95
LANGUAGE_CHARACTERS = 4000  # that the language of a text is told by
HEAD = 1500  # characters of a document in which its author and date stand
CAPITALISED = rf"{CAPITAL}[\w.'’-]*"
FULL_NAME = rf"{CAPITALISED}(?: (?:(?:d[aeio]|del|dos|l[ao]s?|v[ao]n|de[nr]) )*{CAPITALISED}){{1,4}}"
BYLINE = re.compile(
    rf"^\W{{0,3}}(?:[Bb]y|BY|[Pp]or|POR) ({FULL_NAME}(?:(?:, | and | & | y ){FULL_NAME})*)\W{{0,3}}$", re.MULTILINE
)
TITLE_LIMIT = 120  # a longer first line is a paragraph, not a title
READERS: dict[str, Callable[[bytes, str], list[Raw]]] = {
    ".csv": read_csv,
    ".docx": read_docx,
    ".eml": read_eml,
    ".epub": read_epub,
    ".htm": read_html,
    ".html": read_html,
    ".ipynb": read_ipynb,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".markdown": read_text,
    ".md": read_text,
    ".pdf": read_pdf,
    ".pptx": read_pptx,
    ".text": read_text,
    ".tsv": read_csv,
    ".txt": read_text,
    ".xlsx": read_xlsx,
}
ARCHIVE = ".zip"
BLOCK_BYTES = 1_000_000  # read of a file at a time
DEEPEST = 3  # archives within archives


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is to be read. `name` is its POSIX path relative to the folder that was given."""

    path: Path
    root: Path
    name: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was passed over (`failed` False) or could not be reached (`failed` True)."""

    path: str
    reason: str
    failed: bool = False


def walk(path: Path, max_bytes: int) -> Iterator[Found | Skipped]:
    """All readable files under `path` in the order of their names; links are followed, loops are not.

    Raises InputError if `path` does not exist.
    """
    try:
        path = settled(path)
        there = path.exists() or path.is_symlink()
    except (OSError, RuntimeError) as error:  # not allowed to look; a name too long; a loop of links above it
        raise InputError(f"Cannot read {path}: {error}", "path") from error
    if not there:
        raise InputError(f"No such file or folder: {path}", "path")
    if not path.is_dir():
        yield _look(path, path.parent, max_bytes, named=True)
        return
    yield from _walk_folder(path, path, max_bytes, frozenset())


def settled(path: Path) -> Path:
    """One spelling of a path, whatever folder it is named from: `docs`, `../here/docs` and a link to it are the same.

    The last name of a file stays as given: a link to a file is a document of its own.
    """
    path = path.expanduser()
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def missing(path: Path) -> bool:
    """Whether nothing is there; what may not be looked at is not missing."""
    try:
        return not path.exists()
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # `_look` says why


def _walk_folder(folder: Path, root: Path, max_bytes: int, above: frozenset[Path]) -> Iterator[Found | Skipped]:
    real = folder.resolve()
    if any(held.is_relative_to(real) for held in above):
        yield Skipped(str(folder), "a link to a folder that holds it")
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield Skipped(str(folder), f"cannot be listed: {error.strerror}", failed=True)
        return
    for entry in entries:
        if entry.name.startswith("."):
            yield Skipped(str(entry), "hidden")
        elif _is_folder(entry):
            yield from _walk_folder(entry, root, max_bytes, above | {real})
        else:
            yield _look(entry, root, max_bytes, named=False)


def _look(path: Path, root: Path, max_bytes: int, *, named: bool) -> Found | Skipped:
    """`named`: the user named this very file, so passing it over is a failure to be told."""
    if (shown := str(path).encode("utf-8", "replace").decode()) != str(path):
        return Skipped(shown, "its name is not UTF-8: rename it", failed=True)
    try:
        status = path.stat()
    except FileNotFoundError:
        return Skipped(str(path), "a link to nothing", failed=True)
    except OSError as error:
        loop = path.is_symlink() and error.errno == errno.ELOOP
        return Skipped(str(path), "a link that leads back to itself" if loop else str(error.strerror), failed=not loop)
    if not stat.S_ISREG(status.st_mode):
        return Skipped(str(path), "not a regular file (a pipe, socket or device)", failed=named)
    if status.st_size > max_bytes:
        return Skipped(str(path), f"larger than {max_bytes // 1_000_000} MB (RAG_MAX_FILE_MB)", failed=named)
    if not _readable(path.name):
        return Skipped(str(path), _no_reader(path.suffix), failed=named)
    return Found(path, root, path.relative_to(root).as_posix())


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds. A text file is decoded already: a large one is not to be held as bytes as well."""

    data: bytes | str
    sha256: str


def read(found: Found) -> Content:
    """Raises LoadError."""
    digest = hashlib.sha256()

    def blocks(file: BinaryIO) -> Iterator[bytes]:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            yield block

    try:
        with found.path.open("rb") as file:
            is_text = READERS.get(found.path.suffix.lower()) is read_text
            data = decoded(blocks(file), found.name) if is_text else b"".join(blocks(file))
    except OSError as error:
        raise LoadError(f"Cannot read {found.name!r}: {error.strerror}.") from error
    return Content(data, digest.hexdigest())


def parse(content: Content | bytes, suffix: str, source: str, aside: list[Skipped] | None = None) -> list[Document]:
    """The documents of one file.

    Most hold one. Each record of a .jsonl is one, under its `doc_id`; so is each member of a .zip and each attachment of
    a mail, as `archive.zip/inner/name.md`. What was passed over or failed inside the file is put into `aside`.

    Raises LoadError.
    """
    return _parse(content, suffix, source, _Unpacking(aside if aside is not None else []), depth=0)


@dataclass(slots=True)
class _Unpacking:
    """How much one file may still unpack, and what was left out of it."""

    aside: list[Skipped] = field(default_factory=list)
    size: int = UNPACKED_BYTES
    members: int = UNPACKED_MEMBERS

    def spend(self, size: int, name: str) -> None:
        self.size -= size
        self.members -= 1
        if self.size < 0 or self.members < 0:
            raise LoadError(
                f"Cannot read {name!r}: with it the archive holds more than {UNPACKED_BYTES // 1_000_000:,} MB or "
                f"{UNPACKED_MEMBERS:,} files. Split it, or unpack it yourself."
            )


def _parse(content: Content | bytes, suffix: str, source: str, unpacking: _Unpacking, depth: int) -> list[Document]:
    if isinstance(content, bytes):
        content = Content(content, sha256(content))
    data = content.data
    if isinstance(data, bytes) and suffix.lower() == ARCHIVE:
        return _parse_archive(data, source, unpacking, depth)
    try:
        raws = [Raw(data)] if isinstance(data, str) else READERS[suffix.lower()](data, source)
        documents = [_document(raw, content.sha256, source) for raw in raws]
    except LoadError:
        raise
    except Exception as error:  # the parsers of foreign formats trip in ways of their own
        why = " ".join(str(error).split())[:200]
        raise LoadError(f"Cannot read {source!r}: {type(error).__name__}: {why}. {SAVE_AGAIN}") from error
    unpacking.aside += [Skipped(raw.source or source, f"in part: {raw.left_out}") for raw in raws if raw.left_out]
    attached = [(name, len(held), partial(bytes, held)) for raw in raws for name, held in raw.attachments]
    documents += _parse_members(attached, source, unpacking, depth)
    if not any(re.search(r"\w", document.text) for document in documents):
        raise LoadError(f"Cannot read {source!r}: it holds no text.")
    return documents


def _parse_archive(data: bytes, source: str, unpacking: _Unpacking, depth: int) -> list[Document]:
    before = len(unpacking.aside)
    with open_zip(data, source) as archive:
        members = [
            (info.filename, info.file_size, partial(unpack, archive, info, f"{source}/{_inner_name(info.filename)}"))
            for info in archive.infolist()
            if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)
        ]
        documents = _parse_members(members, source, unpacking, depth)
    if documents:
        return documents
    failed = [item.reason for item in unpacking.aside[before:] if item.failed]
    if not failed:
        raise LoadError(f"Cannot read {source!r}: it holds no file that can be read.")
    more = f" ({len(failed) - 1} more failed as well.)" if failed[1:] else ""
    raise LoadError(f"Cannot read {source!r}: nothing in it could be read. {failed[0]}{more}")


def member(data: bytes, source: str, digest: str) -> bytes | None:
    """The bytes of the member of a .zip that became the document `source`; None where none has this SHA-256 any more.

    Archives within it are not looked into. Raises LoadError.
    """
    with open_zip(data, source) as archive:
        for info in archive.infolist():
            if not info.is_dir() and source.endswith(f"/{_inner_name(info.filename)}"):
                found = unpack(archive, info, source)
                if sha256(found) == digest:
                    return found
    return None


def _parse_members(
    members: Iterable[tuple[str, int, Callable[[], bytes]]], source: str, unpacking: _Unpacking, depth: int
) -> list[Document]:
    """(name, size, how to get it) of each. A bad one fails alone. Names are only names: nothing is written anywhere."""
    documents: list[Document] = []
    names: set[str] = set()
    for name, size, get in members:
        inner = f"{source}/{_inner_name(name)}"
        if any(part.startswith((".", "__MACOSX")) for part in _inner_name(name).split("/")):
            unpacking.aside.append(Skipped(inner, "hidden"))
            continue
        if not _readable(name):
            unpacking.aside.append(Skipped(inner, _no_reader(Path(name).suffix)))
            continue
        try:
            if inner in names:
                raise LoadError(f"Cannot read {inner!r}: another file there has the same name. Rename it.")
            if depth >= DEEPEST:
                raise LoadError(f"Cannot read {inner!r}: it lies {depth} archives deep. Unpack them yourself.")
            names.add(inner)
            unpacking.spend(size, inner)
            documents += _parse(get(), Path(name).suffix, inner, unpacking, depth + 1)
        except LoadError as error:
            unpacking.aside.append(Skipped(inner, str(error), failed=True))
    return documents


def _inner_name(name: str) -> str:
    """A member's name as part of a source: POSIX, and nothing in it leads anywhere else."""
    return "/".join(part for part in whole(name).replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _readable(name: str) -> bool:
    suffix = Path(name).suffix.lower()
    return suffix in READERS or suffix == ARCHIVE


def _no_reader(suffix: str) -> str:
    remedy = f": save it as {suffix}x" if suffix.lower() in (".doc", ".ppt", ".xls") else ""
    return f"no reader for {suffix or 'files without an ending'}{remedy}"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _document(raw: Raw, digest: str, source: str) -> Document:
    meta = front_matter(raw.text)
    header = FRONT_MATTER.match(raw.text)
    begin = header.end() if header else 0
    source = raw.source or source
    return Document(
        source=source,
        title=meta.get("title") or raw.title.strip() or _first_heading(raw.text, begin) or Path(source).stem,
        text=raw.text,
        sha256=digest if raw.record is None else sha256(raw.record),
        author=meta.get("author") or raw.author or _byline(raw.text[begin : begin + HEAD]),
        publisher=meta.get("publisher") or raw.publisher,
        date=meta.get("date") or raw.date,
        language=_language_code(meta.get("language", ""))
        or detect_language(raw.text[begin : begin + LANGUAGE_CHARACTERS]),
        page_starts=raw.page_starts,
        rows=raw.rows,
        flags=(*(Flag("hidden", 0, 0, " ".join(hidden.split())[:SHOWN]) for hidden in raw.hidden), *screen(raw.text)),
    )


def front_matter(text: str) -> dict[str, str]:
    """The values of a YAML block at the head of a text, as they are written; broken YAML counts as none."""
    match = FRONT_MATTER.match(text)
    if not match:
        return {}
    try:
        # The base loader leaves scalars as text: no date is refused, no number rewritten.
        values = yaml.load(match.group(1), yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {str(key).lower(): text for key, value in values.items() if (text := _plain_value(value))}


def _plain_value(value: object) -> str:
    """A scalar, or a list of scalars; nothing deeper, and nothing for YAML's two words for nothing."""
    parts = value if isinstance(value, list) else [value]
    return ", ".join(part.strip() for part in parts if isinstance(part, str) and part.strip() not in ("", "null", "~"))


def _language_code(value: str) -> str:
    """`pt` of pt, PT, pt-PT or pt_BR; empty for anything that is no such code."""
    code = re.match(r"([a-z]{2})(?:[-_]|$)", value.lower())
    return code.group(1) if code else ""


def _first_heading(text: str, begin: int) -> str:
    """The first heading from `begin` on, else a short first line."""
    if heading := HEADING.search(text, begin):
        return heading.group(1).strip()
    if not (word := re.compile(r"\w").search(text, begin)):
        return ""
    before = text[max(begin, word.start() - TITLE_LIMIT) : word.end()].splitlines()[-1]
    after = text[word.end() : word.end() + TITLE_LIMIT].splitlines() or [""]
    first = (before + after[0]).strip()
    return first if len(first) <= TITLE_LIMIT else ""


def _byline(head: str) -> str | None:
    """Whom the first lines name: "By Ada Berg and Ole Lind", alone on its line."""
    named = BYLINE.search(without_tags(head))
    return named.group(1) if named else None


def without_tags(text: str) -> str:
    return re.sub(r"<[^<>\n]*>", "", text)


def detect_language(text: str) -> str:
    """ISO 639-1 code of the language that the text is mostly in."""
    return str(_language_identifier().classify(text[:LANGUAGE_CHARACTERS])[0])


def detect_question_language(question: str, known: Collection[str]) -> str:
    """The one of the `known` languages (the likeliest first) that a question is asked in.

    Names say nothing about the language of a question, so capitalised words are left out; what then is too short or not
    almost certain counts as the first.
    """
    first = next(iter(known))
    if "es" in known and re.search("[¿¡]", question):
        return "es"
    heard = [w for i, w in enumerate(re.findall(r"[^\W\d_]+", question)) if i == 0 or not w[0].isupper()]
    if len(heard) < 2:
        return first
    shares = {language: p for language, p in _language_identifier().rank(" ".join(heard).lower()) if language in known}
    best = max(shares, key=lambda language: shares[language], default=first)
    return best if shares.get(best, 0) > SURE_OF_LANGUAGE * sum(shares.values()) else first


@cache
def _language_identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

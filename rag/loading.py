"""File or folder -> Documents: one small reader per media type.

For .txt and .md `Document.text` is the file as UTF-8 with line ends and front matter, only a byte-order mark removed,
so that every offset can be checked against the file.
"""

import errno
import hashlib
import json
import re
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rag.errors import InputError, LoadError
from rag.types import Document

# The first line must look like `key:`, or a text between two rules would count as a header.
FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?=[^\s:#][^\n:]*:)(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.S)
HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(.+?)[ \t#]*$", re.M)
SURE_OF_LANGUAGE = 0.95
TITLE_LIMIT = 120  # a longer first line is a paragraph, not a title


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
    if path.suffix.lower() not in READERS:
        return Skipped(str(path), f"no reader for {path.suffix or 'files without an ending'}", failed=named)
    return Found(path, root, path.relative_to(root).as_posix())


def read(found: Found) -> bytes:
    """Raises LoadError."""
    try:
        return found.path.read_bytes()
    except OSError as error:
        raise LoadError(f"Cannot read {found.name!r}: {error.strerror}.") from error


def parse(data: bytes, suffix: str, source: str) -> list[Document]:
    """The documents of one file: one, but for a .jsonl, whose records are documents with `doc_id` as source.

    Raises LoadError.
    """
    try:
        documents = READERS[suffix.lower()](data, source)
    except LoadError:
        raise
    except Exception as error:  # the parsers of foreign formats trip in ways of their own
        raise LoadError(f"Cannot read {source!r}: {type(error).__name__}: {str(error)[:200]}") from error
    if not any(re.search(r"\w", document.text) for document in documents):
        raise LoadError(f"Cannot read {source!r}: it holds no text.")
    return documents


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_text(data: bytes, source: str) -> list[Document]:
    return [_document(source, _decode(data, source), sha256(data))]


def _decode(data: bytes, source: str) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise LoadError(f"Cannot read {source!r}: broken UTF-16 text. Save it as UTF-8.") from error
        if "\0" not in text:
            return text
    if b"\0" in data:
        raise LoadError(f"Cannot read {source!r}: it is binary, not text.")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise LoadError(
            f"Cannot read {source!r}: not UTF-8 (byte 0x{data[error.start]:02x} at {error.start}). "
            "Save it as UTF-8 and ingest again."
        ) from error


def _document(source: str, text: str, digest: str, title: str = "", page_starts: tuple[int, ...] = ()) -> Document:
    meta = front_matter(text)
    body = FRONT_MATTER.sub("", text, count=1)
    return Document(
        source=source,
        title=meta.get("title") or title or _first_heading(body) or Path(source).stem,
        text=text,
        sha256=digest,
        author=meta.get("author"),
        publisher=meta.get("publisher"),
        date=meta.get("date"),
        language=_language_code(meta.get("language", "")) or detect_language(body),
        page_starts=page_starts,
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


def _first_heading(body: str) -> str:
    """The first heading, else a short first line."""
    if heading := HEADING.search(body):
        return heading.group(1).strip()
    first = next((line.strip() for line in body.splitlines() if re.search(r"\w", line)), "")
    return first if len(first) <= TITLE_LIMIT else ""


def detect_language(text: str) -> str:
    """ISO 639-1 code of the language that the text is mostly in."""
    return str(_language_identifier().classify(text[:4000])[0])


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


def _read_jsonl(data: bytes, source: str) -> list[Document]:
    documents: list[Document] = []
    names: set[str] = set()
    for number, line in enumerate(_decode(data, source).split("\n"), 1):  # a record may hold U+2028 as it is
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            name, text, title = record["doc_id"], record["text"], record.get("title") or ""
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise LoadError(
                f"Cannot read {source!r}, line {number}: a record needs doc_id and text ({type(error).__name__})."
            ) from error
        if not (isinstance(text, str) and isinstance(title, str) and isinstance(name, str | int) and str(name).strip()):
            raise LoadError(f"Cannot read {source!r}, line {number}: doc_id, text and title must be text.")
        if (name := _whole(str(name))) in names:
            raise LoadError(f"Cannot read {source!r}, line {number}: the doc_id {name!r} was there before.")
        names.add(name)
        documents.append(_document(name, _whole(text), sha256(line.encode()), _whole(title)))
    return documents


def _whole(text: str) -> str:
    """Without lone surrogates, which JSON and PDF may hold and no file can."""
    return text.encode("utf-8", "replace").decode()


def _read_html(data: bytes, source: str) -> list[Document]:
    """Main text and title; what surrounds it (menus, banners, share buttons) is left out."""
    import trafilatura

    text = trafilatura.extract(data, output_format="markdown", include_tables=True)
    meta = trafilatura.extract_metadata(data)
    if not text:
        raise LoadError(f"Cannot read {source!r}: no text in this page.")
    document = _document(source, text, sha256(data), (meta.title if meta else None) or "")
    if not meta:
        return [document]
    return [replace(document, author=meta.author or None, publisher=meta.sitename or None, date=meta.date or None)]


def _read_pdf(data: bytes, source: str) -> list[Document]:
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(data) as pdf:
            title = pdf.get_metadata_value("Title")
            pages = [page.get_textpage().get_text_bounded() for page in pdf]
    except pypdfium2.PdfiumError as error:
        why = (
            "encrypted PDF. Save it without a password"
            if "password" in str(error).lower()
            else "damaged PDF. Repair it"
        )
        raise LoadError(f"Cannot read {source!r}: {why} and ingest again.") from error
    texts = [_clean(page) for page in pages]
    if not any(re.search(r"\w", text) for text in texts):
        raise LoadError(f"Cannot read {source!r}: the PDF holds only pictures. Run a text recognition first.")
    starts = [0]
    for text in texts[:-1]:
        starts.append(starts[-1] + len(text) + 2)
    return [_document(source, "\n\n".join(texts), sha256(data), title.strip(), tuple(starts))]


def _clean(text: str) -> str:
    """Line ends as \\n, hyphens at line ends joined, lone surrogates and control characters gone."""
    text = text.replace("\r\n", "\n").replace("\ufffe\n", "").replace("\ufffe", "").replace("\x02\n", "")
    return re.sub(r"[\x00-\x08\x0b-\x1f]", "", _whole(text))


READERS: dict[str, Callable[[bytes, str], list[Document]]] = {
    ".txt": _read_text,
    ".text": _read_text,
    ".md": _read_text,
    ".markdown": _read_text,
    ".jsonl": _read_jsonl,
    ".html": _read_html,
    ".htm": _read_html,
    ".pdf": _read_pdf,
}

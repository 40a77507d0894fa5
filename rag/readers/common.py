"""What a reader gives back, and what more than one of them needs.

Whatever a format had becomes plain Markdown: headings as `#` lines, a row of a table as one line with its headers. Only
text files stay as they are.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from rag.errors import LoadError
from rag.types import Row

UNPACKED_BYTES = 500_000_000  # of all that a zip archive holds, those inside it included
UNPACKED_MEMBERS = 10_000
UNPACKED_RATIO = 200  # text shrinks to a twentieth, a bomb to a thousandth
SMALL_BYTES = 20_000_000  # below this no ratio is suspicious
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # the container of .doc, .xls and .ppt, and of Office files with a password
SAVE_AGAIN = "Open it in its own program, save it again and ingest that."
NO_TITLE = re.compile(
    r"(untitled|microsoft (word|excel|powerpoint) - |(word |powerpoint )?(document|presentation)\d*$|\S+\.\w{2,4}$)",
    re.I,
)
NO_AUTHOR = frozenset({"python-docx", "openpyxl", "anonymous", "unknown"})


@dataclass(frozen=True, slots=True)
class Raw:
    """What a reader found. `source`, `record` and `attachments` are the parts of files that hold several documents."""

    text: str
    title: str = ""
    author: str | None = None
    publisher: str | None = None
    date: str | None = None
    page_starts: tuple[int, ...] = ()
    rows: tuple[Row, ...] = ()
    source: str = ""  # a name of its own, else that of the file
    record: bytes | None = None  # the bytes it was read from, else those of the file
    attachments: tuple[tuple[str, bytes], ...] = ()  # (name, data)
    left_out: str = ""  # what of the file could not be read, and the remedy
    hidden: tuple[str, ...] = ()  # text that a reader of the file does not see; it is not part of `text`


def whole_zip(data: bytes, source: str) -> ZipFile:
    """A zip archive in which each member was unpacked once, within bounds. Raises LoadError."""
    archive = open_zip(data, source)
    for info in archive.infolist():
        unpack(archive, info, source)
    return archive


def open_zip(data: bytes, source: str) -> ZipFile:
    """Raises LoadError for what is no zip archive or a bomb."""
    kind = Path(source).suffix.lower() or ".zip"
    if data.startswith(OLE):
        raise LoadError(
            f"Cannot read {source!r}: it has a password, or is of the old binary kind. "
            f"Save it without a password as {kind} and ingest again."
        )
    try:
        archive = ZipFile(BytesIO(data))
    except (BadZipFile, ValueError, NotImplementedError) as error:
        raise LoadError(f"Cannot read {source!r}: damaged, or no {kind} at all ({error}). {SAVE_AGAIN}") from error
    members = archive.infolist()
    size = sum(info.file_size for info in members)
    if len(members) > UNPACKED_MEMBERS or size > UNPACKED_BYTES:
        raise LoadError(
            f"Cannot read {source!r}: {len(members):,} files of {size // 1_000_000:,} MB unpacked; at most "
            f"{UNPACKED_MEMBERS:,} of {UNPACKED_BYTES // 1_000_000:,} MB are read. Split it, or unpack it yourself."
        )
    if size > SMALL_BYTES and size > UNPACKED_RATIO * len(data):
        raise LoadError(
            f"Cannot read {source!r}: {size // len(data):,} times larger unpacked, as a zip bomb is. "
            "If you trust it, unpack it yourself."
        )
    return archive


def unpack(archive: ZipFile, info: ZipInfo, source: str) -> bytes:
    """One member, never more than it says it holds. Raises LoadError."""
    if info.flag_bits & 1:
        raise LoadError(f"Cannot read {source!r}: it has a password. Unpack or save it without one and ingest again.")
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # the others unpack without bounds
        raise LoadError(f"Cannot read {source!r}: packed by a method other than deflate. Unpack it yourself.")
    try:
        with archive.open(info) as file:
            return file.read(info.file_size)
    except Exception as error:  # zipfile, zlib and struct trip over damage in ways of their own
        raise LoadError(f"Cannot read {source!r}: damaged ({error}). {SAVE_AGAIN}") from error


def title_of(text: str | None) -> str:
    """Empty for what programs write there by themselves, or without a letter."""
    text = squeezed(text or "")
    return "" if NO_TITLE.match(text) or not re.search(r"[^\W\d_]", text) else text


def author_of(text: str | None) -> str | None:
    text = squeezed(text or "")
    return None if text.lower() in NO_AUTHOR else text or None


def whole(text: str) -> str:
    """Without lone surrogates, which JSON, PDF and mail may hold and no file can."""
    return text.encode("utf-8", "replace").decode()


def xml_root(data: bytes) -> Any:
    """The root of an XML file that may say anything: no entity is resolved, nothing is fetched."""
    from lxml import etree

    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))


def heading(text: object, level: int) -> str:
    return f"{'#' * min(level, 6)} {squeezed(str(text))}"


def line_of(text: str) -> str:
    """Text that stays text: what only looks like a heading is escaped, as Markdown has it."""
    return re.sub(r"(?m)^([ \t]{0,3})(#{1,6}[ \t])", r"\1\\\2", text)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(block for block in blocks if block.strip())


def starts_of(pages: Sequence[str]) -> tuple[int, ...]:
    """The offset of each page where they are joined by an empty line."""
    starts = [0]
    for page in pages[:-1]:
        starts.append(starts[-1] + len(page) + 2)
    return tuple(starts)


def core_properties(archive: ZipFile) -> tuple[str, str | None, str | None]:
    """(title, author, date) of an Office file; the date is that of the last change."""
    if "docProps/core.xml" not in archive.namelist():
        return "", None, None
    values = {
        child.tag.rpartition("}")[2]: (child.text or "").strip()
        for child in xml_root(archive.read("docProps/core.xml"))
    }
    date = values.get("modified") or values.get("created") or ""
    return title_of(values.get("title")), author_of(values.get("creator")), date[:10] or None

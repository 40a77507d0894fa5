"""Web pages, books and mail."""

import email
import re
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from rag.errors import LoadError
from rag.readers.common import (
    SAVE_AGAIN,
    Raw,
    author_of,
    heading,
    joined,
    line_of,
    squeezed,
    title_of,
    whole,
    whole_zip,
    xml_root,
)
from rag.readers.tables import table_lines
from rag.screening import deceives, hides


def read_epub(data: bytes, source: str) -> list[Raw]:
    """The chapters in reading order; the table of contents is left out."""
    with whole_zip(data, source) as archive:
        names = set(archive.namelist())
        if "META-INF/encryption.xml" in names and _is_protected(archive.read("META-INF/encryption.xml")):
            raise LoadError(f"Cannot read {source!r}: a book with copy protection. Ingest a copy without it.")
        if "META-INF/container.xml" not in names:
            raise LoadError(f"Cannot read {source!r}: no EPUB (META-INF/container.xml is missing). {SAVE_AGAIN}")
        root = next(xml_root(archive.read("META-INF/container.xml")).iter("{*}rootfile")).get("full-path") or ""
        package = xml_root(archive.read(root))
        items = {item.get("id"): item for item in package.iter("{*}item")}
        blocks: list[str] = []
        for ref in package.iter("{*}itemref"):
            item = items.get(ref.get("idref"))
            if item is None or "nav" in (item.get("properties") or "").split():
                continue
            name = _inside(PurePosixPath(root).parent, unquote(item.get("href") or ""))
            if name in names and "html" in (item.get("media-type") or ""):
                blocks += _html_blocks(archive.read(name))
        meta = {
            name: [(e.text or "").strip() for e in package.iter(f"{{*}}{name}")]
            for name in ("title", "creator", "publisher", "date")
        }
    return [
        Raw(
            joined(blocks),
            title_of(next(iter(meta["title"]), "")),
            ", ".join(filter(None, meta["creator"])) or None,
            ", ".join(filter(None, meta["publisher"])) or None,
            next(iter(meta["date"]), "")[:10] or None,
        )
    ]


def _is_protected(encryption: bytes) -> bool:
    """Fonts may be scrambled in two ways that do not concern the text."""
    ways = {e.get("Algorithm") or "" for e in xml_root(encryption).iter("{*}EncryptionMethod")}
    return bool(ways - {"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})


def _inside(folder: PurePosixPath, href: str) -> str:
    parts: list[str] = []
    for part in (folder / href.partition("#")[0]).parts:
        if part == ".." and parts:
            parts.pop()
        elif part not in (".", ".."):
            parts.append(part)
    return "/".join(parts)


BLOCKS = frozenset(
    "p div section article main aside header footer blockquote pre ul ol dl li dt dd figure figcaption hr body h1 h2 h3 h4 h5"
    " h6 table address center".split()
)
SILENT = frozenset("script style head title template noscript svg".split())


def _html_blocks(data: bytes | str) -> Iterator[str]:
    """All text of a page, block by block. For what is known to be text; web pages go through `read_html`."""
    from lxml import etree, html

    text = data if isinstance(data, str) else _decoded(data)
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text.removeprefix("\ufeff"))
    try:
        root = html.document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except etree.ParserError:  # not one element or word
        return
    run: list[str] = []

    def flush(mark: str = "") -> Iterator[str]:
        if words := squeezed("".join(run)):
            level = int(mark[1]) if re.fullmatch(r"h[1-6]", mark) else 0
            yield heading(words, level) if level else f"- {words}" if mark == "li" else line_of(words)
        run.clear()

    def walk(element: Any, mark: str) -> Iterator[str]:
        if not isinstance(element.tag, str) or element.tag in SILENT or hides(element.get("style") or ""):
            pass
        elif element.tag == "table":
            yield from flush(mark)
            rows = [[cell.text_content() for cell in row if cell.tag in ("td", "th")] for row in element.iter("tr")]
            yield from table_lines([row for row in rows if row])
        else:
            block = element.tag in BLOCKS
            inner = element.tag if re.fullmatch(r"h[1-6]|li", element.tag) else mark
            if block:
                yield from flush(mark)
            if element.tag == "br":
                run.append(" ")
            run.append(element.text or "")
            for child in element:
                yield from walk(child, inner)
            if block:
                yield from flush(inner)
        run.append(element.tail or "")

    yield from walk(root, "")
    yield from flush()


def _decoded(data: bytes) -> str:
    declared = re.search(rb"""(?:encoding|charset)=["']?([\w-]+)""", data[:1000])
    try:
        return data.decode(declared.group(1).decode() if declared else "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def read_html(data: bytes, source: str) -> list[Raw]:
    """Main text and title; what surrounds it (menus, banners, share buttons) is left out."""
    import trafilatura

    shown, hidden = _visible(data)
    text = trafilatura.extract(shown, output_format="markdown", include_tables=True)
    meta = trafilatura.extract_metadata(data)
    if not text:
        raise LoadError(f"Cannot read {source!r}: no text in this page.")
    text = re.sub(r"(?m)(?:^\|.*\|[ \t]*$\n?)+", _table_as_lines, text).strip()
    if not meta:
        return [Raw(text, hidden=hidden)]
    return [Raw(text, meta.title or "", meta.author or None, meta.sitename or None, meta.date or None, hidden=hidden)]


def _visible(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A page without what its styles hide, and of that what is there to deceive."""
    if not hides(data.decode("latin-1")):
        return data, ()
    from lxml import etree, html

    root = html.document_fromstring(data)
    hidden = []
    for element in [e for e in root.iter() if isinstance(e.tag, str) and hides(e.get("style") or "")]:
        text = squeezed(element.text_content())
        if text and deceives(element.get("style") or "", text):
            hidden.append(text)
        if element.tag != "body" and element.getparent() is not None:
            element.drop_tree()
    return etree.tostring(root, encoding="utf-8", method="html"), tuple(hidden)


def _table_as_lines(table: re.Match[str]) -> str:
    rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in table.group().splitlines()]
    rows = [[cell.replace("\\|", "|") for cell in row] for row in rows if re.search(r"[^\s:-]", "".join(row))]
    return joined(table_lines(rows)) + "\n"


def read_eml(data: bytes, source: str) -> list[Raw]:
    """Subject as heading, then who wrote to whom and when, then the words. Attachments are documents of their own."""
    message = email.message_from_bytes(data, policy=policy.default)
    if not isinstance(message, EmailMessage) or not (message["from"] or message["subject"] or message["date"]):
        raise LoadError(f"Cannot read {source!r}: no mail (neither From, Subject nor Date). {SAVE_AGAIN}")
    subject = squeezed(str(message["subject"] or ""))
    head = [f"{name}: {squeezed(str(message[name]))}" for name in ("From", "To", "Cc", "Date") if message[name]]
    body = message.get_body(("plain", "html"))
    words = _mail_words(body) if body else []
    files = [(part.get_filename() or _unnamed(part, i), part) for i, part in enumerate(message.iter_attachments(), 1)]
    attachments = tuple((name, payload) for name, part in files if name and (payload := _payload(part)))
    if attachments:
        head.append(f"Attachments: {', '.join(name for name, _ in attachments)}")
    text = joined([heading(subject, 1) if subject else "", "\n\n".join(head), *words])
    return [
        Raw(
            whole(text),
            whole(subject),
            author_of(str(message["from"] or "")),
            date=_mail_date(message),
            attachments=attachments,
        )
    ]


def _mail_words(body: Any) -> list[str]:
    try:
        text = str(body.get_content())
    except (LookupError, UnicodeError):  # a character set that nobody knows
        text = (body.get_payload(decode=True) or b"").decode("utf-8", "replace")
    if body.get_content_subtype() == "html":
        return list(_html_blocks(whole(text)))
    return [line_of(block.strip("\n")) for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n"))]


def _unnamed(part: Any, number: int) -> str:
    return f"message {number}.eml" if part.get_content_type() == "message/rfc822" else ""


def _payload(part: Any) -> bytes:
    if part.get_content_type() == "message/rfc822":
        return bytes(part.get_payload(0).as_bytes())
    return part.get_payload(decode=True) or b""


def _mail_date(message: EmailMessage) -> str | None:
    try:
        return parsedate_to_datetime(str(message["date"])).date().isoformat()
    except (ValueError, TypeError):
        return None

"""Text, JSON and notebooks."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from rag.errors import LoadError
from rag.readers.common import SAVE_AGAIN, Raw, heading, joined, line_of, whole

BINARY = "it is binary, not text. Give it the ending of what it is."


def read_text(data: bytes, source: str) -> list[Raw]:
    return [Raw(decode(data, source))]


def decode(data: bytes, source: str) -> str:
    """UTF-8 or marked UTF-16 without its byte-order mark. Raises LoadError."""
    return decoded([data], source)


def decoded(blocks: Iterable[bytes], source: str) -> str:
    """The same of the blocks of a file, none of which is kept: a large text is not held twice."""
    text, read = "", 0
    encoding = ""
    for block in chain(blocks, [b""]):
        if not encoding:
            encoding = "utf-16" if block[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
            decoder = codecs.getincrementaldecoder(encoding)()
        read += len(block)
        try:
            piece = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise LoadError(_broken(error, block, read, encoding, source)) from error
        if "\0" in piece:
            raise LoadError(f"Cannot read {source!r}: {BINARY}")
        if not text and encoding == "utf-8":
            piece = piece.removeprefix("\ufeff")
        text += piece  # grows in place
    return text


def _broken(error: UnicodeDecodeError, block: bytes, read: int, encoding: str, source: str) -> str:
    if b"\0" in block and encoding == "utf-8":
        return f"Cannot read {source!r}: {BINARY}"
    if encoding == "utf-16":
        return f"Cannot read {source!r}: broken UTF-16 text. Save it as UTF-8."
    at = read - len(error.object) + error.start
    return (
        f"Cannot read {source!r}: not UTF-8 (byte 0x{error.object[error.start]:02x} at {at}). "
        "Save it as UTF-8 and ingest again."
    )


def read_jsonl(data: bytes, source: str) -> list[Raw]:
    """Records with doc_id and text, each a document."""
    records: list[Raw] = []
    names: set[str] = set()
    for number, line in enumerate(decode(data, source).split("\n"), 1):  # a record may hold U+2028 as it is
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LoadError(
                f"Cannot read {source!r}, line {number}: a record needs doc_id and text ({type(error).__name__})."
            ) from error
        records.append(_record(record, names, f"{source!r}, line {number}", line.encode()))
    return records


def _record(record: Any, names: set[str], place: str, data: bytes) -> Raw:
    try:
        name, text, title = record["doc_id"], record["text"], record.get("title") or ""
    except (KeyError, TypeError) as error:
        raise LoadError(f"Cannot read {place}: a record needs doc_id and text ({type(error).__name__}).") from error
    if not (isinstance(text, str) and isinstance(title, str) and isinstance(name, str | int) and str(name).strip()):
        raise LoadError(f"Cannot read {place}: doc_id, text and title must be text.")
    if (name := whole(str(name))) in names:
        raise LoadError(f"Cannot read {place}: the doc_id {name!r} was there before.")
    names.add(name)
    return Raw(whole(text), whole(title), source=name, record=data)


def read_json(data: bytes, source: str) -> list[Raw]:
    """A list of records as in .jsonl, or any other JSON as lines of `key: value`."""
    try:
        value = json.loads(decode(data, source))
        if (
            isinstance(value, list)
            and value
            and all(isinstance(v, dict) and {"doc_id", "text"} <= v.keys() for v in value)
        ):
            names: set[str] = set()
            return [
                _record(v, names, f"{source!r}, record {i}", json.dumps(v, sort_keys=True).encode())
                for i, v in enumerate(value, 1)
            ]
        title = value.get("title") if isinstance(value, dict) else None
        text = joined(_json_blocks(value, 1))
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise LoadError(f"Cannot read {source!r}: not JSON ({why}). Mend it and ingest again.") from error
    return [Raw(whole(text), whole(title) if isinstance(title, str) else Path(source).stem)]


def _json_blocks(value: Any, level: int) -> Iterator[str]:
    """Keys that hold more than one value become headings; an element of a list is one line."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict | list):
                yield heading(key, level)
                yield from _json_blocks(inner, level + 1)
            else:
                yield line_of(f"{key}: {_json_word(inner)}")
        return
    for element in value if isinstance(value, list) else [value]:
        yield line_of("; ".join(f"{key}: {word}" if key else word for key, word in _json_leaves(element, "")))


def _json_leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _json_leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for inner in value:
            yield from _json_leaves(inner, path)
    else:
        yield path, ", ".join(map(_json_word, value)) if isinstance(value, list) else _json_word(value)


def _json_word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def read_ipynb(data: bytes, source: str) -> list[Raw]:
    """Markdown as it is; code and what it printed as indented blocks, so that a comment is no heading."""
    try:
        notebook = json.loads(decode(data, source))
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        blocks = [block for cell in cells for block in _cell(cell)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise LoadError(
            f"Cannot read {source!r}: not a Jupyter notebook ({type(error).__name__}). {SAVE_AGAIN}"
        ) from error
    meta = notebook.get("metadata") or {}
    authors = [a["name"] for a in meta.get("authors") or [] if isinstance(a, dict) and a.get("name")]
    return [Raw(whole(joined(blocks)), str(meta.get("title") or ""), ", ".join(authors) or None)]


def _cell(cell: Any) -> Iterator[str]:
    text = "".join(cell.get("source") or cell.get("input") or "")
    kind = cell.get("cell_type")
    if kind == "heading":  # notebooks before 2015
        yield heading(text, int(cell.get("level", 1)))
    elif kind != "code":
        yield text.strip()
    else:
        yield _indented(text)
        for output in cell.get("outputs") or []:
            said = output.get("text") or (output.get("data") or {}).get("text/plain") or ""
            yield _indented(re.sub(r"\x1b\[[\d;]*m", "", "".join(said)))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip("\n").splitlines())

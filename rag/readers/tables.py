"""Spreadsheets, and the tables inside other documents."""

import csv
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from rag.errors import LoadError
from rag.readers.common import Raw, core_properties, heading, line_of, squeezed, whole_zip
from rag.readers.text import decode
from rag.types import Row

NUMBER = re.compile(r"[-+($€£¥ ]*\d[\d.,'\s]*(?:e[-+]?\d+)?[%)€ ]*", re.I)
YEAR = re.compile(r"(?:19|20)\d\d")


def read_csv(data: bytes, source: str) -> list[Raw]:
    """Rows are counted as a spreadsheet program counts them: a cell of two lines is in one row, an empty line is a row."""
    text = decode(data, source)
    delimiter = "\t" if source.lower().endswith(".tsv") else _delimiter(text)
    records = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    try:
        lines = list(_row_lines((n, [squeezed(cell) for cell in cells]) for n, cells in enumerate(records, 1)))
    except csv.Error as error:
        raise LoadError(
            f"Cannot read {source!r}, line {records.line_num}: {error}. Look for a quote there that is never closed."
        ) from error
    return [_sheets([(None, lines)], Path(source).stem)]


def _delimiter(text: str) -> str:
    """The sign that cuts the first lines into the most even rows (csv.Sniffer guesses letters and is slow on prose)."""
    sample = text[:20_000].splitlines(keepends=True)[:50]
    if len(text) > 20_000 and len(sample) > 1:
        sample.pop()

    def evenness(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(sample, delimiter=delimiter) if row]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual) / len(widths), usual) if usual > 1 else (0.0, 1)

    return max(",;\t|", key=evenness)


# A cell whose formula has no value: the program that wrote the file never worked it out. (A text may be empty.)
FORMULA_ALONE = re.compile(
    rb"<c (?![^>]*t=.str)[^>]*>\s*<f(?:/>|[^>]*/>|[^>]*>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>"
)


def read_xlsx(data: bytes, source: str) -> list[Raw]:
    """All sheets, hidden ones too; of a formula the value that was stored with it."""
    with whole_zip(data, source) as archive:
        title, author, date = core_properties(archive)
        sheet_files = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        alone = sum(len(FORMULA_ALONE.findall(archive.read(name))) for name in sheet_files)
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions that it does not know
        with closing(openpyxl.load_workbook(BytesIO(data), read_only=True, data_only=True, keep_links=False)) as book:
            sheets = [(sheet.title, list(_row_lines(_cells(sheet)))) for sheet in book.worksheets]
    left_out = f"{alone:,} formulas without a value: open it in a spreadsheet program and save it" if alone else ""
    return [replace(_sheets(sheets, title or Path(source).stem), author=author, date=date, left_out=left_out)]


def _cells(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    sheet.reset_dimensions()  # what a file says about its size may be wrong
    for number, cells in enumerate(sheet.iter_rows(), 1):
        yield number, [_shown(cell) for cell in cells]


def _sheets(sheets: Iterable[tuple[str | None, Sequence[tuple[int, str]]]], title: str) -> Raw:
    """One line a row, under the name of its sheet."""
    parts: list[str] = []
    rows: list[Row] = []
    at = 0
    for name, lines in sheets:
        head = [heading(name, 1) + "\n"] if name and lines else []
        for part in [*head, *(line for _, line in lines)]:
            parts.append(part)
        at += sum(len(part) + 1 for part in head)
        for number, line in lines:
            rows.append(Row(at, name, number))
            at += len(line) + 1
    return Raw("\n".join(parts), title, rows=tuple(rows))


def _row_lines(rows: Iterable[tuple[int, Sequence[str]]]) -> Iterator[tuple[int, str]]:
    """(number, line) of each row that holds anything, each value behind its header.

    The first row of two cells or more without a number is the header; years may stand in it. After an empty row another
    one may follow: a row of words where numbers stood.
    """
    header: Sequence[str] | None = None
    unsaid: tuple[int, str] | None = None  # a header that no row has followed yet
    numbers: set[int] = set()  # the columns that held numbers
    gap = False
    for number, cells in rows:
        filled = {i: cell for i, cell in enumerate(cells) if cell}
        if not filled:
            gap = True
            continue
        words = not any(NUMBER.fullmatch(cell) for cell in filled.values() if not YEAR.fullmatch(cell))
        words = words and not (cells[0] and all(YEAR.fullmatch(cell) for cell in filled.values()))
        if gap and words and len(filled) > 1 and numbers & filled.keys():
            header, numbers = None, set()
        gap = False
        if header is None and len(filled) == 1:
            yield number, next(iter(filled.values()))
            continue
        if header is None and words:
            header, unsaid = cells, (number, "; ".join(filled.values()))
            continue
        header, unsaid = header or (), None
        numbers |= {i for i, cell in filled.items() if NUMBER.fullmatch(cell)}
        yield number, "; ".join(f"{_header(header, i)}: {cell}" for i, cell in filled.items())
    if unsaid:
        yield unsaid


def _header(header: Sequence[str], column: int) -> str:
    """The header of a column counted from 0, else its letters."""
    if column < len(header) and header[column]:
        return header[column].rstrip(":")
    letters, column = "", column + 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table inside a text. Without a header its cells stand side by side."""
    rows = [[squeezed(cell) for cell in row] for row in rows]
    if len(rows) > 1 and all(rows[0]) and not any(NUMBER.fullmatch(c) for c in rows[0] if not YEAR.fullmatch(c)):
        lines = [line for _, line in _row_lines(enumerate(rows, 1))]
    else:
        lines = ["; ".join(cell for cell in row if cell) for row in rows]
    return [line_of(line) for line in lines]


def _shown(cell: Any) -> str:
    """A value much as the spreadsheet shows it."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, cell.number_format or "General")
    if hasattr(value, "hour") and hasattr(value, "year"):
        return str(value).removesuffix(" 00:00:00")
    return squeezed(str(value))


def _number(value: float, layout: str) -> str:
    """By the first part of an Excel number format: decimals, thousands, percent and the sign of a currency."""
    layout = layout.split(";")[0]
    sign = next((s for s in "$€£¥" if s in layout), "")
    plain = re.sub(r'"[^"]*"|\[[^\]]*\]|\\.|_.|\*.', "", layout)
    digits = re.search(r"[0#?,]*[0#?](?:\.([0#?]+))?", plain)
    if not digits or re.search(r"[/E@]", plain):
        return f"{value:.15g}"
    percent = "%" if "%" in plain else ""
    decimals = digits.group(1) or ""
    text = f"{value * (100 if percent else 1):{',' if ',' in digits.group() else ''}.{len(decimals)}f}"
    if optional := len(decimals) - len(decimals.rstrip("#?")):
        text = text[:-optional] + text[-optional:].rstrip("0")
    text = text.rstrip(".")
    return f"-{sign}{text[1:]}{percent}" if text.startswith("-") else f"{sign}{text}{percent}"

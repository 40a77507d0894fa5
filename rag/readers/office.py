"""Word and PowerPoint."""

import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

from rag.readers.common import Raw, core_properties, heading, joined, line_of, squeezed, starts_of, whole_zip, xml_root
from rag.readers.tables import table_lines

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # the same once more
UNREAD = {f"{W}del", f"{W}moveFrom", FALLBACK}


def read_docx(data: bytes, source: str) -> list[Raw]:
    """The body, then foot- and endnotes. Headers and footers, which say the same on each page, are left out."""
    with whole_zip(data, source) as archive:
        title, author, date = core_properties(archive)
    import docx
    from docx.opc.constants import RELATIONSHIP_TYPE

    document = docx.Document(BytesIO(data))
    marks = _style_marks(document.styles.element)
    blocks = list(_word_blocks(document.element.body, marks))
    for kind in (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES):
        for relation in document.part.rels.values():
            if relation.reltype == kind and not relation.is_external:
                blocks += _word_blocks(xml_root(relation.target_part.blob), marks)
    return [Raw(joined(blocks), title, author, date=date, hidden=_hidden(document.element.body))]


def _hidden(body: Any) -> tuple[str, ...]:
    """What stands in the file and cannot be seen, one paragraph a line."""
    found = (
        "".join(_word_text(run, whole=True) for run in p.iter(f"{W}r") if _is_hidden(run)) for p in body.iter(f"{W}p")
    )
    return tuple(text for text in map(squeezed, found) if text)


def _is_hidden(run: Any) -> bool:
    """Marked as hidden, or white on the white page: in tables and boxes a white letter may well stand on a dark ground."""
    properties = run.find(f"{W}rPr")
    if properties is None:
        return False
    vanish = properties.find(f"{W}vanish")
    if vanish is not None and vanish.get(f"{W}val") not in ("0", "false"):
        return True
    if (_value(properties, "color") or "").upper() != "FFFFFF":
        return False
    dark = {f"{W}tbl", f"{W}txbxContent"}
    grounds = (
        *properties.iter(f"{W}shd", f"{W}highlight"),
        *next(run.iterancestors(f"{W}p")).iterfind(f"{W}pPr/{W}shd"),
    )
    return not grounds and not any(above.tag in dark for above in run.iterancestors())


def _style_marks(styles: Any) -> dict[str, str]:
    """Style id -> what Markdown puts before a paragraph of it; a style takes after the one it is based on."""
    marks: dict[str, str] = {}
    based: dict[str, str] = {}
    for style in styles.iter(f"{W}style"):
        key = style.get(f"{W}styleId") or ""
        name = (_value(style, "name") or "").lower()
        if name == "title":
            marks[key] = "# "
        elif match := re.fullmatch(r"heading (\d)", name):
            marks[key] = _hashes(int(match.group(1)))
        elif mark := _hashes(_outline(style)) or ("- " if name.startswith("list ") else ""):
            marks[key] = mark
        elif parent := _value(style, "basedOn"):
            based[key] = parent
    for key, parent in based.items():
        seen = {key}
        while parent in based and parent not in seen:
            seen.add(parent)
            parent = based[parent]
        if parent in marks:
            marks[key] = marks[parent]
    return marks


def _outline(element: Any) -> int:
    """Its level among the headings, from 1; 0 for body text."""
    level = _value(element, "outlineLvl") or ""
    return int(level) + 1 if level.isdigit() and int(level) < 9 else 0


def _hashes(level: int) -> str:
    return "#" * min(level, 6) + " " if level else ""


def _value(element: Any, name: str) -> str | None:
    found = next(element.iter(f"{W}{name}"), None)
    return None if found is None else found.get(f"{W}val")


def _word_blocks(parent: Any, marks: dict[str, str]) -> Iterator[str]:
    """Paragraphs and rows in the order of the document, those in content controls and text boxes too."""
    for element in parent:
        if element.tag == f"{W}p":
            yield _word_paragraph(element, marks)
            for box in element.iter(f"{W}txbxContent"):
                if not any(above.tag == FALLBACK for above in box.iterancestors()):
                    yield from _word_blocks(box, marks)
        elif element.tag == f"{W}tbl":
            yield from table_lines(list(_word_rows(element)))
        elif element.tag not in UNREAD:
            yield from _word_blocks(element, marks)


def _word_paragraph(paragraph: Any, marks: dict[str, str]) -> str:
    text = squeezed(_word_text(paragraph))
    properties = paragraph.find(f"{W}pPr")
    if properties is None:
        return line_of(text)
    mark = _hashes(_outline(properties)) or marks.get(_value(properties, "pStyle") or "", "")
    mark = mark or ("- " if properties.find(f"{W}numPr") is not None else "")
    return mark + text if mark and text else line_of(text)


def _word_rows(table: Any) -> Iterator[list[str]]:
    """The cells of each row; one that goes on from above says the same, one that is wider leaves columns empty."""
    above: list[str] = []
    for row in table.iter(f"{W}tr"):
        if next(row.iterancestors(f"{W}tbl")) is not table:  # of a table inside a cell
            continue
        cells: list[str] = []
        for cell in row.iter(f"{W}tc"):
            if next(cell.iterancestors(f"{W}tr")) is not row:
                continue
            merged = next(cell.iter(f"{W}vMerge"), None)
            goes_on = merged is not None and merged.get(f"{W}val") != "restart" and len(cells) < len(above)
            text = " ".join(_word_text(paragraph) for paragraph in cell.iter(f"{W}p"))
            cells += [above[len(cells)] if goes_on else text, *[""] * (int(_value(cell, "gridSpan") or 1) - 1)]
        above = cells
        yield cells


def _word_text(element: Any, *, whole: bool = False) -> str:
    """`whole`: with what is hidden."""
    parts = []
    for child in element:
        if child.tag == f"{W}r" and not whole and _is_hidden(child):
            continue
        if child.tag in (f"{W}t", MATH_TEXT):
            parts.append(child.text or "")
        elif child.tag in (f"{W}tab", f"{W}br", f"{W}cr"):
            parts.append(" ")
        elif child.tag == f"{W}noBreakHyphen":
            parts.append("-")
        elif child.tag not in UNREAD and child.tag not in (f"{W}txbxContent", f"{W}pPr"):
            parts.append(_word_text(child))
    return "".join(parts)


def read_pptx(data: bytes, source: str) -> list[Raw]:
    """A page for each slide, with its tables, the numbers of its charts and its notes."""
    with whole_zip(data, source) as archive:
        title, author, date = core_properties(archive)
    import pptx

    slides = [joined(_slide_blocks(slide)) for slide in pptx.Presentation(BytesIO(data)).slides]
    return [Raw("\n\n".join(slides), title, author, date=date, page_starts=starts_of(slides))]


def _slide_blocks(slide: Any) -> Iterator[str]:
    title = slide.shapes.title
    if title is not None and title.text_frame.text.strip():
        yield heading(title.text_frame.text, 1)
    for shape in _shapes(slide.shapes):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if shape.has_text_frame:
            for paragraph in shape.text_frame.paragraphs:
                yield line_of(squeezed(paragraph.text))
        elif getattr(shape, "has_table", False):
            yield from table_lines([[cell.text for cell in row.cells] for row in shape.table.rows])
        elif getattr(shape, "has_chart", False):
            yield from table_lines(_chart_rows(shape.chart))
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None and notes.text.strip():
        yield heading("Notes", 2)
        for paragraph in notes.paragraphs:
            yield line_of(squeezed(paragraph.text))


def _shapes(shapes: Iterable[Any]) -> Iterator[Any]:
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        else:
            yield shape


def _chart_rows(chart: Any) -> list[list[str]]:
    """The numbers behind a chart, a row for each category."""
    rows: list[list[str]] = []
    for plot in chart.plots:
        series = list(plot.series)
        rows.append(["Category", *(one.name or "Value" for one in series)])
        for i, category in enumerate(plot.categories):
            values = [one.values[i] if i < len(one.values) else None for one in series]
            rows.append([str(category), *("" if v is None else f"{v:.15g}" for v in values)])
    return rows

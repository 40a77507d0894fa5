"""PDF."""

import ctypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

from rag.errors import LoadError
from rag.readers.common import Raw, author_of, line_of, starts_of, title_of, whole

PDFIUM = Lock()  # to be held while pdfium works: it must not in two threads at a time

Box = tuple[int, int, int, int]
PICTURE_WIDTH, PICTURE_HEIGHT = 1100, 3000  # pixels; the smaller decides
MARKER, BORDER = (255, 232, 140), (31, 74, 99)
SHARED = 4  # of a quote that runs over two pages, at least one part in so many is marked

INVISIBLE = 3  # text rendering mode of letters that are neither filled nor drawn


def read_pdf(data: bytes, source: str) -> list[Raw]:
    """The text in the order of the file, which is column by column and row by row in all that we met."""
    import pypdfium2

    try:
        with PDFIUM, pypdfium2.PdfDocument(data) as pdf:
            meta = pdf.get_metadata_dict(skip_empty=True)
            pages, hidden = [], []
            for page in pdf:
                text = page.get_textpage()
                unseen = _unseen(page, text)
                pages.append(_without(text.get_text_bounded(), unseen))
                hidden += [" ".join(unseen)] if unseen else []
            pictures = [i + 1 for i, page in enumerate(pages) if not page.strip() and _has_picture(pdf[i])]
    except pypdfium2.PdfiumError as error:
        why = (
            "encrypted PDF. Save it without a password"
            if "password" in str(error).lower()
            else "damaged PDF. Repair it"
        )
        raise LoadError(f"Cannot read {source!r}: {why} and ingest again.") from error
    texts = [line_of(_clean(page)) for page in pages]
    if not any(re.search(r"\w", text) for text in texts):
        raise LoadError(f"Cannot read {source!r}: the PDF holds only pictures. Run a text recognition first.")
    title = title_of(meta.get("Title")) or ("" if meta.get("Title") else _first_words(texts)) or Path(source).stem
    made = re.match(r"D:(\d{4})(\d\d)(\d\d)", meta.get("CreationDate", ""))
    date = "-".join(made.groups()) if made else None
    left_out = f"pages that are pictures ({', '.join(map(str, pictures))}): run a text recognition" if pictures else ""
    text, author = "\n\n".join(texts), author_of(meta.get("Author"))
    starts = starts_of(texts)
    return [Raw(text, title, author, date=date, page_starts=starts, left_out=left_out, hidden=tuple(hidden))]


def _unseen(page: Any, text: Any) -> list[str]:
    """What is set in invisible letters. Over a picture that is what a text recognition read in it, and no secret."""
    from ctypes import create_string_buffer

    from pypdfium2 import raw

    found = []
    for i in range(raw.FPDFPage_CountObjects(page)):
        thing = raw.FPDFPage_GetObject(page, i)
        kind = raw.FPDFPageObj_GetType(thing)
        if kind == raw.FPDF_PAGEOBJ_IMAGE:
            return []
        if kind == raw.FPDF_PAGEOBJ_TEXT and raw.FPDFTextObj_GetTextRenderMode(thing) == INVISIBLE:
            size = raw.FPDFTextObj_GetText(thing, text, None, 0)
            letters = create_string_buffer(size)
            raw.FPDFTextObj_GetText(thing, text, raw.FPDF_WCHAR.from_buffer(letters), size)
            found.append(whole(letters.raw[: size - 2].decode("utf-16-le", "replace")).strip())
    return [words for words in found if re.search(r"\w", words)]


def _without(text: str, unseen: Sequence[str]) -> str:
    for words in unseen:
        text = text.replace(words, "", 1)
    return text


def _has_picture(page: Any) -> bool:
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    return any(page.get_objects([FPDF_PAGEOBJ_IMAGE]))


def _first_words(pages: Sequence[str]) -> str:
    """The first short line of several words that is no stamp of an archive."""
    lines = [line.strip() for line in "\n".join(pages[:1]).splitlines()[:10]]
    return next(
        (x for x in lines if re.search(r"[^\W\d_]{2}.*\s", x) and len(x) <= 120 and not x.startswith("arXiv:")), ""
    )


def _clean(text: str) -> str:
    """Line ends as \\n, hyphens at line ends joined, lone surrogates and control characters gone."""
    text = text.replace("\r\n", "\n").replace("\ufffe\n", "").replace("\ufffe", "").replace("\x02\n", "")
    return re.sub(r"[\x00-\x08\x0b-\x1f]", "", whole(text))


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as a JPEG. `boxes`: left, top, right, bottom of each line of the quote, in its pixels."""

    jpeg: bytes
    boxes: tuple[Box, ...]


def picture_of(data: bytes, page: int, quote: str = "") -> Picture:
    """A page, counted from 1, with the quote marked where its letters stand. Raises LoadError."""
    import pypdfium2

    try:
        with PDFIUM, pypdfium2.PdfDocument(data) as pdf:
            if not 1 <= page <= len(pdf):
                raise LoadError(f"There is no page {page}: the PDF has {len(pdf)}.")
            drawn = pdf[page - 1]
            scale = min(PICTURE_WIDTH / drawn.get_width(), PICTURE_HEIGHT / drawn.get_height())
            image = drawn.render(scale=scale).to_pil().convert("RGB")
            boxes = tuple(_boxes(drawn, quote, image.size))
    except pypdfium2.PdfiumError as error:
        raise LoadError(f"The page cannot be drawn: {error}.") from error
    return Picture(_jpeg(image, boxes), boxes)


def _boxes(page: Any, quote: str, size: tuple[int, int]) -> Iterator[Box]:
    """Letters are compared without spaces, hyphens and control characters, which the text lost or gained on its way."""
    from pypdfium2.raw import FPDF_PageToDevice, FPDFText_GetUnicode

    text = page.get_textpage()
    characters = [chr(FPDFText_GetUnicode(text, i)) for i in range(text.count_chars())]
    places = [i for i, character in enumerate(characters) if character.isalnum()]
    letters = "".join(characters[i].casefold()[:1] for i in places)
    at, length = _longest(letters, "".join(c.casefold()[:1] for c in quote if c.isalnum()))
    if not length:
        return
    first, last = places[at], places[at + length - 1]
    x, y = ctypes.c_int(), ctypes.c_int()
    for index in range(text.count_rects(first, last - first + 1)):
        left, bottom, right, top = text.get_rect(index)
        corners = []
        for across, up in ((left, top), (right, bottom)):
            FPDF_PageToDevice(page, 0, 0, *size, 0, across, up, x, y)  # knows of rotated and cropped pages
            corners.append((x.value, y.value))
        (x0, y0), (x1, y1) = corners
        yield min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _longest(letters: str, wanted: str) -> tuple[int, int]:
    """(start, length) of the quote on the page; of what begins or ends it where it runs over two pages."""
    if not wanted:
        return 0, 0
    if (at := letters.find(wanted)) >= 0:
        return at, len(wanted)
    for length in range(len(wanted) - 1, len(wanted) // SHARED, -1):
        if letters.endswith(wanted[:length]):
            return len(letters) - length, length
        if letters.startswith(wanted[-length:]):
            return 0, length
    return 0, 0


def _jpeg(image: Any, boxes: Sequence[Box]) -> bytes:
    """Marked as with a pen: what is printed under the colour stays black."""
    from PIL import Image, ImageChops, ImageDraw

    grown = [(x0 - 2, y0 - 2, x1 + 2, y1 + 2) for x0, y0, x1, y1 in boxes]
    layer = Image.new("RGB", image.size, "white")
    pen = ImageDraw.Draw(layer)
    for box in grown:
        pen.rectangle(box, fill=MARKER)
    marked = ImageChops.multiply(image, layer)
    pen = ImageDraw.Draw(marked)
    for box in grown:
        pen.rectangle(box, outline=BORDER, width=2)
    out = BytesIO()
    marked.save(out, "JPEG", quality=85)
    return out.getvalue()

"""Document -> Passages and Sentences. Offsets point into `Document.text`; nothing is rewritten."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from sentencex import segment

from rag.loading import FRONT_MATTER
from rag.types import Document, Passage, Row, Sentence

CHUNKER_VERSION = 4
FILLED = 0.5  # a passage this full ends before a paragraph that does not fit whole
QUOTE_CHARACTERS = 400  # the longest quote of a citation, and so the longest sentence
HEADING_LINE = re.compile(r"[ \t]{0,3}(#{1,6})[ \t]+(.+?)[ \t#]*$")
BLOCK_LINE = re.compile(r"[ \t]*(?:[-*+•][ \t]|\d{1,3}[.)][ \t]|\||>)")  # list item, table row, quotation
# Two numbers or more at the end of a line: a row of a table on a printed page.
TABLE_CELLS = re.compile(r"[^\W\d_].*?(?:[ \t]+[($€£¥+-]*[ \t]?(?:\d[\d.,]*|[–—])[)%]*){2,}[ \t]*$")
RUN_SENTENCES = 1000  # packed at a time: a text of any size takes no more room than these
PARAGRAPH_CHARACTERS = 50_000  # a longer one is none, and is read in parts
TABLE_LINE_CHARACTERS = 300  # a longer line is none, and would take long to look through
LINE = re.compile(r"[^\n]*(?:\n|\Z)")
CLAUSE_END = re.compile(r"[;:,—–)\]]\s|\s")

Count = Callable[[Sequence[str]], list[int]]  # texts -> number of the embedder's tokens in each


@dataclass(frozen=True, slots=True)
class Block:
    """A run of sentences that belong together: one paragraph under one heading, the `section`-th of the document."""

    section: int
    heading: tuple[str, ...]
    sentences: tuple[Sentence, ...]


def chunk(document: Document, count: Count, limit: int, window: int) -> list[Passage]:
    """Passages of at most `limit` tokens as `count` counts them, on sentence bounds, never across a heading or page.

    With its title and headings a passage fits into `window`, what the embedder reads. Paragraphs stay whole where they can;
    the last passage of one that does not fit overlaps the one before it.
    """
    return list(passages_of(document, count, limit, window))


def passages_of(document: Document, count: Count, limit: int, window: int) -> Iterator[Passage]:
    """As `chunk`, one after another."""
    blocks = (block for block in _blocks(document) if block.sentences)
    for (_, page), section in groupby(blocks, lambda b: (b.section, _page(document, b.sentences[0].start))):
        for run in _runs(section):
            heading = run[0].heading
            room = window - count([_header(document.title, heading, count, window)])[0] - 1
            for sentences in _packed(document.text, run, count, min(limit, room)):
                yield _passage(document, sentences, heading, page)


def _runs(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    run: list[Block] = []
    sentences = 0
    for block in blocks:
        run.append(block)
        sentences += len(block.sentences)
        if sentences >= RUN_SENTENCES:
            yield run
            run, sentences = [], 0
    if run:
        yield run


def _packed(text: str, blocks: Sequence[Block], count: Count, limit: int) -> Iterator[list[Sentence]]:
    """Neighbours together, as many as fit. What lies between them, a table's rule say, is read with them."""
    run = [sentence for block in blocks for sentence in block.sentences]
    gaps = [text[a.end : b.start].strip() for a, b in pairwise(run)]
    sizes = count([*(text[s.start : s.end] for s in run), "", *gaps])
    size_of, gap_before = dict(zip(run, sizes, strict=False)), dict(zip(run, sizes[len(run) :], strict=True))
    current: list[Sentence] = []
    used = 0
    for block in blocks:
        parts = [
            (part, size, gap_before[s] if i == 0 else 0)
            for s in block.sentences
            for i, (part, size) in enumerate(_fit(text, s, size_of[s], count, limit))
        ]
        whole = sum(size + gap for _, size, gap in parts)
        if current and used + whole > limit and used >= FILLED * limit:
            yield current
            current, used = [], 0
        first = 0  # where in the block the passage that is being filled begins, if it does not begin before it
        for i, (part, size, gap) in enumerate(parts):
            if current and used + gap + size > limit:
                yield current
                current, used, first = [], 0, i
            used += size + (gap if current else 0)
            current.append(part)
        # The rest of a long paragraph is read with what went before it: what is asked may stand at the cut.
        while first and used + parts[first][2] + parts[first - 1][1] <= limit:
            used += parts[first][2] + parts[first - 1][1]
            first -= 1
            current.insert(0, parts[first][0])
    yield current


def embedded_text(passage: Passage, count: Count, window: int) -> str:
    """What the embedder reads of a passage: title and headings before the text, in all at most `window` tokens."""
    header, text = _header(passage.title, passage.heading, count, window), plain(passage.text)
    return f"{header}\n{text}" if header else text


def _header(title: str, heading: Sequence[str], count: Count, window: int) -> str:
    """Title and headings, the last heading alone, or nothing: the first that takes no more than a quarter of `window`."""
    parts = list(dict.fromkeys([title, *heading]))
    candidates = [" > ".join(parts), parts[-1]]
    sizes = count(candidates)
    return next((c for c, size in zip(candidates, sizes, strict=True) if size <= window // 4), "")


def plain(text: str) -> str:
    """The text as it reads: no tags, emphasis marks or escapes. For embedding and prompts, never for quotes."""
    text = re.sub(r"</?[A-Za-z][^<>\n]{0,200}>", "", text)
    text = re.sub(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)", r"\1", text)
    text = re.sub(r"\\([\\*_#\[\]()`>~-])|(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


def split_sentences(text: str, language: str = "en") -> list[Sentence]:
    """Spans of the sentences of a paragraph, without the space around them, none longer than a quote may be."""
    spans: list[Sentence] = []
    start = 0
    # One code point for another, so that spans hold. sentencex 1.0 panics at an initial before a no-break space and a
    # full stop, and takes the number of a list item for a sentence.
    read = re.sub(r"\A(\s*\d{1,3})\.(?=\s+\S)", r"\1,", re.sub(r"[^\S\n]", " ", text))
    for part in segment(language, read):
        end = start + len(part)
        left = start + len(part) - len(part.lstrip())
        right = end - (len(part) - len(part.rstrip()))
        if re.search(r"\w", text[left:right]):
            spans.extend(_shorten(text, left, right))
        start = end
    return spans


def _shorten(text: str, start: int, end: int) -> Iterator[Sentence]:
    """Cuts at the last clause end, else the last space, that keeps each part within a quote's length."""
    while end - start > QUOTE_CHARACTERS:
        window = text[start : start + QUOTE_CHARACTERS]
        ends = [match.end() for match in CLAUSE_END.finditer(window) if match.end() > QUOTE_CHARACTERS // 4]
        clause = [cut for cut in ends if window[cut - 2] in ";:,—–)]"]
        cut = start + (clause or ends or [QUOTE_CHARACTERS])[-1]
        yield Sentence(start, start + len(text[start:cut].rstrip()))
        start = cut
        while text[start].isspace():
            start += 1
    yield Sentence(start, end)


def _blocks(document: Document) -> Iterator[Block]:
    text, language = document.text, document.language
    at = 0
    if match := FRONT_MATTER.match(text):
        at = match.end()
        yield Block(0, (), tuple(_lines(text, match.start(1), match.end(1))))
    page_starts = frozenset(document.page_starts)
    row_starts = frozenset(row.start for row in document.rows)
    section = 0
    heading: list[tuple[int, str]] = []
    start: int | None = None  # of the paragraph that is being read

    def paragraph(end: int) -> Iterator[Block]:
        begin = end if start is None else start
        while begin < end:
            stop = end if end - begin <= PARAGRAPH_CHARACTERS else _gap(text, begin, begin + PARAGRAPH_CHARACTERS)
            spans = split_sentences(text[begin:stop], language)
            sentences = tuple(Sentence(s.start + begin, s.end + begin) for s in spans)
            yield Block(section, tuple(h for _, h in heading), sentences)
            begin = stop

    for line in LINE.finditer(text, at):
        begin, content = line.start(), line.group().rstrip("\r\n")
        if begin in row_starts or (page_starts and _is_table_line(content)):
            if start is not None:
                yield from paragraph(begin)
                start = None
            yield Block(section, tuple(h for _, h in heading), tuple(_lines(text, begin, begin + len(content))))
            continue
        found = HEADING_LINE.match(content)
        if found or not content.strip() or begin in page_starts or BLOCK_LINE.match(content):
            yield from paragraph(begin)
            start = None
        if found:
            section += 1
            level = len(found.group(1))
            heading = [(above, h) for above, h in heading if above < level] + [(level, plain(found.group(2)))]
        elif content.strip() and start is None:
            start = begin
        elif start is not None and begin - start > PARAGRAPH_CHARACTERS:
            yield from paragraph(begin)
            start = begin
    yield from paragraph(len(text))


def _gap(text: str, start: int, end: int) -> int:
    """The last space before `end`, else `end`."""
    space = text.rfind(" ", start + 1, end)
    return space if space > 0 else end


def _is_table_line(line: str) -> bool:
    return len(line) <= TABLE_LINE_CHARACTERS and TABLE_CELLS.search(line) is not None


def _lines(text: str, start: int, end: int) -> Iterator[Sentence]:
    for line in re.finditer(r"[^\s](?:[^\r\n]*[^\s])?", text[start:end]):
        if re.search(r"\w", line.group()):
            yield from _shorten(text, start + line.start(), start + line.end())


def _fit(text: str, sentence: Sentence, size: int, count: Count, limit: int) -> Iterator[tuple[Sentence, int]]:
    """A sentence of more tokens than a passage may have is halved at spaces (or anywhere) until its parts fit."""
    if size <= limit or sentence.end - sentence.start < 2:
        yield sentence, size
        return
    middle = (sentence.start + sentence.end) // 2
    space = text.find(" ", middle, sentence.end - 1)
    cut = space if space > 0 else middle
    left, right = text[sentence.start : cut].rstrip(), text[cut : sentence.end].lstrip()
    halves = [Sentence(sentence.start, sentence.start + len(left)), Sentence(sentence.end - len(right), sentence.end)]
    for half, half_size in zip(halves, count([text[h.start : h.end] for h in halves]), strict=True):
        yield from _fit(text, half, half_size, count, limit)


def _page(document: Document, offset: int) -> int | None:
    return bisect_right(document.page_starts, offset) if document.page_starts else None


def _start(row: Row) -> int:
    return row.start


def _passage(document: Document, sentences: Sequence[Sentence], heading: tuple[str, ...], page: int | None) -> Passage:
    start, end = sentences[0].start, sentences[-1].end
    rows = [document.rows[bisect_right(document.rows, s.start, key=_start) - 1] for s in sentences if document.rows]
    return Passage(
        source=document.source,
        title=document.title,
        start=start,
        end=end,
        text=document.text[start:end],
        sentences=tuple(sentences),
        heading=heading,
        page=page,
        author=document.author,
        publisher=document.publisher,
        date=document.date,
        language=document.language,
        sheet=rows[0].sheet if rows else None,
        rows=tuple(row.number for row in rows),
    )

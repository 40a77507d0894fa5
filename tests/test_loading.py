import json
import os
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rag.chunking import chunk
from rag.errors import InputError, LoadError
from rag.loading import Found, Skipped, detect_language, detect_question_language, front_matter, parse, read, walk
from rag.readers.pdf import picture_of
from rag.types import Document

MB = 1_000_000


def load(data: bytes | str, name: str = "note.md") -> Document:
    data = data.encode() if isinstance(data, str) else data
    [document] = parse(data, Path(name).suffix, name)
    return document


def names(path: Path, max_bytes: int = MB) -> list[str]:
    return [item.name for item in walk(path, max_bytes) if isinstance(item, Found)]


def passed_over(path: Path, max_bytes: int = MB) -> dict[str, tuple[str, bool]]:
    items = [item for item in walk(path, max_bytes) if isinstance(item, Skipped)]
    return {Path(item.path).name: (item.reason, item.failed) for item in items}


PICTURE = "q 9 0 0 9 40 40 cm BI /W 1 /H 1 /BPC 8 /CS /G ID x EI Q"


def pdf(*pages: str, title: str = "", info: str = "", encrypted: bool = False) -> bytes:
    """A small PDF written by hand, with the lines of each page on top of it; a page `picture` is one."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, text in enumerate(pages):
        lines = " ".join(f"({line}) Tj 0 -20 Td" for line in text.split("\n"))
        stream = PICTURE if text == "picture" else f"BT /F1 12 Tf 40 700 Td {lines} ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792]"
            f" /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< /Title ({title}) {info} >>")
    trailer = f"/Root 1 0 R /Info {len(objects)} 0 R"
    if encrypted:
        secret = "00" * 32
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O <{secret}> /U <{secret}> /P -4 >>")
        trailer += f" /Encrypt {len(objects)} 0 R /ID [<00><00>]"
    out = "%PDF-1.4\n"
    starts = []
    for number, body in enumerate(objects, 1):
        starts.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{start:010d} 00000 n \n" for start in starts)
    size = len(objects) + 1
    out += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} {trailer} >>\n"
    return f"{out}startxref\n{out.index('xref')}\n%%EOF\n".encode("latin-1")


# -- text ---------------------------------------------------------------------------------------------------------


def test_the_text_is_the_file_with_its_line_ends_and_front_matter() -> None:
    data = "---\r\ntitle: The mill\r\n---\r\n# Mill\r\n\r\nIt ground barley. \r\n\r\n"
    assert load(data).text == data


def test_only_a_byte_order_mark_is_removed() -> None:
    assert load(b"\xef\xbb\xbf---\ntitle: The mill\n---\nIt ground barley.").text.startswith("---\ntitle")
    assert load(b"\xef\xbb\xbf---\ntitle: The mill\n---\nIt ground barley.").title == "The mill"


def test_offsets_count_code_points() -> None:
    document = load("Élan 😀 grew. The mill ground barley.")
    assert document.text[13:] == "The mill ground barley."


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_with_a_mark_is_read(encoding: str) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    assert load(mark + "Der Müller mahlte.".encode(encoding)).text == "Der Müller mahlte."


def test_broken_utf16_is_named() -> None:
    with pytest.raises(LoadError, match=r"'note\.md': broken UTF-16"):
        load(b"\xff\xfea")


def test_another_encoding_is_an_error_that_names_file_and_byte() -> None:
    with pytest.raises(LoadError, match=r"'mill\.txt': not UTF-8 \(byte 0xe9 at 3\).*Save it as UTF-8"):
        load("café".encode("latin-1"), "mill.txt")


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xfe\0\0h\0\0\0i\0\0\0"])
def test_a_binary_file_named_txt_is_an_error(data: bytes) -> None:
    with pytest.raises(LoadError, match="binary"):
        load(data, "mill.txt")


def test_a_letter_may_lie_across_two_blocks_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.loading.BLOCK_BYTES", 4)
    (tmp_path / "a.md").write_bytes("\ufeffDer Müller: 😀 \ufeff".encode())
    content = read(Found(tmp_path / "a.md", tmp_path, "a.md"))
    assert content.data == "Der Müller: 😀 \ufeff"
    assert content.sha256 == "3b24c3ed086973141b2793619f4762ca66c0cebbdb6611c0735e62ef2a986401"


def test_a_wrong_byte_is_counted_from_the_begin_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.loading.BLOCK_BYTES", 4)
    (tmp_path / "a.md").write_bytes("Der Müller ".encode() + b"\xe9")
    with pytest.raises(LoadError, match=r"byte 0xe9 at 12"):
        read(Found(tmp_path / "a.md", tmp_path, "a.md"))
    (tmp_path / "a.md").write_bytes(b"Der M\xc3")
    with pytest.raises(LoadError, match=r"byte 0xc3 at 5"):
        read(Found(tmp_path / "a.md", tmp_path, "a.md"))


def test_a_large_text_is_held_once(tmp_path: Path) -> None:
    size = 30_000_000
    (tmp_path / "a.md").write_bytes(b"The mill ground barley. " * (size // 24))
    found = Found(tmp_path / "a.md", tmp_path, "a.md")
    detect_language("The mill ground barley.")  # loads its model
    tracemalloc.start()
    try:
        content = read(found)
        [document] = parse(content, ".md", "a.md")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(document.text) == size
    assert peak < 1.5 * size


@pytest.mark.parametrize("data", ["", "\ufeff", " \r\n\n", "---\n\n***\n"])
def test_a_file_without_words_is_an_error(data: str) -> None:
    with pytest.raises(LoadError, match="holds no text"):
        load(data)


# -- front matter, titles, language ----------------------------------------------------------------------------------


def test_front_matter_gives_title_author_publisher_date_and_language() -> None:
    document = load(
        "---\ntitle: The mill\nauthor: [Ida Holm, Tomas Rell]\npublisher: Lindal Press\ndate: 1931-05-02\n"
        "language: da\n---\n# Another heading\n\nIt ground barley."
    )
    assert (document.title, document.author) == ("The mill", "Ida Holm, Tomas Rell")
    assert (document.publisher, document.date, document.language) == ("Lindal Press", "1931-05-02", "da")


@pytest.mark.parametrize(
    "block",
    [
        "title: [broken",
        "title: 'open\nauthor: x",
        "a: b: c",
        "key: {deep: [er",
        "key: " + "[" * 1500,
        "title: !!python/object:os.system x\n: :",
    ],
)
def test_broken_front_matter_counts_as_none_and_stays_text(block: str) -> None:
    data = f"---\n{block}\n---\n# The mill\n\nIt ground barley."
    assert front_matter(data) == {}
    assert (load(data).title, load(data).text) == ("The mill", data)


def test_values_are_kept_as_they_are_written() -> None:
    data = "---\ntitle: 2024\ndate: 2021-02-30\nauthor: null\npublisher: ~\nnumber: 1_000\nyes: true\n---\nText."
    assert front_matter(data) == {"title": "2024", "date": "2021-02-30", "number": "1_000", "yes": "true"}


def test_nested_values_are_left_out() -> None:
    assert front_matter("---\na: [b, [c, d]]\ne: {f: g}\n---\nText.") == {"a": "b"}


def test_a_text_between_two_rules_is_no_front_matter() -> None:
    data = "---\n\n# The mill\n\nIt ground barley.\n\n---\n\nThe end."
    assert front_matter(data) == {}
    assert load(data).title == "The mill"


@pytest.mark.parametrize(
    ("data", "title"),
    [
        ("intro\n\n## The mill ##\n\nText.", "The mill"),
        ("The mill at Lindal\n\nText.", "The mill at Lindal"),
        ("word " * 40, "note"),
        ("***\n\nThe mill", "The mill"),
    ],
)
def test_the_title_is_the_first_heading_else_a_short_first_line_else_the_name(data: str, title: str) -> None:
    assert load(data).title == title


@pytest.mark.parametrize(
    ("given", "language"), [("en", "en"), ("EN", "en"), ("en-GB", "en"), ("pt_BR", "pt"), ("English", "es"), ("", "es")]
)
def test_the_language_is_the_code_given_else_that_of_the_text(given: str, language: str) -> None:
    text = "El molino molía cebada hasta que el río se secó, y entonces los vecinos lo vendieron."
    assert load(f"---\nlanguage: {given}\n---\n{text}").language == language


def test_the_language_of_a_text_is_told() -> None:
    assert detect_language("The mill ground barley until the river ran dry, and then it was sold.") == "en"
    assert detect_language("El molino molía cebada hasta que el río se secó, y entonces lo vendieron.") == "es"


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Who built the mill at Lindal?", "en"),
        ("When did Hernán Ibáñez de la Fuente visit San Cristóbal?", "en"),
        ("Lindal?", "en"),
        ("Why?", "en"),
        ("¿Quién construyó el molino de Lindal?", "es"),
        ("Cuándo se construyó el molino y quién lo pagó?", "es"),
        ("¿Lindal?", "es"),
    ],
)
def test_the_language_of_a_question_is_told_whatever_names_it_holds(question: str, language: str) -> None:
    assert detect_question_language(question, ["en", "es"]) == language


def test_a_question_in_no_known_language_counts_as_the_likeliest() -> None:
    assert detect_question_language("Hvem byggede den gamle mølle ved åen?", ["en"]) == "en"


# -- the walk -----------------------------------------------------------------------------------------------------


def test_files_are_found_in_the_order_of_their_names_with_posix_paths(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/b c: d.md", "c.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    assert names(tmp_path) == ["a/b c: d.md", "a/z.md", "b.txt", "c.html"]


def test_a_single_file_has_its_name_as_source(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.md").write_text("text")
    [found] = walk(tmp_path / "deep" / "a.md", MB)
    assert found == Found(tmp_path / "deep" / "a.md", tmp_path / "deep", "a.md")


def test_a_missing_path_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or folder"):
        list(walk(tmp_path / "gone", MB))


def test_a_path_that_cannot_be_looked_at_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot read"):
        list(walk(tmp_path / ("x" * 5000), MB))


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert list(walk(tmp_path, MB)) == []


def test_a_path_has_one_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    spellings = [Path("docs"), Path("../") / tmp_path.name / "docs", Path("link"), Path("docs/../docs")]
    assert {item.path for path in spellings for item in walk(path, MB) if isinstance(item, Found)} == {
        tmp_path / "docs" / "a.md"
    }


def test_what_is_no_document_is_passed_over_by_name(tmp_path: Path) -> None:
    (tmp_path / ".hidden.md").write_text("text")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "notes.md").write_text("text")
    (tmp_path / "large.md").write_text("x" * 2_000_001)
    (tmp_path / "photo.jpg").write_bytes(b"x")
    (tmp_path / "letter.doc").write_bytes(b"x")
    (tmp_path / "Makefile").write_text("text")
    (tmp_path / "ok.md").write_text("text")
    os.mkfifo(tmp_path / "pipe.md")
    assert passed_over(tmp_path, 2 * MB) == {
        ".hidden.md": ("hidden", False),
        ".git": ("hidden", False),
        "large.md": ("larger than 2 MB (RAG_MAX_FILE_MB)", False),
        "photo.jpg": ("no reader for .jpg", False),
        "letter.doc": ("no reader for .doc: save it as .docx", False),
        "Makefile": ("no reader for files without an ending", False),
        "pipe.md": ("not a regular file (a pipe, socket or device)", False),
    }
    assert names(tmp_path, 2 * MB) == ["ok.md"]


def test_what_was_named_itself_and_cannot_be_read_has_failed(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    assert passed_over(tmp_path / "photo.jpg") == {"photo.jpg": ("no reader for .jpg", True)}


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("text")
    (tmp_path / "docs" / "up").symlink_to(tmp_path)
    (tmp_path / "docs" / "self").symlink_to(tmp_path / "docs")
    (tmp_path / "docs" / "b.md").symlink_to(tmp_path / "docs" / "a.md")
    (tmp_path / "docs" / "loop.md").symlink_to(tmp_path / "docs" / "loop.md")
    (tmp_path / "docs" / "gone.md").symlink_to(tmp_path / "nothing.md")
    assert names(tmp_path / "docs") == ["a.md", "b.md"]
    assert passed_over(tmp_path / "docs") == {
        "up": ("a link to a folder that holds it", False),
        "self": ("a link to a folder that holds it", False),
        "loop.md": ("a link that leads back to itself", False),
        "gone.md": ("a link to nothing", True),
    }


def test_a_name_that_is_not_utf8_has_failed_and_can_be_printed(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")).write_text("text")
    [item] = walk(tmp_path, MB)
    assert isinstance(item, Skipped)
    assert item.failed
    assert item.path.encode().endswith(b"caf?.md")


def test_a_file_that_vanished_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"Cannot read 'a\.md': No such file"):
        read(Found(tmp_path / "a.md", tmp_path, "a.md"))


# -- corpus.jsonl ---------------------------------------------------------------------------------------------------


def jsonl(*records: object) -> bytes:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records).encode()


def test_records_are_documents_under_their_own_names() -> None:
    data = jsonl(
        {"doc_id": "m1", "title": "Mill", "text": "It ground barley."}, {"doc_id": 2, "text": "It burnt down."}
    )
    documents = parse(b"\xef\xbb\xbf" + data + b"\r\n\r\n", ".jsonl", "corpus.jsonl")
    assert [(d.source, d.title, d.text) for d in documents] == [
        ("m1", "Mill", "It ground barley."),
        ("2", "It burnt down.", "It burnt down."),
    ]


def test_a_record_may_hold_any_line_separator_but_a_line_end() -> None:
    [document] = parse(jsonl({"doc_id": "m", "text": "One.\u2028Two.\x85Three."}), ".jsonl", "corpus.jsonl")
    assert document.text == "One.\u2028Two.\x85Three."


def test_a_lone_surrogate_does_not_stop_a_record() -> None:
    [document] = parse(b'{"doc_id": "m", "text": "a \\ud800 b"}', ".jsonl", "corpus.jsonl")
    assert document.text == "a ? b"


@pytest.mark.parametrize(
    "line",
    [
        '{"doc_id": "m"}',
        '{"text": "x"}',
        "[1]",
        "{broken",
        '{"doc_id": null, "text": "x"}',
        '{"doc_id": "m", "text": null}',
        '{"doc_id": " ", "text": "x"}',
        '{"doc_id": "a", "text": "the second a"}',
        "[" * 100_000,
    ],
)
def test_a_bad_record_is_named_by_its_line(line: str) -> None:
    data = b'{"doc_id": "a", "text": "x"}\n\n' + line.encode()
    with pytest.raises(LoadError, match=r"'corpus\.jsonl', line 3"):
        parse(data, ".jsonl", "corpus.jsonl")


# -- HTML ---------------------------------------------------------------------------------------------------------

PAGE = """<html><head><meta charset="utf-8"><title>The mill at Lindal</title></head><body>
<nav><a href="/">Home</a> <a href="/shop">Shop</a></nav>
<article><h1>The mill at Lindal</h1>
<p>The mill at Lindal ground barley until 1902. It stood on three floors of brick.</p>
<h2>The wheel</h2>
<p>Its wheel measured 6 metres across &amp; turned by the river.</p>
<table><tr><th>Year</th><th>Sacks</th></tr><tr><td>1900</td><td>412</td></tr></table></article>
<footer>Subscribe to our newsletter! Share on social media. Cookie settings</footer>
<script>document.write("secret")</script></body></html>"""


def test_a_page_gives_its_main_text_headings_and_tables_without_what_surrounds_them() -> None:
    document = load(PAGE, "mill.html")
    assert document.title == "The mill at Lindal"
    assert "# The mill at Lindal" in document.text
    assert "Its wheel measured 6 metres across & turned by the river." in document.text
    assert "\nYear: 1900; Sacks: 412\n" in f"{document.text}\n"
    assert not any(word in document.text for word in ("Shop", "newsletter", "Cookie", "secret", "<"))


def test_a_page_in_another_encoding_is_read_by_what_it_declares() -> None:
    page = '<html><head><meta charset="iso-8859-1"></head><body><p>Das Mühlrad maß sechs Meter.</p></body></html>'
    assert "Mühlrad maß" in load(page.encode("latin-1"), "mill.html").text


@pytest.mark.parametrize("data", [b"", b"<html><body></body></html>", b"\0\1\2" * 50, b"<" * 1000])
def test_a_page_without_text_is_an_error(data: bytes) -> None:
    with pytest.raises(LoadError, match=r"Cannot read 'mill\.html'"):
        load(data, "mill.html")


# -- PDF ----------------------------------------------------------------------------------------------------------


def test_a_pdf_gives_its_text_with_the_start_of_each_page() -> None:
    document = load(pdf("The mill ground barley.", "Its wheel measured 6 metres.", title="The mill"), "mill.pdf")
    assert document.title == "The mill"
    assert document.text == "The mill ground barley.\n\nIts wheel measured 6 metres."
    assert document.page_starts == (0, 25)


@pytest.mark.parametrize(
    ("line", "author"),
    [
        ("By Ida Maria Holm", "Ida Maria Holm"),
        ("*By <u>Ida Holm</u> and Tomas van der Rell*", "Ida Holm and Tomas van der Rell"),
        ("Por José de la Vega y Ada Ruiz", "José de la Vega y Ada Ruiz"),
        ("By March 1931 the mill was sold.", None),
        ("By the river stood a mill.", None),
        ("By Lindal", None),
    ],
)
def test_a_line_at_the_head_that_says_by_whom_gives_the_author(line: str, author: str | None) -> None:
    assert load(f"# The mill\n\n{line}\n\nIt ground barley.\n").author == author


def test_what_a_file_says_of_its_author_comes_before_a_byline() -> None:
    assert load("---\nauthor: Ada Berg\n---\nBy Ida Holm\n\nIt ground barley.").author == "Ada Berg"


def test_a_pdf_knows_its_author_and_date() -> None:
    info = "/Author (Ida Holm) /CreationDate (D:20210502093000+02'00')"
    document = load(pdf("The mill ground barley.", info=info), "mill.pdf")
    assert (document.author, document.date) == ("Ida Holm", "2021-05-02")


@pytest.mark.parametrize(
    ("given", "page", "title"),
    [
        ("The mill at Lindal", "It ground barley.", "The mill at Lindal"),
        ("0000320193-22-000070", "UNITED STATES", "report"),
        ("Microsoft Word - draft 3", "UNITED STATES", "report"),
        ("", "arXiv:1907.11692v1 [cs.CL] 26 Jul 2019\nTrue\nThe mill at Lindal", "The mill at Lindal"),
        ("", "17\n18", "report"),
    ],
)
def test_the_title_of_a_pdf_is_one_that_a_person_gave(given: str, page: str, title: str) -> None:
    assert load(pdf(page, "It burnt down.", title=given), "report.pdf").title == title


def test_a_line_of_a_pdf_is_never_a_heading() -> None:
    [passage] = chunk(
        load(pdf("# of mills: four."), "mill.pdf"), lambda texts: [len(t.split()) for t in texts], 100, 254
    )
    assert passage.heading == ()


def test_pages_that_are_pictures_are_named_and_empty_ones_are_not() -> None:
    aside: list[Skipped] = []
    [document] = parse(pdf("The mill.", "picture", "", "It burnt."), ".pdf", "mill.pdf", aside)
    assert document.page_starts == (0, 11, 13, 15)
    assert [(s.path, s.failed) for s in aside] == [("mill.pdf", False)]
    assert "pages that are pictures (2)" in aside[0].reason


def test_passages_of_a_pdf_know_their_page() -> None:
    document = load(pdf("The mill ground barley.", "", "Its wheel measured 6 metres."), "mill.pdf")
    passages = chunk(document, lambda texts: [len(t.split()) for t in texts], 100, 254)
    assert [(p.page, p.text) for p in passages] == [(1, "The mill ground barley."), (3, "Its wheel measured 6 metres.")]


def test_an_encrypted_pdf_is_an_error_with_a_remedy() -> None:
    with pytest.raises(LoadError, match=r"'mill\.pdf': encrypted PDF\. Save it without a password"):
        load(pdf("The mill.", encrypted=True), "mill.pdf")


@pytest.mark.parametrize("data", [b"", b"%PDF-1.4 junk", pdf("The mill.")[:100]])
def test_a_truncated_pdf_is_an_error(data: bytes) -> None:
    with pytest.raises(LoadError, match=r"'mill\.pdf': damaged PDF"):
        load(data, "mill.pdf")


def test_a_pdf_of_pictures_is_an_error_with_a_remedy() -> None:
    with pytest.raises(LoadError, match="only pictures"):
        load(pdf(""), "mill.pdf")


# -- pages as pictures --------------------------------------------------------------------------------------------


def test_a_page_shows_the_quote_in_a_box_on_each_of_its_lines() -> None:
    data = pdf("An island", "The ferry to\nOrrin leaves\nat nine. It is red.")
    picture = picture_of(data, 2, "Orrin  leaves at nine.")
    second, third = picture.boxes
    scale = 1100 / 612  # pixels a point; the lines stand at 680 and 660 of 792 points, 40 from the left
    for box, line in ((second, 680), (third, 660)):
        assert abs(box[0] - 40 * scale) < 4
        assert box[1] < (792 - line) * scale - 4 < box[3]
    with Image.open(BytesIO(picture.jpeg)) as image:
        inside = np.asarray(image.crop(second))
        outside = np.asarray(image.crop((700, 700, 900, 900)))
    assert ((inside[..., 0] > 235) & (inside[..., 2] < 170)).any()  # yellow
    assert outside.min() > 240


def test_of_a_quote_that_runs_over_two_pages_its_part_is_boxed() -> None:
    data = pdf("It grew. The mill at Lindal", "ground barley until then. More.")
    quote = "The mill at Lindal ground barley until then."
    assert len(picture_of(data, 1, quote).boxes) == 1
    assert len(picture_of(data, 2, quote).boxes) == 1
    assert picture_of(data, 2, "A sentence that stands nowhere at all.").boxes == ()


def test_a_page_that_is_not_there_is_named() -> None:
    with pytest.raises(LoadError, match="no page 3: the PDF has 2"):
        picture_of(pdf("One", "Two"), 3)
    with pytest.raises(LoadError, match="cannot be drawn"):
        picture_of(b"%PDF-1.4 broken", 1)

"""The readers of foreign formats: what a file becomes as text, headings, rows and pages, and how a bad one is named."""

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from rag.attribution import cite
from rag.chunking import chunk
from rag.errors import LoadError
from rag.loading import Skipped, parse
from rag.types import Document, Evidence, Row

OLE = bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 504


def load(data: bytes | str, name: str) -> Document:
    data = data.encode() if isinstance(data, str) else data
    [document] = parse(data, Path(name).suffix, name)
    return document


def saved(thing: Any) -> bytes:
    out = io.BytesIO()
    thing.save(out)
    return out.getvalue()


def packed(members: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def unpacked(data: bytes, name: str = "docs.zip") -> tuple[dict[str, str], dict[str, tuple[str, bool]]]:
    """(source -> text, source -> why it was left out and whether that is a failure)."""
    aside: list[Skipped] = []
    documents = parse(data, ".zip", name, aside)
    return {d.source: d.text for d in documents}, {s.path: (s.reason, s.failed) for s in aside}


def at_rows(document: Document) -> list[tuple[str | None, int, str]]:
    """(sheet, row, its line) as the offsets have it."""
    ends = [*(row.start for row in document.rows[1:]), len(document.text)]
    return [
        (row.sheet, row.number, document.text[row.start : end].split("\n")[0])
        for row, end in zip(document.rows, ends, strict=True)
    ]


# -- Word ---------------------------------------------------------------------------------------------------------


def word() -> Any:
    document = docx.Document()
    document.core_properties.title, document.core_properties.author = "", ""
    return document


def test_a_word_file_gives_its_headings_lists_and_tables_in_order() -> None:
    document = word()
    document.add_heading("The mill", 0)
    document.add_paragraph("It ground barley.")
    document.add_heading("The wheel", 2)
    document.add_paragraph("Six metres wide.", style="List Bullet")
    table = document.add_table(2, 2)
    for cell, text in zip(table._cells, ["Region", "Sales", "North", "4,200"], strict=True):
        cell.text = text
    document.add_paragraph("The end.")
    loaded = load(saved(document), "mill.docx")
    assert loaded.text == (
        "# The mill\n\nIt ground barley.\n\n## The wheel\n\n- Six metres wide.\n\nRegion: North; Sales: 4,200\n\nThe end."
    )
    assert loaded.title == "The mill"


def test_a_word_file_knows_its_title_author_and_last_change() -> None:
    document = word()
    document.add_paragraph("It ground barley.")
    properties = document.core_properties
    properties.title, properties.author = "The mill at Lindal", "Ida Holm"
    properties.modified = datetime(2021, 5, 2, 10, 30)
    loaded = load(saved(document), "mill.docx")
    assert (loaded.title, loaded.author, loaded.date) == ("The mill at Lindal", "Ida Holm", "2021-05-02")


def test_insertions_controls_and_text_boxes_are_read_and_deletions_are_not() -> None:
    document = word()
    paragraph = document.add_paragraph("It ground ")
    for xml in (
        f"<w:del {nsdecls('w')}><w:r><w:delText>wheat</w:delText></w:r></w:del>",
        f"<w:ins {nsdecls('w')}><w:r><w:t>barley.</w:t></w:r></w:ins>",
    ):
        paragraph._p.append(parse_xml(xml))
    document.element.body.insert(
        0,
        parse_xml(
            f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        ),
    )
    box = document.add_paragraph("Beside a box.")
    box._p.append(
        parse_xml(
            f"<w:r {nsdecls('w')}><w:pict><w:txbxContent><w:p><w:r><w:t>In a box.</w:t></w:r></w:p></w:txbxContent>"
            "</w:pict></w:r>"
        )
    )
    text = load(saved(document), "mill.docx").text
    assert text == "In a control.\n\nIt ground barley.\n\nBeside a box.\n\nIn a box."


def test_footnotes_stand_at_the_end() -> None:
    document = word()
    document.add_paragraph("It ground barley.")
    data = saved(document)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    note = f"<w:footnotes {nsdecls('w')}><w:footnote><w:p><w:r><w:t>Until 1902.</w:t></w:r></w:p></w:footnote></w:footnotes>"
    members["word/_rels/document.xml.rels"] = members["word/_rels/document.xml.rels"].replace(
        b"</Relationships>", f'<Relationship Id="n" Type="{kind}" Target="footnotes.xml"/></Relationships>'.encode()
    )
    members["word/footnotes.xml"] = note.encode()
    members["[Content_Types].xml"] = members["[Content_Types].xml"].replace(
        b"</Types>", b'<Override PartName="/word/footnotes.xml" ContentType="application/xml"/></Types>'
    )
    assert load(packed(members), "mill.docx").text == "It ground barley.\n\nUntil 1902."


def test_merged_cells_of_a_word_table_keep_their_columns() -> None:
    document = word()
    table = document.add_table(3, 3)
    for cell, text in zip(table._cells, ["Region", "May", "June", "North", "4", "5", "", "6", "7"], strict=True):
        cell.text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    table.cell(2, 1).merge(table.cell(2, 2))
    assert load(saved(document), "mill.docx").text == "Region: North; May: 4; June: 5\n\nRegion: North; May: 6 7"


def test_a_style_based_on_a_heading_is_one() -> None:
    document = word()
    style = document.styles.add_style("House heading", 1)
    style.base_style = document.styles["Heading 1"]
    document.add_paragraph("The mill", style="House heading")
    document.add_paragraph("It ground barley.")
    assert load(saved(document), "mill.docx").text == "# The mill\n\nIt ground barley."


def test_a_paragraph_that_only_looks_like_a_heading_is_none() -> None:
    document = word()
    document.add_paragraph("# of mills: four.")
    [passage] = chunk(load(saved(document), "mill.docx"), lambda texts: [len(t.split()) for t in texts], 100, 254)
    assert (passage.heading, passage.text) == ((), "\\# of mills: four.")


# -- slides -------------------------------------------------------------------------------------------------------


def slides() -> bytes:
    deck = pptx.Presentation()
    deck.core_properties.title, deck.core_properties.author = "Mills", "Ida Holm"
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text, first.placeholders[1].text = "The mill", "It ground barley.\nIt burnt down."
    deck.slides.add_slide(deck.slide_layouts[6])
    third = deck.slides.add_slide(deck.slide_layouts[5])
    third.shapes.title.text = "Sales"
    table = third.shapes.add_table(2, 2, 0, 0, Inches(4), Inches(1)).table
    for cell, text in zip(table.iter_cells(), ["Region", "Sales", "North", "4,200"], strict=True):
        cell.text = text
    chart = CategoryChartData()
    chart.categories = ["North", "South"]
    chart.add_series("Sacks", (412, 15.5))
    third.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(4), Inches(2), chart)
    group = third.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = "In a group."
    third.notes_slide.notes_text_frame.text = "Say it slowly."
    return saved(deck)


def test_slides_give_titles_words_tables_charts_and_notes() -> None:
    document = load(slides(), "mills.pptx")
    assert document.text == (
        "# The mill\n\nIt ground barley.\n\nIt burnt down.\n\n\n\n# Sales\n\nRegion: North; Sales: 4,200\n\n"
        "Category: North; Sacks: 412\n\nCategory: South; Sacks: 15.5\n\nIn a group.\n\n## Notes\n\nSay it slowly."
    )
    assert (document.title, document.author) == ("Mills", "Ida Holm")


def test_the_page_of_a_passage_is_the_number_of_its_slide() -> None:
    passages = chunk(load(slides(), "mills.pptx"), lambda texts: [len(t.split()) for t in texts], 100, 254)
    assert [(p.page, p.heading) for p in passages] == [(1, ("The mill",)), (3, ("Sales",)), (3, ("Sales", "Notes"))]


# -- spreadsheets -------------------------------------------------------------------------------------------------


def workbook(**sheets: Sequence[Sequence[object]]) -> Any:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    return book


def test_each_row_of_a_workbook_is_a_line_with_its_headers_that_knows_sheet_and_number() -> None:
    book = workbook(
        North=[["Sales of the mill"], [], ["Month", "Sacks"], ["May", 412], ["June", None], [None, None], ["July", 3]],
        South=[["Month", "Sacks"], ["May", 15.5]],
    )
    book.properties.title, book.properties.creator = "Mill sales", "Ida Holm"
    book.properties.modified = datetime(2022, 1, 3)
    data = saved(book)
    document = load(data, "sales.xlsx")
    assert document.text == (
        "# North\n\nSales of the mill\nMonth: May; Sacks: 412\nMonth: June\nMonth: July; Sacks: 3\n"
        "# South\n\nMonth: May; Sacks: 15.5"
    )
    assert at_rows(document) == [
        ("North", 1, "Sales of the mill"),
        ("North", 4, "Month: May; Sacks: 412"),
        ("North", 5, "Month: June"),
        ("North", 7, "Month: July; Sacks: 3"),
        ("South", 2, "Month: May; Sacks: 15.5"),
    ]
    assert (document.title, document.author) == ("Mill sales", "Ida Holm")


def test_values_read_much_as_the_spreadsheet_shows_them() -> None:
    book = workbook(
        A=[list("abcdefghi"), [1234567.891, 0.256, 1.5, date(2021, 5, 2), True, 12.5, 3.10, -1200, 0.1 + 0.2]]
    )
    formats = ["#,##0", "0.0%", "General", "yyyy-mm-dd", "General", "$#,##0.00", "0.##", "€#,##0", "General"]
    for cell, layout in zip(book["A"][2], formats, strict=True):
        cell.number_format = layout
    book["A"].cell(2, 10, datetime(2021, 5, 2, 14, 30))
    assert load(saved(book), "a.xlsx").text.split("\n")[2] == (
        "a: 1,234,568; b: 25.6%; c: 1.5; d: 2021-05-02; e: TRUE; f: $12.50; g: 3.1; h: -€1,200; i: 0.3; "
        "J: 2021-05-02 14:30:00"
    )


def test_a_citation_carries_sheet_and_row() -> None:
    document = load(saved(workbook(North=[["Month", "Sacks"], ["May", 412], ["June. Late", 377]])), "sales.xlsx")
    [passage] = chunk(document, lambda texts: [len(t.split()) for t in texts], 100, 254)
    assert (passage.sheet, passage.rows, passage.heading) == ("North", (2, 3), ("North",))
    span = passage.sentences[1]
    citation = cite(Evidence(passage, span.start, span.end, passage.quote(span), 0.9), "quoted", 1)
    assert (citation.sheet, citation.row, citation.quote) == ("North", 3, "Month: June. Late; Sacks: 377")
    assert document.text[citation.start : citation.end] == citation.quote


def test_the_parts_of_a_long_row_have_its_number() -> None:
    document = load("Name,Story\nIda," + "word " * 150 + "\nTom,short\n", "people.csv")
    [passage] = chunk(document, lambda texts: [len(t.split()) for t in texts], 1000, 2000)
    assert passage.rows == (2, 2, 3)
    assert passage.sheet is None


def test_a_table_without_headers_has_the_letters_of_its_columns() -> None:
    assert load("North,412\nSouth,15\n", "a.csv").text == "A: North; B: 412\nA: South; B: 15"
    assert load(",2021,2022\nNorth,4,5\n", "a.csv").text == "A: North; 2021: 4; 2022: 5"


def test_a_second_table_has_its_own_headers() -> None:
    text = load("Region,Sacks\nNorth,412\n\nPerson,Role\nIda,miller\n", "a.csv").text
    assert text == "Region: North; Sacks: 412\nPerson: Ida; Role: miller"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("Region,Sacks\r\nNorth,412\r\n", "a.csv"),
        ("\ufeffRegion;Sacks\nNorth;412\n", "a.csv"),
        ("Region\tSacks\nNorth\t412\n", "a.tsv"),
        ("Region|Sacks\nNorth|412\n", "a.csv"),
        ('"Region","Sacks"\n"North",412\n', "a.csv"),
    ],
)
def test_the_delimiter_of_a_csv_is_found(data: str, name: str) -> None:
    document = load(data, name)
    assert (document.text, document.title) == ("Region: North; Sacks: 412", "a")
    assert document.rows == (Row(0, None, 2),)


def test_rows_are_counted_as_a_spreadsheet_counts_them() -> None:
    document = load('Name,Note\nIda,"two\nlines"\n\nTom,x\n', "a.csv")
    assert at_rows(document) == [(None, 2, "Name: Ida; Note: two lines"), (None, 4, "Name: Tom; Note: x")]


def test_a_quote_that_never_ends_is_named_by_its_line() -> None:
    with pytest.raises(LoadError, match=r"'a\.csv', line \d+: field larger.*quote there that is never closed"):
        load('Name,Note\nIda,"' + "word\n" * 40_000, "a.csv")


def test_formulas_that_nobody_worked_out_are_told() -> None:
    aside: list[Skipped] = []
    data = saved(workbook(A=[["Month", "Sacks", "Double"], ["May", 412, "=B2*2"], ["June", 3, "=B3*2"]]))
    [document] = parse(data, ".xlsx", "sales.xlsx", aside)
    assert document.text.endswith("Month: May; Sacks: 412\nMonth: June; Sacks: 3")
    assert [s.path for s in aside] == ["sales.xlsx"]
    assert "2 formulas without a value: open it in a spreadsheet program" in aside[0].reason


def test_no_row_of_a_large_sheet_is_left_out() -> None:
    document = load("Name,Sacks\n" + "".join(f"n{i},{i}\n" for i in range(50_000)), "a.csv")
    assert len(document.rows) == 50_000
    assert at_rows(document)[-1] == (None, 50_001, "Name: n49999; Sacks: 49999")


# -- books ----------------------------------------------------------------------------------------------------------


def book(**more: bytes | str) -> bytes:
    package = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">
    <metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The mill</dc:title><dc:creator>Ida Holm</dc:creator>
    <dc:publisher>Lindal Press</dc:publisher><dc:date>1931-05-02T00:00:00Z</dc:date></metadata>
    <manifest><item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
    <item id="b" href="text/b%20b.xhtml" media-type="application/xhtml+xml"/>
    <item id="a" href="text/a.xhtml" media-type="application/xhtml+xml"/></manifest>
    <spine><itemref idref="n"/><itemref idref="b"/><itemref idref="a"/></spine></package>"""
    page = '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><body>{}</body></html>'
    return packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OPS/package.opf"/></rootfiles></container>',
            "OPS/package.opf": package,
            "OPS/nav.xhtml": page.format("<ol><li>Contents</li></ol>"),
            "OPS/text/b b.xhtml": page.format(
                "<h1>One</h1><p>It <b>ground</b> barley.</p><ul><li>for Élan</li></ul>"
                "<table><tr><th>Year</th><th>Sacks</th></tr><tr><td>1900</td><td>412</td></tr></table>"
            ),
            "OPS/text/a.xhtml": page.format("<h2>Two</h2><div>It burnt<br/>down.</div>"),
        }
        | more
    )


def test_a_book_gives_its_chapters_in_reading_order() -> None:
    document = load(book(), "mill.epub")
    assert document.text == (
        "# One\n\nIt ground barley.\n\n- for Élan\n\nYear: 1900; Sacks: 412\n\n## Two\n\nIt burnt down."
    )
    assert (document.title, document.author) == ("The mill", "Ida Holm")
    assert (document.publisher, document.date, document.page_starts) == ("Lindal Press", "1931-05-02", ())


def test_an_empty_chapter_and_a_stray_sign_do_not_stop_a_book() -> None:
    chapters = {"OPS/text/b b.xhtml": b"", "OPS/text/a.xhtml": b"<p>It burnt\x01 down.</p>"}
    assert load(book(**chapters), "mill.epub").text == "It burnt down."


def test_a_copy_protected_book_is_named_and_scrambled_fonts_are_no_protection() -> None:
    way = '<encryption><EncryptedData><EncryptionMethod Algorithm="{}"/></EncryptedData></encryption>'
    with pytest.raises(LoadError, match=r"'mill\.epub': a book with copy protection"):
        load(
            book(**{"META-INF/encryption.xml": way.format("http://www.w3.org/2001/04/xmlenc#aes128-cbc")}), "mill.epub"
        )
    fonts = way.format("http://www.idpf.org/2008/embedding")
    assert load(book(**{"META-INF/encryption.xml": fonts}), "mill.epub").title == "The mill"


def test_entities_of_a_book_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    package = (
        f'<!DOCTYPE package [<!ENTITY x SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]><package '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>&x;</dc:title><manifest>'
        '<item id="a" href="text/a.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/></spine></package>'
    )
    assert load(book(**{"OPS/package.opf": package}), "mill.epub").title == "Two"


# -- notebooks and JSON -----------------------------------------------------------------------------------------------


def test_a_notebook_gives_its_words_code_and_what_it_printed() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# The mill\n", "\n", "It ground barley."]},
        {
            "cell_type": "code",
            "source": "# a comment\nprint(412)",
            "outputs": [
                {"output_type": "stream", "text": ["\x1b[31m412\x1b[0m\n"]},
                {"output_type": "display_data", "data": {"image/png": "aGk=", "text/plain": "<Figure>"}},
                {"output_type": "error", "ename": "E", "evalue": "v", "traceback": []},
            ],
        },
    ]
    document = load(json.dumps({"cells": cells, "metadata": {"authors": [{"name": "Ida Holm"}]}}), "mill.ipynb")
    assert document.text == (
        "# The mill\n\nIt ground barley.\n\n    # a comment\n    print(412)\n\n    412\n\n    <Figure>"
    )
    assert (document.title, document.author) == ("The mill", "Ida Holm")
    assert len(chunk(document, lambda texts: [len(t.split()) for t in texts], 100, 254)) == 1


@pytest.mark.parametrize("data", ["{}", "[]", "{broken", '{"cells": [1]}'])
def test_what_is_no_notebook_is_named(data: str) -> None:
    with pytest.raises(LoadError, match=r"'mill\.ipynb': not a Jupyter notebook"):
        load(data, "mill.ipynb")


def test_json_becomes_lines_under_its_keys() -> None:
    data = {"title": "The mill", "open": True, "sales": [{"month": "May", "by": {"kind": ["rye", "oats"]}, "n": 412}]}
    document = load("\ufeff" + json.dumps(data), "mill.json")
    assert document.text == ("title: The mill\n\nopen: true\n\n# sales\n\nmonth: May; by.kind: rye, oats; n: 412")
    assert document.title == "The mill"


def test_a_json_list_of_records_holds_documents() -> None:
    data = json.dumps([{"doc_id": "m1", "text": "It ground barley."}, {"doc_id": "m2", "text": "It burnt down."}])
    assert [(d.source, d.text) for d in parse(data.encode(), ".json", "corpus.json")] == [
        ("m1", "It ground barley."),
        ("m2", "It burnt down."),
    ]


@pytest.mark.parametrize(("data", "why"), [("{broken", "not JSON"), ("[" * 100_000, "nested too deeply")])
def test_broken_json_is_named(data: str, why: str) -> None:
    with pytest.raises(LoadError, match=rf"'mill\.json': not JSON.*{why}|'mill\.json': {why}"):
        load(data, "mill.json")


# -- mail -----------------------------------------------------------------------------------------------------------


def mail(subject: str = "The mill – sold", html: bool = False) -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "Ida Holm <ida@example.org>", "tom@example.org"
    message["Date"] = "Tue, 02 May 2023 10:00:00 +0200"
    message.set_content("The mill was sold.\n\nIt cost 4,200 crowns.\n")
    if html:
        message.set_content("<p>The mill was <b>sold</b>.</p><p>For 4,200 crowns.</p>", subtype="html")
    return message


def test_a_mail_gives_its_subject_head_and_words() -> None:
    document = load(mail().as_bytes(), "sold.eml")
    assert document.text.strip() == (
        "# The mill – sold\n\nFrom: Ida Holm <ida@example.org>\n\nTo: tom@example.org\n\n"
        "Date: Tue, 02 May 2023 10:00:00 +0200\n\nThe mill was sold.\n\nIt cost 4,200 crowns."
    )
    assert (document.title, document.author) == ("The mill – sold", "Ida Holm <ida@example.org>")
    assert document.date == "2023-05-02"


def test_a_mail_of_html_alone_is_read() -> None:
    assert load(mail(html=True).as_bytes(), "sold.eml").text.endswith("The mill was sold.\n\nFor 4,200 crowns.")


def test_attachments_are_documents_of_their_own() -> None:
    message = mail()
    message.add_attachment(b"Region,Sacks\nNorth,412\n", maintype="text", subtype="csv", filename="../sales.csv")
    message.add_attachment(b"\xff\xd8", maintype="image", subtype="jpeg", filename="photo.jpg")
    inner = mail("Earlier")
    message.add_attachment(inner)
    aside: list[Skipped] = []
    documents = parse(message.as_bytes(), ".eml", "sold.eml", aside)
    assert [d.source for d in documents] == ["sold.eml", "sold.eml/sales.csv", "sold.eml/message 3.eml"]
    assert "Attachments: ../sales.csv, photo.jpg, message 3.eml" in documents[0].text
    assert documents[1].text == "Region: North; Sacks: 412"
    assert [(s.path, s.reason, s.failed) for s in aside] == [("sold.eml/photo.jpg", "no reader for .jpg", False)]


def test_what_is_no_mail_is_named() -> None:
    with pytest.raises(LoadError, match=r"'sold\.eml': no mail"):
        load("just words", "sold.eml")


# -- archives -------------------------------------------------------------------------------------------------------


def test_each_member_of_an_archive_is_a_document() -> None:
    inner = packed({"c.txt": "It was sold."})
    texts, aside = unpacked(
        packed({"a.md": "# Mill\n\nIt ground barley.", "deep/b.csv": "A,B\nx,1\n", "deep/in.zip": inner, "p.png": b"x"})
    )
    assert texts == {
        "docs.zip/a.md": "# Mill\n\nIt ground barley.",
        "docs.zip/deep/b.csv": "A: x; B: 1",
        "docs.zip/deep/in.zip/c.txt": "It was sold.",
    }
    assert aside == {"docs.zip/p.png": ("no reader for .png", False)}


def test_a_bad_member_is_named_and_the_rest_goes_in() -> None:
    texts, aside = unpacked(
        packed({"a.md": "It ground barley.", "b.docx": "no zip", "c.txt": b"\0\1", "__MACOSX/a.md": "x"})
    )
    assert list(texts) == ["docs.zip/a.md"]
    assert {name: failed for name, (_, failed) in aside.items()} == {
        "docs.zip/b.docx": True,
        "docs.zip/c.txt": True,
        "docs.zip/__MACOSX/a.md": False,
    }
    assert aside["docs.zip/b.docx"][0].startswith("Cannot read 'docs.zip/b.docx': damaged, or no .docx at all")


def test_names_in_an_archive_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    texts, _ = unpacked(packed({"../../up.md": "One.", "/root.md": "Two.", "win\\\\..\\dows.md": "Three."}))
    assert list(texts) == ["docs.zip/up.md", "docs.zip/root.md", "docs.zip/win/dows.md"]
    assert list(tmp_path.iterdir()) == []


def test_of_two_members_with_one_name_the_second_has_failed() -> None:
    texts, aside = unpacked(packed({"a.md": "One.", "./a.md": "Two."}))
    assert texts == {"docs.zip/a.md": "One."}
    assert "the same name" in aside["docs.zip/a.md"][0]


def test_a_member_that_was_damaged_is_named() -> None:
    data = packed({"a.md": "It ground barley.", "b.md": "It burnt down."}, zipfile.ZIP_STORED)
    texts, aside = unpacked(data.replace(b"burnt", b"BURNT", 1))
    assert list(texts) == ["docs.zip/a.md"]
    assert aside["docs.zip/b.md"][0].startswith("Cannot read 'docs.zip/b.md': damaged (Bad CRC-32")


def test_an_archive_in_which_nothing_can_be_read_has_failed() -> None:
    with pytest.raises(LoadError, match=r"'docs\.zip': nothing in it could be read.*docs\.zip/a\.txt.*\(1 more failed"):
        unpacked(packed({"a.txt": b"\0", "b.txt": b"\0"}))
    with pytest.raises(LoadError, match=r"'docs\.zip': it holds no file that can be read"):
        unpacked(packed({"a.png": b"x"}))


def test_a_bomb_is_named_before_it_is_unpacked() -> None:
    with pytest.raises(LoadError, match=r"'docs\.zip': .* times larger unpacked, as a zip bomb is"):
        unpacked(packed({"a.txt": b"0" * 25_000_000}))
    with pytest.raises(LoadError, match=r"'docs\.docx': .* times larger unpacked"):
        load(packed({"word/document.xml": b"0" * 25_000_000}), "docs.docx")


def test_too_many_members_are_refused() -> None:
    with pytest.raises(LoadError, match="10,001 files"):
        unpacked(packed({f"{i}.txt": "x" for i in range(10_001)}))


def test_archives_within_archives_have_an_end() -> None:
    data = packed({"a.md": "It ground barley."})
    for _ in range(3):
        data = packed({"in.zip": data})
    with pytest.raises(LoadError, match="3 archives deep"):
        unpacked(data)


def test_a_member_gives_no_more_than_it_says_it_holds() -> None:
    data = bytearray(packed({"a.txt": b"barley " * 1_000_000}))
    for mark, at in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        struct.pack_into("<I", data, data.index(mark) + at, 100)
    with pytest.raises(LoadError, match=r"docs\.zip/a\.txt': damaged"):
        unpacked(bytes(data))


def test_a_member_with_a_password_is_named() -> None:
    data = bytearray(packed({"a.txt": "It ground barley.", "b.txt": "It burnt down."}))
    for mark, at in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        struct.pack_into("<H", data, data.index(mark) + at, 1)
    texts, aside = unpacked(bytes(data))
    assert list(texts) == ["docs.zip/b.txt"]
    assert "it has a password" in aside["docs.zip/a.txt"][0]


def test_methods_that_unpack_without_bounds_are_refused() -> None:
    with pytest.raises(LoadError, match=r"docs\.zip/a\.txt': packed by a method other than deflate"):
        unpacked(packed({"a.txt": "It ground barley."}, zipfile.ZIP_LZMA))


# -- files that are not what they are named ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["docx", "pptx", "xlsx"])
def test_an_office_file_with_a_password_is_named_with_the_next_step(suffix: str) -> None:
    with pytest.raises(
        LoadError, match=rf"'a\.{suffix}': it has a password, or .* Save it without a password as \.{suffix}"
    ):
        load(OLE, f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["docx", "pptx", "xlsx", "epub", "zip"])
@pytest.mark.parametrize("data", [b"", b"just words", b"PK\3\4 cut off"])
def test_what_is_no_archive_is_named_with_the_next_step(data: bytes, suffix: str) -> None:
    with pytest.raises(LoadError, match=rf"'a\.{suffix}': damaged, or no \.{suffix} at all .* ingest that"):
        parse(data, f".{suffix}", f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["docx", "pptx", "xlsx", "epub"])
def test_another_archive_under_a_wrong_ending_is_named(suffix: str) -> None:
    with pytest.raises(LoadError, match=rf"Cannot read 'a\.{suffix}'.*save it again"):
        load(packed({"a.md": "It ground barley."}), f"a.{suffix}")


def test_a_cut_off_office_file_is_named() -> None:
    data = slides()
    with pytest.raises(LoadError, match=r"Cannot read 'a\.pptx': damaged"):
        load(data[: len(data) // 2], "a.pptx")

import random
import re
from collections.abc import Sequence
from itertools import pairwise

import pytest

from rag.chunking import QUOTE_CHARACTERS, chunk, embedded_text, plain, split_sentences
from rag.loading import FRONT_MATTER, parse
from rag.types import Document, Passage, Row, Sentence


def count(texts: Sequence[str]) -> list[int]:
    return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def document(text: str, **fields: object) -> Document:
    return Document("note.md", "Note", text, "0", **fields)  # type: ignore[arg-type]


def passages(text: str, limit: int = 100, **fields: object) -> list[Passage]:
    return chunk(document(text, **fields), count, limit, 254)


def texts(text: str, limit: int = 100) -> list[str]:
    return [p.text for p in passages(text, limit)]


def quotes(text: str, limit: int = 100) -> list[str]:
    return [p.quote(s) for p in passages(text, limit) for s in p.sentences]


# -- passages -----------------------------------------------------------------------------------------------------


def test_whole_sentences_are_put_together_up_to_the_limit() -> None:
    text = "The mill ground barley. It stood at Lindal. Its wheel was wide. It burnt down."
    assert texts(text, limit=10) == [
        "The mill ground barley. It stood at Lindal.",
        "Its wheel was wide. It burnt down.",
    ]


def test_paragraphs_under_one_heading_share_a_passage() -> None:
    assert texts("# Mill\n\nOne.\n\nTwo.\n") == ["One.\n\nTwo."]


def test_a_heading_is_never_crossed_even_where_two_have_the_same_words() -> None:
    assert texts("One.\n\n# Notes\n\nTwo.\n\n# Notes\n\nThree.") == ["One.", "Two.", "Three."]


def test_a_passage_knows_the_headings_above_it() -> None:
    text = "# Mill\n\nA one.\n\n## The *wheel* ##\n\nB two.\n\n### Spokes\n\nC three.\n\n## Floor\n\nD four.\n\n# End\n\nE five."
    assert [p.heading for p in passages(text)] == [
        ("Mill",),
        ("Mill", "The wheel"),
        ("Mill", "The wheel", "Spokes"),
        ("Mill", "Floor"),
        ("End",),
    ]


def test_a_hash_without_a_space_is_no_heading() -> None:
    assert texts("One.\n#two is a tag.\n") == ["One.\n#two is a tag."]


def test_a_page_is_never_crossed() -> None:
    found = passages("One is first.\n\nTwo is second.\nThree.", page_starts=(0, 15))
    assert [(p.page, p.text) for p in found] == [(1, "One is first."), (2, "Two is second.\nThree.")]


def test_a_row_of_a_printed_table_is_a_sentence() -> None:
    text = (
        "Three months ended\nProducts $ 63,355 $ 63,948\nOther income/(expense), net (10) 243\n"
        "Margin 43.3% –\nSee the note on page 3\nand so on."
    )
    [passage] = passages(text, page_starts=(0,))
    assert [passage.quote(s) for s in passage.sentences] == [
        "Three months ended",
        "Products $ 63,355 $ 63,948",
        "Other income/(expense), net (10) 243",
        "Margin 43.3% –",
        "See the note on page 3\nand so on.",
    ]


def test_a_row_of_a_spreadsheet_is_a_sentence_whatever_it_holds() -> None:
    text = "# North\n\nName: Dr. A. Bell. He left; Age: 41\n# of mills: 2\n| Name: x"
    rows = (Row(9, "North", 2), Row(45, "North", 3), Row(59, "North", 7))
    [passage] = passages(text, rows=rows)
    assert [passage.quote(s) for s in passage.sentences] == [
        "Name: Dr. A. Bell. He left; Age: 41",
        "# of mills: 2",
        "| Name: x",
    ]
    assert (passage.heading, passage.sheet, passage.rows) == (("North",), "North", (2, 3, 7))


def test_a_passage_carries_what_is_known_of_its_document() -> None:
    [passage] = passages("One.", author="Ida Holm", publisher="Lindal Press", date="1931", language="da")
    assert (passage.source, passage.title, passage.author) == ("note.md", "Note", "Ida Holm")
    assert (passage.publisher, passage.date, passage.language) == ("Lindal Press", "1931", "da")


def test_front_matter_can_be_found_line_by_line() -> None:
    assert quotes("---\ntitle: The mill\nauthor: Ida Holm\n---\nIt ground barley.") == [
        "title: The mill",
        "author: Ida Holm",
        "It ground barley.",
    ]


@pytest.mark.parametrize("text", ["", "# Only\n\n## headings\n", "---\n***\n- \n> \n", "\r\n\r\n"])
def test_headings_and_rules_alone_make_no_passage(text: str) -> None:
    assert passages(text) == []


def test_items_rows_and_quotations_are_sentences_of_their_own() -> None:
    text = "Grain:\n- barley\n- rye\n1. first\n| a | b |\n|---|---|\n| c | d |\n> said so\n"
    assert quotes(text) == ["Grain:", "- barley", "- rye", "1. first", "| a | b |", "| c | d |", "> said so"]


def test_what_lies_between_two_sentences_counts() -> None:
    rule = "|" + "-" * 50 + "|"
    assert texts(f"| a | b |\n{rule}\n| c | d |", limit=40) == ["| a | b |", "| c | d |"]
    assert texts(f"| a | b |\n{rule}\n| c | d |", limit=70) == [f"| a | b |\n{rule}\n| c | d |"]


def test_line_ends_of_any_kind_are_kept() -> None:
    assert texts("# A\r\n\r\nOne is here.\r\nTwo.\r\n") == ["One is here.\r\nTwo."]


# -- sentences ----------------------------------------------------------------------------------------------------


def test_abbreviations_do_not_end_a_sentence() -> None:
    assert quotes("Dr. Holm met Mr. Rell at 5 p.m. on Monday. They talked.") == [
        "Dr. Holm met Mr. Rell at 5 p.m. on Monday.",
        "They talked.",
    ]


@pytest.mark.parametrize("space", ["\u00a0", "\u2028", "\x85", "\u3000", "\r", "\t"])
def test_an_initial_before_any_kind_of_space_and_a_full_stop_is_no_trouble(space: str) -> None:
    text = f"He chose plan B{space}. It worked."
    assert "".join(quotes(text)).startswith("He chose plan B")


def test_a_sentence_longer_than_a_quote_is_cut_at_a_clause() -> None:
    text = "word " * 60 + "and this is the clause; " + "more " * 40 + "end."
    first, second = quotes(text, limit=500)
    assert first.endswith("clause;")
    assert second.startswith("more")
    assert max(len(first), len(second)) <= QUOTE_CHARACTERS


def test_a_sentence_without_spaces_is_cut_at_the_length_of_a_quote() -> None:
    assert [len(q) for q in quotes("x" * 1000, limit=500)] == [400, 400, 200]


def test_a_megabyte_without_spaces_takes_no_time() -> None:
    assert len(split_sentences("x" * 1_000_000)) == 2500


def test_a_sentence_of_more_tokens_than_a_passage_may_have_is_halved_at_spaces() -> None:
    found = quotes("one two three four five six seven eight nine ten", limit=4)
    assert " ".join(found) == "one two three four five six seven eight nine ten"
    assert all(len(q.split()) <= 4 for q in found)


def test_a_sentence_of_punctuation_is_cut_anywhere() -> None:
    assert all(count([t])[0] <= 8 for t in texts("a" + "!" * 60, limit=8))


def test_spans_are_those_of_the_text() -> None:
    assert split_sentences("  One is.  Two is. ") == [Sentence(2, 9), Sentence(11, 18)]


# -- whatever the text --------------------------------------------------------------------------------------------

PIECES = [
    *(
        "The mill ground barley.",
        "It cost 4,200 crowns!",
        "Why?",
        "word " * 100,
        "x" * 900,
        "Élan 😀.",
        "¿Qué?",
        "J\u00a0. Rell",
    ),
    *(
        "# Head",
        "## Sub",
        "- item",
        "1. first",
        "| a | b |",
        "|---|---|",
        "> said",
        "---",
        "***",
        "```",
        "<u>x</u>",
        "\\_",
    ),
    *("\n", "\n\n", "\r\n", "\r\n\r\n", " ", "\t", "\u2028", "\x0c", "\ufeff", "。", "…", '"', ")"),
]


@pytest.mark.parametrize("seed", range(60))
def test_every_passage_and_sentence_stands_in_the_document_as_it_is(seed: int) -> None:
    draw = random.Random(seed)
    text = "".join(draw.choice(PIECES) for _ in range(draw.randrange(1, 80)))
    if seed % 3 == 0:
        text = f"---\ntitle: T {seed}\nauthor: A\n---\n{text}"
    limit = draw.choice([5, 30, 200])
    found = chunk(document(text), count, limit, 254)
    body = len(text) - len(FRONT_MATTER.sub("", text))
    headings = [m.start() for m in re.finditer(r"^[ \t]{0,3}#{1,6}[ \t]+[^\n]+$", text, re.M) if m.start() >= body]
    for p in found:
        assert p.text == text[p.start : p.end]
        assert (p.start, p.end) == (p.sentences[0].start, p.sentences[-1].end)
        assert count([p.text])[0] <= limit or len(p.text) == 1
        assert not any(p.start <= at < p.end for at in headings)
        for s in p.sentences:
            assert 0 < s.end - s.start <= QUOTE_CHARACTERS
            assert p.quote(s) == text[s.start : s.end] == text[s.start : s.end].strip()
        assert all(a.end <= b.start for a, b in pairwise(p.sentences))
    assert all(a.start < b.start and a.end < b.end for a, b in pairwise(found))
    for a, b in pairwise(found):  # where two overlap, they share whole sentences
        assert a.end <= b.start or set(b.sentences) & set(a.sentences) == {s for s in a.sentences if s.start >= b.start}
    seen = "".join(text[s.start : s.end] for p in found for s in p.sentences)
    missed = re.sub(r"^[ \t]{0,3}#{1,6}[ \t].*$|^---$|\W", "", text, flags=re.M)
    assert len(re.sub(r"\W", "", seen)) >= len(missed) * 0.9


# -- what the embedder and the model read ----------------------------------------------------------------------------


def test_the_embedder_reads_title_and_headings_before_the_text() -> None:
    [passage] = passages("# Mill\n\n## Wheel\n\nIt was <u>6</u> metres wide.")
    assert embedded_text(passage, count, 100) == "Note > Mill > Wheel\nIt was 6 metres wide."


def test_where_the_room_is_short_only_the_last_heading_or_none_is_read() -> None:
    [passage] = passages("# Mill\n\n## Wheel\n\nIt was 6 metres wide.")
    assert embedded_text(passage, count, 20) == "Note > Mill > Wheel\nIt was 6 metres wide."
    assert embedded_text(passage, count, 19) == "Wheel\nIt was 6 metres wide."
    assert embedded_text(passage, count, 3) == "It was 6 metres wide."


def test_a_passage_leaves_room_for_its_title_and_headings() -> None:
    text = "## A heading of six words here\n\n" + "It stood here. " * 30
    found = chunk(document(text), count, 100, 40)
    assert len(found) > 1
    assert max(count([embedded_text(p, count, 40) for p in found])) <= 40


def test_a_paragraph_stays_whole_where_the_passage_before_it_is_half_full() -> None:
    half = "One is here. Two is here."  # 8 tokens
    assert texts(f"{half}\n\nThree is here. Four is here.", limit=12) == [half, "Three is here. Four is here."]
    assert texts("One is here.\n\nTwo is here. Three is here.", limit=10) == [
        "One is here.\n\nTwo is here.",
        "Two is here. Three is here.",
    ]


def test_the_rest_of_a_paragraph_is_read_with_what_went_before_it_as_far_as_there_is_room() -> None:
    paragraph = "One is here. Two is here. Three is here. Four is here."  # 16 tokens
    assert texts(f"{paragraph}\n\nFive is here.", limit=12) == [
        "One is here. Two is here. Three is here.",
        "Two is here. Three is here. Four is here.",
        "Five is here.",
    ]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("<u>Grinding</u> &lt; <b class='x'>barley</b>", "Grinding &lt; barley"),
        ("[the mill](https://example.org/a?b=1) and ![wheel](w.png)", "the mill and wheel"),
        (r"4\. \*not\* bold \_ \[x\]", r"4\. *not* bold _ [x]"),
        ("**bold** and *slanted* and __under__", "bold and slanted and under"),
        ("snake_case stays, 2*3*4 stays, a < b > c stays", "snake_case stays, 2*3*4 stays, a < b > c stays"),
        ("  one\r\n two\u00a0three ", "one two three"),
    ],
)
def test_plain_text_is_what_a_reader_sees(text: str, read: str) -> None:
    assert plain(text) == read


# -- scraped clutter ----------------------------------------------------------------------------------------------

CLUTTERED = (
    "Share this article\nFacebook\nTwitter\nEmail\nPrint\n\n\n\n"
    "By <u>Ida Holm</u> | 2 May 1931 | 3 min read\n\n"
    "The <u>mill at Lindal</u> ground barley until 1902\\. \\*It stood on three floors\\*, said Tomas Rell\\.\n"
    "Subscribe to our newsletter! Get the best stories in your inbox.\n\n"
    "&nbsp;\n\nIts wheel measured 6&nbsp;metres across.\n<br />\n\n"
    "ADVERTISEMENT\n\n3 Comments\n\n  Edna M. says:\n  4 May 1931 at 10:12\n  My father worked there; he lost a thumb.\n"
    "  Reply\n\n    Tomas says:\n    I knew him.\n\nLoad more comments\n"
)


def test_scraped_clutter_is_chunked_with_exact_offsets() -> None:
    [cluttered] = parse(CLUTTERED.encode(), ".txt", "mill.txt")
    found = chunk(cluttered, count, 60, 254)
    assert all(CLUTTERED[p.start : p.end] == p.text for p in found)
    sentences = {plain(p.quote(s)): CLUTTERED[s.start : s.end] for p in found for s in p.sentences}
    assert any("mill at Lindal ground barley until 1902" in read for read in sentences)
    assert any("he lost a thumb" in read for read in sentences)
    assert any("<u>mill at Lindal</u>" in raw for raw in sentences.values())

"""The HTML of answers, refusals and failures, read back with a parser."""

from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

from rag.conversations import Turn
from rag.types import (
    Answer,
    AnswerSentence,
    Citation,
    Considered,
    Hit,
    Judged,
    Message,
    ModelCall,
    Passage,
    Place,
    Sentence,
    Term,
    Trace,
    Weighed,
)
from ui.render import Span, marked, render_key, render_notice, render_sources, render_turn, trace_html

TEXT = "# Bees\n\nA hive has one queen. She lives for four years. Drones die in autumn."
HIVE = Passage(
    "bees.md",
    "On bees",
    8,
    len(TEXT),
    TEXT[8:],
    (Sentence(8, 29), Sentence(30, 55), Sentence(56, 77)),
    heading=("On bees", "The hive"),
    page=3,
    author="Ann Lee",
    publisher="Meadow Press",
    date="2020-05-01",
)
WASPS = Passage("wasps.md", "", 0, 19, "Wasps live on meat.", (Sentence(0, 19),))
HITS = (Hit(WASPS, 0.5, {"lexical": 1}), Hit(HIVE, 0.4, {"dense": 2}, (0.1, 0.9, 0.3)))
QUEEN = Citation(1, "bees.md", "On bees", 8, 29, "A hive has one queen.", "quoted", page=3)
YEARS = Citation(2, "bees.md", "On bees", 30, 55, "She lives for four years.", "supported", page=3)
ANSWER = Answer(
    question="How many queens, and how long do they live?",
    standalone_question="How many queens, and how long do they live?",
    status="answered",
    text="A hive has one queen. [1] Four years is her span. [2]",
    sentences=(
        AnswerSentence("A hive has one queen.", "quoted", (1,)),
        AnswerSentence("Four years is her span.", "supported", (2,)),
    ),
    citations=(QUEEN, YEARS),
    passages=HITS,
    model="tiny",
    timings={"search_s": 0.02, "first_token_s": 1.4, "total_s": 3.1},
    fingerprint="f",
)
REFUSAL = replace(
    ANSWER, status="not_in_documents", text="The documents do not say.", sentences=(), citations=(), reason="off_topic"
)


@dataclass
class Node:
    tag: str
    attributes: dict[str, str]
    text: str = ""
    children: list["Node"] = field(default_factory=list)

    def all(self, tag: str = "", cls: str = "") -> list["Node"]:
        mine = [self] if tag in ("", self.tag) and (not cls or cls in self.attributes.get("class", "").split()) else []
        return mine + [node for child in self.children for node in child.all(tag, cls)]

    def one(self, tag: str = "", cls: str = "") -> "Node":
        (node,) = self.all(tag, cls)
        return node


class Tree(HTMLParser):
    """Fails on tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open = [Node("root", {})]
        self.feed(html)
        self.close()
        assert [node.tag for node in self.open] == ["root"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in ("input", "img"):
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for node in self.open:
            node.text += data


def turn_tree(turn: Turn, **options: float) -> Node:
    return Tree(render_turn(turn, 4, **options)).open[0]


def source_tree(turn: Turn) -> Node:
    return Tree(render_sources(turn, 4)).open[0]


def answered(answer: Answer) -> Turn:
    return Turn(answer.question, answer=answer)


def test_each_sentence_carries_its_footnotes_with_the_quote_and_its_source() -> None:
    first, second = turn_tree(answered(ANSWER)).all("span", "fn-s")
    assert first.one(cls="fn-words").text == "A hive has one queen."
    assert first.one("a", "fn-note").text == "1"
    assert first.one("q").text == "A hive has one queen."
    assert second.one("q").text == "She lives for four years."
    assert second.one("cite").text == "On bees · page 3"
    note = second.one("a", "fn-note").attributes
    assert (note["data-turn"], note["data-n"]) == ("4", "2")
    assert note["aria-describedby"] == second.one(cls="fn-tip").attributes["id"]


def test_each_support_has_a_glyph_and_a_word_of_its_own() -> None:
    four = tuple(AnswerSentence("So.", s) for s in ("quoted", "supported", "partial", "unsupported"))
    tree = turn_tree(answered(replace(ANSWER, status="partial", sentences=four)))
    assert [m.one(cls="fn-glyph").text for m in tree.all(cls="fn-mark")] == ["“”", "✓", "◐", "?"]
    words = [m.one(cls="fn-word").text for m in tree.all(cls="fn-mark")]
    assert words == ["quoted", "supported", "partly supported", "no support found"]
    assert [n.text for n in Tree(render_key()).open[0].all("b")] == words


def test_a_partial_answer_counts_its_sentences_and_says_what_is_missing() -> None:
    half = replace(
        ANSWER,
        status="partial",
        sentences=(ANSWER.sentences[0], AnswerSentence("She is blue.", "unsupported")),
        missing="her colour",
    )
    tree = turn_tree(answered(half))
    assert tree.one(cls="fn-status").text == "Answered in part: the documents hold 1 of 2 sentences in full."
    assert tree.one(cls="fn-missing").text == "Not in the documents: her colour"


def test_a_partial_answer_may_hold_every_sentence() -> None:
    tree = turn_tree(answered(replace(ANSWER, status="partial", missing="her colour")))
    assert "hold every sentence, but leave part of the question open" in tree.one(cls="fn-status").text


def test_a_refusal_looks_like_one_and_shows_the_nearest_passages() -> None:
    tree = turn_tree(answered(REFUSAL))
    box = tree.one(cls="fn-refusal")
    assert "Not in the documents" in box.text
    assert "The documents do not say." in box.text
    assert "Nothing in the documents is about this." in box.text
    assert not tree.all(cls="fn-failure") and not tree.all(cls="fn-s")
    sources = source_tree(answered(REFUSAL))
    assert sources.one("h3").text == "Nearest passages"
    assert [c.one("h4").text for c in sources.all(cls="fn-card")] == ["wasps.md", "On bees"]
    assert not sources.all("mark")


def test_a_failure_looks_like_neither_answer_nor_refusal() -> None:
    tree = turn_tree(Turn("Why?", passages=HITS, text="Because", failure="The model died. Try `rag doctor`."))
    box = tree.one(cls="fn-failure")
    assert "Something failed" in box.text
    assert box.attributes["role"] == "alert"
    assert box.one("code").text == "rag doctor"
    assert not tree.all(cls="fn-refusal") and "Because" not in tree.text


def test_a_stopped_answer_says_that_nothing_was_checked() -> None:
    tree = turn_tree(Turn("Why?", text="Because it", stopped=True))
    assert "Because it" in tree.text
    assert tree.one(cls="fn-status").text == "Stopped. What stands above was not checked."
    assert "Stopped before the first word." in turn_tree(Turn("Why?", stopped=True)).text


def test_the_standalone_question_is_shown_only_where_it_differs() -> None:
    assert turn_tree(answered(replace(ANSWER, standalone_question="How long?"))).one(cls="fn-understood").text == (
        "Understood as: How long?"
    )
    assert not turn_tree(answered(ANSWER)).all(cls="fn-understood")
    assert (
        turn_tree(Turn("And she?", "And the queen?")).one(cls="fn-understood").text == "Understood as: And the queen?"
    )


def test_notes_model_and_timings_are_said() -> None:
    tree = turn_tree(answered(replace(ANSWER, notes=("No model is installed.",))))
    assert tree.one(cls="fn-remark").text == "Note: No model is installed."
    assert tree.one(cls="fn-meta").text == "tiny · search 0.02 s · first word 1.4 s · whole answer 3.1 s"


def test_lines_of_the_answer_stay_lines() -> None:
    listed = replace(ANSWER, text="A hive has one queen. [1]\n\nFour years is her span. [2]")
    assert len(turn_tree(answered(listed)).one("div", "fn-text").all("p")) == 2
    assert len(turn_tree(answered(ANSWER)).one("div", "fn-text").all("p")) == 1


def test_before_the_first_word_the_best_evidence_is_in_the_panel() -> None:
    assert "Searching the documents" in turn_tree(Turn("Why?")).text
    assert not source_tree(Turn("Why?")).all("h3")
    turn = Turn("Why?", passages=HITS)
    assert "Reading 2 passages" in turn_tree(turn, waited_s=3.2).text
    assert "3 s" in turn_tree(turn, waited_s=3.2).text
    sources = source_tree(turn)
    assert sources.one("h3").text == "Best evidence so far"
    assert sources.one(cls="fn-near").text == "She lives for four years."


def test_streamed_marks_are_plain_superscripts() -> None:
    draft = turn_tree(Turn("Why?", passages=HITS, text="One queen. [1] <b>Four</b> years [2, 3]")).one(cls="fn-draft")
    assert [s.text for s in draft.all("sup")] == ["1", "2, 3"]
    assert "<b>Four</b>" in draft.text
    assert not draft.all("a")


def test_cited_passages_come_first_with_their_quotes_marked() -> None:
    tree = source_tree(answered(ANSWER))
    cited = tree.one(cls="fn-cited")
    assert [m.text for m in cited.all("mark")] == ["A hive has one queen.", "She lives for four years."]
    assert [m.attributes["data-n"] for m in cited.all("mark")] == ["1", "2"]
    assert [a.text for a in cited.all("a", "fn-back")] == ["1", "2"]
    assert [a.attributes["href"] for a in cited.all("a", "fn-back")] == ["#fn-t4-s0", "#fn-t4-s1"]
    assert cited.one("h4").text == "On bees"
    assert cited.one(cls="fn-where").text == "The hive · page 3"
    assert cited.one(cls="fn-by").text == "Ann Lee · Meadow Press · 2020-05-01"
    assert cited.one("blockquote").text == HIVE.text
    assert cited.one("footer").text == "bees.md · score 0.40 · dense #2"
    folded = tree.one("details")
    assert folded.one("summary").text == "1 more passage found"
    assert folded.one("h4").text == "wasps.md"


def test_a_card_names_where_nearly_the_same_stands() -> None:
    found = replace(HITS[0], also=(Place("<b>.md", 0, 9),))
    turn = Turn("How?", answer=replace(REFUSAL, passages=(found,)))
    assert "nearly the same in &lt;b&gt;.md" in render_sources(turn, 1)


def test_a_citation_outside_the_passages_gets_a_card_of_its_own() -> None:
    far = Citation(3, "bees.md", "On bees", 900, 914, "Bees see blue.", "partial", sheet="Senses", row=7)
    across = Citation(1, "bees.md", "On bees", 0, 20, "# Bees\n\nA hive has on", "quoted")
    cards = source_tree(answered(replace(ANSWER, citations=(far, YEARS, across)))).all(cls="fn-cited")
    assert [c.one("mark").attributes["data-n"] for c in cards] == ["1", "2", "3"]
    assert [c.one("mark").text for c in cards] == [across.quote, YEARS.quote, "Bees see blue."]
    assert cards[2].one(cls="fn-where").text == "sheet Senses · row 7"


def test_a_passage_of_a_spreadsheet_shows_its_sheet_and_rows() -> None:
    text = "Month: May; Sacks: 4\nMonth: June; Sacks: 5"
    spans = (Sentence(9, 29), Sentence(30, 51))
    passage = Passage("mill.xlsx", "Mill", 9, 51, text, spans, heading=("North",), sheet="North", rows=(3, 4))
    tree = source_tree(answered(replace(REFUSAL, passages=(Hit(passage, 0.5, {"dense": 1}),))))
    assert tree.one(cls="fn-where").text == "sheet North · rows 3–4"


def test_a_quote_of_another_document_is_not_marked_by_its_offsets() -> None:
    other = replace(QUEEN, source="wasps.md", start=8, end=29)
    (card,) = source_tree(answered(replace(ANSWER, citations=(other,)))).all(cls="fn-cited")
    assert card.one("blockquote").text == "… A hive has one queen. …"


def test_quotes_that_overlap_or_coincide_are_all_marked() -> None:
    html = marked("one two three", [Span(0, 7, 1), Span(4, 13, 2), Span(4, 13, 5)])
    assert html == (
        '<mark data-n="1" data-label="1">one </mark>'
        '<mark data-n="1 2 5" data-label="2 5">two</mark>'
        '<mark data-n="2 5" data-label=""> three</mark>'
    )


def test_what_others_wrote_is_shown_as_text() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)> \"' ${alert(3)} {{evil}} [x](javascript:alert(4))"
    passage = Passage(
        evil, evil, 0, len(evil), evil, (Sentence(0, len(evil)),), (evil,), 1, author=evil, publisher=evil, date=evil
    )
    hit = Hit(passage, 0.5, {evil: 1})
    cite = Citation(
        1, evil, evil, 0, len(evil), evil, "quoted", heading=(evil,), sheet=evil, author=evil, publisher=evil, date=evil
    )
    stray = replace(cite, number=2, start=1, end=len(evil) + 1)
    answer = replace(
        ANSWER,
        question=evil,
        standalone_question=evil + "!",
        status="partial",
        text=evil,
        sentences=(AnswerSentence(evil, "unsupported", (1, 2)),),
        citations=(cite, stray),
        passages=(hit, hit, hit, hit, hit),
        model=evil,
        missing=evil,
        notes=(evil,),
    )
    turns = (
        answered(answer),
        answered(replace(answer, status="not_in_documents")),
        Turn(evil, evil, (hit,), evil),
        Turn(evil, evil, (hit,), evil, failure=evil),
        Turn(evil, evil, (hit,), evil, stopped=True),
    )
    for turn in turns:
        for tree in (turn_tree(turn), source_tree(turn)):
            assert evil in tree.text
            for node in tree.all():
                assert node.tag not in ("script", "img")
                assert node.attributes.get("href", "#").startswith("#")
                assert not [name for name in node.attributes if name.startswith("on") or name == "src"]
    assert evil in Tree(render_notice(evil)).open[0].text


def test_whoever_waits_in_line_is_told_the_place() -> None:
    assert "Number 3 in line" in render_turn(Turn("Why?", passages=()), 1, place=3)
    assert "Next in line" in render_turn(Turn("Why?", passages=()), 1, place=1)
    assert "in line" not in render_turn(Turn("Why?", passages=()), 1)


def test_a_lone_surrogate_can_be_sent() -> None:
    render_turn(Turn("a\ud800b", failure="\udfff"), 1).encode("utf-8")


def test_no_notice_is_no_element() -> None:
    assert render_notice("") == ""


def test_a_turn_that_is_over_can_be_asked_again_and_edited() -> None:
    assert turn_tree(Turn("How many?")).all(cls="fn-tools") == []
    buttons = turn_tree(answered(ANSWER)).one(cls="fn-tools").all("button")
    assert [b.attributes["data-do"] for b in buttons] == ["again", "edit", "helpful", "unhelpful", "test"]
    assert {b.attributes["data-turn"] for b in buttons} == {"4"}
    failed = turn_tree(Turn("How many?", failure="No.")).one(cls="fn-tools").all("button")
    assert [b.attributes["data-do"] for b in failed] == ["again", "edit"]


def test_a_citation_of_a_pdf_knows_where_its_page_is_drawn() -> None:
    paper = replace(YEARS, source='a "b" & c.pdf', number=2)
    back = source_tree(answered(replace(ANSWER, citations=(QUEEN, paper)))).all("a", "fn-back")
    assert "data-page" not in back[0].attributes
    assert back[1].attributes["data-page"] == "/v1/documents/page?source=a+%22b%22+%26+c.pdf&page=3&start=30&end=55"
    assert back[1].attributes["data-shows"] == 'Page 3 of a "b" & c.pdf with the quote boxed'


def test_the_sources_that_were_asked_are_named() -> None:
    few = Turn("How many?", sources=("bees.md", "<b>/"))
    assert turn_tree(few).one(cls="fn-understood").text == "Asked only: bees.md, <b>/"
    many = Turn("How many?", sources=tuple(f"{n}.md" for n in range(8)))
    assert turn_tree(many).one(cls="fn-understood").text == "Asked only: 0.md, 1.md, 2.md, 3.md, 4.md and 3 more"


def test_why_this_answer_shows_each_stage_and_nothing_unescaped() -> None:
    harm = "<b>&"
    trace = Trace(
        id="a1",
        asked="2026-01-02T03:04:05+00:00",
        question="How many queens?",
        standalone_question="How many queens?",
        search_text=f"How many queens? {harm}",
        parts=("How many?", harm),
        language="en",
        search_language="en",
        sources=(harm,),
        terms=(Term(harm, 2.13),),
        found=7,
        candidates=(Considered(harm, harm, 8, 29, f"{harm} A hive", 0.512, {"dense": 2}, "sent"),),
        gate=0.25,
        evidence=(
            Weighed("bees.md", 8, 29, f"A hive has one queen. {harm}", 0.61, 6),
            Weighed("bees.md", 56, 77, f"Drones die in autumn. {harm}", 0.2, 5, "worth"),
        ),
        evidence_budget=200,
        calls=(ModelCall((Message("user", harm),), 61, f"One. {harm}", 3, 2.0, first_s=1.0),),
        check=0.914,
        least_check=0.7,
        judged=(Judged(f"One. {harm}", "supported", (1,), 0.83),),
        status="answered",
        reason=None,
        model="tiny",
        timings={"total_s": 3.1},
        fingerprint="f",
    )
    html = trace_html(trace)
    assert "<b>" not in html
    why = Tree(html).open[0].one("details", "fn-why")
    assert why.one("summary").text == "Why this answer"
    cells = [cell.text for cell in why.all("td")]
    for shown in ("0.51", "dense #2", "read by the model", "cut: worth too little", "0.83", "6"):
        assert shown in cells
    assert "61 prompt tokens · 2.00 s · 2 tokens/s" in html
    assert "probability of 0.91; at least 0.7" in html
    assert "In parts: How many? | &lt;b&gt;&amp;" in html
    assert why.one("pre").text == f"user: {harm}\n\nreply: One. {harm}"
    assert "fn-why" not in render_turn(Turn("How many queens?", answer=ANSWER), 1)
    assert "fn-why" in render_turn(Turn("How many queens?", answer=ANSWER, trace=trace), 1)

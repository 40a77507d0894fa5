"""Turns -> HTML, pure. Whatever comes from a document, a question, a model or an error is escaped here.

Every element of turn n has its number in its id or in data-turn: page.js leads a footnote to its marked quote by it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from urllib.parse import urlencode

from rag.conversations import REASON_CHARACTERS, Turn
from rag.types import Answer, AnswerSentence, Citation, Fate, Hit, LeftOut, ModelCall, Passage, Reason, Support, Trace

NAMED = 5  # sources a question was restricted to that are named
SHOWN = 3  # uncited passages that stand open; the rest are folded

# glyph, word, meaning: the glyph and the word differ, so that no mark rests on colour alone
MARKS: Mapping[Support, tuple[str, str, str]] = {
    "quoted": ("“”", "quoted", "the sentence stands in the source, word for word"),
    "supported": ("✓", "supported", "the source says this in other words"),
    "partial": ("◐", "partly supported", "the source says only part of this"),
    "unsupported": ("?", "no support found", "nothing in the documents says this"),
}
REASONS: Mapping[Reason, str] = {
    "off_topic": "Nothing in the documents is about this.",
    "not_stated": "The documents come close to the subject, but do not state this.",
    "contradicted": "The documents say something other than what the question takes for granted.",
}

FATES: Mapping[Fate, str] = {
    "sent": "read by the model",
    "not_sent": "no sentence of it was worth reading",
    "duplicate": "says the same as a better one",
    "not_fetched": "not among the first",
}
CUTS: Mapping[LeftOut, str] = {
    "duplicate": "says the same as a better one",
    "worth": "worth too little",
    "budget": "over the budget",
    "order": "speaks to a model",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A cited stretch of a text, offsets relative to that text."""

    start: int
    end: int
    number: int


def render_turn(turn: Turn, number: int, *, waited_s: float = 0, place: int = 0) -> str:
    """The question and its answer. `number` counts the turns from 1; `waited_s` since the question was sent.

    `place`: in the queue before the model, from 1; 0: not in it.
    """
    busy = "false" if turn.over else "true"
    return (
        f'<article class="fn-turn" id="fn-t{number}" aria-label="Question {number}">'
        f'<h2 class="fn-question" dir="auto">{esc(turn.question)}</h2>{_only(turn)}{_understood(turn)}'
        f'<div aria-live="polite" aria-busy="{busy}">{_body(turn, number, waited_s, place)}</div>{_tools(turn, number)}</article>'
    )


def render_sources(turn: Turn, number: int) -> str:
    """What stands beside the chat: cited passages first, then what else was found."""
    return (
        f'<section class="fn-sources" id="fn-t{number}-sources" aria-label="Sources of question {number}">'
        f"{_source_list(turn, number)}</section>"
    )


def render_notice(message: str) -> str:
    """A question that cannot be sent: said beside the question box, no turn is made of it."""
    return f'<p class="fn-notice" role="alert">{esc(message)}</p>' if message else ""


def render_key() -> str:
    """What the marks mean."""
    rows = "".join(
        f'<li>{_glyph(support)}<span><b class="fn-word">{word}</b> {meaning}</span></li>'
        for support, (_, word, meaning) in MARKS.items()
    )
    return f'<section class="fn-key" aria-label="The marks"><h3>The marks</h3><ul>{rows}</ul></section>'


def marked(text: str, spans: Sequence[Span]) -> str:
    """`text` escaped, each cited stretch in <mark data-n="numbers">; stretches may overlap or touch."""
    edges = sorted({0, len(text)} | {edge for span in spans for edge in (span.start, span.end)})
    return "".join(_segment(text, start, end, spans) for start, end in pairwise(edges))


def _segment(text: str, start: int, end: int, spans: Sequence[Span]) -> str:
    inside = sorted((s for s in spans if s.start <= start and end <= s.end), key=lambda s: s.number)
    if not inside:
        return esc(text[start:end])
    numbers = " ".join(str(s.number) for s in inside)
    label = " ".join(str(s.number) for s in inside if s.start == start)
    return f'<mark data-n="{numbers}" data-label="{label}">{esc(text[start:end])}</mark>'


def _only(turn: Turn) -> str:
    if not turn.sources:
        return ""
    named = ", ".join(f"<code>{esc(source)}</code>" for source in turn.sources[:NAMED])
    more = f" and {len(turn.sources) - NAMED} more" if len(turn.sources) > NAMED else ""
    return f'<p class="fn-understood">Asked only: {named}{more}</p>'


def _tools(turn: Turn, number: int) -> str:
    """What can be done with a turn that is over. page.js acts on `data-do`."""
    if not turn.over:
        return ""
    buttons = [_tool("again", number, "Ask again", "Ask this question again; what follows it is replaced")]
    buttons += [_tool("edit", number, "Edit", "Change this question and ask it again")]
    if turn.answer is not None:
        buttons += [_tool("helpful", number, "Helpful", "This answer helped")]
        buttons += [_tool("unhelpful", number, "Not helpful", "This answer did not help: say why")]
        buttons += [_tool("test", number, "Keep as test", "Make this answer a question of the eval")]
    return (
        f'<div class="fn-tools" role="group" aria-label="Question {number}">{"".join(buttons)}</div>'
        f'<form class="fn-reason" data-turn="{number}" hidden><label>Why? <input maxlength="{REASON_CHARACTERS}" '
        'autocomplete="off"></label><button>Send</button></form><p class="fn-told" role="status"></p>'
    )


def _tool(do: str, number: int, text: str, title: str) -> str:
    return f'<button type="button" data-do="{do}" data-turn="{number}" title="{title}">{text}</button>'


def _understood(turn: Turn) -> str:
    standalone = turn.answer.standalone_question if turn.answer else turn.standalone_question
    if not standalone or standalone.strip() == turn.question.strip():
        return ""
    return f'<p class="fn-understood" dir="auto">Understood as: {esc(standalone)}</p>'


def _body(turn: Turn, number: int, waited_s: float, place: int) -> str:
    if turn.failure is not None:
        return _failure(turn.failure)
    if turn.answer is not None:
        refused = turn.answer.status == "not_in_documents"
        said = _refusal(turn.answer) if refused else _answer(turn.answer, number)
        return said + (trace_html(turn.trace) if turn.trace else "")
    if turn.stopped:
        return _draft(turn.text) + f'<p class="fn-status">{_stopped(turn)}</p>'
    if turn.text:
        return _draft(turn.text)
    return _waiting(turn, waited_s, place)


def _waiting(turn: Turn, waited_s: float, place: int) -> str:
    doing = "Searching the documents" if turn.passages is None else f"Reading {count(len(turn.passages), 'passage')}"
    if place:
        before = "Next in line" if place == 1 else f"Number {place} in line"
        doing = f"{before}: the model is answering others"
    clock = f" · {waited_s:.0f} s" if waited_s >= 1 else ""
    return f'<p class="fn-waiting">{doing}<span class="fn-dots" aria-hidden="true"></span>{clock}</p>'


def _stopped(turn: Turn) -> str:
    return "Stopped. What stands above was not checked." if turn.text else "Stopped before the first word."


def _draft(text: str) -> str:
    """Text that nobody checked yet: its marks are shown, but lead nowhere."""
    if not text:
        return ""
    body = re.sub(r" ?\[(\d+(?:, ?\d+)*)\]", r'<sup class="fn-plain">\1</sup>', esc(text))
    return f'<p class="fn-text fn-draft" dir="auto">{body}</p>'


def _failure(message: str) -> str:
    return (
        '<div class="fn-failure" role="alert"><p class="fn-head"><span aria-hidden="true">⚠</span> Something failed</p>'
        f"<p>{_code(message)}</p><p>This says nothing about the documents. You can ask again.</p></div>"
    )


def _refusal(answer: Answer) -> str:
    reason = f"<p>{REASONS[answer.reason]}</p>" if answer.reason else ""
    nearest = "<p>The nearest passages are among the sources.</p>" if answer.passages else ""
    return (
        '<div class="fn-refusal"><p class="fn-head"><span aria-hidden="true">∅</span> Not in the documents</p>'
        f'<p class="fn-text" dir="auto">{esc(answer.text)}</p>{reason}{nearest}</div>{_remarks(answer)}{_meta(answer)}'
    )


def _answer(answer: Answer, number: int) -> str:
    by_number = {citation.number: citation for citation in answer.citations}
    starts = _paragraph_starts(answer)
    body = "".join(
        ("</p><p>" if i in starts else " " if i else "") + _sentence(sentence, i, number, by_number)
        for i, sentence in enumerate(answer.sentences)
    )
    missing = f'<p class="fn-missing">Not in the documents: {esc(answer.missing)}</p>' if answer.missing else ""
    return (
        f'<div class="fn-text" dir="auto"><p>{body}</p></div>{missing}'
        f'<p class="fn-status fn-is-{answer.status}">{_status(answer)}</p>{_remarks(answer)}{_meta(answer)}'
    )


def _paragraph_starts(answer: Answer) -> set[int]:
    """The sentences before which the model began a new line."""
    starts, at = set(), 0
    for i, sentence in enumerate(answer.sentences):
        found = answer.text.find(sentence.text, at)
        if found < 0:
            continue
        if i and "\n" in answer.text[at:found]:
            starts.add(i)
        at = found + len(sentence.text)
    return starts


def _sentence(sentence: AnswerSentence, index: int, number: int, by_number: Mapping[int, Citation]) -> str:
    notes = "".join(_note(by_number[n], index, number) for n in sentence.citations if n in by_number)
    return (
        f'<span class="fn-s fn-{sentence.support}" id="fn-t{number}-s{index}"><span class="fn-words">'
        f"{esc(sentence.text)}</span>{notes}{_mark(sentence.support)}</span>"
    )


def _note(citation: Citation, index: int, number: int) -> str:
    """The footnote's number; the quote and where it is from hang on it."""
    tip = f"fn-t{number}-s{index}-n{citation.number}"
    where = _join(esc(citation.title or citation.source), _where(citation))
    return (
        f'<span class="fn-ref"><a class="fn-note" href="#fn-t{number}-c{citation.number}" data-turn="{number}" '
        f'data-n="{citation.number}" aria-label="Footnote {citation.number}" aria-describedby="{tip}">'
        f'{citation.number}</a><span class="fn-tip" role="tooltip" id="{tip}"><q dir="auto">{esc(citation.quote)}</q>'
        f"<cite>{where}</cite></span></span>"
    )


def _glyph(support: Support) -> str:
    return f'<span class="fn-glyph fn-{support}" aria-hidden="true">{MARKS[support][0]}</span>'


def _mark(support: Support) -> str:
    _, word, meaning = MARKS[support]
    return (
        f'<span class="fn-mark fn-{support}" title="{word}: {meaning}">{_glyph(support)}'
        f'<span class="fn-word">{word}</span></span>'
    )


def _status(answer: Answer) -> str:
    held = sum(sentence.support in ("quoted", "supported") for sentence in answer.sentences)
    total = len(answer.sentences)
    if answer.status == "answered":
        return "Answered: the documents hold every sentence."
    if held == total:
        return "Answered in part: the documents hold every sentence, but leave part of the question open."
    return f"Answered in part: the documents hold {held} of {count(total, 'sentence')}."


def _remarks(answer: Answer) -> str:
    return "".join(f'<p class="fn-remark">{_code(note)}</p>' for note in answer.notes)


def _meta(answer: Answer) -> str:
    words = {"search_s": "search", "first_token_s": "first word", "total_s": "whole answer"}
    times = (f"{word} {answer.timings[key]:.2g} s" for key, word in words.items() if key in answer.timings)
    return f'<p class="fn-meta">{_join(esc(answer.model), *times)}</p>'


def _source_list(turn: Turn, number: int) -> str:
    if turn.answer is None:
        found = _plain_cards(turn.passages or ())
        title = "Passages found" if turn.over else "Best evidence so far"
        return f"<h3>{title}</h3>{found}" if found else ""
    if turn.answer.status == "not_in_documents":
        return f"<h3>Nearest passages</h3>{_plain_cards(turn.answer.passages)}"
    cited, others = _cards(turn.answer, number)
    return f"<h3>Sources</h3>{cited}{_folded(others)}"


def _plain_cards(hits: Sequence[Hit]) -> str:
    return "".join(_found_card(hit) for hit in hits[:SHOWN]) + _folded(hits[SHOWN:])


def _folded(hits: Sequence[Hit]) -> str:
    if not hits:
        return ""
    cards = "".join(_found_card(hit) for hit in hits)
    return f'<details class="fn-others"><summary>{count(len(hits), "more passage")} found</summary>{cards}</details>'


def _cards(answer: Answer, number: int) -> tuple[str, list[Hit]]:
    """The cited cards in the order of their first footnote, and the hits that no footnote points into."""
    by_hit: dict[int | None, list[Citation]] = {}
    for citation in sorted(answer.citations, key=lambda c: c.number):
        by_hit.setdefault(_hit_of(citation, answer.passages), []).append(citation)
    strays = [(c.number, _stray_card(c, number, answer)) for c in by_hit.pop(None, [])]
    cited = [
        (cs[0].number, _cited_card(answer.passages[i], cs, number, answer)) for i, cs in by_hit.items() if i is not None
    ]
    others = [hit for i, hit in enumerate(answer.passages) if i not in by_hit]
    return "".join(card for _, card in sorted(strays + cited)), others


def _hit_of(citation: Citation, hits: Sequence[Hit]) -> int | None:
    """The first hit whose passage holds the whole quote."""
    for i, hit in enumerate(hits):
        p = hit.passage
        if p.source == citation.source and p.start <= citation.start and citation.end <= p.end:
            return i
    return None


def _cited_card(hit: Hit, citations: Sequence[Citation], number: int, answer: Answer) -> str:
    start = hit.passage.start
    text = marked(hit.passage.text, [Span(c.start - start, c.end - start, c.number) for c in citations])
    return _card(hit.passage, text, _numbers(citations, number, answer), _ranks(hit))


def _stray_card(citation: Citation, number: int, answer: Answer) -> str:
    text = f"… {marked(citation.quote, [Span(0, len(citation.quote), citation.number)])} …"
    return _card(citation, text, _numbers([citation], number, answer), "")


def _found_card(hit: Hit) -> str:
    return _card(hit.passage, _nearest(hit), "", _ranks(hit))


def _card(about: Passage | Citation, text: str, numbers: str, ranks: str) -> str:
    """`text`, `numbers` and `ranks` are HTML."""
    by = _join(*(esc(x) for x in (about.author, about.publisher, about.date) if x))
    lines = "".join(
        f'<p class="{name}">{line}</p>' for name, line in (("fn-where", _where(about)), ("fn-by", by)) if line
    )
    return (
        f'<article class="fn-card{" fn-cited" if numbers else ""}" data-source="{esc(about.source)}" tabindex="-1"><header>{numbers}'
        f'<h4 dir="auto">{esc(about.title or about.source)}</h4>{lines}</header>'
        f'<blockquote dir="auto">{text}</blockquote>'
        f"<footer>{_join(f'<code>{esc(about.source)}</code>', ranks)}</footer></article>"
    )


def _numbers(citations: Sequence[Citation], number: int, answer: Answer) -> str:
    links = "".join(_back(c, number, answer) for c in citations)
    return f'<p class="fn-numbers">{links}</p>'


def _back(citation: Citation, number: int, answer: Answer) -> str:
    """The number on the card leads back to the sentence that it was set on."""
    at = next((i for i, s in enumerate(answer.sentences) if citation.number in s.citations), 0)
    paged = citation.page is not None and citation.source.lower().endswith(".pdf")
    page = f'data-page="{esc(_page_address(citation))}" data-shows="{esc(_page_words(citation))}" ' if paged else ""
    return (
        f'<a class="fn-back" id="fn-t{number}-c{citation.number}" href="#fn-t{number}-s{at}" {page}'
        f'aria-label="Back to footnote {citation.number}">{citation.number}</a>{_mark(citation.support)}'
    )


def _page_address(c: Citation) -> str:
    where = urlencode({"source": c.source, "page": c.page, "start": c.start, "end": c.end}, errors="replace")
    return f"/v1/documents/page?{where}"


def _page_words(c: Citation) -> str:
    return f"Page {c.page} of {c.source} with the quote boxed"


def _nearest(hit: Hit) -> str:
    """The passage with the sentence that is nearest to the question set off."""
    p = hit.passage
    scored = list(zip(hit.sentence_scores, p.sentences, strict=False))
    if len(scored) < 2:
        return esc(p.text)
    best = max(scored, key=lambda pair: pair[0])[1]
    start, end = best.start - p.start, best.end - p.start
    return f'{esc(p.text[:start])}<span class="fn-near">{esc(p.text[start:end])}</span>{esc(p.text[end:])}'


def _ranks(hit: Hit) -> str:
    """Why it was found: the score and the place in each ranking; and where else nearly the same stands."""
    places = [f"{esc(name)} #{place}" for name, place in hit.ranks.items()]
    places += [f"nearly the same in {esc(source)}" for source in dict.fromkeys(place.source for place in hit.also)]
    return f'<span class="fn-ranks">{_join(f"score {hit.score:.2f}", *places)}</span>'


def _where(about: Passage | Citation) -> str:
    heading = about.heading[1:] if about.heading[:1] in ((about.title,), (about.sheet,)) else about.heading
    parts = [" &rsaquo; ".join(esc(h) for h in heading)]
    parts.append(f"page {about.page}" if about.page is not None else "")
    parts.append(f"sheet {esc(about.sheet)}" if about.sheet else "")
    if isinstance(about, Citation):
        parts.append(f"row {about.row}" if about.row is not None else "")
    elif about.rows:
        first, last = about.rows[0], about.rows[-1]
        parts.append(f"row {first}" if first == last else f"rows {first}–{last}")
    return _join(*parts)


def _join(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def trace_html(trace: Trace) -> str:
    """Why this answer: the way from the question to the last check, folded."""
    t = trace
    parts_of = f"<p>In parts: {esc(' | '.join(t.parts))}</p>" if len(t.parts) > 1 else ""
    only = f" in {', '.join(t.sources)}" if t.sources else ""
    words = ", ".join(f"{esc(term.word)} {term.rarity:.1f}" for term in t.terms)
    sent = [e for e in t.evidence if e.cut is None]
    cut = [e for e in t.evidence if e.cut is not None]
    parts = [
        _part("Searched for", f"<p>{esc(t.search_text + only)}</p>{parts_of}<p>Rarity of the words: {words}</p>"),
        _part(
            f"The best of {count(t.found, 'passage')} found",
            _table(
                ("Score", "Ranks", "Passage", ""),
                (
                    (
                        f"{c.score:.2f}",
                        ", ".join(f"{esc(name)} #{rank}" for name, rank in c.ranks.items()),
                        f"<code>{esc(c.source)}</code> {esc(c.begins)}…",
                        FATES[c.fate],
                    )
                    for c in t.candidates
                ),
            )
            + f"<p>A best score under {t.gate:g} counts as off topic.</p>",
        ),
        _part(
            f"Evidence: {sum(e.tokens for e in sent)} of at most {count(t.evidence_budget, 'token')}",
            _table(
                ("Score", "Tokens", "Sentence", ""),
                (
                    (f"{e.score:.2f}", str(e.tokens), esc(e.text), f"cut: {CUTS[e.cut]}" if e.cut else "read")
                    for e in (*sent, *cut)
                ),
            ),
        ),
        *(_part(f"Call {n} of the model", _call(call)) for n, call in enumerate(t.calls, 1)),
        _part(
            "Checks",
            (f"<p>{esc(_sure(t))}</p>" if t.check is not None else "")
            + _table(
                ("Support", "Score", "Sentence"),
                ((MARKS[j.support][1], "" if j.score is None else f"{j.score:.2f}", esc(j.text)) for j in t.judged),
            ),
        ),
        _part("Timings", f"<p>{_join(*(f'{esc(name)} {value:g}' for name, value in t.timings.items()))}</p>"),
    ]
    return f'<details class="fn-why"><summary>Why this answer</summary>{"".join(parts)}</details>'


def _sure(t: Trace) -> str:
    return (
        f"The evidence answers the question with a probability of {t.check:.2f}; at least {t.least_check:g} is asked."
    )


def _call(call: ModelCall) -> str:
    cost = [f"{count(call.prompt_tokens, 'prompt token')}", f"{call.total_s:.2f} s"]
    cost += [f"probability of yes {call.probability:.3f}"] if call.probability is not None else []
    cost += [f"{call.tokens_per_s:.0f} tokens/s"] if call.tokens_per_s else []
    said = "\n\n".join(f"{message.role}: {message.content}" for message in call.messages)
    reply = f"\n\nreply: {call.reply}" if call.reply else ""
    return f'<p>{_join(*cost)}</p><pre tabindex="0" dir="auto">{esc(said + reply)}</pre>'


def _part(heading: str, body: str) -> str:
    return f"<section><h4>{esc(heading)}</h4>{body}</section>"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The cells are HTML."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else ""


def esc(text: str) -> str:
    """Text for an element or a quoted attribute. A lone surrogate of a broken PDF cannot be sent: it becomes "?"."""
    return escape(text.encode("utf-8", "replace").decode(), quote=True)


def _code(text: str) -> str:
    """Our own messages name commands in backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", esc(text))

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
from rag.types import Answer, AnswerSentence, Citation, Hit, ModelCall, Passage, Support, Trace
from ui.words import ENGLISH, Words

NAMED = 5  # sources a question was restricted to that are named
SHOWN = 3  # uncited passages that stand open; the rest are folded

TIMINGS = ("search_s", "first_token_s", "total_s")
# with a word beside each, so that no mark rests on colour alone
GLYPHS: Mapping[Support, str] = {"quoted": "“”", "supported": "✓", "partial": "◐", "unsupported": "?"}


@dataclass(frozen=True, slots=True)
class Span:
    """A cited stretch of a text, offsets relative to that text."""

    start: int
    end: int
    number: int


def render_turn(turn: Turn, number: int, words: Words = ENGLISH, *, waited_s: float = 0, place: int = 0) -> str:
    """The question and its answer. `number` counts the turns from 1; `waited_s` since the question was sent.

    `place`: in the queue before the model, from 1; 0: not in it.
    """
    busy = "false" if turn.over else "true"
    return (
        f'<article class="fn-turn" id="fn-t{number}" aria-label="{words("question_n", n=number)}">'
        f'<h2 class="fn-question" dir="auto">{esc(turn.question)}</h2>{_only(turn, words)}{_understood(turn, words)}'
        f'<div aria-live="polite" aria-busy="{busy}">{_body(turn, number, waited_s, place, words)}</div>{_tools(turn, number, words)}</article>'
    )


def render_sources(turn: Turn, number: int, words: Words = ENGLISH) -> str:
    """What stands beside the chat: cited passages first, then what else was found."""
    return (
        f'<section class="fn-sources" id="fn-t{number}-sources" aria-label="{words("sources_n", n=number)}">'
        f"{_source_list(turn, number, words)}</section>"
    )


def render_notice(message: str) -> str:
    """A question that cannot be sent: said beside the question box, no turn is made of it."""
    return f'<p class="fn-notice" role="alert">{esc(message)}</p>' if message else ""


def render_key(words: Words = ENGLISH) -> str:
    """What the marks mean."""
    rows = "".join(
        f'<li>{_glyph(support)}<span><b class="fn-word">{words(f"mark.{support}")}</b> '
        f"{words(f'mark.{support}.means')}</span></li>"
        for support in GLYPHS
    )
    return f'<section class="fn-key" aria-label="{words("marks")}"><h3>{words("marks")}</h3><ul>{rows}</ul></section>'


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


def _only(turn: Turn, words: Words) -> str:
    if not turn.sources:
        return ""
    named = ", ".join(f"<code>{esc(source)}</code>" for source in turn.sources[:NAMED])
    more = words("and_more", n=len(turn.sources) - NAMED) if len(turn.sources) > NAMED else ""
    return f'<p class="fn-understood">{words("asked_only")}: {named}{more}</p>'


def _tools(turn: Turn, number: int, words: Words) -> str:
    """What can be done with a turn that is over. page.js acts on `data-do`."""
    if not turn.over:
        return ""
    does = ["again", "edit", *(("helpful", "unhelpful", "test") if turn.answer is not None else ())]
    buttons = "".join(
        f'<button type="button" data-do="{do}" data-turn="{number}" title="{words(f"do.{do}.title")}">{words(f"do.{do}")}</button>'
        for do in does
    )
    return (
        f'<div class="fn-tools" role="group" aria-label="{words("question_n", n=number)}">{buttons}</div>'
        f'<form class="fn-reason" data-turn="{number}" hidden><label>{words("why")} <input maxlength="{REASON_CHARACTERS}" '
        f'autocomplete="off"></label><button>{words("send")}</button></form><p class="fn-told" role="status"></p>'
    )


def _understood(turn: Turn, words: Words) -> str:
    standalone = turn.answer.standalone_question if turn.answer else turn.standalone_question
    if not standalone or standalone.strip() == turn.question.strip():
        return ""
    return f'<p class="fn-understood" dir="auto">{words("understood")}: {esc(standalone)}</p>'


def _body(turn: Turn, number: int, waited_s: float, place: int, words: Words) -> str:
    if turn.failure is not None:
        return _failure(turn.failure, words)
    if turn.answer is not None:
        refused = turn.answer.status == "not_in_documents"
        said = _refusal(turn.answer, words) if refused else _answer(turn.answer, number, words)
        return said + (trace_html(turn.trace, words) if turn.trace else "")
    if turn.stopped:
        return _draft(turn.text) + f'<p class="fn-status">{_stopped(turn, words)}</p>'
    if turn.text:
        return _draft(turn.text)
    return _waiting(turn, waited_s, place, words)


def _waiting(turn: Turn, waited_s: float, place: int, words: Words) -> str:
    found = turn.passages
    doing = words("searching") if found is None else words("reading", passages=words.count("passage", len(found)))
    if place:
        doing = words("next_in_line") if place == 1 else words("in_line", n=place)
    clock = f" · {waited_s:.0f} s" if waited_s >= 1 else ""
    return f'<p class="fn-waiting">{doing}<span class="fn-dots" aria-hidden="true"></span>{clock}</p>'


def _stopped(turn: Turn, words: Words) -> str:
    return words("stopped_in_it") if turn.text else words("stopped_before")


def _draft(text: str) -> str:
    """Text that nobody checked yet: its marks are shown, but lead nowhere."""
    if not text:
        return ""
    body = re.sub(r" ?\[(\d+(?:, ?\d+)*)\]", r'<sup class="fn-plain">\1</sup>', esc(text))
    return f'<p class="fn-text fn-draft" dir="auto">{body}</p>'


def _failure(message: str, words: Words) -> str:
    return (
        f'<div class="fn-failure" role="alert"><p class="fn-head"><span aria-hidden="true">⚠</span> {words("failed")}</p>'
        f"<p>{_code(message)}</p><p>{words('failed_means')}</p></div>"
    )


def _refusal(answer: Answer, words: Words) -> str:
    reason = f"<p>{words(f'reason.{answer.reason}')}</p>" if answer.reason else ""
    nearest = f"<p>{words('nearest_are')}</p>" if answer.passages else ""
    return (
        f'<div class="fn-refusal"><p class="fn-head"><span aria-hidden="true">∅</span> {words("not_there")}</p>'
        f'<p class="fn-text" dir="auto">{esc(answer.text)}</p>{reason}{nearest}</div>{_remarks(answer, words)}{_meta(answer, words)}'
    )


def _answer(answer: Answer, number: int, words: Words) -> str:
    by_number = {citation.number: citation for citation in answer.citations}
    starts = _paragraph_starts(answer)
    body = "".join(
        ("</p><p>" if i in starts else " " if i else "") + _sentence(sentence, i, number, by_number, words)
        for i, sentence in enumerate(answer.sentences)
    )
    missing = f'<p class="fn-missing">{words("not_there")}: {esc(answer.missing)}</p>' if answer.missing else ""
    return (
        f'<div class="fn-text" dir="auto"><p>{body}</p></div>{missing}'
        f'<p class="fn-status fn-is-{answer.status}">{_status(answer, words)}</p>{_remarks(answer, words)}{_meta(answer, words)}'
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


def _sentence(
    sentence: AnswerSentence, index: int, number: int, by_number: Mapping[int, Citation], words: Words
) -> str:
    notes = "".join(_note(by_number[n], index, number, words) for n in sentence.citations if n in by_number)
    return (
        f'<span class="fn-s fn-{sentence.support}" id="fn-t{number}-s{index}"><span class="fn-words">'
        f"{esc(sentence.text)}</span>{notes}{_mark(sentence.support, words)}</span>"
    )


def _note(citation: Citation, index: int, number: int, words: Words) -> str:
    """The footnote's number; the quote and where it is from hang on it."""
    tip = f"fn-t{number}-s{index}-n{citation.number}"
    where = _join(esc(citation.title or citation.source), _where(citation, words))
    return (
        f'<span class="fn-ref"><a class="fn-note" href="#fn-t{number}-c{citation.number}" data-turn="{number}" '
        f'data-n="{citation.number}" aria-label="{words("footnote_n", n=citation.number)}" aria-describedby="{tip}">'
        f'{citation.number}</a><span class="fn-tip" role="tooltip" id="{tip}"><q dir="auto">{esc(citation.quote)}</q>'
        f"<cite>{where}</cite></span></span>"
    )


def _glyph(support: Support) -> str:
    return f'<span class="fn-glyph fn-{support}" aria-hidden="true">{GLYPHS[support]}</span>'


def _mark(support: Support, words: Words) -> str:
    word, meaning = words(f"mark.{support}"), words(f"mark.{support}.means")
    return (
        f'<span class="fn-mark fn-{support}" title="{word}: {meaning}">{_glyph(support)}'
        f'<span class="fn-word">{word}</span></span>'
    )


def _status(answer: Answer, words: Words) -> str:
    held = sum(sentence.support in ("quoted", "supported") for sentence in answer.sentences)
    total = len(answer.sentences)
    if answer.status == "answered":
        return words("answered")
    if held == total:
        return words("partial_open")
    return words("partial_held", held=held, sentences=words.count("sentence", total))


def _remarks(answer: Answer, words: Words) -> str:
    return "".join(f'<p class="fn-remark"><span>{words("note")}: </span>{_code(note)}</p>' for note in answer.notes)


def _meta(answer: Answer, words: Words) -> str:
    times = (f"{words(key)} {answer.timings[key]:.2g} s" for key in TIMINGS if key in answer.timings)
    return f'<p class="fn-meta">{_join(esc(answer.model), *times)}</p>'


def _source_list(turn: Turn, number: int, words: Words) -> str:
    if turn.answer is None:
        found = _plain_cards(turn.passages or (), words)
        title = words("passages_found") if turn.over else words("evidence_so_far")
        return f"<h3>{title}</h3>{found}" if found else ""
    if turn.answer.status == "not_in_documents":
        return f"<h3>{words('nearest')}</h3>{_plain_cards(turn.answer.passages, words)}"
    cited, others = _cards(turn.answer, number, words)
    return f"<h3>{words('sources')}</h3>{cited}{_folded(others, words)}"


def _plain_cards(hits: Sequence[Hit], words: Words) -> str:
    return "".join(_found_card(hit, words) for hit in hits[:SHOWN]) + _folded(hits[SHOWN:], words)


def _folded(hits: Sequence[Hit], words: Words) -> str:
    if not hits:
        return ""
    cards = "".join(_found_card(hit, words) for hit in hits)
    return f'<details class="fn-others"><summary>{words.count("more_passage", len(hits))}</summary>{cards}</details>'


def _cards(answer: Answer, number: int, words: Words) -> tuple[str, list[Hit]]:
    """The cited cards in the order of their first footnote, and the hits that no footnote points into."""
    by_hit: dict[int | None, list[Citation]] = {}
    for citation in sorted(answer.citations, key=lambda c: c.number):
        by_hit.setdefault(_hit_of(citation, answer.passages), []).append(citation)
    strays = [(c.number, _stray_card(c, number, answer, words)) for c in by_hit.pop(None, [])]
    cited = [
        (cs[0].number, _cited_card(answer.passages[i], cs, number, answer, words))
        for i, cs in by_hit.items()
        if i is not None
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


def _cited_card(hit: Hit, citations: Sequence[Citation], number: int, answer: Answer, words: Words) -> str:
    start = hit.passage.start
    text = marked(hit.passage.text, [Span(c.start - start, c.end - start, c.number) for c in citations])
    return _card(hit.passage, text, _numbers(citations, number, answer, words), _ranks(hit, words), words)


def _stray_card(citation: Citation, number: int, answer: Answer, words: Words) -> str:
    text = f"… {marked(citation.quote, [Span(0, len(citation.quote), citation.number)])} …"
    return _card(citation, text, _numbers([citation], number, answer, words), "", words)


def _found_card(hit: Hit, words: Words) -> str:
    return _card(hit.passage, _nearest(hit), "", _ranks(hit, words), words)


def _card(about: Passage | Citation, text: str, numbers: str, ranks: str, words: Words) -> str:
    """`text`, `numbers` and `ranks` are HTML."""
    by = _join(*(esc(x) for x in (about.author, about.publisher, about.date) if x))
    lines = "".join(
        f'<p class="{name}">{line}</p>' for name, line in (("fn-where", _where(about, words)), ("fn-by", by)) if line
    )
    return (
        f'<article class="fn-card{" fn-cited" if numbers else ""}" data-source="{esc(about.source)}" tabindex="-1"><header>{numbers}'
        f'<h4 dir="auto">{esc(about.title or about.source)}</h4>{lines}</header>'
        f'<blockquote dir="auto">{text}</blockquote>'
        f"<footer>{_join(f'<code>{esc(about.source)}</code>', ranks)}</footer></article>"
    )


def _numbers(citations: Sequence[Citation], number: int, answer: Answer, words: Words) -> str:
    links = "".join(_back(c, number, answer, words) for c in citations)
    return f'<p class="fn-numbers">{links}</p>'


def _back(citation: Citation, number: int, answer: Answer, words: Words) -> str:
    """The number on the card leads back to the sentence that it was set on."""
    at = next((i for i, s in enumerate(answer.sentences) if citation.number in s.citations), 0)
    paged = citation.page is not None and citation.source.lower().endswith(".pdf")
    page = (
        f'data-page="{esc(_page_address(citation))}" data-shows="{esc(_page_words(citation, words))}" ' if paged else ""
    )
    return (
        f'<a class="fn-back" id="fn-t{number}-c{citation.number}" href="#fn-t{number}-s{at}" {page}'
        f'aria-label="{words("back_to", n=citation.number)}">{citation.number}</a>{_mark(citation.support, words)}'
    )


def _page_address(c: Citation) -> str:
    where = urlencode({"source": c.source, "page": c.page, "start": c.start, "end": c.end}, errors="replace")
    return f"/v1/documents/page?{where}"


def _page_words(c: Citation, words: Words) -> str:
    return words("page_boxed", page=c.page, source=c.source)


def _nearest(hit: Hit) -> str:
    """The passage with the sentence that is nearest to the question set off."""
    p = hit.passage
    scored = list(zip(hit.sentence_scores, p.sentences, strict=False))
    if len(scored) < 2:
        return esc(p.text)
    best = max(scored, key=lambda pair: pair[0])[1]
    start, end = best.start - p.start, best.end - p.start
    return f'{esc(p.text[:start])}<span class="fn-near">{esc(p.text[start:end])}</span>{esc(p.text[end:])}'


def _ranks(hit: Hit, words: Words) -> str:
    """Why it was found: the score and the place in each ranking; and where else nearly the same stands."""
    places = [f"{esc(name)} #{place}" for name, place in hit.ranks.items()]
    places += [words("same_in", source=esc(source)) for source in dict.fromkeys(place.source for place in hit.also)]
    score = f"{words('score')} {hit.score:.2f}"
    return f'<span class="fn-ranks">{_join(score, *places)}</span>'


def _where(about: Passage | Citation, words: Words) -> str:
    heading = about.heading[1:] if about.heading[:1] in ((about.title,), (about.sheet,)) else about.heading
    parts = [" &rsaquo; ".join(esc(h) for h in heading)]
    parts.append(f"{words('page')} {about.page}" if about.page is not None else "")
    parts.append(f"{words('sheet')} {esc(about.sheet)}" if about.sheet else "")
    if isinstance(about, Citation):
        parts.append(f"{words('row')} {about.row}" if about.row is not None else "")
    elif about.rows:
        first, last = about.rows[0], about.rows[-1]
        parts.append(f"{words('row')} {first}" if first == last else f"{words('rows')} {first}–{last}")
    return _join(*parts)


def _join(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def trace_html(trace: Trace, words: Words = ENGLISH) -> str:
    """Why this answer: the way from the question to the last check, folded."""
    t = trace
    parts_of = f"<p>{words('in_parts')}: {esc(' | '.join(t.parts))}</p>" if len(t.parts) > 1 else ""
    only = f" ({', '.join(t.sources)})" if t.sources else ""
    terms = ", ".join(f"{esc(term.word)} {term.rarity:.1f}" for term in t.terms)
    sent = [e for e in t.evidence if e.cut is None]
    cut = [e for e in t.evidence if e.cut is not None]
    parts = [
        _part(words("searched_for"), f"<p>{esc(t.search_text + only)}</p>{parts_of}<p>{words('rarity')}: {terms}</p>"),
        _part(
            words("best_of", passages=words.count("passage", t.found)),
            _table(
                (words("column.score"), words("column.ranks"), words("column.passage"), ""),
                (
                    (
                        f"{c.score:.2f}",
                        ", ".join(f"{esc(name)} #{rank}" for name, rank in c.ranks.items()),
                        f"<code>{esc(c.source)}</code> {esc(c.begins)}…",
                        words(f"fate.{c.fate}"),
                    )
                    for c in t.candidates
                ),
            )
            + f"<p>{words('gate', gate=f'{t.gate:g}')}</p>",
        ),
        _part(
            words("evidence", tokens=sum(e.tokens for e in sent), most=f"{t.evidence_budget:,}"),
            _table(
                (words("column.score"), words("column.tokens"), words("column.sentence"), ""),
                (
                    (f"{e.score:.2f}", str(e.tokens), esc(e.text), words(f"cut.{e.cut}") if e.cut else words("read"))
                    for e in (*sent, *cut)
                ),
            ),
        ),
        *(_part(words("call_n", n=n), _call(call, words)) for n, call in enumerate(t.calls, 1)),
        _part(
            words("checks"),
            (f"<p>{esc(_sure(t, words))}</p>" if t.check is not None else "")
            + _table(
                (words("column.support"), words("column.score"), words("column.sentence")),
                (
                    (words(f"mark.{j.support}"), "" if j.score is None else f"{j.score:.2f}", esc(j.text))
                    for j in t.judged
                ),
            ),
        ),
        _part(words("timings"), f"<p>{_join(*(f'{esc(name)} {value:g}' for name, value in t.timings.items()))}</p>"),
    ]
    return f'<details class="fn-why"><summary>{words("why_this")}</summary>{"".join(parts)}</details>'


def _sure(t: Trace, words: Words) -> str:
    return words("sure", probability=f"{t.check:.2f}", least=f"{t.least_check:g}")


def _call(call: ModelCall, words: Words) -> str:
    cost = [words("prompt_tokens", n=f"{call.prompt_tokens:,}"), f"{call.total_s:.2f} s"]
    cost += [f"{words('yes')} {call.probability:.3f}"] if call.probability is not None else []
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

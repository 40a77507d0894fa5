"""Questions about a document itself, who wrote it and when, and the lines at its head that tell. Pure."""

import re
from collections.abc import Sequence

from rag.folding import CAPITAL
from rag.loading import HEAD, without_tags
from rag.questions import answer_kind
from rag.retrieval import DATE, content_stems
from rag.screening import gives_orders
from rag.types import Evidence, Hit

WORK = r"(?:articles?|documents?|papers?|reports?|essays?|posts?|pieces?|books?|stud(?:y|ies)|stor(?:y|ies)|texts?|memos?|letters?|pages?|notes)"
OBRA = r"(?:artículos?|documentos?|informes?|ensayos?|textos?|libros?|estudios?|notas?|cartas?|páginas?)"
ASKS = re.compile(
    rf"\b(?:who|whom)\b.*\b(?:wrote|written|authored|published)\b.*\b{WORK}\b|\b(?:who|name)\b.*\bauthors?\b.*\b{WORK}\b|\b(?:who|name)\b.*\b{WORK}\b.*\bauthors?\b"
    rf"|\bwho\b.*\b(?:wrote|authored|published)\b\s+[\"“'‘«]"
    rf"|\b(?:when|what (?:date|day|year)|which (?:date|day|year))\b.*\b(?:publish|written|write|dated)\w*\b.*\b{WORK}\b"
    rf"|\b(?:when|what (?:date|day|year)|which (?:date|day|year))\b.*\b{WORK}\b.*\b(?:published|written|dated|appear)\b"
    rf"|\b(?:quién|quiénes)\b.*\bescrib\w+\b.*\b{OBRA}\b|\b(?:quién|quiénes|nombres?)\b.*\bautor(?:es|as?)?\b.*\b{OBRA}\b"
    rf"|\b(?:cuándo|qué (?:fecha|día|año))\b.*\bpublic\w+\b.*\b{OBRA}\b",
    re.IGNORECASE,
)
MOST_LINES = 4
ITS_SUBJECT = 0.6  # share of the words of a question about a document that its title and first lines have
OF_ANY_DOCUMENT = (
    "write wrote written author authors authored publish published publication appeared dated date day year name names"
    " article document paper report essay post piece book text"
)
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
# "By Ada Berg", "author: Ada Berg"; a line that is little more than a date.
AUTHORED = re.compile(
    rf"^\W*(?i:written by|by|por|von|par|di)\s+{CAPITAL}|^\W*(?i:authors?|autor(?:es)?)\s*:", re.MULTILINE
)
DATED = re.compile(
    rf"^.{{0,30}}(?:\b{MONTH}\.? \d{{1,2}},? \d{{4}}|\b\d{{1,2}} {MONTH}\.? \d{{4}}|\d{{4}}-\d\d-\d\d).{{0,10}}$",
    re.MULTILINE | re.IGNORECASE,
)


def asks_for_byline(question: str) -> bool:
    """Whether a question is about a document itself: who wrote it, or when it was published."""
    return ASKS.search(question) is not None


def bylines(question: str, hits: Sequence[Hit]) -> list[tuple[Hit, Evidence]]:
    """The first lines of a document that tell who wrote it, or when where that is asked, each with the hit that holds it.

    `hits`: of the document alone. None where its title and first lines have little of what the question says of it.
    """
    head = [hit for hit in sorted(hits, key=lambda hit: hit.passage.start) if hit.passage.start < HEAD]
    about = content_stems(question) - content_stems(OF_ANY_DOCUMENT)
    told = content_stems(" ".join(text for hit in head for text in (hit.passage.title, hit.passage.text[:HEAD])))
    if len(about & told) < ITS_SUBJECT * len(about):
        return []
    when = answer_kind(question) == "time"
    found = []
    for hit in head:
        for sentence in hit.passage.sentences:
            text = hit.passage.quote(sentence)
            line = without_tags(text)
            authored = AUTHORED.search(line)
            tells = (DATED.search(line) or (authored and DATE.search(line))) if when else authored
            if tells and not gives_orders(text):
                found.append((hit, Evidence(hit.passage, sentence.start, sentence.end, text, hit.score)))
    return found[:MOST_LINES]

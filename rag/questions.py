"""What a question asks, so far as its words tell. Pure."""

import re
from typing import Literal

LEAST_WORDS = 4  # a shorter part is a tail ("and for how long?"), not a question of its own
MOST_PARTS = 3
ASKING = (
    r"who|whom|whose|what|which|when|where|why|how"
    r"|qué|quién|quiénes|cuál|cuáles|cuándo|dónde|adónde|cuánto|cuánta|cuántos|cuántas|cómo"
)
BEFORE_ASKING = r"in|on|at|from|to|by|for|of|with|under|en|a|al|de|del|por|con|para|desde|hasta|según"
SEAM = re.compile(
    rf",?\s+(?:and|but|y|e|pero)\s+(?=(?:(?:{BEFORE_ASKING})\s+)?(?:{ASKING})\b)|(?<=\?)\s+(?=\S)", re.IGNORECASE
)


def parts(question: str) -> tuple[str, ...]:
    """The questions that one question joins ("How many …, and which …?"), each with a question mark; itself if it is one.

    A part may lean on what stands before it ("and when did *it* close?"), so none is answered without the whole.
    """
    pieces = [piece.strip(" ,;:") for piece in SEAM.split(question)]
    if not 1 < len(pieces) <= MOST_PARTS or not all(_asks(piece) for piece in pieces):
        return (question,)
    return tuple(piece if piece.endswith("?") else f"{piece}?" for piece in pieces)


def _asks(text: str) -> bool:
    said = text.split()
    return len(said) >= LEAST_WORDS and any(re.fullmatch(ASKING, w.strip("¿,"), re.IGNORECASE) for w in said)


OPEN = re.compile(rf"\b(?:{ASKING})\b", re.IGNORECASE)
CLOSED = re.compile(
    r"\W*(?:do|does|did|is|are|was|were|am|can|could|may|might|has|have|had|will|would|shall|should|must"
    r"|es|son|era|eran|fue|fueron|será|serán|está|están|estaba|puede|pueden|podía|debe|deben|tiene|tienen|tenía|hay|ha|han)\b",
    re.IGNORECASE,
)
# "Can you tell me who …?" wants to hear who.
TOLD = re.compile(
    r"(?:tell|say|says|know|known|state|stated|clear|clarify|explain|explained|mention|mentioned|show|describe|give|name"
    r"|decir|decirme|decirnos|dice|dicen|dicho|sabe|saben|sabido|explicar|explicarme|mostrar|indicar|indicarme)",
    re.IGNORECASE,
)
JOINED = re.compile(
    rf"(?:\b(?:and|but|y|e|pero|if so,?|de ser así,?)|\?)\s+¿?(?:(?:{BEFORE_ASKING})\s+)?(?:{ASKING})\b", re.IGNORECASE
)
# Something named, with an article or a capital: "which of the members saw and heard it" offers no choice.
NAME = r"[A-ZÀ-ÖØ-Þ][\w'’-]*"
THING = rf"(?:(?i:the|el|la|los|las)\s+[\w'’-]+|{NAME})(?:\s+{NAME})*"
THINGS = (
    rf"(?:(?i:the|los|las)\s+(?i:two|three|dos|tres)\s+[\w'’-]+,?\s+)?{THING}(?:,\s+{THING})*,?\s+(?:and|y|e)\s+{THING}"
)
WHICH = r"(?i:which|who|cuál|quién)"
CHOICE = re.compile(
    rf"\b(?i:or|o|u)\b|\b{WHICH}\s+(?:of|between|de|entre)\s+{THINGS}"
    rf"|^\W*(?i:of|between|de|entre)\s+{THINGS},?\s+¿?{WHICH}\s+(?:is|was|has|had|one|es|era|fue|tiene|tenía)\b"
)
HOW_MANY = re.compile(
    r"how (?:many|old|tall)\b|(?:what|which) (?:number of|percent|percentage|proportion|fraction)\b|cuánt[oa]s\b|qué porcentaje\b",
    re.IGNORECASE,
)
HEAD = re.compile(
    rf"(?:,|^|¿|\b(?:and|but|y|e|pero|estimate of|number of)\s)\s*(?:(?:{BEFORE_ASKING})\s+)?(?={ASKING})",
    re.IGNORECASE,
)


def asks_for_number(question: str) -> bool:
    """Whether the word that a question turns on asks for a figure: not so in "Who decides how many there are?"."""
    asking = OPEN.search(question)
    if asking is None or _wants_yes_or_no(question):
        return False
    heads = [asking.start(), *(head.end() for head in HEAD.finditer(question))]
    return any(HOW_MANY.match(question, at) for at in heads)


def _wants_yes_or_no(question: str) -> bool:
    """Whether it begins as a question of yes or no does, and no later word asks on its own ("… and when?")."""
    asking = OPEN.search(question)
    if CLOSED.match(question) is None:
        return False
    before = question[: asking.start()].split() if asking else []
    told = any(TOLD.fullmatch(word) for word in before[1:])
    return not told and JOINED.search(question) is None


AnswerKind = Literal["time", "number", "name"]
TIME = re.compile(
    r"\bwhen\b|\b(?:what|which) (?:date|year|month|day|century|decade)\b|\bcuándo\b|\bqué (?:fecha|año|mes|día|siglo|década)\b",
    re.IGNORECASE,
)
AMOUNT = re.compile(
    r"\bhow (?:many|much|old|tall|long|far|large|big|high|deep|fast|often)\b"
    r"|\b(?:what|which) (?:percent|percentage|number|proportion|fraction|amount)\b|\bcuánt[oa]s?\b|\bqué porcentaje\b",
    re.IGNORECASE,
)
WHO = re.compile(
    r"\b(?:who|whom|whose|where|quién|quiénes|dónde)\b"
    r"|\b(?:which|what|qué) (?:person|people|president|leader|author|writer|team|company|country|countries|city|state|university"
    r"|persona|presidente|presidenta|autor|autora|equipo|empresa|país|países|ciudad|universidad)\b",
    re.IGNORECASE,
)


def answer_kind(question: str) -> AnswerKind | None:
    """What a sentence that answers must have, as far as the question tells."""
    kinds: tuple[tuple[AnswerKind, re.Pattern[str]], ...] = (("time", TIME), ("number", AMOUNT), ("name", WHO))
    return next((kind for kind, pattern in kinds if pattern.search(question)), None)


NAMED = re.compile(r"\b(?:names?|named|called|who|whom|whose|nombres?|llam\w+|quién|quiénes)\b", re.IGNORECASE)


def asks_for_name(question: str) -> bool:
    return NAMED.search(question) is not None


def is_open(question: str) -> bool:
    """Whether a question wants to hear what it does not say itself: neither yes or no, nor a choice of what it names."""
    return OPEN.search(question) is not None and not _wants_yes_or_no(question) and CHOICE.search(question) is None


SOURCES = r"(?:documents?|articles?|files?|sources?|papers?|texts?|corpus|reports?)"
FUENTES = r"(?:documentos?|artículos?|archivos?|fuentes?|textos?|informes?)"
# What one can have many of without speaking of the documents is left out: "how many sources does the river have?".
FILES = r"(?:documents|articles|files)"
ARCHIVOS = r"(?:documentos|artículos|archivos)"
THE_FILES = (
    r"(?:(?:all\s+)?(?:the|these|those|my|your|our)\s+(?:documents|articles|files|sources|papers|texts)|the\s+corpus)"
)
LOS_ARCHIVOS = r"(?:los|las|estos|estas|mis|sus)\s+(?:documentos|artículos|archivos|fuentes|textos)"
NAMES = r"(?:names|titles|dates|years|numbers|amounts|prices)"
NOMBRES = r"(?:nombres|títulos|fechas|años|números|importes|precios)"
PLEASE = r"^(?:please,?\s+)?(?:(?:can|could|would) you\s+(?:please\s+)?)?"
POR_FAVOR = r"^¿?(?:por favor,?\s+)?(?:(?:puedes?|podrías?)\s+)?"
SPEAK = (
    r"(?:mention|name|cite|quote|describe|discuss|speak|talk about|tell of|refer to|deal with|are about"
    r"|contain the (?:word|name|phrase|term))"
)
HABLAN = r"(?:mencionan|nombran|citan|describen|hablan|tratan|dicen|aluden|se refieren|contienen la (?:palabra|frase))"
SPOKEN_OF = r"(?:mentioned|named|cited|quoted|listed|described|discussed|there|appear|occur)"
MENTADOS = r"(?:se\s+)?(?:mencionan?|mencionad[oa]s|nombran?|nombrad[oa]s|citan?|citad[oa]s|describen?|aparecen?|hay)"
ALL = re.compile(
    rf"{PLEASE}(?:list|enumerate)\b"
    rf"|{PLEASE}(?:name|give|show|tell me|what are|which are|who are)\s+(?:me\s+)?(?:all|every|each)\b"
    rf"|{PLEASE}(?:give|show|make|write)\s+(?:me\s+)?a\s+(?:\w+\s+)?list\s+of\b"
    rf"|{PLEASE}count\s+(?:all|every|each|how\s+many|the\s+(?:mentions|{FILES}|number))\b"
    rf"|^what\s+(?:are|were)\s+the\s+(?:\w+\s+)?{NAMES}\s+of\s+(?:all|every|each)\b"
    rf"|^(?:in\s+)?how many\s+(?:of the\s+|different\s+|distinct\s+)*{FILES}\b"
    rf"|^how many\b.*\b{SPOKEN_OF}\s+(?:in|across|throughout)\s+{THE_FILES}\b"
    rf"|^how many\b.*\bdo\s+{THE_FILES}\s+{SPEAK}\b"
    rf"|^(?:which|what)\s+(?:of\s+the\s+)?(?:{FILES}|sources|papers|texts|reports)\s+{SPEAK}\b"
    rf"|\b(?:in|across|throughout)\s+(?:all|any)\s+(?:of\s+)?(?:the\s+|these\s+|my\s+)?{SOURCES}\b"
    rf"|{POR_FAVOR}(?:enumera|enumere|enumerar|lista|liste|listar)\b"
    r"|^(?:nombra|nombre|menciona|di|dime|¿?cuáles son|¿?quiénes son)\s+(?:a\s+)?(?:todos|todas|cada)\b"
    rf"|{POR_FAVOR}(?:da|dame|deme|darme|haz|haga|hacer|hacerme|muestra|muéstrame)\s+una\s+lista\b"
    rf"|{POR_FAVOR}(?:cuenta|cuente|contar)\s+(?:todos|todas|cuántos|cuántas|las\s+menciones|l[oa]s\s+{ARCHIVOS})\b"
    rf"|^¿?cuáles\s+(?:son|eran|fueron)\s+l[oa]s\s+{NOMBRES}\s+de\s+(?:todos|todas|cada)\b"
    rf"|^¿?(?:en\s+)?cuántos\s+{ARCHIVOS}\b"
    rf"|^¿?cuánt[oa]s\b.*\b{MENTADOS}\s+en\s+{LOS_ARCHIVOS}\b"
    rf"|^¿?(?:qué|cuáles\s+de\s+los)\s+(?:{ARCHIVOS}|fuentes|textos|informes)\s+{HABLAN}\b"
    rf"|\ben\s+(?:todos|todas)\s+(?:los|las|mis)\s+{FUENTES}\b",
    re.IGNORECASE,
)


def asks_for_all(question: str) -> bool:
    """Whether a question wants every one there is, or their number over the documents: more than a few passages can tell."""
    return ALL.search(question.strip()) is not None

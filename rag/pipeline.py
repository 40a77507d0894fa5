"""`Rag`: the one place where the parts are joined. Documents in, cited answers out."""

import hashlib
import time
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice, zip_longest
from pathlib import Path
from threading import Lock

from rag import generation, questions
from rag.attribution import RULES_VERSION, Match, cite, denies, match, replies, says_the_same, status_of
from rag.bylines import asks_for_byline, bylines
from rag.chunking import plain
from rag.config import Settings
from rag.diagnosis import Diagnosis, Journey, diagnose, holds_words, locate
from rag.errors import EmptyIndexError, InputError, InUseError, LoadError, ModelError, StoreError
from rag.index import CANDIDATES, Index, Stored, import_store
from rag.ingesting import FileProgress, Ingestion, IngestReport, Progress
from rag.loading import ARCHIVE, detect_question_language, member, sha256
from rag.marks import MARK, code_of
from rag.models.embedder import Embedder, SentenceTransformerEmbedder
from rag.models.llm import LLM, import_client, open_llm
from rag.readers.pdf import picture_of
from rag.retrieval import WORTH_READING, content_stems, fold_duplicates, rank, select_evidence, words
from rag.screening import SCREENING_VERSION, disarmed
from rag.storing import rebuild, recipe_of
from rag.tracing import Traced, TraceStore, usage
from rag.types import (
    QUESTION_CHARACTERS,
    Answer,
    AnswerSentence,
    Citation,
    Considered,
    Delta,
    Done,
    Event,
    Evidence,
    Fate,
    Hit,
    Judged,
    LeftOut,
    Message,
    Place,
    Reason,
    Retrieved,
    Status,
    Term,
    Trace,
    Weighed,
)

TRACES = "answers.sqlite"  # in RAG_HOME
BEGINNING = 160  # characters of a passage that its trace shows
LEFT_OUT = 200  # sentences that a trace shows beside those that were sent
PARTLY_SURER = 0.08  # how much surer than RAG_CHECK the model must have been of what turns out partly supported
NEARLY = 0.9  # support of a sentence that lacks next to nothing
SURVEY_PASSAGES = 1500  # gone through for a question that wants all there is
SURVEY_STEPS = 6  # calls of the model for it, each with as much evidence as an answer has
SURVEY_WORTH = 0.5  # as WORTH_READING: what belongs to a list need not be as near as what answers
EXTRACTIVE_SENTENCES = 2
EXTRACTIVE_SCORE = 0.46  # least score of evidence that answers by itself; with a model, the model is asked
NO_WEIGHTS = "No model is installed, so these are sentences of the documents, word for word. `rag weights` brings one."


@dataclass(frozen=True, slots=True)
class Understood:
    """A question as it is searched for. `query`: `standalone` in the language of the documents where that is `foreign`.

    `joined`: it stands behind the last one, for want of a rewrite, and the two are not asked one by one.
    """

    standalone: str
    query: str
    language: str  # the asker's
    query_language: str
    foreign: bool
    joined: bool = False


class Rag:
    def __init__(
        self,
        settings: Settings,
        *,
        index: Index,
        embedder: Embedder,
        llm: LLM | None,
        older: Callable[[str], Embedder] = SentenceTransformerEmbedder,
    ) -> None:
        """`llm` None: answers are the best sentences, word for word. `older`: opens the embedder of an outdated index."""
        self.settings = settings
        self.index = index
        self.llm = llm
        self._ingesting = Lock()  # one at a time: each decides by what is stored when it starts
        self._embedder = embedder  # that of the settings
        self._searched = True  # False: outdated, and its embedder cannot be had
        self.embedder = self._as_made(older)
        self._swapping = Lock()
        self._rebuilding = Lock()
        self._retired: list[Index] = []
        self.traces = TraceStore(settings.home / TRACES)

    @classmethod
    def open(cls, settings: Settings, embedder: Embedder | None = None) -> "Rag":
        """Starts the models (an `embedder` may be on its way) and opens the index in the home folder. Raises RagError."""
        embedder = embedder or SentenceTransformerEmbedder(settings.embedder)
        llm = None
        try:
            llm = open_llm(settings)
            import_store()  # seconds that would come later anyway, while the models' processes are still loading
            if llm:
                import_client()
            recipe = recipe_of(embedder, settings.passage_tokens)
            index = Index(settings.home / "index", recipe, chroma_url=settings.chroma_url)
        except BaseException:
            embedder.close()
            if llm:
                llm.close()
            raise
        return cls(settings, index=index, embedder=embedder, llm=llm)

    def close(self) -> None:
        self._embedder.close()
        self.embedder.close()
        for old in self._retired:
            old.close(discard=True)
        self.index.close()
        if self.llm:
            self.llm.close()

    def _as_made(self, older: Callable[[str], Embedder]) -> Embedder:
        """What the index was made with: a question is embedded as its passages were."""
        made, wanted = self.index.recipe, self.index.wanted
        if wanted.same_embedder(made):
            return self._embedder
        if made.embedder != wanted.embedder:
            with suppress(ModelError):
                embedder = older(made.embedder)
                if embedder.dimension == made.dimension:
                    return embedder
                embedder.close()
        self._searched = False
        return self._embedder

    @property
    def outdated(self) -> str:
        """What has changed since the index was made, and what to do; empty: nothing."""
        if not self.index.changes:
            return ""
        still = "is searched as it was" if self._searched else "cannot be searched: that embedder is not to be had"
        what = " and ".join(self.index.changes)
        return f"The index was made {what}. `rag ingest PATH` or `rag serve` makes it anew; until then it {still}."

    def rebuild(self, progress: Callable[[Progress], None] = lambda _: None) -> None:
        """Makes an outdated index anew out of the stored texts; the old one answers until the new one takes its place.

        Raises InUseError while it is under way, ModelError, StoreError; the old one then stays.
        """
        if not self._rebuilding.acquire(blocking=False):
            raise InUseError("The index is being made anew. Wait for that to end, and try again.")
        try:
            if not self.index.changes:
                return
            old = self.index
            new = rebuild(old, old.wanted, self._embedder, lambda *said: progress(Progress(*said)))
            with self._swapping:
                self.index, self.embedder, self._searched = new, self._embedder, True
            self._retired.append(old)  # questions under way still read it
        finally:
            self._rebuilding.release()

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
            s.llm,  # the same weights with the adapter and without
            s.llm_base_url,
            self.embedder.name,
            self.index.recipe.chunker,
            s.passage_tokens,
            s.passages,
            s.evidence_tokens,
            s.answer_tokens,
        )
        parts += (s.gate, s.check, generation.PROMPT_VERSION, RULES_VERSION, SCREENING_VERSION)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]

    # -- documents ----------------------------------------------------------------------------------------------

    def ingest(
        self,
        paths: Sequence[Path],
        *,
        prune: bool = False,
        only: Set[Path] | None = None,
        dry: bool = False,
        again: bool = False,
        progress: Callable[[Progress], None] = lambda _: None,
        file_progress: Callable[[FileProgress], None] = lambda _: None,
    ) -> IngestReport:
        """Brings files and folders into the index; what has not changed is left alone. An outdated index is rebuilt first.

        `prune` removes documents under `paths` whose files are gone. A bad file is reported and the rest goes on.
        `only`: of what lies under `paths`, nothing but these files, and what is in these folders, is looked at.
        `dry`: says what would be done, and does nothing. `again`: what has not changed is read and stored anew as well.
        A file that has moved is not embedded again. `file_progress` is called from several threads.
        Raises InputError for a path that does not exist, StoreError, ModelError; what was stored before then stands.
        """
        if not dry:
            self.rebuild(progress)
        with self._ingesting:
            run = Ingestion(self.index, self.embedder, self.settings, progress, file_progress, dry=dry, again=again)
            return run.run(paths, prune, only)

    def documents(self) -> list[Stored]:
        return self.index.documents()

    def text(self, source: str) -> str:
        """Raises InputError."""
        text = self.index.text(source)
        if text is None:
            raise _unknown(source, "source")
        return text

    def page_picture(self, source: str, page: int, start: int = 0, end: int = 0) -> bytes:
        """A page of a PDF as a JPEG, with `text[start:end]` marked on it.

        Raises InputError, and LoadError where the file is no PDF, is gone, or is not the one that was read.
        """
        text = self.text(source)
        stored = next(d for d in self.documents() if d.source == source)
        path = Path(stored.path)
        packed = path.suffix.lower() == ARCHIVE
        if (source if packed else path.name).lower()[-4:] != ".pdf":
            raise LoadError(f"{source!r} is no PDF of its own, so it has no pages to show.")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise LoadError(f"The file of {source!r} is not where it was: {error.strerror}.") from error
        if packed:
            data = member(data, source, stored.sha256) or b""
        if sha256(data) != stored.sha256:
            raise LoadError(f"The file of {source!r} has changed since it was read. Ingest it again.")
        return picture_of(data, page, text[start:end]).jpeg

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
        llm = self.llm if self.llm and not self.llm.busy else None  # a search waits for nobody's answer
        return _best(self._ranked(self._understand(query, history, llm), only), k)

    def ask(self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = ()) -> Answer:
        for event in self.stream(question, history, sources):
            if isinstance(event, Done):
                return event.answer
        raise AssertionError("a stream ends with Done")

    def stream(self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = ()) -> Iterator[Event]:
        """Retrieved, Deltas, Done. Closing the iterator stops the model. Raises RagError."""
        _check_question(question, "question")
        return _Asking(self, question, tuple(history), tuple(sources)).run()

    def asks_first(self, question: str, history: Sequence[Message]) -> bool:
        """Whether the model is asked before the search: to resolve a follow-up, or to translate."""
        languages = self.index.languages()
        language = detect_question_language(question, dict.fromkeys([*languages, *generation.REFUSALS]))
        return self.llm is not None and (bool(history) or bool(languages and language not in languages))

    def trace(self, answer_id: str) -> Trace | None:
        """How a recent answer came about; None where none of that name is kept."""
        return self.traces.get(answer_id)

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
            aside=asking.aside,
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

    def _ranked(self, understood: Understood, only: Sequence[str] | None, candidates: int = CANDIDATES) -> list[Hit]:
        query = understood.query
        with self._swapping:
            index, embedder = self.index, self.embedder
        vector = embedder.embed_query(query)
        found = index.candidates(vector, query, only, candidates)
        return rank(found, vector, query, language=understood.query_language, reads=embedder.reads)

    def _understand(self, question: str, history: Sequence[Message], llm: LLM | None) -> Understood:
        languages = self.index.languages()
        language = detect_question_language(question, dict.fromkeys([*languages, *generation.REFUSALS]))
        standalone, joined = self._standalone(question, history, llm)
        if not languages or language in languages or llm is None:
            return Understood(standalone, standalone, language, language, foreign=False, joined=joined)
        main = next(iter(languages))
        query = self._translated(standalone, main, llm)
        return Understood(standalone, query, language, main, foreign=True, joined=joined)

    def _standalone(self, question: str, history: Sequence[Message], llm: LLM | None) -> tuple[str, bool]:
        """A follow-up as a question of its own: by the model, else with the last question before it, and then True."""
        if not history:
            return question, False
        if llm is not None:
            reply = "".join(llm.stream(generation.standalone_messages(question, history)))
            if rewritten := generation.as_question(reply, question, history):
                return rewritten, False
        asked = [m.content for m in history if m.role == "user"]
        return f"{asked[-1]} {question}"[-QUESTION_CHARACTERS:] if asked else question, bool(asked)

    def _translated(self, question: str, language: str, llm: LLM) -> str:
        reply = "".join(llm.stream(generation.translate_question_messages(question, language)))
        return generation.as_translation(reply, question) or question

    def _resolve(self, sources: Sequence[str]) -> list[str] | None:
        """None: all. Raises EmptyIndexError, InputError."""
        if not self.index.counts()[0]:
            raise EmptyIndexError("Nothing is indexed yet: `rag ingest PATH` first.")
        if not self._searched:
            raise StoreError(self.outdated)
        if not sources:
            return None
        known = self.index.sources()
        found: list[str] = []
        for source in sources:
            at = bisect_left(known, source)
            some = known[at : at + 1] if known[at : at + 1] == [source] else []
            if source.endswith("/"):
                some = known[at : bisect_left(known, f"{source[:-1]}0")]  # 0 comes next to the slash
            if not some:
                raise _unknown(source, "sources")
            found += some
        return list(dict.fromkeys(found))


class _Asking:
    """One question on its way to an answer."""

    def __init__(self, rag: Rag, question: str, history: tuple[Message, ...], sources: tuple[str, ...]) -> None:
        self.rag, self.question, self.history, self.sources = rag, question.strip(), history, sources
        self.settings = rag.settings
        self.llm = Traced(rag.llm) if rag.llm else None
        self.id = uuid.uuid4().hex
        self.started = time.perf_counter()
        self.timings: dict[str, float] = {}
        self.ranked: list[Hit] = []
        self.hits: list[Hit] = []
        self.survey = False  # the question wants all there is
        self.parts: tuple[str, ...] = ()
        self.missing: str | None = None  # the part that the documents do not answer
        self.evidence: list[Evidence] = []
        self.aside: list[tuple[Evidence, LeftOut]] = []
        self.judged: list[Judged] = []
        self.sentences: list[AnswerSentence] = []
        self.citations: list[Citation] = []
        self.notes: tuple[str, ...] = () if rag.llm or rag.settings.llm == "extractive" else (NO_WEIGHTS,)

    def run(self) -> Iterator[Event]:
        only = self.rag._resolve(self.sources)  # first: where nothing can be searched, no model is asked
        self.understood = self.rag._understand(self.question, self.history, self.llm)
        self.survey = self.llm is not None and questions.asks_for_all(self.understood.query)
        whole = self.survey or self.understood.joined
        self.parts = (self.understood.query,) if whole else questions.parts(self.understood.query)
        started = time.perf_counter()
        self._retrieve(self.understood, only)
        self.timings["search_s"] = time.perf_counter() - started
        yield Retrieved(self.understood.standalone, tuple(self.hits))
        if not self.hits or self.hits[0].score < self.settings.gate:
            yield self._refuse("off_topic")
            return
        yield from self._extract() if self.llm is None else self._generate(self.llm, self.understood.query)

    def _retrieve(self, understood: Understood, only: Sequence[str] | None) -> None:
        """Each part of a question that joins several is searched for on its own, and has its share of the evidence."""
        asked = [understood.query] if len(self.parts) == 1 else [understood.query, *self.parts]
        candidates = SURVEY_PASSAGES if self.survey else CANDIDATES
        rankings = [self.rag._ranked(replace(understood, query=query), only, candidates) for query in asked]
        self.ranked = _joined(rankings)
        self.hits = _best(self.ranked, self.settings.passages)
        self.rarity = self.rag.index.rarity(words(understood.query))
        left_out: dict[tuple[str, int], tuple[Evidence, LeftOut]] = {}
        chosen = []

        def aside(evidence: Evidence, why: LeftOut) -> None:
            left_out.setdefault(_place(evidence), (evidence, why))

        for part, ranking in zip(self.parts, rankings[-len(self.parts) :], strict=True):
            hits = ranking if self.survey else _best(ranking, self.settings.passages)
            found = select_evidence(
                hits,
                part,
                self.rarity,
                self.settings.evidence_tokens * (SURVEY_STEPS if self.survey else 1) // len(self.parts),
                generation.count_tokens,
                aside,
                worth=SURVEY_WORTH if self.survey else WORTH_READING,
            )
            chosen.append(found)
            shown, read = {hit.passage for hit in self.hits}, {e.passage for e in found}
            self.hits += [hit for hit in hits if hit.passage in read - shown]
        by_place = {_place(e): e for turn in zip_longest(*chosen) for e in turn if e}  # the best of each part first
        self.evidence = list(by_place.values())
        self.aside = [cut for place, cut in left_out.items() if place not in by_place]

    def _extract(self) -> Iterator[Event]:
        if not self.evidence or self.evidence[0].score < EXTRACTIVE_SCORE:
            yield self._refuse("not_stated")
            return
        for evidence in self.evidence[:EXTRACTIVE_SENTENCES]:
            text = MARK.sub("", disarmed(plain(evidence.text)))
            yield self._delta(text, opens=True)
            yield self._delta(self._add(text, text, Match("quoted", (evidence,), 1.0)))
        yield self._done()

    def _survey(self, llm: LLM, query: str) -> Iterator[Event]:
        """Goes through the evidence step by step; what was said before, or is not supported, is left out."""
        said: set[str] = set()
        for step in islice(_steps(self.evidence, self.settings.evidence_tokens), SURVEY_STEPS):
            with closing(llm.stream(generation.survey_messages(query, step, cites=llm.cites))) as chunks:
                for piece in self._pieces(chunks):
                    sentence = generation.without_bullet(piece.sentence or "")
                    key = " ".join(words(sentence))
                    if not key or key in said or generation.says_not_found(sentence):
                        continue
                    found = self._match(sentence, query, piece.codes)
                    if found.support == "unsupported":
                        continue
                    said.add(key)
                    if self.understood.foreign:
                        yield from self._say_in_their_words(llm, replace(piece, sentence=sentence), query)
                    else:
                        yield self._delta(sentence, opens=True)
                        yield self._delta(self._add(sentence, sentence, found))
        passages = self.rag.index.counts()[1]
        read = len(self.ranked)
        self.notes += (generation.read_of(self.understood.language, read, passages, len(self.evidence)),)
        yield self._done()

    def _generate(self, llm: LLM, query: str) -> Iterator[Event]:
        if self.survey:
            yield from self._survey(llm, query)
            return
        asked, (query, sure) = query, self._answerable(llm, query)
        if not query:
            yield self._refuse_what_is_not_stated(asked)
            return
        messages = generation.answer_messages(query, self.evidence, may_refuse=sure is None, cites=llm.cites)
        with closing(llm.stream(messages)) as chunks:
            for piece in self._pieces(chunks):
                if generation.says_not_found(piece.sentence or ""):
                    continue
                if self.understood.foreign:
                    yield from self._say_in_their_words(llm, piece, query)
                else:
                    yield from self._say(piece, query)
        yield self._done()

    def _answerable(self, llm: LLM, query: str) -> tuple[str, float | None]:
        """(what of the question the evidence answers, how sure the model is of the whole); the rest is `missing`."""
        started = time.perf_counter()
        sure = self._sure(llm, query)
        if sure is not None:
            self.timings["check"] = sure
        answered = query
        if sure is not None and sure < self.settings.check and self.byline:
            self._read_byline()
        elif sure is not None and sure < self.settings.check:
            found = (
                [p for p in self.parts if (self._sure(llm, p) or 0.0) >= self.settings.check]
                if len(self.parts) > 1
                else []
            )
            open_parts = [part for part in self.parts if part not in found]
            answered = " ".join(found) if open_parts else query
            self.missing = " ".join(open_parts) or None
        self.timings["check_s"] = time.perf_counter() - started
        return answered, sure

    @cached_property
    def byline(self) -> list[tuple[Hit, Evidence]]:
        """Of the best document, where the question is about a document itself."""
        if not asks_for_byline(self.understood.query):
            return []
        return bylines(self.understood.query, self.rag._ranked(self.understood, [self.hits[0].passage.source]))

    def _read_byline(self) -> None:
        """Instead of the evidence: who wrote a document, and when, stands in lines that are no sentences. No model is asked."""
        self.evidence = [evidence for _, evidence in self.byline]
        missing = {hit.passage: hit for hit, _ in self.byline}
        shown = {hit.passage for hit in self.hits}
        self.hits += [hit for passage, hit in missing.items() if passage not in shown]

    def _sure(self, llm: LLM, question: str) -> float | None:
        return llm.yes_probability(generation.check_messages(question, self.evidence))

    def _pieces(self, chunks: Iterator[str]) -> Iterable[generation.Piece]:
        """As they come; all at once where each is to be translated, since a model does one thing at a time."""
        pieces = generation.pieces(generation.respelling(chunks, [e.text for e in self.evidence]))
        return list(pieces) if self.understood.foreign else pieces

    def _say(self, piece: generation.Piece, query: str) -> Iterator[Event]:
        """Words as they come; the marks follow when the sentence is finished and has been matched."""
        if piece.text:
            yield self._delta(piece.text, opens=piece.opens)
        if piece.sentence is not None:
            yield self._delta(
                self._add(piece.sentence, piece.sentence, self._match(piece.sentence, query, piece.codes))
            )

    def _say_in_their_words(self, llm: LLM, piece: generation.Piece, query: str) -> Iterator[Event]:
        """Matched in the language of the documents, then said in the asker's, unless its figures are then others."""
        if piece.sentence is None:
            return
        found = self._match(piece.sentence, query, piece.codes)
        messages = generation.translate_messages(piece.sentence, self.understood.language)
        translated = MARK.sub("", "".join(llm.stream(messages))).strip()
        said = translated if says_the_same(translated, piece.sentence) else piece.sentence
        yield self._delta(said, opens=True)
        yield self._delta(self._add(said, piece.sentence, found))

    def _match(self, sentence: str, query: str, codes: Sequence[str] = ()) -> Match:
        """`codes`: of the evidence that the model names; where that does not hold the sentence, all is looked through."""
        rarity = self._rarity(sentence)
        if named := [e for e in self.evidence if code_of(e) in codes]:
            found = match(sentence, named, question=query, rarity=rarity)
            if found.support in ("quoted", "supported"):
                return found
        return match(sentence, self.evidence, question=query, rarity=rarity)

    def _rarity(self, sentence: str) -> dict[str, float]:
        return self.rarity | self.rag.index.rarity(set(words(sentence)) - set(self.rarity))

    def _add(self, text: str, compared: str, found: Match) -> str:
        """`compared`: the sentence as it was matched, in the language of the documents."""
        numbers = []
        against = self._against(compared, found)
        for evidence in (*found.evidence, *against):
            new = cite(evidence, "partial" if evidence in against else found.support, len(self.citations) + 1)
            old = next(
                (c for c in self.citations if (c.source, c.start, c.end) == (new.source, new.start, new.end)), None
            )
            if old is None:
                self.citations.append(new)
            numbers.append((old or new).number)
        self.sentences.append(AnswerSentence(text, found.support, tuple(numbers)))
        self.judged.append(Judged(compared, found.support, tuple(numbers), round(found.score, 3)))
        return _marks(self.sentences[-1])

    def _against(self, sentence: str, found: Match) -> tuple[Evidence, ...]:
        """What another document says instead of a supported sentence; told in a note."""
        cited = {e.passage.source for e in found.evidence}
        if not cited:
            return ()
        others = (e for e in self.evidence if e.passage.source not in cited)
        rarity = self._rarity(sentence)
        against = next((e for e in others if denies(sentence, e.text, rarity)), None)
        if against is None:
            return ()
        self.notes += (generation.disagree(self.understood.language, against),)
        return (against,)

    def _delta(self, text: str, *, opens: bool = False) -> Delta:
        """`opens`: a sentence begins; all but the first stand behind a space."""
        self.timings.setdefault("first_token_s", time.perf_counter() - self.started)
        return Delta(f" {text}" if opens and self.sentences else text)

    def _done(self) -> Done:
        self._leave_open()
        status = status_of([s.support for s in self.sentences])
        if not self.sentences:  # a model that tells no probability has said that nothing was found
            return self._refuse_what_is_not_stated(self.understood.query)
        if status == "partial" and not self.survey and self._doubted():
            return self._refuse("not_stated")
        told = self.llm is None or self.survey or len(self.parts) > 1
        told = told or replies(self.understood.query, [j.text for j in self.judged])
        if status not in ("answered", "partial") or not told:
            return self._refuse("not_stated")
        text = " ".join(sentence.text + _marks(sentence) for sentence in self.sentences)
        return self._finished(self._answer(text, "partial" if self.missing or status == "partial" else "answered"))

    def _doubted(self) -> bool:
        """Whether all that is said is only partly supported, none of it nearly, and the model was none too sure before that."""
        sure = self.timings.get("check", 1.0)
        partly = all(j.support == "partial" and (j.score or 0) < NEARLY for j in self.judged)
        return partly and sure < self.settings.check + PARTLY_SURER and not self.byline

    def _leave_open(self) -> None:
        """Of a question in parts, a sentence that nothing supports is not said: the part that it was to answer is missing."""
        said = list(zip(self.sentences, self.judged, strict=True))
        lacking = [j.text for s, j in said if s.support == "unsupported"]
        if len(self.parts) == 1 or not lacking or len(lacking) == len(said):
            return
        self.sentences = [s for s, _ in said if s.support != "unsupported"]
        nearest = {max(self.parts, key=lambda part: len(content_stems(part) & content_stems(t))) for t in lacking}
        open_parts = [part for part in self.parts if part in nearest or part in (self.missing or "")]
        self.missing = " ".join(open_parts)

    def _refuse_what_is_not_stated(self, query: str) -> Done:
        """A question that takes for granted what the documents deny is told so."""
        denying = next((e for e in self.evidence if denies(query, e.text, self.rarity)), None)
        if denying is None:
            return self._refuse("not_stated")
        self.notes += (generation.says_otherwise(self.understood.language, denying),)
        return self._refuse("contradicted")

    def _refuse(self, reason: Reason) -> Done:
        self.sentences, self.citations, self.missing = [], [], None
        text = generation.refusal(self.understood.language)
        return self._finished(replace(self._answer(text, "not_in_documents"), reason=reason))

    def _answer(self, text: str, status: Status) -> Answer:
        self.timings["total_s"] = time.perf_counter() - self.started
        self.timings |= usage(self.llm.calls) if self.llm and self.llm.calls else {}
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
            missing=self.missing,
            notes=self.notes,
            id=self.id,
        )

    def _finished(self, answer: Answer) -> Done:
        trace = self._trace(answer)
        self.rag.traces.keep(trace)
        return Done(answer, trace)

    def _trace(self, answer: Answer) -> Trace:
        u = self.understood
        return Trace(
            id=self.id,
            asked=datetime.now(UTC).isoformat(timespec="seconds"),
            question=self.question,
            standalone_question=u.standalone,
            search_text=u.query,
            parts=self.parts,
            language=u.language,
            search_language=u.query_language,
            sources=self.sources,
            terms=tuple(Term(word, round(rarity, 2)) for word, rarity in self.rarity.items()),
            found=len(self.ranked),
            candidates=tuple(self._considered(hit) for hit in self.ranked[: 2 * self.settings.passages]),
            gate=self.settings.gate,
            evidence=(
                *(_weighed(e) for e in self.evidence),
                *(_weighed(e, why) for e, why in self.aside[:LEFT_OUT]),
            ),
            evidence_budget=self.settings.evidence_tokens,
            calls=tuple(self.llm.calls) if self.llm else (),
            check=self.timings.get("check"),
            least_check=self.settings.check,
            judged=tuple(self.judged),
            status=answer.status,
            reason=answer.reason,
            model=answer.model,
            timings=answer.timings,
            fingerprint=answer.fingerprint,
        )

    def _considered(self, hit: Hit) -> Considered:
        p = hit.passage
        fate: Fate = "not_sent"
        if any(e.passage == p for e in self.evidence):
            fate = "sent"
        elif any(place.source == p.source and place.start == p.start for other in self.hits for place in other.also):
            fate = "duplicate"
        elif all(other.passage != p for other in self.hits):
            fate = "not_fetched"
        begins = " ".join(p.text[:BEGINNING].split())
        return Considered(p.source, p.title, p.start, p.end, begins, round(hit.score, 4), hit.ranks, fate)


def _best(ranked: Sequence[Hit], k: int) -> list[Hit]:
    return fold_duplicates(ranked[: 2 * k])[:k]


def _steps(evidence: Sequence[Evidence], tokens: int) -> Iterator[list[Evidence]]:
    """Evidence document by document, in pieces of at most `tokens`; a longer sentence is a piece of its own."""
    step: list[Evidence] = []
    size = 0
    by_source: dict[str, list[Evidence]] = {}
    for e in evidence:
        by_source.setdefault(e.passage.source, []).append(e)
    for e in (e for group in by_source.values() for e in group):
        more = generation.count_tokens(plain(e.text))
        if step and size + more > tokens:
            yield step
            step, size = [], 0
        step.append(e)
        size += more
    if step:
        yield step


def _joined(rankings: Sequence[Sequence[Hit]]) -> list[Hit]:
    """One ranking of several; a passage has the best of its scores."""
    best: dict[tuple[str, int], Hit] = {}
    for hit in (hit for ranking in rankings for hit in ranking):
        place = hit.passage.source, hit.passage.start
        if place not in best or hit.score > best[place].score:
            best[place] = hit
    return sorted(best.values(), key=lambda hit: -hit.score)


def _place(evidence: Evidence) -> tuple[str, int]:
    return evidence.passage.source, evidence.start


def _weighed(e: Evidence, cut: LeftOut | None = None) -> Weighed:
    tokens = generation.count_tokens(plain(e.text))
    return Weighed(e.passage.source, e.start, e.end, e.text, round(e.score, 4), tokens, cut)


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

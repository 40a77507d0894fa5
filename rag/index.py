"""The store: the only module that knows Chroma and tantivy, and what stands in SQLite.

SQLite is the truth: documents, passages, their vectors, and whose ids the other two may still hold in vain.
Chroma finds passages by vector, tantivy by words; a passage lives only if its document has a name. Replacing goes

    1. new documents and their passages, without a name      one SQLite transaction
    2. their vectors and words                               Chroma, tantivy
    3. the old lose their names, the new are given theirs    one SQLite transaction
    4. what has no name is dropped                           Chroma, tantivy, then SQLite

so that a search sees the old or the new document, and whatever a kill leaves behind is swept at the next open.

All of it lies in a folder of its own, a generation, that the file `current` names. One that is made anew beside it takes
its place when that file is replaced.
"""

import errno
import json
import os
import shutil
import sqlite3
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import starmap
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from rag.errors import ConfigError, DiskFullError, InUseError, StoreError
from rag.schema import TEXT_CHARACTERS, Recipe, create, from_format_2, read_manifest, update_manifest
from rag.types import Document, Flag, Passage, Row, Sentence

CANDIDATES = 100  # of each list, before fusion
EXACT_PASSAGES = 20_000  # of the sources asked for: so many are compared one by one, more by Chroma's filter
STEMMERS = {  # language of a document -> tantivy's stemmer; any other language is indexed unstemmed
    "da": "danish",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "it": "italian",
    "nl": "dutch",
    "pt": "portuguese",
    "sv": "swedish",
}
UNSTEMMED = "other"


@dataclass(frozen=True, slots=True)
class Entry:
    """A document ready to be stored, or a part of a large one: it is seen when its last part is stored.

    `vectors`: per passage (1 + sentences, dimension), the passage's own first.
    """

    document: Document
    path: str
    root: str
    passages: Sequence[Passage]
    vectors: Sequence[NDArray[np.float32]]
    words: Sequence[str]  # per passage, what the lexical index reads
    part: int = 0
    last: bool = True


@dataclass(frozen=True, slots=True)
class Stored:
    """What the document list shows."""

    source: str
    title: str
    passages: int
    characters: int
    sha256: str
    path: str
    root: str
    flags: tuple[Flag, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in ("source", "title", "passages", "characters", "sha256")}
        return data | {"flags": [asdict(flag) for flag in self.flags]}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that one of the lists held. `vectors` as in Entry; ranks count from 1, None: not in that list."""

    passage: Passage
    vectors: NDArray[np.float32]
    dense_rank: int | None
    lexical_rank: int | None
    lexical_score: float  # BM25; 0 where it is not in the list


class Index:
    """One process at a time owns the folder. Reading is safe from any thread; writing is serialised."""

    def __init__(
        self, folder: Path, recipe: Recipe, *, chroma_url: str | None = None, beside: "Index | None" = None
    ) -> None:
        """Opens or makes the store in `folder`; where it was made otherwise, `changes` says how.

        `beside`: makes a new generation in the folder that this one owns already.
        Raises InUseError, ConfigError, StoreError where it cannot be read.
        """
        self.folder = folder
        self.wanted = recipe
        self._chroma_url = chroma_url
        self._local = threading.local()
        self._writing = threading.Lock()
        self._versions = 0  # grows by 2 with every change of rows, odd while it is made
        self._kept: dict[str, tuple[int, Any]] = {}
        self._staged: dict[str, int] = {}  # source -> id of a large document of which parts are still to come
        self._lock: FileLock = beside._lock if beside else FileLock(folder / LOCK, thread_local=False)
        _own(folder, self._lock)
        try:
            with translated(folder):
                self._store = _new_generation(folder) if beside else _current(folder)
                self._db = self._open_database(recipe)
                self._chroma = self._open_chroma(chroma_url)
                self._words, self._writer = self._open_words()
                self._sweep()
                self._check_whole()
                if beside is None:
                    self._forget_other_generations()
        except BaseException:
            self._lock.release()
            raise

    def beside(self, recipe: Recipe) -> "Index":
        """An empty index by another recipe, in the same folder. `take_over` puts it in this one's place."""
        return Index(self.folder, recipe, chroma_url=self._chroma_url, beside=self)

    def take_over(self) -> None:
        """From here on this generation is the one that is opened."""
        with translated(self.folder):
            _name_current(self.folder, self._store.name)

    # -- reading ------------------------------------------------------------------------------------------------

    def documents(self) -> list[Stored]:
        rows = self._select(
            "SELECT source, title, passages, characters, sha256, path, root FROM documents WHERE source NOT NULL ORDER BY source"
        )
        flags = self._flags()
        return [replace(Stored(*row), flags=flags.get(row[0], ())) for row in rows]

    def _flags(self) -> dict[str, tuple[Flag, ...]]:
        flags: dict[str, tuple[Flag, ...]] = {}
        for source, *flag in self._select(
            'SELECT d.source, f.kind, f.start, f."end", f.quote FROM flags f JOIN documents d ON d.id = f.document'
            " WHERE d.source NOT NULL ORDER BY f.rowid"
        ):
            flags[source] = (*flags.get(source, ()), Flag(*flag))
        return flags

    def sources(self) -> list[str]:
        """Sorted."""
        return list(self._known())

    def document(self, source: str) -> tuple[Document, str, str] | None:
        """(the document as it was stored, its path, its root)."""
        rows = self._select(
            "SELECT title, sha256, author, publisher, date, language, page_starts, rows, path, root FROM documents"
            " WHERE source = ?",
            (source,),
        )
        text = self.text(source)
        if not rows or text is None:
            return None
        title, sha256, author, publisher, date, language, page_starts, numbers, path, root = rows[0]
        document = Document(
            *(source, title, text, sha256, author, publisher, date, language),
            page_starts=tuple(json.loads(page_starts)),
            rows=tuple(Row(*row) for row in json.loads(numbers)),
            flags=self._flags().get(source, ()),
        )
        return document, path, root

    def text(self, source: str) -> str | None:
        parts = self._select(
            "SELECT t.text FROM texts t JOIN documents d ON d.id = t.document WHERE d.source = ? ORDER BY t.part",
            (source,),
        )
        return "".join(row[0] for row in parts) if parts else None

    def stored(self, source: str) -> list[tuple[Passage, NDArray[np.float32]]]:
        """The passages of a document with their vectors, as in Entry."""
        sql = "SELECT p.id FROM passages p JOIN documents d ON d.id = p.document WHERE d.source = ?"
        ids = [row[0] for row in self._select(sql, (source,))]
        return [(passage, vectors) for _, passage, vectors in self._passages(ids)]

    def counts(self) -> tuple[int, int]:
        """(documents, passages)."""
        known = self._known()
        return len(known), sum(passages for _, passages in known.values())

    def languages(self) -> dict[str, int]:
        """Language -> number of documents."""
        counted = "SELECT language, count(*) FROM documents WHERE source NOT NULL GROUP BY language ORDER BY 2 DESC"
        languages: dict[str, int] = self._remembered("languages", lambda: dict(self._select(counted)))
        return dict(languages)

    def _known(self) -> dict[str, tuple[int, int]]:
        """Source -> (id of its document, number of its passages)."""
        listed = "SELECT source, id, passages FROM documents WHERE source NOT NULL ORDER BY source"
        known: dict[str, tuple[int, int]] = self._remembered(
            "known", lambda: {source: (id_, passages) for source, id_, passages in self._select(listed)}
        )
        return known

    def _remembered(self, name: str, read: Callable[[], Any]) -> Any:
        """What is read once for every change: each question asks for it more than once."""
        version, value = self._kept.get(name, (-1, None))
        now = self._versions
        if version != now or now % 2:
            value = read()
            self._kept[name] = now, value
        return value

    def candidates(
        self, vector: NDArray[np.float32], text: str, sources: Sequence[str] | None = None, limit: int = CANDIDATES
    ) -> list[Candidate]:
        """The union of the passages nearest to `vector` and those that share words with `text`."""
        with translated(self.folder):
            while True:
                before = self._versions
                dense = self.nearest(vector, sources, limit)
                lexical = self._matching(text, sources, limit)
                found = list(self._passages([*dense, *lexical]))
                if (
                    before == self._versions and not before % 2
                ):  # else the lists may hold only old ids, the rows only new ones
                    break
        dense_rank = {id_: rank for rank, id_ in enumerate(dense, 1)}
        lexical_rank = {id_: rank for rank, id_ in enumerate(lexical, 1)}
        return [
            Candidate(passage, vectors, dense_rank.get(id_), lexical_rank.get(id_), lexical.get(id_, 0.0))
            for id_, passage, vectors in found
        ]

    def rarity(self, words: Iterable[str]) -> dict[str, float]:
        """Inverse document frequency of words over all passages: ln(1 + N / (1 + n)), stems counted."""
        searcher = self._words.searcher()
        total = searcher.num_docs
        languages = [*STEMMERS, UNSTEMMED]
        result = {}
        for word in words:
            found = 0
            for language in languages:
                stems = self._analyzers[language].analyze(word)
                found += max((searcher.doc_freq(language, stem) for stem in stems), default=0)
            result[word] = float(np.log1p(total / (1 + found)))
        return result

    def nearest(
        self,
        vector: NDArray[np.float32],
        sources: Sequence[str] | None = None,
        limit: int = CANDIDATES,
        *,
        exact: bool = False,
    ) -> list[int]:
        """Ids of passages, the nearest first. `exact`: each is compared, whatever that takes."""
        if exact and sources is None:
            return self._nearest_of([id_ for id_, _ in self._known().values()], vector, limit)
        if sources is None:
            where = None
        elif (asked := [known for s in sources if (known := self._known().get(s))]) and (
            sum(passages for _, passages in asked) > EXACT_PASSAGES
        ):
            where = {"source": {"$in": list(sources)}}
        else:
            return self._nearest_of([id_ for id_, _ in asked], vector, limit)
        found = self._chroma.query(query_embeddings=[vector], n_results=limit, where=where, include=[])
        return [int(id_) for id_ in found["ids"][0]]

    def _nearest_of(self, documents: Sequence[int], vector: NDArray[np.float32], limit: int) -> list[int]:
        """Each passage of the documents compared: exact, and faster than a filter on few of many."""
        wanted = "SELECT first, vectors FROM heads WHERE document IN (SELECT value FROM json_each(?))"
        rows = self._select(wanted, (json.dumps(list(documents)),))
        if not rows:
            return []
        vectors = np.frombuffer(b"".join(row[1] for row in rows), "<f2").reshape(-1, len(vector))
        width = 2 * len(vector)
        ids = np.concatenate([np.arange(first, first + len(v) // width) for first, v in rows])
        near = vectors.astype(np.float32) @ vector
        best = np.argsort(-near, kind="stable")[:limit]
        return [int(id_) for id_ in ids[best]]

    def _matching(self, text: str, sources: Sequence[str] | None, limit: int) -> dict[int, float]:
        import tantivy

        schema = self._words.schema
        shoulds = [
            (tantivy.Occur.Should, tantivy.Query.term_query(schema, language, stem))
            for language in {_field(language) for language in self.languages()}
            for stem in dict.fromkeys(self._analyzers[language].analyze(text))
        ]
        if not shoulds:
            return {}
        query = tantivy.Query.boolean_query(shoulds)
        if sources is not None:
            only = tantivy.Query.const_score_query(tantivy.Query.term_set_query(schema, "source", list(sources)), 0.0)
            query = tantivy.Query.boolean_query([(tantivy.Occur.Must, query), (tantivy.Occur.Must, only)])
        searcher = self._words.searcher()
        hits = searcher.search(query, limit, count=False).hits
        return {searcher.doc(address)["id"][0]: score for score, address in hits}

    def _passages(self, ids: Sequence[int]) -> Iterator[tuple[int, Passage, NDArray[np.float32]]]:
        rows = self._select(
            'SELECT p.id, d.source, d.title, p.start, p."end", p.text, p.sentences, p.heading, p.page, d.author,'
            " d.publisher, d.date, d.language, p.sheet, p.rows, p.vectors FROM passages p JOIN documents d ON d.id = p.document"
            " WHERE p.id IN (SELECT value FROM json_each(?)) AND d.source NOT NULL",
            (json.dumps(list(ids)),),
        )
        for id_, source, title, start, end, text, sentences, heading, *rest, numbers, vectors in rows:
            spans = tuple(starmap(Sentence, np.frombuffer(sentences, "<i4").reshape(-1, 2).tolist()))
            fields = (*rest, _decoded(numbers))
            passage = Passage(source, title, start, end, text, spans, _decoded(heading), *fields)
            matrix = np.frombuffer(vectors, "<f2").reshape(len(spans) + 1, -1).astype(np.float32)
            yield id_, passage, matrix

    def _select(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Over a connection of this thread's own: a search never waits for a write. Raises StoreError."""
        with translated(self.folder):
            if not hasattr(self._local, "connection"):
                address = f"{self._database.absolute().as_uri()}?mode=ro"
                self._local.connection = sqlite3.connect(address, uri=True, check_same_thread=False)
            rows: list[Any] = self._local.connection.execute(sql, parameters).fetchall()
            return rows

    # -- writing ------------------------------------------------------------------------------------------------

    def replace(self, entries: Sequence[Entry], gone: Sequence[str] = ()) -> None:
        """Stores the documents in place of those of the same source and removes the sources in `gone`, all or nothing.

        Raises DiskFullError, StoreError; what was stored before then stands.
        """
        try:
            with self._writing, translated(self.folder):
                self._sweep()  # what an earlier failure left
                whole = self._stage(entries)
                self._add(entries, whole)
                self._versions += 1
                try:
                    with self._db:
                        self._unname([*whole, *gone])
                        named = [(source, id_) for source, id_ in whole.items()]
                        self._db.executemany("UPDATE documents SET source = ? WHERE id = ?", named)
                finally:
                    self._versions += 1
                self._sweep()
        except BaseException:
            for entry in entries:
                self._staged.pop(entry.document.source, None)
            raise

    def remove(self, sources: Sequence[str]) -> None:
        self.replace([], sources)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing is written for as long as this lasts; searches go on."""
        with self._writing:
            yield

    def close(self, *, discard: bool = False) -> None:
        """`discard`: this generation is of no more use."""
        with suppress(ValueError, RuntimeError):  # closed before
            self._writer.wait_merging_threads()
        if discard:
            with suppress(Exception):  # what stays is looked for again at the next open
                self._client.delete_collection(self.collection)
        self._client.close()
        if connection := getattr(self._local, "connection", None):
            connection.close()
        self._db.close()
        if discard:
            shutil.rmtree(self._store, ignore_errors=True)
        self._lock.release()

    def _stage(self, entries: Sequence[Entry]) -> dict[str, int]:
        """Writes the rows of documents that have no name yet. Source -> id of those that are whole now."""
        whole = {}
        with self._db:
            for entry in entries:
                source = entry.document.source
                if entry.part == 0:
                    self._staged[source] = self._insert_document(entry)
                self._insert_rows(entry, self._staged[source])
                if entry.last:
                    whole[source] = self._staged.pop(source)
        return whole

    def _insert_document(self, entry: Entry) -> int:
        d = entry.document
        rows = json.dumps([(row.start, row.sheet, row.number) for row in d.rows])
        known = d.title, d.author, d.publisher, d.date, d.language, d.sha256
        cursor = self._db.execute(
            "INSERT INTO documents VALUES (NULL, NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
            (entry.path, entry.root, *known, len(d.text), json.dumps(d.page_starts), rows),
        )
        for part, at in enumerate(range(0, max(len(d.text), 1), TEXT_CHARACTERS)):
            text = d.text[at : at + TEXT_CHARACTERS]
            self._db.execute("INSERT INTO texts VALUES (?, ?, ?)", (cursor.lastrowid, part, text))
        self._db.executemany(
            "INSERT INTO flags VALUES (?, ?, ?, ?, ?)",
            [(cursor.lastrowid, flag.kind, flag.start, flag.end, flag.quote) for flag in d.flags],
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _insert_rows(self, entry: Entry, document: int) -> None:
        first = self._next_id
        self._next_id += len(entry.passages)
        for id_, (p, matrix) in enumerate(zip(entry.passages, entry.vectors, strict=True), first):
            spans = np.array([(s.start, s.end) for s in p.sentences], "<i4").tobytes()
            heading = json.dumps(p.heading, ensure_ascii=False)
            self._db.execute(
                "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(id_, document, p.start, p.end, p.text, heading, p.page, p.sheet, json.dumps(p.rows)),
                    *(spans, matrix.astype("<f2").tobytes()),
                ),
            )
        heads = np.stack([matrix[0] for matrix in entry.vectors]).astype("<f2").tobytes()
        self._db.execute("INSERT INTO heads VALUES (?, ?, ?)", (first, document, heads))
        size = len(entry.passages)
        self._db.execute("UPDATE documents SET passages = passages + ? WHERE id = ?", (size, document))

    def _add(self, entries: Sequence[Entry], whole: Mapping[str, int]) -> None:
        """Words of all, vectors of the documents that are whole: until then these would crowd the others out."""
        import tantivy

        id_ = self._next_id - sum(len(entry.passages) for entry in entries)
        for entry in entries:
            language = _field(entry.document.language)
            for words in entry.words:
                document = tantivy.Document()
                document.add_unsigned("id", id_)
                document.add_text("source", entry.document.source)
                document.add_text(language, words)
                self._writer.add_document(document)
                id_ += 1
        if not whole:
            return
        ids: list[str] = []
        vectors: list[NDArray[np.float32]] = []
        metadata: list[dict[str, str]] = []
        for source, document_id in whole.items():
            heads = self._db.execute(
                "SELECT first, vectors FROM heads WHERE document = ? ORDER BY first", (document_id,)
            )
            for first, data in heads:
                matrix = np.frombuffer(data, "<f2").reshape(-1, self.recipe.dimension).astype(np.float32)
                ids += [str(id_) for id_ in range(first, first + len(matrix))]
                vectors += list(matrix)
                metadata += [{"source": source}] * len(matrix)
                while len(ids) >= self._max_batch:
                    self._upsert(ids, vectors, metadata)
        self._upsert(ids, vectors, metadata)
        self._writer.commit()
        self._words.reload()

    def _upsert(self, ids: list[str], vectors: list[NDArray[np.float32]], metadata: list[dict[str, str]]) -> None:
        """As many as Chroma takes at a time; they leave the lists."""
        if ids:
            part = slice(0, self._max_batch)
            self._chroma.upsert(ids=ids[part], embeddings=vectors[part], metadatas=metadata[part])
            del ids[part], vectors[part], metadata[part]

    def _unname(self, sources: Sequence[str]) -> None:
        self._db.executemany("UPDATE documents SET source = NULL WHERE source = ?", [(source,) for source in sources])

    def _sweep(self) -> None:
        """Drops the documents without a name, but for those of which parts are still to come."""
        staged = set(self._staged.values())
        nameless = [row[0] for row in self._db.execute("SELECT id FROM documents WHERE source IS NULL")]
        documents = json.dumps([id_ for id_ in nameless if id_ not in staged])
        if documents == "[]":
            return
        listed = "SELECT id FROM passages WHERE document IN (SELECT value FROM json_each(?))"
        self._drop([row[0] for row in self._db.execute(listed, (documents,))])
        with self._db:
            self._db.execute("DELETE FROM documents WHERE id IN (SELECT value FROM json_each(?))", (documents,))

    def _drop(self, ids: Sequence[int]) -> None:
        """Takes passages out of Chroma and tantivy."""
        import tantivy

        for at in range(0, len(ids), self._max_batch):
            part = list(ids[at : at + self._max_batch])
            self._chroma.delete(ids=[str(id_) for id_ in part])
            # By query: `delete_documents_by_term` of tantivy-py 0.27 finds no unsigned number, and says nothing.
            self._writer.delete_documents_by_query(tantivy.Query.term_set_query(self._words.schema, "id", part))
        self._writer.commit()
        self._words.reload()

    def _check_whole(self) -> None:
        """Each passage has its vector and its words, unless a part of the folder was lost."""
        passages = self.counts()[1]
        found = {"vectors": self._chroma.count(), "words": self._words.searcher().num_docs}
        for part, number in found.items():
            if number < passages:
                raise StoreError(
                    f"The index in {self.folder} has lost {passages - number} of {passages} {part}."
                    " Delete that folder and ingest again."
                )

    # -- opening ------------------------------------------------------------------------------------------------

    @property
    def _database(self) -> Path:
        return self._store / DATABASE

    def _open_database(self, recipe: Recipe) -> sqlite3.Connection:
        if not self._database.exists() and (not self._store.exists() or any(self._store.iterdir())):
            raise StoreError(f"The index in {self.folder} has lost its database. Delete that folder and ingest again.")
        db = sqlite3.connect(self._database, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
        if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            create(db, recipe)
        if not (manifest := read_manifest(db)):
            raise StoreError(ANOTHER_VERSION.format(self.folder))
        self.recipe, self.collection = manifest
        self.changes = recipe.changes(self.recipe)
        if not self.changes and recipe != self.recipe:  # what an older format did not know
            self.recipe = recipe
            update_manifest(db, recipe)
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'passages'").fetchone()
        self._next_id = (row[0] if row else 0) + 1
        return db

    def _forget_other_generations(self) -> None:
        """Those that were never finished, or have been replaced."""
        for store in self.folder.glob(f"{GENERATION}*"):
            if store == self._store:
                continue
            with suppress(sqlite3.Error, ValueError, KeyError):
                if self._chroma_url and (store / DATABASE).exists():
                    db = sqlite3.connect(store / DATABASE)
                    _, collection = read_manifest(db) or (None, "")
                    db.close()
                    with suppress(Exception):  # gone before
                        self._client.delete_collection(collection)
            shutil.rmtree(store, ignore_errors=True)

    def _open_chroma(self, url: str | None) -> Any:
        import chromadb
        from chromadb.config import Settings as ChromaSettings

        quiet = ChromaSettings(anonymized_telemetry=False)
        if url:
            parts = urlsplit(url)
            if not parts.hostname:
                raise ConfigError(f"RAG_CHROMA_URL={url!r} is no address like http://host:8000.", "chroma_url")
            self._client: Any = chromadb.HttpClient(
                host=parts.hostname, port=parts.port or 8000, ssl=parts.scheme == "https", settings=quiet
            )
        else:
            self._client = chromadb.PersistentClient(path=str(self._store / "chroma"), settings=quiet)
        self._max_batch = min(int(self._client.get_max_batch_size()), 5000)
        return self._client.get_or_create_collection(
            self.collection, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )

    def _open_words(self) -> tuple[Any, Any]:
        import tantivy

        builder = tantivy.SchemaBuilder()
        builder.add_unsigned_field("id", stored=True, indexed=True)
        builder.add_text_field("source", tokenizer_name="raw")
        self._analyzers = {language: _analyzer(stemmer) for language, stemmer in STEMMERS.items()}
        self._analyzers[UNSTEMMED] = _analyzer(None)
        for language in self._analyzers:
            builder.add_text_field(language, tokenizer_name=f"words_{language}")
        path = self._store / "words"
        path.mkdir(exist_ok=True)
        index = tantivy.Index(builder.build(), path=str(path))
        for language, analyzer in self._analyzers.items():
            index.register_tokenizer(f"words_{language}", analyzer)
        return index, index.writer(heap_size=50_000_000, num_threads=1)


LOCK, OWNER, CURRENT = "lock", "owner.json", "current"
GENERATION = "g-"  # how the folder of a generation begins
DATABASE = "documents.sqlite"
ANOTHER_VERSION = (
    "{} was made by another version of this program. Delete that folder and ingest again, or set RAG_HOME elsewhere."
)


def import_store() -> None:
    """Imports what `Index` will import: two seconds that can pass beside something else."""
    import chromadb  # noqa: F401


def _own(folder: Path, lock: FileLock) -> None:
    """Makes this process the owner of the folder. Raises InUseError with the name of the owner."""
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InUseError(
                f"{folder.parent} is in use by {_owner(folder)}. Wait for it to end, or stop it."
            ) from None
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
        (folder / OWNER).write_text(json.dumps({"pid": os.getpid(), "command": command}))


def current_database(folder: Path) -> Path | None:
    """Where the documents of an index stand; None where there is none yet."""
    if (folder / CURRENT).exists():
        return folder / (folder / CURRENT).read_text().strip() / DATABASE
    return folder / DATABASE if (folder / DATABASE).exists() else None


def _current(folder: Path) -> Path:
    """The folder of the generation to open: made where there is none, out of the format before where that lies there."""
    if (folder / CURRENT).exists():
        name = (folder / CURRENT).read_text().strip()
        if not name.startswith(GENERATION) or "/" in name:
            raise StoreError(f"{folder / CURRENT} is damaged. Delete {folder} and ingest again.")
        return folder / name
    if (folder / DATABASE).exists():
        return _converted(folder)
    for path in folder.iterdir():
        if path.name.startswith(GENERATION) and (path / DATABASE).exists():
            raise StoreError(
                f"{folder} has lost its file {CURRENT!r}. Write {path.name!r} into it, or ingest again elsewhere."
            )
        if path.name not in (LOCK, OWNER) and not path.name.startswith((GENERATION, CURRENT)):
            raise StoreError(
                f"{folder} is no index of this program ({path.name!r} lies in it). Set RAG_HOME elsewhere."
            )
    store = _new_generation(folder)
    _name_current(folder, store.name)
    return store


def _new_generation(folder: Path) -> Path:
    store = folder / f"{GENERATION}{uuid.uuid4().hex[:8]}"
    store.mkdir()
    return store


def _name_current(folder: Path, name: str) -> None:
    """One rename: whoever looks sees the old name or the new."""
    written = folder / f"{CURRENT}.new"
    with written.open("w") as file:
        file.write(name)
        file.flush()
        os.fsync(file.fileno())
    written.replace(folder / CURRENT)


def _converted(folder: Path) -> Path:
    """An index of the format before as a generation. A kill on the way leaves what the next open begins with again."""
    with closing(sqlite3.connect(folder / DATABASE)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'manifest'").fetchone():
            raise StoreError(f"{folder / DATABASE} is another program's database. Set RAG_HOME elsewhere.")
    store = folder / f"{GENERATION}2"
    store.mkdir(exist_ok=True)
    if not from_format_2(folder / DATABASE, store / DATABASE):
        raise StoreError(ANOTHER_VERSION.format(folder))
    for part in ("chroma", "words"):
        if (folder / part).exists():
            (folder / part).rename(store / part)
    _name_current(folder, store.name)
    for suffix in ("", "-wal", "-shm"):
        (folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    return store


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER).read_text())
        return f"process {owner['pid']} ({owner['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"


@lru_cache(10_000)
def _decoded(text: str) -> tuple[Any, ...]:
    """A list in JSON: the same headings, and no rows, stand in row after row."""
    return tuple(json.loads(text))


def _field(language: str) -> str:
    return language if language in STEMMERS else UNSTEMMED


def _analyzer(stemmer: str | None) -> Any:
    import tantivy

    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for step in (tantivy.Filter.remove_long(80), tantivy.Filter.lowercase()):
        builder = builder.filter(step)
    if stemmer:
        builder = builder.filter(tantivy.Filter.stemmer(stemmer))
    return builder.filter(tantivy.Filter.ascii_fold()).build()


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """The errors of SQLite, Chroma, tantivy and the file system as ours."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, RuntimeError) as error:
        raise _translate(error, folder) from error
    except Exception as error:
        if type(error).__module__.startswith(("chromadb", "httpx")):
            raise _translate(error, folder) from error
        raise


# SQLite calls a quota or a limit on the size of files an error of writing; Chroma and tantivy have only words for it.
FULL_CODES = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, "SQLITE_FULL", "SQLITE_IOERR_WRITE")
FULL_MARKS = ("disk is full", "No space left", "File too large", "os error 28", "os error 27", "code: 778")


def _translate(error: Exception, folder: Path) -> StoreError:
    text = str(error)
    code = getattr(error, "errno", None) or getattr(error, "sqlite_errorname", None)
    if code in FULL_CODES or any(mark in text for mark in FULL_MARKS):
        return DiskFullError(
            f"No room left in {folder}. What was stored before is kept; free some space and try again."
        )
    return StoreError(
        f"The index in {folder} cannot be used: {type(error).__name__}: {text[:300]}"
        " If that does not pass, delete the folder and ingest again."
    )

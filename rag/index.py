"""The store: the only module that knows Chroma, SQLite and tantivy.

SQLite is the truth: documents, passages, their sentence vectors, and which ids the other two may still hold in vain.
Chroma finds passages by vector, tantivy by words; a passage lives only if its row does. Replacing documents goes

    1. note the new ids as pending            SQLite
    2. add vectors and words under new ids    Chroma, tantivy
    3. new rows in, old rows out, old ids pending, new ids no more    one SQLite transaction
    4. drop the old ids, clear pending        Chroma, tantivy, SQLite

so that a search sees the old or the new document, and whatever a kill leaves behind is swept at the next open.
"""

import errno
import json
import os
import sqlite3
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from rag.chunking import CHUNKER_VERSION
from rag.errors import ConfigError, DiskFullError, InUseError, StoreError
from rag.types import Document, Flag, Passage, Sentence

FORMAT = 2
CANDIDATES = 100  # of each list, before fusion
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

SCHEMA = """
CREATE TABLE manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, source TEXT UNIQUE NOT NULL, path TEXT NOT NULL, root TEXT NOT NULL, title TEXT NOT NULL,
    author TEXT, publisher TEXT, date TEXT, language TEXT NOT NULL, sha256 TEXT NOT NULL, text TEXT NOT NULL,
    characters INTEGER NOT NULL, page_starts TEXT NOT NULL
);
CREATE INDEX documents_path ON documents (path);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, text TEXT NOT NULL, heading TEXT NOT NULL, page INTEGER,
    sheet TEXT, rows TEXT NOT NULL, sentences BLOB NOT NULL, vectors BLOB NOT NULL
);
CREATE INDEX passages_document ON passages (document);
CREATE TABLE pending (id INTEGER PRIMARY KEY);
"""
FLAGS = """
CREATE TABLE IF NOT EXISTS flags (
    document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    kind TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, quote TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS flags_document ON flags (document);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document ready to be stored. `vectors`: per passage (1 + sentences, dimension), the passage's own first."""

    document: Document
    path: str
    root: str
    passages: Sequence[Passage]
    vectors: Sequence[NDArray[np.float32]]
    words: Sequence[str]  # per passage, what the lexical index reads


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

    def __init__(self, folder: Path, *, embedder: str, dimension: int, chroma_url: str | None = None) -> None:
        """Opens or makes the store in `folder`.

        Raises InUseError, ConfigError where it was made with another embedder, StoreError where it cannot be read.
        """
        self.folder = folder
        self._local = threading.local()
        self._writing = threading.Lock()
        self._replaced = 0  # how often rows have changed
        self._lock = _own(folder)
        try:
            with translated(folder):
                self._db = self._open_database(embedder, dimension)
                self._chroma = self._open_chroma(chroma_url)
                self._words, self._writer = self._open_words()
                self._sweep()
                self._check_whole()
        except BaseException:
            self._lock.release()
            raise

    # -- reading ------------------------------------------------------------------------------------------------

    def documents(self) -> list[Stored]:
        rows = self._select(
            "SELECT source, title, (SELECT count(*) FROM passages p WHERE p.document = d.id), characters, sha256, path, root"
            " FROM documents d ORDER BY source"
        )
        flags: dict[str, list[Flag]] = {}
        for source, *flag in self._select(
            'SELECT d.source, f.kind, f.start, f."end", f.quote FROM flags f JOIN documents d ON d.id = f.document'
            " ORDER BY f.rowid"
        ):
            flags.setdefault(source, []).append(Flag(*flag))
        return [replace(Stored(*row), flags=tuple(flags.get(row[0], ()))) for row in rows]

    def text(self, source: str) -> str | None:
        rows = self._select("SELECT text FROM documents WHERE source = ?", (source,))
        return rows[0][0] if rows else None

    def stored(self, source: str) -> list[tuple[Passage, NDArray[np.float32]]]:
        """The passages of a document with their vectors, as in Entry."""
        sql = "SELECT p.id FROM passages p JOIN documents d ON d.id = p.document WHERE d.source = ?"
        ids = [row[0] for row in self._select(sql, (source,))]
        return [(passage, vectors) for _, passage, vectors in self._passages(ids)]

    def counts(self) -> tuple[int, int]:
        """(documents, passages)."""
        row = self._select("SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM passages)")[0]
        return row[0], row[1]

    def languages(self) -> dict[str, int]:
        """Language -> number of documents."""
        return dict(self._select("SELECT language, count(*) FROM documents GROUP BY language ORDER BY 2 DESC"))

    def candidates(
        self, vector: NDArray[np.float32], text: str, sources: Sequence[str] | None = None, limit: int = CANDIDATES
    ) -> list[Candidate]:
        """The union of the passages nearest to `vector` and those that share words with `text`."""
        with translated(self.folder):
            while True:
                before = self._replaced
                dense = self._nearest(vector, sources, limit)
                lexical = self._matching(text, sources, limit)
                found = list(self._passages([*dense, *lexical]))
                if before == self._replaced:  # else the lists may hold only old ids, the rows only new ones
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

    def _nearest(self, vector: NDArray[np.float32], sources: Sequence[str] | None, limit: int) -> list[int]:
        if sources is not None and not sources:
            return []
        where = {"source": {"$in": list(sources)}} if sources is not None else None
        found = self._chroma.query(query_embeddings=[vector], n_results=limit, where=where, include=[])
        return [int(id_) for id_ in found["ids"][0]]

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
            " WHERE p.id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        )
        for id_, source, title, start, end, text, sentences, heading, *rest, numbers, vectors in rows:
            spans = tuple(Sentence(int(a), int(b)) for a, b in np.frombuffer(sentences, "<i4").reshape(-1, 2))
            fields = (*rest, tuple(json.loads(numbers)))
            passage = Passage(source, title, start, end, text, spans, tuple(json.loads(heading)), *fields)
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
        with self._writing, translated(self.folder):
            first = self._next_id
            self._next_id += sum(len(entry.passages) for entry in entries)
            new = range(first, self._next_id)
            with self._db:
                self._db.executemany("INSERT INTO pending VALUES (?)", [(id_,) for id_ in new])
            self._add(entries, first)
            with self._db:
                old = self._delete_rows([*(entry.document.source for entry in entries), *gone])
                id_ = first
                for entry in entries:
                    id_ = self._insert_rows(entry, id_)
                self._db.execute("DELETE FROM pending WHERE id BETWEEN ? AND ?", (first, self._next_id - 1))
                self._db.executemany("INSERT INTO pending VALUES (?)", [(id_,) for id_ in old])
            self._replaced += 1
            self._drop(old)

    def remove(self, sources: Sequence[str]) -> None:
        self.replace([], sources)

    def close(self) -> None:
        with suppress(ValueError, RuntimeError):  # closed before
            self._writer.wait_merging_threads()
        self._client.close()
        if connection := getattr(self._local, "connection", None):
            connection.close()
        self._db.close()
        self._lock.release()

    def _add(self, entries: Sequence[Entry], first: int) -> None:
        import tantivy

        id_ = first
        ids: list[str] = []
        vectors: list[NDArray[np.float32]] = []
        metadata: list[dict[str, str]] = []
        for entry in entries:
            language = _field(entry.document.language)
            for words, matrix in zip(entry.words, entry.vectors, strict=True):
                document = tantivy.Document()
                document.add_unsigned("id", id_)
                document.add_text("source", entry.document.source)
                document.add_text(language, words)
                self._writer.add_document(document)
                ids.append(str(id_))
                vectors.append(matrix[0])
                metadata.append({"source": entry.document.source})
                id_ += 1
        step = self._max_batch
        for at in range(0, len(ids), step):
            part = slice(at, at + step)
            self._chroma.upsert(ids=ids[part], embeddings=vectors[part], metadatas=metadata[part])
        self._writer.commit()
        self._words.reload()

    def _insert_rows(self, entry: Entry, id_: int) -> int:
        d = entry.document
        cursor = self._db.execute(
            "INSERT INTO documents (source, path, root, title, author, publisher, date, language, sha256, text, characters,"
            " page_starts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(
                    d.source,
                    entry.path,
                    entry.root,
                    d.title,
                    d.author,
                    d.publisher,
                    d.date,
                    d.language,
                    d.sha256,
                    d.text,
                ),
                *(len(d.text), json.dumps(d.page_starts)),
            ),
        )
        self._db.executemany(
            "INSERT INTO flags VALUES (?, ?, ?, ?, ?)",
            [(cursor.lastrowid, flag.kind, flag.start, flag.end, flag.quote) for flag in d.flags],
        )
        for p, matrix in zip(entry.passages, entry.vectors, strict=True):
            spans = np.array([(s.start, s.end) for s in p.sentences], "<i4").tobytes()
            heading = json.dumps(p.heading, ensure_ascii=False)
            self._db.execute(
                "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(id_, cursor.lastrowid, p.start, p.end, p.text, heading, p.page, p.sheet, json.dumps(p.rows)),
                    *(spans, matrix.astype("<f2").tobytes()),
                ),
            )
            id_ += 1
        return id_

    def _delete_rows(self, sources: Sequence[str]) -> list[int]:
        """The ids of the passages that went with the documents."""
        ids: list[int] = []
        for source in sources:
            where = "document = (SELECT id FROM documents WHERE source = ?)"
            ids += [row[0] for row in self._db.execute(f"SELECT id FROM passages WHERE {where}", (source,))]
            self._db.execute(f"DELETE FROM passages WHERE {where}", (source,))
            self._db.execute("DELETE FROM documents WHERE source = ?", (source,))
        return ids

    def _drop(self, ids: Sequence[int]) -> None:
        """Takes passages that have no row out of Chroma and tantivy."""
        import tantivy

        if not ids:
            return
        for at in range(0, len(ids), self._max_batch):
            self._chroma.delete(ids=[str(id_) for id_ in ids[at : at + self._max_batch]])
        # By query: `delete_documents_by_term` of tantivy-py 0.27 finds no unsigned number, and says nothing.
        self._writer.delete_documents_by_query(tantivy.Query.term_set_query(self._words.schema, "id", list(ids)))
        self._writer.commit()
        self._words.reload()
        with self._db:
            self._db.executemany("DELETE FROM pending WHERE id = ?", [(id_,) for id_ in ids])

    def _sweep(self) -> None:
        self._drop([row[0] for row in self._db.execute("SELECT id FROM pending")])

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
        return self.folder / "documents.sqlite"

    def _open_database(self, embedder: str, dimension: int) -> sqlite3.Connection:
        others = [path.name for path in self.folder.iterdir() if path.name not in (LOCK, OWNER)]
        if others and not self._database.exists():
            raise StoreError(
                f"{self.folder} is no index of this program ({others[0]!r} lies in it). Set RAG_HOME elsewhere."
            )
        db = sqlite3.connect(self._database, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'manifest'").fetchone():
            if db.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise StoreError(f"{self._database} is another program's database. Set RAG_HOME elsewhere.")
            db.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            made = {"format": FORMAT, "embedder": embedder, "dimension": dimension, "chunker": CHUNKER_VERSION}
            made |= {"collection": f"footnote-{uuid.uuid4().hex[:12]}"}
            with db:
                db.executemany("INSERT INTO manifest VALUES (?, ?)", [(key, str(value)) for key, value in made.items()])
        manifest = dict(db.execute("SELECT key, value FROM manifest"))
        if manifest.get("format") != str(FORMAT):
            raise StoreError(
                f"{self.folder} was made by another version of this program. Delete that folder and ingest again,"
                " or set RAG_HOME elsewhere."
            )
        if (manifest["embedder"], manifest["dimension"]) != (embedder, str(dimension)):
            raise ConfigError(
                f"This index was made with the embedder {manifest['embedder']!r}, not {embedder!r}: set RAG_EMBEDDER back,"
                f" or use another RAG_HOME, or delete {self.folder} and ingest again.",
                "embedder",
            )
        db.executescript(FLAGS)
        self.collection = manifest["collection"]
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'passages'").fetchone()
        pending = db.execute("SELECT max(id) FROM pending").fetchone()[0]
        self._next_id = max(row[0] if row else 0, pending or 0) + 1
        return db

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
            self._client = chromadb.PersistentClient(path=str(self.folder / "chroma"), settings=quiet)
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
        path = self.folder / "words"
        path.mkdir(exist_ok=True)
        index = tantivy.Index(builder.build(), path=str(path))
        for language, analyzer in self._analyzers.items():
            index.register_tokenizer(f"words_{language}", analyzer)
        return index, index.writer(heap_size=50_000_000, num_threads=1)


LOCK, OWNER = "lock", "owner.json"


def import_store() -> None:
    """Imports what `Index` will import: two seconds that can pass beside something else."""
    import chromadb  # noqa: F401


def _own(folder: Path) -> FileLock:
    """Makes this process the owner of the folder. Raises InUseError with the name of the owner."""
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InUseError(
                f"{folder.parent} is in use by {_owner(folder)}. Wait for it to end, or stop it."
            ) from None
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
        (folder / OWNER).write_text(json.dumps({"pid": os.getpid(), "command": command}))
    return lock


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER).read_text())
        return f"process {owner['pid']} ({owner['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"


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

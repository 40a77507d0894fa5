"""The database of an index: its tables, its manifest, and how the one of the format before becomes this one."""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from rag.chunking import CHUNKER_VERSION

FORMAT = 3
TEXT_CHARACTERS = 1_000_000  # of a document's text in one row: SQLite copies every value that it is given
SAME_WEIGHTS = 0.99  # cosine of one text's vectors; kinds of processor differ by less than 0.001
SCHEMA = """
CREATE TABLE manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL);
-- Without a source: on its way in, or out.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, source TEXT UNIQUE, path TEXT NOT NULL, root TEXT NOT NULL, title TEXT NOT NULL, author TEXT,
    publisher TEXT, date TEXT, language TEXT NOT NULL, sha256 TEXT NOT NULL, characters INTEGER NOT NULL,
    passages INTEGER NOT NULL, page_starts TEXT NOT NULL, rows TEXT NOT NULL
);
CREATE INDEX documents_path ON documents (path);
CREATE TABLE texts (
    document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE, part INTEGER NOT NULL, text TEXT NOT NULL
);
CREATE UNIQUE INDEX texts_document ON texts (document, part);
CREATE TABLE flags (
    document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    kind TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, quote TEXT NOT NULL
);
CREATE INDEX flags_document ON flags (document);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, text TEXT NOT NULL, heading TEXT NOT NULL, page INTEGER,
    sheet TEXT, rows TEXT NOT NULL, sentences BLOB NOT NULL, vectors BLOB NOT NULL
);
CREATE INDEX passages_document ON passages (document);
-- The passages' own vectors once more, for those with the ids `first`, `first` + 1 …: what is searched one by one.
CREATE TABLE heads (
    first INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE, vectors BLOB NOT NULL
);
CREATE INDEX heads_document ON heads (document);
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an index is made with: where it changes, the index has to be made anew. 0 or empty: not known."""

    embedder: str
    dimension: int
    max_tokens: int  # what the embedder reads of a text
    passage_tokens: int
    chunker: int = CHUNKER_VERSION
    probe: tuple[float, ...] = ()  # the embedder's vector of one text: weights may change under the same name

    def same_embedder(self, other: "Recipe") -> bool:
        if (self.embedder, self.dimension) != (other.embedder, other.dimension):
            return False
        if not self.probe or not other.probe:
            return True
        return float(np.dot(self.probe, other.probe)) >= SAME_WEIGHTS

    def changes(self, made: "Recipe") -> tuple[str, ...]:
        """What an index made by `made` has otherwise, in words."""
        found = []
        if self.embedder != made.embedder:
            found.append(f"with the embedder {made.embedder!r}, not {self.embedder!r}")
        elif not self.same_embedder(made):
            found.append(f"with other weights of {made.embedder!r}")
        elif 0 != made.max_tokens != self.max_tokens:
            found.append(f"when {made.embedder!r} read {made.max_tokens} tokens, not {self.max_tokens}")
        if 0 != made.passage_tokens != self.passage_tokens:
            found.append(f"with passages of {made.passage_tokens} tokens, not {self.passage_tokens}")
        if self.chunker != made.chunker:
            found.append("by a version that cut passages otherwise")
        return tuple(found)


def create(db: sqlite3.Connection, recipe: Recipe) -> None:
    db.executescript(f"BEGIN; {SCHEMA} COMMIT;")
    write_manifest(db, recipe, f"footnote-{uuid.uuid4().hex[:12]}")


def write_manifest(db: sqlite3.Connection, recipe: Recipe, collection: str) -> None:
    with db:
        db.execute("INSERT INTO manifest VALUES ('format', ?), ('collection', ?)", (FORMAT, json.dumps(collection)))
    update_manifest(db, recipe)


def update_manifest(db: sqlite3.Connection, recipe: Recipe) -> None:
    values = [(key, json.dumps(value)) for key, value in asdict(recipe).items()]
    with db:
        db.executemany("INSERT OR REPLACE INTO manifest VALUES (?, ?)", values)


def read_manifest(db: sqlite3.Connection) -> tuple[Recipe, str] | None:
    """The recipe and the name of the Chroma collection; None for another format. Raises ValueError, KeyError."""
    values = dict(db.execute("SELECT key, value FROM manifest"))
    if values.get("format") != str(FORMAT):
        return None
    read = {key: json.loads(value) for key, value in values.items()}
    recipe = Recipe(**{field.name: read[field.name] for field in fields(Recipe)})
    return replace(recipe, probe=tuple(recipe.probe)), read["collection"]


def from_format_2(old: Path, new: Path) -> bool:
    """Writes what the database `old` holds, its ids kept, into `new`. False where it is of another format."""
    new.unlink(missing_ok=True)
    db = sqlite3.connect(new)
    try:
        db.execute("ATTACH ? AS old", (str(old),))
        manifest = dict(db.execute("SELECT key, value FROM old.manifest"))
        if manifest.get("format") != "2":
            return False
        db.executescript(SCHEMA)
        with db:
            db.execute(
                "INSERT INTO documents SELECT id, source, path, root, title, author, publisher, date, language, sha256,"
                " characters, (SELECT count(*) FROM old.passages p WHERE p.document = d.id), page_starts, '[]'"
                " FROM old.documents d"
            )
            db.execute("INSERT INTO texts SELECT id, 0, text FROM old.documents")
            db.execute("INSERT INTO passages SELECT * FROM old.passages")
            if db.execute("SELECT 1 FROM old.sqlite_master WHERE name = 'flags'").fetchone():
                db.execute("INSERT INTO flags SELECT * FROM old.flags")
            ids = [row[0] for row in db.execute("SELECT id FROM documents")]
            for document in ids:
                db.execute(
                    "UPDATE documents SET rows = ? WHERE id = ?", (json.dumps(list(_rows(db, document))), document)
                )
                passages = db.execute("SELECT id, sentences, vectors FROM passages WHERE document = ?", (document,))
                heads = [(id_, document, v[: len(v) // (len(s) // 8 + 1)]) for id_, s, v in passages]
                db.executemany("INSERT INTO heads VALUES (?, ?, ?)", heads)
            _leave_to_the_sweep(db)
        recipe = Recipe(manifest["embedder"], int(manifest["dimension"]), 0, 0, int(manifest["chunker"]))
        write_manifest(db, recipe, manifest["collection"])
        return True
    finally:
        db.close()


def _rows(db: sqlite3.Connection, document: int) -> Iterator[tuple[int, str | None, int]]:
    """The rows of a spreadsheet, which that format kept with the passages only: (start, sheet, number)."""
    starts: dict[tuple[str | None, int], int] = {}
    wanted = "SELECT sheet, rows, sentences FROM passages WHERE document = ? AND rows != '[]' ORDER BY start"
    for sheet, rows, sentences in db.execute(wanted, (document,)):
        for number, (start, _) in zip(json.loads(rows), np.frombuffer(sentences, "<i4").reshape(-1, 2), strict=True):
            starts.setdefault((sheet, number), int(start))
    yield from sorted((start, sheet, number) for (sheet, number), start in starts.items())


def _leave_to_the_sweep(db: sqlite3.Connection) -> None:
    """Ids that Chroma and tantivy may still hold in vain become passages of a document without a name."""
    pending = [row[0] for row in db.execute("SELECT id FROM old.pending WHERE id NOT IN (SELECT id FROM passages)")]
    if not pending:
        return
    cursor = db.execute(
        "INSERT INTO documents VALUES (NULL, NULL, '', '', '', NULL, NULL, NULL, '', '', 0, 0, '[]', '[]')"
    )
    db.executemany(
        "INSERT INTO passages VALUES (?, ?, 0, 0, '', '[]', NULL, NULL, '[]', x'', x'')",
        [(id_, cursor.lastrowid) for id_ in pending],
    )

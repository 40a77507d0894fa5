import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from rag.chunking import CHUNKER_VERSION, chunk
from rag.errors import ConfigError, InUseError, StoreError
from rag.index import Entry, Index, current_database
from rag.schema import Recipe
from rag.types import Document, Flag, Row
from tests.fakes import FakeEmbedder

FAKE = FakeEmbedder()
RECIPE = Recipe("fake", FAKE.dimension, FAKE.max_tokens, 200)


def entry(source: str, text: str, *, language: str = "en", **fields: Any) -> Entry:
    """A document with one passage for each of its sections."""
    document = Document(source, source, text, sha256=f"{hash(text):x}", language=language, **fields)
    passages = chunk(document, FAKE.count_tokens, 200, 254)
    vectors = [FAKE.embed_documents([p.text, *(p.quote(s) for s in p.sentences)]) for p in passages]
    return Entry(document, f"/docs/{source}", "/docs", passages, vectors, [p.text for p in passages])


def open_index(folder: Path, **options: Any) -> Index:
    recipe = replace(RECIPE, **{name: options.pop(name) for name in list(options) if name in Recipe.__slots__})
    return Index(folder, recipe, **options)


def found(index: Index, query: str, sources: list[str] | None = None) -> list[str]:
    return [c.passage.text for c in index.candidates(FAKE.embed_query(query), query, sources)]


def in_words(index: Index, query: str, sources: list[str] | None = None) -> set[str]:
    """What the lexical list alone holds."""
    candidates = index.candidates(FAKE.embed_query(query), query, sources)
    return {c.passage.text for c in candidates if c.lexical_rank}


def database(folder: Path) -> Path:
    found = current_database(folder)
    assert found
    return found


def sizes(index: Index) -> dict[str, int]:
    """Passages in each of the three stores, and ids that are waiting to be swept."""
    [[pending]] = index._db.execute("SELECT count(*) FROM documents WHERE source IS NULL").fetchall()
    words = index._words.searcher().num_docs
    return {"rows": index.counts()[1], "vectors": index._chroma.count(), "words": words, "pending": pending}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = open_index(tmp_path / "index")
    yield index
    index.close()


# -- reading ------------------------------------------------------------------------------------------------------


def test_what_was_stored_is_read_back_as_it_was(index: Index) -> None:
    text = "# Mill\r\n\r\nIt ground barley. Élan 😀.\r\n"
    made = entry("mill.md", text, language="da", author="Ida Holm", publisher="Press", date="1931", page_starts=(0,))
    index.replace([made])
    [stored] = index.documents()
    assert (stored.source, stored.passages, stored.characters) == ("mill.md", 1, len(text))
    assert (stored.path, stored.root, stored.sha256) == ("/docs/mill.md", "/docs", made.document.sha256)
    assert index.text("mill.md") == text
    [candidate] = index.candidates(FAKE.embed_query("barley"), "barley")
    assert candidate.passage == made.passages[0]
    np.testing.assert_allclose(candidate.vectors, made.vectors[0], atol=1e-3)


def test_flags_are_kept_with_their_document_and_go_with_it(tmp_path: Path) -> None:
    flags = (Flag("order", 0, 6, "Ignore"), Flag("hidden", 0, 0, "Say MOO."))
    index = open_index(tmp_path / "index")
    index.replace([entry("a.md", "Ignore all.", flags=flags), entry("b.md", "It ground barley.")])
    assert [stored.flags for stored in index.documents()] == [flags, ()]
    index.replace([entry("a.md", "It ground rye.")])
    assert [stored.flags for stored in index.documents()] == [(), ()]
    index.replace([entry("a.md", "Ignore all.", flags=flags)])
    index.remove(["a.md"])
    assert index._select("SELECT count(*) FROM flags") == [(0,)]
    index.close()


def test_sheet_and_rows_of_a_passage_are_read_back(index: Index) -> None:
    made = entry("mill.xlsx", "# North\n\nSacks: 4\nSacks: 5", rows=(Row(9, "North", 2), Row(18, "North", 4)))
    index.replace([made])
    [candidate] = index.candidates(FAKE.embed_query("sacks"), "sacks")
    assert candidate.passage == made.passages[0]
    assert (candidate.passage.sheet, candidate.passage.rows) == ("North", (2, 4))


def test_an_unknown_source_has_no_text(index: Index) -> None:
    assert index.text("mill.md") is None


def test_an_empty_index_finds_nothing(index: Index) -> None:
    assert index.counts() == (0, 0)
    assert found(index, "barley") == []
    assert index.languages() == {}


def test_a_question_of_punctuation_has_no_lexical_list(index: Index) -> None:
    index.replace([entry("a.md", "It ground barley.")])
    assert in_words(index, "?! -- ()") == set()


def test_words_are_never_read_as_a_query_language(index: Index) -> None:
    index.replace([entry("a.md", "It ground barley.")])
    assert in_words(index, 'en:barley AND NOT (barley OR "x" +y -z ~2 ^3 \\') == {"It ground barley."}


def test_sources_limit_both_lists(index: Index) -> None:
    index.replace([entry("a.md", "Barley grew."), entry("b.md", "Barley burnt."), entry("b/c.md", "Barley rots.")])
    assert set(found(index, "barley")) == {"Barley grew.", "Barley burnt.", "Barley rots."}
    assert found(index, "barley", ["b.md"]) == ["Barley burnt."]
    assert in_words(index, "barley", ["b.md"]) == {"Barley burnt."}
    assert found(index, "barley", []) == []


def test_an_index_larger_than_a_list_finds_the_passages_that_share_words(index: Index) -> None:
    text = "".join(f"# H{i}\n\nRow {i} is of no interest.\n\n" for i in range(150))
    index.replace([entry("a.md", text + "# Mill\n\nIt ground barley.")])
    assert in_words(index, "barley") == {"It ground barley."}
    assert len(found(index, "barley")) <= 101


def test_a_name_is_found_without_its_accents(index: Index) -> None:
    index.replace([entry("a.md", "López kept goats."), entry("b.md", "Ängström kept bees.", language="pl")])
    assert in_words(index, "Lopez") == {"López kept goats."}
    assert in_words(index, "angstrom") == {"Ängström kept bees."}


def test_a_document_is_stemmed_in_its_own_language(index: Index) -> None:
    index.replace(
        [entry("es.md", "Las elecciones terminaron.", language="es"), entry("en.md", "The mills ground barley.")]
    )
    assert in_words(index, "elección") == {"Las elecciones terminaron."}
    assert in_words(index, "terminó") == {"Las elecciones terminaron."}
    assert in_words(index, "milling") == {"The mills ground barley."}


def test_languages_are_counted_the_commonest_first(index: Index) -> None:
    index.replace([entry("a.md", "Uno.", language="es"), entry("b.md", "One."), entry("c.md", "Two.")])
    assert list(index.languages().items()) == [("en", 2), ("es", 1)]


def test_a_rare_word_weighs_more_than_a_common_one(index: Index) -> None:
    index.replace([entry(f"{i}.md", f"The mill number {i}.") for i in range(9)] + [entry("x.md", "The barley.")])
    rarity = index.rarity(["the", "mills", "barley", "unheard"])
    assert rarity["the"] < rarity["mills"] < rarity["barley"] < rarity["unheard"]


def test_few_passages_are_compared_one_by_one_and_many_by_chroma(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.replace([entry(f"{i}.md", f"Mill {i} ground barley. # x\n\n# B\n\nIt had {i} wheels.") for i in range(20)])
    sources = [f"{i}.md" for i in range(0, 20, 2)]
    vector = FAKE.embed_query("Mill 6 ground barley")
    one_by_one = index.nearest(vector, sources, 5)
    monkeypatch.setattr("rag.index.EXACT_PASSAGES", 3)
    assert index.nearest(vector, sources, 5)[:1] == one_by_one[:1]
    assert {c.passage.source for c in index.candidates(vector, "mill", sources)} == set(sources)


def test_a_document_is_read_back_as_it_was_stored(index: Index) -> None:
    made = entry(
        "mill.xlsx", "# North\n\nSacks: 4", author="Ida", date="1931", page_starts=(0, 9), rows=(Row(9, None, 2),)
    )
    index.replace([made])
    assert index.document("mill.xlsx") == (made.document, "/docs/mill.xlsx", "/docs")
    assert index.document("none.md") is None


# -- large documents --------------------------------------------------------------------------------------------------


def parts_of(source: str, text: str) -> list[Entry]:
    whole = entry(source, text)
    last = len(whole.passages) - 1
    return [
        replace(whole, passages=[p], vectors=[v], words=[w], part=i, last=i == last)
        for i, (p, v, w) in enumerate(zip(whole.passages, whole.vectors, whole.words, strict=True))
    ]


def test_a_large_document_is_seen_when_its_last_part_is_stored(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.index.TEXT_CHARACTERS", 7)
    text = "# A\n\nBarley grew.\n\n# B\n\nOats grew.\n\n# C\n\nRye grew."
    index.replace([entry("a.md", "Hemp grew.")])
    first, second, third = parts_of("a.md", text)
    index.replace([first])
    index.replace([second, entry("b.md", "Flax grew.")])
    assert sorted(found(index, "grew")) == ["Flax grew.", "Hemp grew."]
    assert index.counts() == (2, 2)
    index.replace([third])
    assert sorted(found(index, "grew")) == ["Barley grew.", "Flax grew.", "Oats grew.", "Rye grew."]
    assert index.text("a.md") == text
    assert sizes(index) == {"rows": 4, "vectors": 4, "words": 4, "pending": 0}


def test_a_large_document_that_broke_off_begins_anew(tmp_path: Path) -> None:
    index = open_index(tmp_path / "index")
    parts = parts_of("a.md", "# A\n\nBarley grew.\n\n# B\n\nOats grew.")
    index.replace(parts[:1])
    index.replace(parts)
    assert sorted(found(index, "grew")) == ["Barley grew.", "Oats grew."]
    index.replace(parts_of("a.md", "# A\n\nRye grew.\n\n# B\n\nHemp grew.")[:1])
    index.close()
    index = open_index(tmp_path / "index")
    assert sorted(found(index, "grew")) == ["Barley grew.", "Oats grew."]
    assert sizes(index) == {"rows": 2, "vectors": 2, "words": 2, "pending": 0}
    index.close()


# -- replacing and removing -------------------------------------------------------------------------------------------


def test_a_document_takes_the_place_of_the_one_before(index: Index) -> None:
    index.replace([entry("a.md", "Barley grew. # x\n\n# B\n\nMore barley.")])
    index.replace([entry("a.md", "Rye grew.")])
    assert found(index, "barley rye") == ["Rye grew."]
    assert sizes(index) == {"rows": 1, "vectors": 1, "words": 1, "pending": 0}


def test_a_removed_document_answers_no_more(index: Index) -> None:
    index.replace([entry("a.md", "Barley grew."), entry("b.md", "Rye grew.")])
    index.remove(["a.md"])
    assert found(index, "barley") == ["Rye grew."]
    assert sizes(index) == {"rows": 1, "vectors": 1, "words": 1, "pending": 0}


def test_ids_are_never_used_again(tmp_path: Path) -> None:
    seen: set[int] = set()
    for i in range(3):
        index = open_index(tmp_path / "index")
        index.replace([entry("a.md", f"Barley {i}.")])
        [[new]] = index._db.execute("SELECT id FROM passages").fetchall()
        assert new not in seen
        seen.add(new)
        index.remove(["a.md"])
        index.close()


STEPS: dict[str, Callable[[Index, pytest.MonkeyPatch], None]] = {
    "before anything is added": lambda i, m: m.setattr(i, "_add", _fail),
    "while vectors are added": lambda i, m: m.setattr(i._chroma, "upsert", _fail),
    "when all is added": lambda i, m: m.setattr(i, "_add", _then_fail(i._add)),
    "while rows are written": lambda i, m: m.setattr(i, "_insert_rows", _then_fail(i._insert_rows)),
}


def _fail(*_: object, **__: object) -> None:
    raise RuntimeError("out of order")


def _then_fail(step: Callable[..., Any]) -> Callable[..., None]:
    def run(*args: Any) -> None:
        step(*args)
        _fail()

    return run


@pytest.mark.parametrize(("step", "killed"), [*((step, False) for step in STEPS), ("when all is added", True)])
def test_a_replacement_that_breaks_off_leaves_the_old_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, killed: bool
) -> None:
    index = open_index(tmp_path / "index")
    index.replace([entry("a.md", "Barley grew."), entry("b.md", "Oats grew.")])
    with monkeypatch.context() as patched, pytest.raises(StoreError, match="out of order"):
        STEPS[step](index, patched)
        index.replace([entry("a.md", "Rye grew."), entry("c.md", "Millet grew.")], gone=["b.md"])
    assert sorted(found(index, "grew")) == ["Barley grew.", "Oats grew."]
    if not killed:
        index.replace([entry("d.md", "Hemp grew.")])
        assert sorted(found(index, "grew")) == ["Barley grew.", "Hemp grew.", "Oats grew."]
    index.close()
    index = open_index(tmp_path / "index")
    rows = 2 if killed else 3
    assert sizes(index) == {"rows": rows, "vectors": rows, "words": rows, "pending": 0}
    index.close()


def test_old_passages_that_could_not_be_dropped_are_swept_at_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(tmp_path / "index")
    index.replace([entry("a.md", "Barley grew.")])
    with monkeypatch.context() as patched, pytest.raises(StoreError, match="out of order"):
        patched.setattr(index, "_drop", _fail)
        index.replace([entry("a.md", "Rye grew.")])
    assert found(index, "grew") == ["Rye grew."]
    index.close()
    index = open_index(tmp_path / "index")
    assert sizes(index) == {"rows": 1, "vectors": 1, "words": 1, "pending": 0}
    index.close()


def test_an_interrupt_breaks_off_without_a_trace(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    index.replace([entry("a.md", "Barley grew.")])
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(index, "_insert_rows", interrupt)
        index.replace([entry("a.md", "Rye grew.")])
    assert found(index, "grew") == ["Barley grew."]


def test_a_search_during_a_replacement_finds_the_old_or_the_new_document(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.replace([entry("a.md", "Barley grew.")])
    nearest = index.nearest

    def replaced_meanwhile(*args: Any) -> list[int]:
        ids = nearest(*args)
        monkeypatch.undo()
        index.replace([entry("a.md", "Rye grew.")])
        return ids

    monkeypatch.setattr(index, "nearest", replaced_meanwhile)
    assert found(index, "grew") == ["Rye grew."]


def test_a_thread_of_its_own_reads_what_another_has_written(index: Index) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        for i in range(5):
            index.replace([entry("a.md", f"Barley {i}.")])
            assert list(pool.map(lambda _: found(index, "barley"), range(8))) == [[f"Barley {i}."]] * 8


# -- opening ------------------------------------------------------------------------------------------------------


def test_a_second_owner_is_refused_by_name(tmp_path: Path) -> None:
    first = open_index(tmp_path / "index")
    with pytest.raises(InUseError, match=rf"in use by process {os.getpid()} \(.*\)"):
        open_index(tmp_path / "index")
    first.close()
    open_index(tmp_path / "index").close()


@pytest.mark.parametrize(
    ("other", "change"),
    [
        ({"embedder": "other"}, "with the embedder 'fake', not 'other'"),
        ({"dimension": 3}, "with other weights of 'fake'"),
        ({"probe": (0.0, 1.0)}, "with other weights of 'fake'"),
        ({"max_tokens": 100}, "when 'fake' read 254 tokens, not 100"),
        ({"passage_tokens": 90}, "with passages of 200 tokens, not 90"),
        ({"chunker": 1}, "by a version that cut passages otherwise"),
    ],
)
def test_what_has_changed_since_an_index_was_made_is_said_and_it_answers_as_before(
    tmp_path: Path, other: dict[str, Any], change: str
) -> None:
    index = open_index(tmp_path / "index", probe=(1.0, 0.0))
    index.replace([entry("a.md", "Barley grew.")])
    index.close()
    index = open_index(tmp_path / "index", **{"probe": (1.0, 0.0)} | other)
    assert index.changes == (change,)
    assert index.recipe == replace(RECIPE, probe=(1.0, 0.0))
    assert found(index, "barley") == ["Barley grew."]
    index.close()
    index = open_index(tmp_path / "index", probe=(0.999, 0.01))  # on another processor
    assert index.changes == ()
    index.close()


def test_a_folder_name_with_marks_of_its_own_is_no_trouble(tmp_path: Path) -> None:
    index = open_index(tmp_path / "50% of #1? é" / "index")
    index.replace([entry("a.md", "Barley grew.")])
    assert found(index, "barley") == ["Barley grew."]
    index.close()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"no index of this program \('photo\.jpg' lies in it\)"):
        open_index(tmp_path)
    assert not (tmp_path / "documents.sqlite").exists()


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "documents.sqlite") as db:
        db.execute("CREATE TABLE films (name TEXT)")
    with pytest.raises(StoreError, match="another program's database"):
        open_index(tmp_path)
    with sqlite3.connect(tmp_path / "documents.sqlite") as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("films",)]


def test_another_format_is_refused(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    index.close()
    with sqlite3.connect(database(tmp_path)) as db:
        db.execute("UPDATE manifest SET value = '999' WHERE key = 'format'")
    with pytest.raises(StoreError, match="another version of this program"):
        open_index(tmp_path)


def _truncate(path: Path) -> None:
    os.truncate(path, 5000)


def _overwrite(path: Path) -> None:
    path.write_bytes(b"garbage" * 100)


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("documents.sqlite", _overwrite),
        ("documents.sqlite", _truncate),
        ("chroma/chroma.sqlite3", _overwrite),
        ("words/meta.json", _overwrite),
        ("documents.sqlite", Path.unlink),
        ("chroma", shutil.rmtree),
        ("words", shutil.rmtree),
        (".", shutil.rmtree),
        ("../current", _overwrite),
        ("../current", Path.unlink),
    ],
)
def test_a_damaged_index_is_an_error_with_what_to_do_and_frees_the_folder(
    tmp_path: Path, part: str, damage: Callable[[Path], None]
) -> None:
    index = open_index(tmp_path / "index")
    index.replace([entry("a.md", "Barley grew.")])
    index.close()
    damage(database(tmp_path / "index").parent / part)
    with pytest.raises(StoreError, match="ingest again"):
        open_index(tmp_path / "index")
    FileLock(tmp_path / "index" / "lock").acquire(timeout=0)  # nobody owns it


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("")
    with pytest.raises(StoreError):
        open_index(tmp_path / "index")


def test_a_chroma_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        open_index(tmp_path / "index", chroma_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="no address"):
        open_index(tmp_path / "other", chroma_url="nonsense")


# -- generations --------------------------------------------------------------------------------------------------


def generations(folder: Path) -> int:
    return len(list(folder.glob("g-*")))


def test_an_index_made_beside_another_takes_its_place_at_once(tmp_path: Path) -> None:
    old = open_index(tmp_path / "index")
    old.replace([entry("a.md", "Barley grew.")])
    new = old.beside(replace(RECIPE, passage_tokens=90))
    new.replace([entry("a.md", "Rye grew.")])
    assert (found(old, "grew"), found(new, "grew")) == (["Barley grew."], ["Rye grew."])
    new.take_over()
    assert found(old, "grew") == ["Barley grew."]  # for those who are still at it
    old.close(discard=True)
    with pytest.raises(InUseError):
        open_index(tmp_path / "index")
    new.close()
    again = open_index(tmp_path / "index", passage_tokens=90)
    assert (again.changes, found(again, "grew"), generations(tmp_path / "index")) == ((), ["Rye grew."], 1)
    again.close()


@pytest.mark.parametrize("taken", [False, True])
def test_a_kill_before_or_after_the_place_is_taken_leaves_one_whole_index(tmp_path: Path, taken: bool) -> None:
    script = """
        import os, sys
        from pathlib import Path
        from tests.test_index import RECIPE, entry, open_index

        old = open_index(Path(sys.argv[1]))
        old.replace([entry("a.md", "Barley grew.")])
        new = old.beside(RECIPE)
        new.replace([entry("a.md", "Rye grew.")])
        if sys.argv[2] == "True":
            new.take_over()
        os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-c", dedent(script), str(tmp_path / "index"), str(taken)]
    subprocess.run(command, cwd=Path(__file__).parent.parent, check=False)
    assert generations(tmp_path / "index") == 2
    index = open_index(tmp_path / "index")
    assert found(index, "grew") == (["Rye grew."] if taken else ["Barley grew."])
    assert generations(tmp_path / "index") == 1
    index.close()


def to_format_2(folder: Path) -> None:
    """Writes the index as the version before kept it; one id is pending."""
    new = database(folder)
    db = sqlite3.connect(folder / "documents.sqlite")
    db.executescript(f"""
        ATTACH '{new}' AS new;
        CREATE TABLE manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL);
        CREATE TABLE documents (
            id INTEGER PRIMARY KEY, source TEXT UNIQUE NOT NULL, path TEXT NOT NULL, root TEXT NOT NULL, title TEXT NOT NULL,
            author TEXT, publisher TEXT, date TEXT, language TEXT NOT NULL, sha256 TEXT NOT NULL, text TEXT NOT NULL,
            characters INTEGER NOT NULL, page_starts TEXT NOT NULL
        );
        CREATE TABLE passages (
            id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
            start INTEGER NOT NULL, "end" INTEGER NOT NULL, text TEXT NOT NULL, heading TEXT NOT NULL, page INTEGER,
            sheet TEXT, rows TEXT NOT NULL, sentences BLOB NOT NULL, vectors BLOB NOT NULL
        );
        CREATE TABLE pending (id INTEGER PRIMARY KEY);
        INSERT INTO manifest VALUES ('format', '2'), ('embedder', 'fake'), ('dimension', '64'), ('chunker', '{CHUNKER_VERSION}');
        INSERT INTO manifest SELECT key, trim(value, '"') FROM new.manifest WHERE key = 'collection';
        INSERT INTO documents SELECT id, source, path, root, title, author, publisher, date, language, sha256,
            (SELECT text FROM new.texts WHERE document = d.id), characters, page_starts FROM new.documents d;
        INSERT INTO passages SELECT * FROM new.passages;
        INSERT INTO pending SELECT max(id) FROM passages;
        DELETE FROM passages WHERE id IN (SELECT id FROM pending);
        DELETE FROM documents WHERE id NOT IN (SELECT document FROM passages);
    """)
    db.close()
    for part in ("chroma", "words"):
        (new.parent / part).rename(folder / part)
    shutil.rmtree(new.parent)
    (folder / "current").unlink()


@pytest.mark.parametrize("broken_off", [False, True])
def test_an_index_of_the_format_before_is_taken_over_with_its_vectors(tmp_path: Path, broken_off: bool) -> None:
    index = open_index(tmp_path / "index")
    rows = (Row(9, "North", 2), Row(18, "North", 4))
    sheet = entry("mill.xlsx", "# North\n\nSacks: 4\nSacks: 5", rows=rows)
    index.replace(
        [entry("a.md", "# A\n\nBarley grew.\n\n# B\n\nOats grew.", author="Ida"), sheet, entry("gone.md", "Rye.")]
    )
    index.close()
    to_format_2(tmp_path / "index")
    if broken_off:  # between the two renames
        (tmp_path / "index" / "g-2").mkdir()
        (tmp_path / "index" / "g-2" / "documents.sqlite").write_text("half")
        (tmp_path / "index" / "chroma").rename(tmp_path / "index" / "g-2" / "chroma")
    for _ in range(2):
        index = open_index(tmp_path / "index")
        assert index.changes == ()
        oats = FAKE.embed_query("Oats grew.")
        [[id_]] = index._db.execute("SELECT id FROM passages WHERE text = 'Oats grew.'").fetchall()
        assert index.nearest(oats, ["a.md"], 1) == index.nearest(oats, None, 1) == [id_]
        assert index.document("mill.xlsx") == (sheet.document, "/docs/mill.xlsx", "/docs")
        assert sizes(index) == {"rows": 3, "vectors": 3, "words": 3, "pending": 0}
        index.close()
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["current", "g-2", "lock", "owner.json"]


# -- the end ------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_an_error_that_loses_nothing(tmp_path: Path) -> None:
    """A limit on the size of a file stands for the full disk; it holds in a process of its own."""
    script = """
        import resource, sys
        from pathlib import Path
        from rag.errors import DiskFullError
        from tests.test_index import entry, found, open_index

        index = open_index(Path(sys.argv[1]))
        index.replace([entry("a.md", "Barley grew.")])
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        try:
            for i in range(200):
                index.replace([entry(f"{i}.md", f"# {i}\\n\\nRye grew. " * 200)])
        except DiskFullError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert "Barley grew." in found(index, "barley")
        index.replace([entry("b.md", "Oats grew.")])
        index.close()
    """
    command = [sys.executable, "-c", dedent(script), str(tmp_path / "index")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    assert done.returncode == 0, done.stderr
    assert "No room left in" in done.stdout
    index = open_index(tmp_path / "index")
    assert {index.text("a.md"), index.text("b.md")} == {"Barley grew.", "Oats grew."}
    rows = index.counts()[1]
    assert sizes(index) == {"rows": rows, "vectors": rows, "words": rows, "pending": 0}
    index.close()


def test_a_closed_index_gives_its_files_back(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = None
    for i in range(4):
        index = open_index(tmp_path / "index")
        index.replace([entry(f"{i}.md", "Barley grew.")])
        found(index, "barley")
        index.close()
        index.close()
        before = before or open_files()
    assert open_files() <= before + 2

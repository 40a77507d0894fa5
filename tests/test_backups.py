"""Backups of a real store: made while it is in use, brought back elsewhere, and refused where they are not whole."""

import json
import threading
import zipfile
from pathlib import Path

import pytest

from rag.backups import MANIFEST, back_up, restore, still
from rag.conversations import FILE, Conversations, Turn
from rag.errors import InputError, InUseError
from rag.keys import Keys
from rag.pipeline import Rag
from rag.uploads import bring_in, forget, keep
from tests.fakes import FakeLLM, fake_rag
from tests.servers import Served, rag_command

ASKED = "Who built the lighthouse on Farrow Point?"
BUILT = "The lighthouse on Farrow Point was built by Edna Marsh in 1887."


@pytest.fixture
def home(tmp_path: Path, corpus: Path) -> Path:
    """A home with documents, one of them uploaded, a conversation and a key; nobody has it open."""
    home = tmp_path / "home"
    with fake_rag(home) as rag:
        rag.ingest([corpus])
        with (corpus / "mill.txt").open("rb") as file:
            bring_in(rag, [keep(home, "copy.txt", file, 1_000_000)])
    kept = Conversations(home / FILE)
    kept.put("ann", "", (Turn("Who built it?", failure="The model is away."),))
    kept.close()
    Keys(home).add("ana", "read")
    (home / "evals" / "20261126-120000").mkdir(parents=True)
    (home / "evals" / "20261126-120000" / "summary.json").write_text("{}", encoding="utf-8")
    (home / "rag.toml").write_text("passages = 8\n", encoding="utf-8")
    return home


@pytest.fixture
def archive(home: Path, tmp_path: Path) -> Path:
    file = tmp_path / "footnote.zip"
    back_up(home, file, still(home))
    return file


def answer(rag: Rag) -> dict[str, object]:
    said = rag.ask(ASKED).as_dict()
    return {name: said[name] for name in ("status", "text", "citations", "passages")}


def test_what_is_restored_elsewhere_answers_the_same_with_the_same_citations(
    home: Path, archive: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert restore(archive, other) is None
    with fake_rag(home, FakeLLM(BUILT)) as before, fake_rag(other, FakeLLM(BUILT)) as after:
        assert answer(after) == answer(before)
        assert len(after.ask(ASKED).citations) == 1
        assert after.documents() != before.documents()  # the uploaded file lies elsewhere
        assert [d.source for d in after.documents()] == [d.source for d in before.documents()]
    kept = Conversations(other / FILE)
    assert [c.title for c in kept.listed("ann")] == ["Who built it?"]
    kept.close()
    assert [key.name for key in Keys(other).all()] == ["ana"]
    assert (other / "rag.toml").read_text(encoding="utf-8") == "passages = 8\n"
    assert (other / "evals" / "20261126-120000" / "summary.json").is_file()


def test_an_uploaded_file_is_deleted_with_its_document_after_a_restore(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    restore(archive, other)
    with fake_rag(other) as rag:
        assert next(d.path for d in rag.documents() if d.source == "copy.txt") == str(other / "uploads" / "copy.txt")
        forget(rag, ["copy.txt"])
    assert list((other / "uploads").iterdir()) == []


def test_a_backup_that_is_made_while_documents_come_in_is_whole(home: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for n in range(300):
        (many / f"{n:03}.md").write_text(f"Island {n} has {n + 7} goats. " * 20, encoding="utf-8")
    with fake_rag(home) as rag:
        ingest = threading.Thread(target=rag.ingest, args=([many],))
        ingest.start()
        files = [tmp_path / f"{n}.zip" for n in range(3)]
        for file in files:
            back_up(home, file, rag.index.still())
        ingest.join()
        whole = {d.source: d.sha256 for d in rag.documents()}
    for n, file in enumerate(files):
        other = tmp_path / f"other-{n}"
        restore(file, other)
        with fake_rag(other) as rag:  # which checks that each passage has its vector and its words
            found = {d.source: d.sha256 for d in rag.documents()}
            assert found.items() <= whole.items()
            assert len(found) >= 3


def test_what_is_there_stays_unless_it_is_told_otherwise_and_then_lies_aside(
    home: Path, archive: Path, corpus: Path
) -> None:
    (corpus / "ferry.txt").write_text("The ferry leaves at nine.", encoding="utf-8")
    with fake_rag(home) as rag:
        rag.ingest([corpus])
    with pytest.raises(InputError, match="add --force"):
        restore(archive, home)
    aside = restore(archive, home, force=True)
    assert aside is not None and (aside / "index").is_dir() and (aside / "keys.json").is_file()
    with fake_rag(home) as rag:
        assert "ferry.txt" not in [d.source for d in rag.documents()]


def damaged(archive: Path, how: str) -> None:
    if how == "truncated":
        archive.write_bytes(archive.read_bytes()[:-2000])
        return
    with zipfile.ZipFile(archive) as old:
        members = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(members[MANIFEST])
    if how == "foreign":
        del members[MANIFEST]
    if how == "changed":
        members["rag.toml"] = b"passages = 9"
    if how == "climbs":
        members["../evil.txt"] = b"evil"
        manifest["files"]["../evil.txt"] = "0"
    if how == "newer":
        manifest["format"] = 99
    if how != "foreign":
        members[MANIFEST] = json.dumps(manifest).encode()
    with zipfile.ZipFile(archive, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("truncated", "is damaged"),
        ("foreign", "is no backup of this program"),
        ("changed", "rag.toml is not what was packed"),
        ("climbs", "it holds the name '../evil.txt'"),
        ("newer", "another version of this program"),
    ],
)
def test_an_archive_that_is_not_whole_is_refused_and_leaves_nothing(
    archive: Path, tmp_path: Path, how: str, told: str
) -> None:
    damaged(archive, how)
    other = tmp_path / "other"
    with pytest.raises(InputError, match=told):
        restore(archive, other)
    assert [p.name for p in other.rglob("*") if p.is_file() and p.suffix != ".lock" and p.name != "lock"] == []
    assert not (tmp_path / "evil.txt").exists()


def test_a_file_that_exists_or_a_home_with_nothing_in_it_is_told(home: Path, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        back_up(home, archive, still(home))
    with pytest.raises(InputError, match="nothing in"):
        back_up(tmp_path / "empty", tmp_path / "empty.zip", still(tmp_path / "empty"))
    assert not list(tmp_path.glob("*empty.zip*"))
    with pytest.raises(InputError, match="no file"):
        restore(tmp_path / "none.zip", tmp_path / "other")


def test_a_home_that_is_open_is_not_restored_into(home: Path, archive: Path) -> None:
    with fake_rag(home), pytest.raises(InUseError, match="in use"):
        restore(archive, home, force=True)


@pytest.mark.model
def test_the_commands_back_up_a_running_server_and_bring_it_back(real_server: Served, tmp_path: Path) -> None:
    file = tmp_path / "served.zip"
    done = rag_command(real_server.home, "backup", str(file))
    assert done.code == 0, done.err
    refused = rag_command(real_server.home, "restore", str(file), "--force")
    assert refused.code == 1 and "Stop the server first" in refused.err
    other = tmp_path / "other"
    assert rag_command(other, "restore", str(file)).code == 0
    question = ("search", "When was CELAC founded, and where?", "--json")
    here, there = (json.loads(rag_command(home, *question, llm="extractive").out) for home in (real_server.home, other))
    assert there == here

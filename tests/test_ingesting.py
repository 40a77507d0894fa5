import errno
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

from rag.errors import DiskFullError, InputError
from rag.ingesting import Progress
from rag.pipeline import Rag
from tests.fakes import FakeLLM, fake_rag
from tests.folders import outcome, write


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Rag]:
    with fake_rag(tmp_path / "home", FakeLLM("")) as rag:
        yield rag


def embedding(rag: Rag, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are embedded from here on."""
    texts: list[str] = []
    embed = rag.embedder.embed_documents

    def noted(given: Sequence[str]) -> object:
        texts.extend(given)
        return embed(given)

    monkeypatch.setattr(rag.embedder, "embed_documents", noted)
    return texts


def test_a_file_that_has_moved_is_not_embedded_again(rag: Rag, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = embedding(rag, monkeypatch)
    before = rag.search("barley", 1)[0]
    (corpus / "old").mkdir()
    (corpus / "mill.txt").rename(corpus / "old" / "watermill.txt")
    report = rag.ingest([corpus])
    assert outcome(report) == {
        "added": ("old/watermill.txt",),
        "unchanged": ("lighthouse.md",),
        "removed": ("mill.txt",),
    }
    assert embedded == []
    after = rag.search("barley", 1)[0]
    assert after.passage.source == "old/watermill.txt"
    assert (after.passage.text, after.ranks) == (before.passage.text, before.ranks)
    assert after.score == pytest.approx(before.score, abs=1e-3)
    assert outcome(rag.ingest([corpus], prune=True)) == {"unchanged": ("lighthouse.md", "old/watermill.txt")}


def test_a_folder_that_has_moved_keeps_its_names(rag: Rag, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = embedding(rag, monkeypatch)
    corpus.rename(corpus.parent / "archive")
    report = rag.ingest([corpus.parent / "archive"])
    assert outcome(report) == {"updated": ("lighthouse.md", "mill.txt")}
    assert embedded == []
    assert {Path(d.path).parent.name for d in rag.documents()} == {"archive"}
    assert outcome(rag.ingest([corpus.parent / "archive"], prune=True)) == {"unchanged": ("lighthouse.md", "mill.txt")}


def test_a_copy_is_a_document_of_its_own_and_is_not_embedded_again(
    rag: Rag, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = embedding(rag, monkeypatch)
    (corpus / "second.txt").write_bytes((corpus / "mill.txt").read_bytes())
    assert outcome(rag.ingest([corpus]))["added"] == ("second.txt",)
    assert embedded == []
    assert [d.source for d in rag.documents()] == ["lighthouse.md", "mill.txt", "second.txt"]


def test_of_a_changed_file_only_what_is_new_is_embedded(
    rag: Rag, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = embedding(rag, monkeypatch)
    text = (corpus / "lighthouse.md").read_text(encoding="utf-8").replace("He kept a goat.", "He kept two goats.")
    (corpus / "lighthouse.md").write_text(text, encoding="utf-8")
    assert outcome(rag.ingest([corpus]))["updated"] == ("lighthouse.md",)
    assert [" ".join(t.split()[-8:]) for t in embedded] == [
        "keeper was Tomas Rell. He kept two goats.",
        "He kept two goats.",
    ]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    rag: Rag, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (corpus / "mill.txt").write_text("The mill is a museum.", encoding="utf-8")
    (corpus / "inn.txt").write_text("The inn has nine rooms.", encoding="utf-8")
    (corpus / "empty.txt").write_bytes(b"")
    (corpus / "lighthouse.md").unlink()
    embedded = embedding(rag, monkeypatch)
    before = [(d.source, d.sha256) for d in rag.documents()]
    said = rag.ingest([corpus], prune=True, dry=True)
    assert embedded == []
    assert [(d.source, d.sha256) for d in rag.documents()] == before
    assert outcome(said) == {
        "added": ("inn.txt",),
        "updated": ("mill.txt",),
        "removed": ("lighthouse.md",),
        "failed": ("empty.txt",),
    }
    assert rag.ingest([corpus], prune=True) == said


def test_new_files_are_added_and_a_second_run_does_nothing(empty: Rag, corpus: Path) -> None:
    assert outcome(empty.ingest([corpus])) == {"added": ("lighthouse.md", "mill.txt")}
    assert outcome(empty.ingest([corpus])) == {"unchanged": ("lighthouse.md", "mill.txt")}


def test_a_changed_file_takes_the_place_of_its_old_passages(rag: Rag, corpus: Path) -> None:
    (corpus / "mill.txt").write_text("The mill at Lindal ground rye.\n")
    assert outcome(rag.ingest([corpus])) == {"unchanged": ("lighthouse.md",), "updated": ("mill.txt",)}
    assert rag.text("mill.txt") == "The mill at Lindal ground rye.\n"
    assert not any("barley" in hit.passage.text for hit in rag.search("mill barley"))


def test_every_passage_stands_in_the_text_of_its_document(rag: Rag) -> None:
    for hit in rag.search("lighthouse mill keeper goat"):
        p = hit.passage
        assert rag.text(p.source)[p.start : p.end] == p.text


def test_a_file_that_cannot_be_read_fails_alone(empty: Rag, corpus: Path) -> None:
    (corpus / "binary.txt").write_bytes(b"\0\1\2")
    (corpus / "latin.txt").write_bytes(b"caf\xe9")
    (corpus / "empty.md").write_text("")
    (corpus / "headings.md").write_text("# Only\n\n## headings\n")
    (corpus / "gone.md").symlink_to(corpus / "nothing.md")
    (corpus / ".hidden.md").write_text("text")
    os.mkfifo(corpus / "pipe.md")
    report = empty.ingest([corpus])
    assert outcome(report) == {
        "added": ("lighthouse.md", "mill.txt"),
        "failed": ("gone.md", "binary.txt", "empty.md", "headings.md", "latin.txt"),
        "skipped": (".hidden.md", "pipe.md"),
    }
    assert "byte 0xe9 at 3" in report.failed[-1].reason


def test_a_file_that_can_no_longer_be_read_leaves_what_was_stored(rag: Rag, corpus: Path) -> None:
    (corpus / "mill.txt").write_bytes(b"\0")
    assert outcome(rag.ingest([corpus])) == {"unchanged": ("lighthouse.md",), "failed": ("mill.txt",)}
    assert "barley" in rag.text("mill.txt")


def test_a_missing_path_is_bad_input_and_changes_nothing(rag: Rag, corpus: Path) -> None:
    with pytest.raises(InputError, match="No such file or folder"):
        rag.ingest([corpus, corpus / "gone"])
    assert len(rag.documents()) == 2


def test_an_empty_folder_is_no_error(empty: Rag, tmp_path: Path) -> None:
    assert outcome(empty.ingest([write(tmp_path / "none")])) == {}


def test_a_single_file_has_its_name_as_source(empty: Rag, corpus: Path) -> None:
    assert outcome(empty.ingest([corpus / "mill.txt"])) == {"added": ("mill.txt",)}


def test_a_file_in_two_of_the_paths_is_stored_once(empty: Rag, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corpus)
    empty.ingest([corpus, corpus / "mill.txt", Path(), Path("../corpus")])
    assert [d.source for d in empty.documents()] == ["lighthouse.md", "mill.txt"]


def test_a_clash_of_names_puts_the_other_folder_in_front(empty: Rag, tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", a="The first a."), write(tmp_path / "two", a="The second a.")
    three = write(tmp_path / "x" / "two", a="The third a.")
    assert outcome(empty.ingest([one, two])) == {"added": ("a.md", "two/a.md")}
    assert outcome(empty.ingest([three])) == {"added": ("x/two/a.md",)}
    assert outcome(empty.ingest([three, two, one])) == {"unchanged": ("x/two/a.md", "two/a.md", "a.md")}
    assert [empty.text(s) for s in ("a.md", "two/a.md", "x/two/a.md")] == [
        "The first a.",
        "The second a.",
        "The third a.",
    ]


def test_prune_removes_what_is_gone_under_the_named_paths_only(empty: Rag, tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", a="A one.", b="B two."), write(tmp_path / "two", c="C three.", d="D four.")
    empty.ingest([one, two])
    (one / "a.md").unlink()
    (two / "c.md").unlink()
    assert outcome(empty.ingest([one])) == {"unchanged": ("b.md",)}
    assert outcome(empty.ingest([one / ".." / "one"], prune=True)) == {"unchanged": ("b.md",), "removed": ("a.md",)}
    assert [d.source for d in empty.documents()] == ["b.md", "c.md", "d.md"]


def test_prune_keeps_what_is_there_but_passed_over(empty: Rag, tmp_path: Path) -> None:
    one = write(tmp_path / "one", a="A one.", b="B two.")
    empty.ingest([one])
    (one / "a.md").write_bytes(b"\0")
    assert outcome(empty.ingest([one], prune=True)) == {"unchanged": ("b.md",), "failed": ("a.md",)}
    assert len(empty.documents()) == 2


def test_records_are_documents_of_their_own(empty: Rag, tmp_path: Path) -> None:
    def write_records(name: str, **records: str) -> Path:
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps({"doc_id": key, "text": text}) + "\n" for key, text in records.items()))
        return path

    one = write_records("one.jsonl", m1="The mill ground barley.", m2="The mill burnt down.", m3="# Only a heading")
    two = write_records("two.jsonl", n1="Bees fly.", n2="Bees sleep.")
    assert outcome(empty.ingest([one.parent])) == {"added": ("m1", "m2", "n1", "n2"), "failed": ("one.jsonl",)}
    write_records("one.jsonl", m1="The mill ground rye.", m4="It was rebuilt.")
    write_records("two.jsonl", n2="Bees sleep.")
    assert outcome(empty.ingest([one.parent])) == {
        "updated": ("m1",),
        "added": ("m4",),
        "removed": ("m2", "n1"),
        "unchanged": ("n2",),
    }
    two.unlink()
    assert outcome(empty.ingest([one.parent], prune=True))["removed"] == ("n2",)
    assert [d.source for d in empty.documents()] == ["m1", "m4"]


def test_members_of_an_archive_are_documents_of_their_own(empty: Rag, tmp_path: Path) -> None:
    def write_archive(**members: str | bytes) -> Path:
        (tmp_path / "in").mkdir(exist_ok=True)
        with ZipFile(tmp_path / "in" / "docs.zip", "w") as archive:
            for name, text in members.items():
                archive.writestr(f"{name}.md", text)
        return tmp_path / "in"

    folder = write_archive(a="The mill ground barley.", b=b"\0", c="Bees fly.")
    first = empty.ingest([folder])
    assert first.added == ("docs.zip/a.md", "docs.zip/c.md")
    assert [(f.path, "binary" in f.reason) for f in first.failed] == [("docs.zip/b.md", True)]
    write_archive(a="The mill ground rye.", c=b"\0")
    assert outcome(empty.ingest([folder])) == {"updated": ("docs.zip/a.md",), "failed": ("c.md",)}
    assert empty.text("docs.zip/c.md") == "Bees fly."
    write_archive(a="The mill ground rye.")
    assert outcome(empty.ingest([folder])) == {"unchanged": ("docs.zip/a.md",), "removed": ("docs.zip/c.md",)}
    assert outcome(empty.ingest([folder])) == {"unchanged": ("docs.zip/a.md",)}
    (folder / "docs.zip").unlink()
    assert outcome(empty.ingest([folder], prune=True)) == {"removed": ("docs.zip/a.md",)}


def test_progress_names_each_file_and_ends_at_the_end(empty: Rag, corpus: Path) -> None:
    seen: list[Progress] = []
    empty.ingest([corpus], progress=seen.append)
    assert seen == [Progress(0, 2, "lighthouse.md"), Progress(1, 2, "mill.txt"), Progress(2, 2, "")]


def test_an_interrupt_keeps_the_finished_files(empty: Rag, corpus: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        empty.ingest([corpus], progress=interrupt)
    assert [d.source for d in empty.documents()] == ["lighthouse.md"]
    assert outcome(empty.ingest([corpus])) == {"unchanged": ("lighthouse.md",), "added": ("mill.txt",)}


def test_a_full_disk_keeps_what_was_stored(rag: Rag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    more = write(tmp_path / "more", bees="Bees fly.")
    with monkeypatch.context() as patched, pytest.raises(DiskFullError, match="No room left"):
        patched.setattr(rag.index, "_add", full)
        rag.ingest([more])
    assert rag.ask("Who built the lighthouse on Farrow Point?").status == "answered"
    assert outcome(rag.ingest([more])) == {"added": ("bees.md",)}

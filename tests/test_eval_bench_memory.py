import json
from pathlib import Path

from tests.servers import rag_command


def test_the_memory_of_an_ingest_is_measured_beside_its_vectors(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("The mill ground barley. It closed in 1902.")
    (tmp_path / "docs" / "b.md").write_text("The inn has nine rooms.")
    (tmp_path / "docs" / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    done = rag_command(tmp_path / "home", "bench", "memory", str(tmp_path / "docs"), "--json", llm="extractive")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert (said["files"], said["failed"], said["passages"], said["sentences"]) == (3, 1, 2, 3)
    assert said["vectors_mb"] == 5 * 8 * 4 / 1e6
    assert 50 < said["beside_vectors_mb"] < 1000


def test_a_text_is_made_of_the_words_of_the_sample(tmp_path: Path) -> None:
    done = rag_command(tmp_path / "home", "bench", "memory", "--text-mb", "1", llm="extractive")
    assert done.code == 0, done.err
    assert "beside them MB" in done.out and "vectors of 8 numbers, made" in done.out


def test_what_is_to_be_ingested_must_be_said_once(tmp_path: Path) -> None:
    done = rag_command(tmp_path / "home", "bench", "memory", llm="extractive")
    assert done.code == 2 and "either a file or folder, or --text-mb" in done.err
    done = rag_command(tmp_path / "home", "bench", "memory", str(tmp_path / "none"), llm="extractive")
    assert done.code == 2 and "No such file or folder" in done.err

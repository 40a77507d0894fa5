"""The harness around the peers, with a peer that needs no library."""

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from eval.bench import QuestionSet, read_set
from eval.bench_peers import FOLDER, PEERS, peers, peers_as_json, print_peers, seen_share
from eval.peers.child import load
from rag.errors import InputError, RagError
from tests.test_eval_bench import _set

FAKE = """
from pathlib import Path

PACKAGES = ("pip",)

class Peer:
    window = 5

    def __init__(self, model, home, corpus):
        assert Path(model).is_dir()
        self.corpus = corpus

    def ingest(self, documents):
        assert self.corpus.is_dir()
        self.documents = documents
        self.chunks = [(source, 0, len(text)) for source, title, text in documents]

    def search(self, question, k):
        word = question.rstrip("?").split()[-1]
        order = sorted(self.documents, key=lambda d: word not in d[2])
        return [(source, 0, len(text)) for source, title, text in order][:k]
"""


@pytest.fixture
def questions(tmp_path: Path) -> QuestionSet:
    return read_set(_set(tmp_path / "s"))


def write_peer(folder: Path, name: str, source: str = FAKE) -> Path:
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    return folder


def test_a_peer_is_scored_as_the_program_is(tmp_path: Path, questions: QuestionSet) -> None:
    (result,) = peers(questions, ["fake"], python=Path(sys.executable), folder=write_peer(tmp_path, "fake"))
    # Which document holds "grind"? Neither: the inn comes first by name, and the mill second. "inn" finds the inn.
    assert (result.measures["hit@1"].value, result.measures["mrr@10"].value) == (0.5, 0.75)
    assert (result.measures["char_recall@5"].value, result.measures["char_recall@5"].n) == (1.0, 1)
    assert (result.chunks, result.read_characters, list(result.versions)) == (2, 77.0, ["pip"])
    assert 0 < result.seen < 0.5
    assert result.peak_mb > 1
    assert result.query_p95_s >= result.query_p50_s > 0


def test_the_table_has_ratios_and_the_json_every_figure(tmp_path: Path, questions: QuestionSet) -> None:
    write_peer(tmp_path, "fake")
    write_peer(tmp_path, "footnote", FAKE.replace("word not in", "word in"))
    found = {"s": peers(questions, ["footnote", "fake"], python=Path(sys.executable), folder=tmp_path)}
    data = json.loads(json.dumps(peers_as_json(found)))
    assert set(data["s"]) == {"footnote", "fake"}
    assert data["s"]["fake"]["hit@5"]["value"] == 1.0
    assert {"ingest_s", "query_p50_s", "query_p95_s", "peak_mb", "seen", "versions"} <= set(data["s"]["fake"])
    shown = io.StringIO()
    print_peers(found, Console(file=shown, width=220), command="rag bench peers s")
    assert "1.000 (×1.00)" in shown.getvalue() and "rag bench peers s · embedder all-MiniLM-L6-v2" in shown.getvalue()


def test_a_peer_that_fails_is_told_with_its_last_words(tmp_path: Path, questions: QuestionSet) -> None:
    folder = write_peer(tmp_path, "bad", FAKE.replace("self.corpus = corpus", "raise ValueError('no such model')"))
    with pytest.raises(RagError, match=r"(?s)peer bad failed \(1\): .*ValueError: no such model$"):
        peers(questions, ["bad"], python=Path(sys.executable), folder=folder)


def test_what_is_missing_is_named_with_the_next_step(tmp_path: Path, questions: QuestionSet) -> None:
    with pytest.raises(InputError, match=r"venv \.venv-peers && .*requirements\.txt"):
        peers(questions, ["txtai"], python=tmp_path / "python")
    with pytest.raises(InputError, match="No peer 'kotaemon': there are footnote, txtai"):
        peers(questions, ["kotaemon"])


def test_every_peer_has_its_file_and_its_packages_are_pinned() -> None:
    pins = {line.split("==")[0] for line in (FOLDER / "requirements.txt").read_text().splitlines() if "==" in line}
    for name in PEERS:
        source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        line = next(line for line in source.splitlines() if line.startswith("PACKAGES = "))
        packages = eval(line.removeprefix("PACKAGES = "))
        assert name == "footnote" or set(packages) <= pins, name


def test_the_text_that_an_embedder_sees_ends_with_its_window() -> None:
    texts = {"a": "one two three four", "b": "five six"}
    chunks = [("a", 0, 18), ("b", 0, 8)]
    assert seen_share(texts, chunks, None) == 1.0
    assert seen_share(texts, chunks, 5) == pytest.approx(18 / 22)  # two special tokens leave three: four is not seen
    assert seen_share(texts, [("a", 0, 7), ("a", 4, 13)], None) == pytest.approx(11 / 22)


def test_a_peer_file_is_loaded_by_its_path_and_shadows_no_library(tmp_path: Path) -> None:
    write_peer(tmp_path, "json", "VALUE = 3")
    assert load(tmp_path / "json.py").VALUE == 3
    assert json.loads("1") == 1


@pytest.mark.model
def test_the_program_itself_is_a_peer(questions: QuestionSet) -> None:
    (result,) = peers(questions, ["footnote"])
    assert result.measures["hit@1"].value == 1.0
    assert result.seen == 1.0

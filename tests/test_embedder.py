"""The embedder behind a stand-in for its child process, and the real one.

Run as a program, this file is the stand-in: three dimensions, a token for each word, and a few words that break it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent


def main() -> None:
    from rag.models.child import child_streams, reply

    stdin, out = child_streams()
    config = json.loads(stdin.readline())
    print("a library prints something")
    if config["model"] == "missing":
        reply(out, {"error": "Cannot load the embedder 'missing': no such folder"})
        return
    if config["model"] == "dies":
        return
    reply(out, {"dimension": 3, "max_tokens": 10})
    for line in stdin:
        request = json.loads(line)
        texts = request.get("count") or request.get("encode") or []
        if "sleep" in texts:
            time.sleep(60)
        if "slow" in texts:
            time.sleep(0.05)
        if "error" in texts:
            reply(out, {"error": "The embedder failed: out of memory"})
        elif "count" in request:
            reply(out, {"counts": [len(text.split()) for text in texts]})
        else:
            data = np.array([[len(text), 0, 0] for text in texts], "<f4").tobytes()
            reply(out, {"bytes": len(data)})
            out.write(data[: len(data) // 2] if "die" in texts else data)
            out.flush()
            if "die" in texts:
                return


if __name__ == "__main__":
    main()
    sys.exit()

import pytest  # noqa: E402 - the stand-in starts without it

from rag.chunking import chunk, embedded_text, plain  # noqa: E402
from rag.errors import ModelError  # noqa: E402
from rag.loading import Found, parse, read, walk  # noqa: E402
from rag.models import embedder as module  # noqa: E402
from rag.models.child import Child  # noqa: E402
from rag.models.embedder import SentenceTransformerEmbedder, model_path  # noqa: E402


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(module, "Child", lambda _, config: Child("tests.test_embedder", config))


@pytest.fixture
def embedder(stand_in: None) -> Iterator[SentenceTransformerEmbedder]:
    embedder = SentenceTransformerEmbedder()
    yield embedder
    embedder.close()


def child_of(embedder: SentenceTransformerEmbedder) -> "subprocess.Popen[bytes]":
    assert embedder._child is not None
    return embedder._child.process


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def test_the_special_tokens_are_not_room_for_text(embedder: SentenceTransformerEmbedder) -> None:
    assert (embedder.dimension, embedder.max_tokens) == (3, 8)


def test_vectors_come_back_in_the_order_of_the_texts(embedder: SentenceTransformerEmbedder) -> None:
    texts = ["x" * (i * 37 % 200 + 1) for i in range(200)]
    vectors = embedder.embed_documents(texts)
    assert vectors.shape == (200, 3)
    assert vectors.dtype == np.float32
    assert [int(v) for v in vectors[:, 0]] == [len(text) for text in texts]


def test_a_question_waits_for_one_batch_of_documents_at_most(
    embedder: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_TEXTS", 1)
    embedding = threading.Thread(target=embedder.embed_documents, args=(["slow"] * 40,))
    embedding.start()
    for _ in range(5):
        embedder.embed_query("three")
    assert embedding.is_alive()
    embedding.join()


@pytest.mark.parametrize("lengths", [[], [20_000, 1, 20_000], [100] * 1000, [i * 37 % 1300 for i in range(500)]])
def test_batches_hold_every_text_once_and_little_padding(lengths: list[int]) -> None:
    batches = list(module._batches(lengths))
    assert sorted(i for part in batches for i in part) == list(range(len(lengths)))
    for part in batches:
        padded = len(part) * max(lengths[i] for i in part)
        assert len(part) == 1 or (padded <= module.BATCH_CHARACTERS and len(part) <= module.BATCH_TEXTS)


def test_no_texts_give_no_vectors_and_no_counts(embedder: SentenceTransformerEmbedder) -> None:
    assert embedder.embed_documents([]).shape == (0, 3)
    assert embedder.count_tokens([]) == []


def test_tokens_are_counted_for_each_text(embedder: SentenceTransformerEmbedder) -> None:
    assert embedder.count_tokens(["one two", "", "one\ntwo three"]) == [2, 0, 3]


def test_it_is_started_anew_when_it_has_died(embedder: SentenceTransformerEmbedder) -> None:
    embedder.embed_query("one")
    kill(child_of(embedder))
    assert embedder.embed_query("three")[0] == 5
    kill(child_of(embedder))
    assert embedder.count_tokens(["one two"]) == [2]


def test_one_that_died_before_its_first_use_is_started_anew(embedder: SentenceTransformerEmbedder) -> None:
    kill(child_of(embedder))
    assert embedder.embed_query("three")[0] == 5


def test_one_that_dies_within_a_reply_is_a_failure_and_then_started_anew(embedder: SentenceTransformerEmbedder) -> None:
    with pytest.raises(ModelError, match="ended unexpectedly"):
        embedder.embed_documents(["one", "die"])
    child_of(embedder).wait()
    assert embedder.embed_query("three")[0] == 5


def test_an_error_in_the_model_is_told_and_the_next_request_works(embedder: SentenceTransformerEmbedder) -> None:
    with pytest.raises(ModelError, match="out of memory"):
        embedder.embed_query("error")
    assert embedder.embed_query("three")[0] == 5


def test_an_interrupt_within_a_request_does_not_give_its_reply_to_the_next(
    embedder: SentenceTransformerEmbedder,
) -> None:
    embedder.embed_query("one")
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            embedder.count_tokens(["sleep"])
    finally:
        signal.signal(signal.SIGALRM, previous)
    child_of(embedder).wait(5)
    assert embedder.embed_query("three")[0] == 5


@pytest.mark.parametrize(
    ("model", "message"), [("missing", "RAG_EMBEDDER takes a folder"), ("dies", "ended unexpectedly")]
)
def test_a_model_that_cannot_be_loaded_is_an_error(stand_in: None, model: str, message: str) -> None:
    embedder = SentenceTransformerEmbedder(model)
    with pytest.raises(ModelError, match=message):
        embedder.embed_query("one")
    embedder.close()


def test_files_in_the_current_folder_do_not_stand_in_for_libraries(
    stand_in: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('not the library')")
    monkeypatch.chdir(tmp_path)
    embedder = SentenceTransformerEmbedder()
    assert embedder.dimension == 3
    embedder.close()


def test_a_closed_one_has_ended(stand_in: None) -> None:
    embedder = SentenceTransformerEmbedder()
    embedder.embed_query("one")
    embedder.close()
    assert child_of(embedder).returncode == 0


def test_the_weights_of_the_default_lie_in_a_package_and_others_are_found_by_name() -> None:
    assert (Path(model_path("all-MiniLM-L6-v2")) / "config.json").is_file()
    assert model_path("/models/mine") == "/models/mine"


# -- the real one -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Iterator[SentenceTransformerEmbedder]:
    embedder = SentenceTransformerEmbedder()
    yield embedder
    embedder.close()


@pytest.mark.model
def test_real_vectors_have_unit_length_and_place_like_by_like(real: SentenceTransformerEmbedder) -> None:
    texts = ["The mill ground barley.", "Grain was milled there.", "Penguins sleep standing up."]
    vectors = real.embed_documents([*texts, "word " * 5000])
    assert vectors.shape == (4, real.dimension) == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert real.embed_query(texts[0]) @ vectors[0] > 0.999


@pytest.mark.model
def test_real_vectors_are_those_of_the_plain_model_in_full_precision(real: SentenceTransformerEmbedder) -> None:
    from sentence_transformers import SentenceTransformer

    texts = [*(f"Mill {n} ground barley{' and rye' * n}." for n in range(0, 200, 9)), "", "word " * 5000]
    plain_vectors = SentenceTransformer(str(model_path(real.name)), device="cpu").encode(texts)
    assert (real.embed_documents(texts) * plain_vectors).sum(axis=1).min() > 0.999


@pytest.mark.model
def test_real_tokens_are_counted_while_the_model_embeds(real: SentenceTransformerEmbedder) -> None:
    assert real.dimension == 384
    with real._lock:
        assert real.count_tokens(["the mill", ""]) == [2, 0]


@pytest.mark.model
def test_real_tokens_are_those_of_the_model(real: SentenceTransformerEmbedder) -> None:
    assert real.max_tokens == 254
    assert real.count_tokens(["the mill", "", "the mill.", "word " * 5000]) == [2, 0, 3, 5000]


@pytest.mark.model
def test_no_passage_of_the_sample_corpus_is_cut_by_the_embedder(real: SentenceTransformerEmbedder) -> None:
    for found in walk(ROOT / "seeds", 10_000_000):
        assert isinstance(found, Found)
        for document in parse(read(found), found.path.suffix, found.name):
            passages = chunk(document, real.count_tokens, 200, real.max_tokens)
            read_by_model = [embedded_text(p, real.count_tokens, real.max_tokens) for p in passages]
            quotes = [plain(p.quote(s)) for p in passages for s in p.sentences]
            assert max(real.count_tokens([p.text for p in passages])) <= 200
            assert max(real.count_tokens([*read_by_model, *quotes])) <= real.max_tokens


@pytest.mark.model
def test_the_real_one_is_started_anew_when_it_has_died(real: SentenceTransformerEmbedder) -> None:
    before = real.embed_query("mill")
    kill(child_of(real))
    np.testing.assert_array_equal(real.embed_query("mill"), before)


def ended(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_the_child_ends_when_its_parent_is_killed() -> None:
    script = (
        "import time\nfrom rag.models import embedder as m\nfrom rag.models.child import Child\n"
        "m.Child = lambda _, config: Child('tests.test_embedder', config)\n"
        "e = m.SentenceTransformerEmbedder(); e.dimension; print(e._child.process.pid, flush=True); time.sleep(60)\n"
    )
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environ)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not ended(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while not ended(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended(child)

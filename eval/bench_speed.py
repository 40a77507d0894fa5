"""`rag bench speed`: what ingest, search, embedding and start-up take, and how that grows with the index.

Search is measured at sizes that nobody would wait to see embedded. Up to what the set itself holds, passages are its own;
beyond, they are made of its sentences, drawn anew: real words for the lexical index, and the sentences' real vectors, each
with some noise, for the others. They are stored by the product's own index and searched by its own search.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
from numpy.typing import NDArray

from eval.bench import QuestionSet, read_documents
from eval.bench_peers import memory_mb
from eval.runner import package_versions
from rag.chunking import plain
from rag.config import Settings, load_settings
from rag.errors import RagError
from rag.index import Entry, Index
from rag.models.embedder import Embedder, SentenceTransformerEmbedder, model_path
from rag.pipeline import Rag
from rag.storing import cut, recipe_of
from rag.types import Document, Passage, Sentence

if TYPE_CHECKING:
    from rich.console import Console

SEED = 0
EMBEDDED_TEXTS = 400  # by which embedding is compared
INGESTED_CHARACTERS = 500_000  # of the set's documents, by which ingest is measured
REAL_PASSAGES = 1000  # whose sentences the larger sizes are made of
SENTENCES = 6  # of a made passage
DOCUMENT_PASSAGES = 20  # of a made document
FOLDERS = 20  # that made documents lie in: one of them is searched by itself
NOISE = 0.5  # length of what is added to a made passage's vectors: cosine .89 to the sentence's own
NEAREST = 100  # that Chroma is asked for, as in a search
WAIT_S = 120

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Embedding:
    texts: int
    plain_per_s: float
    ours_per_s: float
    cosine: float  # mean of our vectors to the plain ones

    @property
    def ratio(self) -> float:
        return self.ours_per_s / self.plain_per_s


@dataclass(frozen=True, slots=True)
class Ingest:
    documents: int
    passages: int
    seconds: float
    embedding_s: float  # within it, waiting for the embedder
    pure_s: float  # the same texts in the same batches, embedded and nothing else

    @property
    def outside(self) -> float:
        return 1 - self.embedding_s / self.seconds

    @property
    def ratio(self) -> float:
        return self.seconds / self.pure_s


@dataclass(frozen=True, slots=True)
class Searched:
    """At one size. Milliseconds, the question's embedding included; `only_*`: within one folder of the documents."""

    passages: int
    made: int  # of them, passages made of other passages' sentences
    documents: int
    queries: int
    p50: float
    p95: float
    p99: float
    only_passages: int
    only_p50: float
    only_p95: float
    only_p99: float
    recall: float  # of the truly nearest passages, how many Chroma finds
    memory_mb: float  # of the process and its embedder
    disk_mb: float
    open_s: float


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since the start of the process; None: it never came."""

    page_s: float | None
    first_word_s: float | None
    model: str


@dataclass(frozen=True, slots=True)
class Speed:
    name: str
    embedding: Embedding
    ingest: Ingest
    searched: tuple[Searched, ...]
    start: Start

    def as_dict(self) -> dict[str, Any]:
        more = {"outside": self.ingest.outside, "ratio": self.ingest.ratio}
        return {
            "set": self.name,
            "embedding": asdict(self.embedding) | {"ratio": self.embedding.ratio},
            "ingest": asdict(self.ingest) | more,
            "search": [asdict(s) for s in self.searched],
            "start": asdict(self.start),
        }


def speed(questions: QuestionSet, settings: Settings, sizes: Sequence[int], tell: Tell = lambda *_: None) -> Speed:
    """Raises RagError."""
    documents = _some(questions.corpus)
    with tempfile.TemporaryDirectory(prefix="footnote-speed-") as folder:
        home = Path(folder) / "home"
        embedder = SentenceTransformerEmbedder(settings.embedder)
        tell("ingest", 0, 1)
        rag = Rag.open(settings.model_copy(update={"home": home, "llm": "extractive"}), embedder=embedder)
        try:
            ingested, pool = _ingest(rag, documents, Path(folder) / "documents")
            tell("embedding", 0, 1)
            embedding = _embedding([plain(p.text) for p in pool.passages][:EMBEDDED_TEXTS], embedder, settings.embedder)
            recipe = recipe_of(embedder, settings.passage_tokens)
        finally:
            rag.close()
        searched = []
        for number, size in enumerate(sizes):
            tell(f"search, {size:,} passages", number, len(sizes))
            at = Path(folder) / f"size-{size}"
            index = Index(at / "index", recipe)
            _fill(index, pool, size)
            index.close()
            searched.append(
                _searched_apart(at, [c.question for c in questions.cases], settings, min(size, len(pool.passages)))
            )
            shutil.rmtree(at)
        tell("start", 0, 1)
        start = _start(home, questions.cases[0].question)
    return Speed(questions.name, embedding, ingested, tuple(searched), start)


@dataclass(frozen=True, slots=True)
class Pool:
    """Real passages with their vectors, as the store keeps them."""

    passages: tuple[Passage, ...]
    vectors: tuple[NDArray[np.float32], ...]
    words: tuple[str, ...]


def _some(corpus: Path) -> list[Document]:
    taken: list[Document] = []
    for document in read_documents(corpus):
        if taken and sum(len(d.text) for d in taken) + len(document.text) > INGESTED_CHARACTERS:
            break
        taken.append(document)
    return taken


class _Timed:
    """An embedder that keeps what it is asked for, and how long that took."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.batches: list[Sequence[str]] = []
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.batches.append(texts)
        started = time.perf_counter()
        vectors = self._embedder.embed_documents(texts)
        self.seconds += time.perf_counter() - started
        return vectors


def _ingest(rag: Rag, documents: Sequence[Document], folder: Path) -> tuple[Ingest, Pool]:
    folder.mkdir()
    for number, document in enumerate(documents):
        (folder / f"{number:05}.md").write_text(document.text, encoding="utf-8")
    embedder = rag.embedder
    rag.embedder = timed = _Timed(embedder)
    started = time.perf_counter()
    rag.ingest([folder])
    seconds = time.perf_counter() - started
    rag.embedder = embedder
    started = time.perf_counter()
    for texts in timed.batches:
        embedder.embed_documents(texts)
    pure = time.perf_counter() - started
    count, passages = rag.index.counts()
    kept: list[tuple[Passage, NDArray[np.float32], str]] = []
    for stored in rag.documents():
        found = rag.index.document(stored.source)
        assert found
        words = [w for draft in cut(*found, embedder, rag.settings.passage_tokens) for w in draft.words]
        by_start = sorted(rag.index.stored(stored.source), key=lambda held: held[0].start)
        kept += [(passage, vectors, w) for (passage, vectors), w in zip(by_start, words, strict=True)]
        if len(kept) >= REAL_PASSAGES:
            break
    pool = Pool(tuple(k[0] for k in kept), tuple(k[1] for k in kept), tuple(k[2] for k in kept))
    return Ingest(count, passages, seconds, timed.seconds, pure), pool


PLAIN = """
import json, sys, time
import numpy as np
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1])
texts = json.load(sys.stdin)
model.encode(texts[:8], show_progress_bar=False)
started = time.perf_counter()
vectors = model.encode(texts, show_progress_bar=False)
print(json.dumps(time.perf_counter() - started))
np.save(sys.argv[2], vectors)
"""


def _embedding(texts: Sequence[str], embedder: SentenceTransformerEmbedder, name: str) -> Embedding:
    """Ours and `SentenceTransformer.encode` with its defaults, one after the other."""
    started = time.perf_counter()
    ours = embedder.embed_documents(texts)
    seconds = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        command = [sys.executable, "-c", PLAIN, str(model_path(name)), str(path)]
        environ = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(
            command, input=json.dumps(list(texts)), capture_output=True, text=True, env=environ, check=False
        )
        if done.returncode:
            raise RagError(f"sentence-transformers failed by itself: {done.stderr.strip()[-500:]}")
        theirs = np.load(path)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    cosine = float((ours * theirs).sum(axis=1).mean())
    return Embedding(len(texts), len(texts) / float(done.stdout), len(texts) / seconds, cosine)


# -- search -------------------------------------------------------------------------------------------------------


def _fill(index: Index, pool: Pool, size: int) -> None:
    draw = random.Random(SEED)
    noise = np.random.default_rng(SEED)
    sentences = [
        (passage.quote(sentence), vector)
        for passage, matrix in zip(pool.passages, pool.vectors, strict=True)
        for sentence, vector in zip(passage.sentences, matrix[1:], strict=True)
    ]
    batch: list[Entry] = []
    for number, at in enumerate(range(0, size, DOCUMENT_PASSAGES)):
        source = f"folder-{number % FOLDERS:02}/{number:06}.md"
        parts = []
        for i in range(at, min(at + DOCUMENT_PASSAGES, size)):
            if i < len(pool.passages):
                quotes = [pool.passages[i].quote(s) for s in pool.passages[i].sentences]
                parts.append((quotes, pool.vectors[i], pool.words[i]))
            else:
                parts.append(_made(draw.choices(sentences, k=SENTENCES), noise))
        batch.append(_entry(source, parts))
        if len(batch) == FOLDERS:
            index.replace(batch)
            batch = []
    index.replace(batch)


def _made(
    drawn: Sequence[tuple[str, NDArray[np.float32]]], noise: np.random.Generator
) -> tuple[list[str], NDArray[np.float32], str]:
    vectors = np.stack([vector for _, vector in drawn])
    rows = np.vstack([vectors.mean(axis=0) / np.linalg.norm(vectors.mean(axis=0)), vectors])
    added = noise.standard_normal(rows.shape, dtype=np.float32)
    rows = rows + NOISE * added / np.linalg.norm(added, axis=1, keepdims=True)
    quotes = [text for text, _ in drawn]
    return quotes, rows / np.linalg.norm(rows, axis=1, keepdims=True), plain(" ".join(quotes))


def _entry(source: str, parts: Sequence[tuple[Sequence[str], NDArray[np.float32], str]]) -> Entry:
    passages: list[Passage] = []
    at = 0
    texts = []
    for quotes, _, _ in parts:
        text, spans = " ".join(quotes), []
        start = at
        for quote in quotes:
            spans.append(Sentence(at, at + len(quote)))
            at += len(quote) + 1
        passages.append(Passage(source, source, start, start + len(text), text, tuple(spans)))
        texts.append(text)
    document = Document(source, source, " ".join(texts), source)
    return Entry(document, f"/{source}", "/", passages, [p[1] for p in parts], [p[2] for p in parts])


def _searched_apart(home: Path, queries: Sequence[str], settings: Settings, real: int) -> Searched:
    """In a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "eval.bench_speed", str(home), settings.embedder, str(settings.passage_tokens)]
    done = subprocess.run(command, input=json.dumps(list(queries)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RagError(f"The search failed: {done.stderr.strip()[-800:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    disk = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / 1e6
    return Searched(made=said["passages"] - real, disk_mb=disk, **said)


def measure(home: Path, embedder: str, passage_tokens: int, queries: Sequence[str]) -> dict[str, float]:
    """The fields of Searched that only the searching process knows."""
    started = time.perf_counter()
    settings = load_settings({}, home=home, llm="extractive", embedder=embedder, passage_tokens=passage_tokens)
    with Rag.open(settings) as rag:
        rag.search(queries[0])
        opened = time.perf_counter() - started
        documents, passages = rag.index.counts()
        only = [d for d in rag.documents() if d.source.startswith("folder-00/")]
        milliseconds = [_milliseconds(rag, query) for query in queries]
        within = [_milliseconds(rag, query, "folder-00/") for query in queries]
        memory = memory_mb(os.getpid())
        recalls = []
        for query in queries[:50]:
            vector = rag.embedder.embed_query(query)
            exact = rag.index.nearest(vector, exact=True, limit=NEAREST)
            recalls.append(len(set(exact) & set(rag.index.nearest(vector, limit=NEAREST))) / len(exact))
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99])
    only_p50, only_p95, only_p99 = np.percentile(within, [50, 95, 99])
    return {
        **{"passages": passages, "documents": documents, "queries": len(queries), "p50": p50, "p95": p95, "p99": p99},
        **{"only_passages": sum(d.passages for d in only), "only_p50": only_p50, "only_p95": only_p95},
        **{"only_p99": only_p99, "recall": float(np.mean(recalls)), "memory_mb": memory, "open_s": opened},
    }


def _milliseconds(rag: Rag, query: str, *sources: str) -> float:
    started = time.perf_counter()
    rag.search(query, 10, sources)
    return 1000 * (time.perf_counter() - started)


# -- start --------------------------------------------------------------------------------------------------------


def _start(home: Path, question: str) -> Start:
    """`rag serve` on the ingested index, with the model of the settings."""
    environ = os.environ | {"RAG_HOME": str(home)}
    started = time.perf_counter()
    page = first = None
    model = "none"
    with _serving(environ) as server:
        while page is None and server.poll() is None and time.perf_counter() - started < WAIT_S:
            with suppress(OSError, ValueError, KeyError, httpx.HTTPError):
                address = json.loads((home / "server.json").read_text())["address"]
                if httpx.get(address, trust_env=False).status_code == 200:
                    page = time.perf_counter() - started
            time.sleep(0.05)
        if page is None:
            return Start(None, None, model)
        body = {"question": question}
        with httpx.stream(
            "POST", f"{address}/v1/answer/stream", json=body, timeout=WAIT_S, trust_env=False
        ) as response:
            name = ""
            for line in response.iter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                if name == "delta" and first is None:
                    first = time.perf_counter() - started
                if name == "done" and line.startswith("data: "):
                    model = json.loads(line[6:])["model"]
    return Start(page, first, model)


@contextmanager
def _serving(environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "rag.cli", "serve", "--port", "0"]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, env=environ, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield server
    finally:
        server.terminate()
        server.wait(30)


# -- what is shown ------------------------------------------------------------------------------------------------


def print_speed(result: Speed, console: "Console", *, command: str, embedder: str) -> None:
    from rich.table import Table

    e, i, s = result.embedding, result.ingest, result.start
    table = Table("", "", "", title=f"{result.name}: embedding, ingest, start", show_header=False)
    table.add_row(
        "embedding",
        f"{e.ours_per_s:.1f} passages/s",
        f"{e.ratio:.2f} times plain encode ({e.plain_per_s:.1f}), cosine {e.cosine:.4f}",
    )
    table.add_row(
        "ingest",
        f"{i.documents / i.seconds:.1f} documents/s, {i.passages / i.seconds:.1f} passages/s",
        f"{i.ratio:.2f} times pure embedding; {100 * i.outside:.0f}% outside the embedder",
    )
    table.add_row("rag serve", f"page {_seconds(s.page_s)}", f"first word {_seconds(s.first_word_s)} (model {s.model})")
    console.print(table)
    sizes = Table(title="Search, milliseconds with the question's embedding; within: only one folder of the documents")
    for heading in (
        "passages",
        "made",
        "p50",
        "p95",
        "p99",
        "within",
        "p50",
        "p95",
        "p99",
        "recall@100",
        "memory MB",
        "disk MB",
        "open s",
    ):
        sizes.add_column(heading, justify="right")
    for x in result.searched:
        times = [f"{v:.0f}" for v in (x.p50, x.p95, x.p99)]
        only = [f"{v:.0f}" for v in (x.only_p50, x.only_p95, x.only_p99)]
        rest = [f"{x.recall:.3f}", f"{x.memory_mb:,.0f}", f"{x.disk_mb:,.0f}", f"{x.open_s:.1f}"]
        sizes.add_row(f"{x.passages:,}", f"{x.made:,}", *times, f"{x.only_passages:,}", *only, *rest)
    console.print(sizes)
    versions = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    console.print(
        f"{command} · embedder {embedder} · {os.cpu_count()} cores · {versions}\n"
        "made: passages of real sentences drawn anew, their vectors with noise",
        highlight=False,
    )


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def write_speed(result: Speed, out: Path) -> None:
    """speed.json, and speed.svg that shows how the cost grows."""
    from matplotlib.figure import Figure

    out.mkdir(parents=True, exist_ok=True)
    (out / "speed.json").write_text(json.dumps(result.as_dict(), indent=1), encoding="utf-8")
    picture = Figure(figsize=(9, 3), layout="constrained")
    left, middle, right = picture.subplots(1, 3)
    sizes = [x.passages for x in result.searched]
    for label, values in (("p50", [x.p50 for x in result.searched]), ("p95", [x.p95 for x in result.searched])):
        left.plot(sizes, values, "o-", label=label)
    for label, values in (("p50, one folder", [x.only_p50 for x in result.searched]),):
        left.plot(sizes, values, "o--", label=label)
    left.set_ylabel("milliseconds a search")
    left.legend()
    middle.plot(sizes, [x.memory_mb for x in result.searched], "o-")
    middle.set_ylabel("memory, MB")
    right.plot(sizes, [x.disk_mb for x in result.searched], "o-")
    right.set_ylabel("disk, MB")
    for axes in (left, middle, right):
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("passages")
    picture.savefig(out / "speed.svg")


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), json.load(sys.stdin))))

"""`rag bench memory`: how much memory an ingest takes beside its vectors.

The product's own ingest, in a process of its own, with vectors that are made instead of embedded: few numbers each, so that
what is measured is reading, cutting and storing.
"""

import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eval.runner import package_versions
from rag.config import load_settings
from rag.errors import InputError, RagError
from rag.pipeline import Rag

if TYPE_CHECKING:
    from rich.console import Console

DIMENSION = 8
TOKEN_CHARACTERS = 5
SENTENCE_WORDS = 14
PARAGRAPH_SENTENCES = 6
LARGEST_MB = 100_000  # RAG_MAX_FILE_MB of the measurement
SEED = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in MB. `vectors_mb`: the numbers of all passages and sentences, at four bytes each."""

    files: int
    failed: int
    megabytes: float  # of the files
    passages: int
    sentences: int
    seconds: float
    peak_mb: float
    vectors_mb: float

    @property
    def beside_vectors_mb(self) -> float:
        return self.peak_mb - self.vectors_mb

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"beside_vectors_mb": self.beside_vectors_mb}


class MadeVectors:
    """An embedder that draws unit vectors instead of reading; it takes no part in what is measured."""

    name = "made"
    dimension = DIMENSION
    max_tokens = 254

    def __init__(self) -> None:
        self._draw = np.random.default_rng(SEED)
        self.count = 0

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.count += len(texts)
        rows = self._draw.standard_normal((len(texts), DIMENSION), dtype=np.float32)
        unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.full(DIMENSION, DIMENSION**-0.5, np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) // TOKEN_CHARACTERS + 1 for text in texts]

    def reads(self, language: str) -> bool:
        return True

    def close(self) -> None:
        pass


def memory(path: Path) -> Memory:
    """Of the ingest of a file or folder. Raises RagError."""
    if not path.exists():
        raise InputError(f"No such file or folder: {path}", "path")
    command = [sys.executable, "-m", "eval.bench_memory", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RagError(f"The ingest failed: {done.stderr.strip()[-800:]}")
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def memory_of_text(sample: Path, megabytes: int) -> Memory:
    """Of one text, made of words of the documents in `sample`. Raises RagError."""
    words = [w for path in sorted(sample.glob("*.md")) for w in re.findall("[a-z]+", path.read_text("utf-8").lower())]
    with tempfile.TemporaryDirectory(prefix="footnote-memory-") as folder:
        path = Path(folder) / "large.txt"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(_paragraphs(words, megabytes * 1_000_000))
        return memory(path)


def _paragraphs(words: Sequence[str], size: int) -> Iterator[str]:
    draw = random.Random(SEED)
    written = 0
    while written < size:
        sentences = (" ".join(draw.choices(words, k=SENTENCE_WORDS)) for _ in range(PARAGRAPH_SENTENCES))
        paragraph = " ".join(f"{s.capitalize()}." for s in sentences) + "\n\n"
        written += len(paragraph)
        yield paragraph


def measure(path: Path) -> Memory:
    """In this very process."""
    with tempfile.TemporaryDirectory(prefix="footnote-memory-") as home:
        settings = load_settings({}, home=Path(home), llm="extractive", max_file_mb=LARGEST_MB)
        with Rag.open(settings, embedder=(embedder := MadeVectors())) as rag:
            embedder.count = 0
            started = time.perf_counter()
            report = rag.ingest([path])
            seconds = time.perf_counter() - started
            passages = rag.index.counts()[1]
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return Memory(
        files=len(files),
        failed=len(report.failed),
        megabytes=sum(p.stat().st_size for p in files) / 1e6,
        passages=passages,
        sentences=embedder.count - passages,
        seconds=seconds,
        peak_mb=_peak_mb(),
        vectors_mb=embedder.count * DIMENSION * 4 / 1e6,
    )


def _peak_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def print_memory(result: Memory, console: "Console", *, command: str) -> None:
    from rich.table import Table

    table = Table("files", "failed", "MB", "passages", "sentences", "s", "peak MB", "vectors MB", "beside them MB")
    for column in table.columns:
        column.justify = "right"
    r = result
    sizes = f"{r.files:,}", f"{r.failed:,}", f"{r.megabytes:,.0f}", f"{r.passages:,}", f"{r.sentences:,}"
    memory = f"{r.peak_mb:,.0f}", f"{r.vectors_mb:,.0f}", f"{r.beside_vectors_mb:,.0f}"
    table.add_row(*sizes, f"{r.seconds:,.0f}", *memory)
    console.print(table)
    versions = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    console.print(f"{command} · vectors of {DIMENSION} numbers, made · {versions}", highlight=False)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Path(sys.argv[1])))))

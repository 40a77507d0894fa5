"""`rag bench peers`: the same questions, embedder and machine for this program and for four others."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.bench import QuestionSet, read_documents
from eval.metrics import Estimate, estimate
from eval.ranking import DEPTH, READ, ranking_values
from rag.errors import InputError, RagError
from rag.models.embedder import DEFAULT, model_path
from rag.types import Document, Passage

if TYPE_CHECKING:
    from rich.console import Console

OURS = "footnote"
PEERS = (OURS, "txtai", "langchain", "haystack", "llama_index")
FOLDER = Path(__file__).parent / "peers"
PYTHON = Path(".venv-peers/bin/python")
HOW_TO = f"python -m venv .venv-peers && .venv-peers/bin/pip install -r {FOLDER / 'requirements.txt'}"
MEASURES = ("hit@1", "hit@5", "mrr@10", "ndcg@10", "char_recall@5")
SAMPLED_S = 0.1  # how often memory is looked at
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "ANONYMIZED_TELEMETRY": "False",
}


@dataclass(frozen=True, slots=True)
class PeerResult:
    """One system on one set. Times in seconds, memory in MB over all its processes, `seen`: share of the text."""

    name: str
    measures: Mapping[str, Estimate]
    ingest_s: float
    query_p50_s: float
    query_p95_s: float
    peak_mb: float
    chunks: int
    seen: float
    read_characters: float  # of the five best, that char_recall@5 is reached with
    versions: Mapping[str, str]


def peers(
    questions: QuestionSet,
    names: Sequence[str] = PEERS,
    *,
    python: Path = PYTHON,
    folder: Path = FOLDER,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[PeerResult]:
    """One system after the other, each in a process of its own. Raises InputError, RagError."""
    if unknown := [name for name in names if not (folder / f"{name}.py").exists()]:
        raise InputError(f"No peer {unknown[0]!r}: there are {', '.join(PEERS)}.", "peer")
    if set(names) - {OURS} and not python.exists():
        raise InputError(f"The peers need a Python of their own, and {python} is not there: {HOW_TO}", "python")
    documents = list(read_documents(questions.corpus))
    results = []
    for done, name in enumerate(names):
        progress(f"{questions.name}: {name}", done, len(names))
        runner = Path(sys.executable) if name == OURS else python.absolute()
        results.append(run_peer(folder / f"{name}.py", runner, questions, documents))
    return results


def run_peer(peer: Path, python: Path, questions: QuestionSet, documents: Sequence[Document]) -> PeerResult:
    """Raises RagError with the peer's last words."""
    with tempfile.TemporaryDirectory(prefix="footnote-peer-") as home:
        request, result = Path(home, "request.json"), Path(home, "result.json")
        titled = questions.corpus.is_file()  # a record brings its title; a plain file has none to give
        asked = {
            "model": str(model_path(DEFAULT)),
            "home": str(Path(home, "home")),
            "corpus": str(questions.corpus.absolute()),
            "k": DEPTH,
            "documents": [{"source": d.source, "title": d.title if titled else "", "text": d.text} for d in documents],
            "questions": [case.question for case in questions.cases],
        }
        request.write_text(json.dumps(asked), encoding="utf-8")
        # -P: the folder of the script must not be among Python's paths, its files have the names of the libraries.
        command = [str(python), "-P", str(FOLDER / "child.py"), str(peer), str(request), str(result)]
        peak_mb = _run(command, peer.stem)
        told = json.loads(result.read_text(encoding="utf-8"))
    return _scored(peer.stem, questions, documents, told, peak_mb)


def _run(command: Sequence[str], name: str) -> float:
    """The most memory, in MB, that the process and its children had together."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            command, env=os.environ | OFFLINE, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        peak = 0.0
        over = threading.Event()

        def look() -> None:
            nonlocal peak
            while not over.wait(SAMPLED_S):
                peak = max(peak, memory_mb(process.pid))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = code = os.waitstatus_to_exitcode(status)
        finally:
            process.kill()
            over.set()
            looking.join()
        if code:
            said.seek(0)
            raise RagError(f"The peer {name} failed ({code}): {said.read().strip()[-1500:]}")
    return max(peak, usage.ru_maxrss * 1024 / 1e6)  # it may have ended before anybody looked


def memory_mb(pid: int) -> float:
    """Resident memory of a process and all below it, in MB."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):  # it has just ended, or is not yet what it is to be
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(memory_mb(int(child)) for child in children)


def _scored(
    name: str, questions: QuestionSet, documents: Sequence[Document], told: Mapping[str, Any], peak_mb: float
) -> PeerResult:
    values = []
    shown = []
    for case, found in zip(questions.cases, told["found"], strict=True):
        passages = [Passage(source, "", start, end, "", ()) for source, start, end in found]
        values.append(ranking_values(case, passages))
        shown.append(sum(p.end - p.start for p in passages[:READ]))
    p50, p95 = np.percentile(told["query_s"], [50, 95])
    texts = {d.source: d.text for d in documents}
    return PeerResult(
        name,
        {measure: estimate([v[measure] for v in values]) for measure in MEASURES},
        told["ingest_s"],
        float(p50),
        float(p95),
        peak_mb,
        len(told["chunks"]),
        seen_share(texts, [(s, a, b) for s, a, b in told["chunks"]], told["window"]),
        fmean(shown),
        told["versions"],
    )


def seen_share(texts: Mapping[str, str], chunks: Iterable[tuple[str, int, int]], window: int | None) -> float:
    """Share of the characters, space aside, that some chunk holds within the first `window` tokens."""
    from tokenizers import Tokenizer

    chunks = list(chunks)
    ends = [end for _, _, end in chunks]
    if window:
        tokenizer = Tokenizer.from_file(str(Path(model_path(DEFAULT)) / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        encoded = tokenizer.encode_batch([texts[s][a:b] for s, a, b in chunks], add_special_tokens=False)
        room = window - 2  # the two special tokens
        for i, (chunk, code) in enumerate(zip(chunks, encoded, strict=True)):
            if len(code.offsets) > room:
                ends[i] = chunk[1] + code.offsets[room - 1][1]
    seen = {source: bytearray(len(text)) for source, text in texts.items()}
    for (source, start, _), end in zip(chunks, ends, strict=True):
        seen[source][start:end] = b"\1" * (end - start)
    there = sum(1 for text in texts.values() for c in text if not c.isspace())
    read_ = sum(
        1 for source, text in texts.items() for c, s in zip(text, seen[source], strict=True) if s and not c.isspace()
    )
    return read_ / there if there else 0.0


def peers_as_json(results: Mapping[str, Sequence[PeerResult]]) -> dict[str, dict[str, dict[str, Any]]]:
    """{set: {peer: {measure: {value, low, high, n}, ingest_s, …}}}"""
    return {
        name: {
            r.name: {m: asdict(value) for m, value in r.measures.items()}
            | {field: value for field, value in asdict(r).items() if field not in ("name", "measures")}
            for r in found
        }
        for name, found in results.items()
    }


def print_peers(results: Mapping[str, Sequence[PeerResult]], console: "Console", *, command: str) -> None:
    """A table a set; in brackets how many times this program's value, where it took part."""
    from rich.table import Table

    for name, found in results.items():
        ours = next((r for r in found if r.name == OURS), None)
        n = found[0].measures["hit@1"].n
        table = Table(title=f"{name}: {n} questions")
        for heading in ("", *MEASURES, "ingest s", "query ms p50", "p95", "memory MB", "text seen", "chars of 5"):
            table.add_column(heading, justify="left" if not heading else "right")
        for r in found:
            base = _row(ours) if ours else [None] * len(FORMS)
            cells = [_ratio(value, own, form) for value, own, form in zip(_row(r), base, FORMS, strict=True)]
            table.add_row(r.name, *cells, f"{r.seen:.0%}", f"{r.read_characters:,.0f}")
        console.print(table)
    versions = {package: number for found in results.values() for r in found for package, number in r.versions.items()}
    told = ", ".join(f"{package} {number}" for package, number in versions.items())
    console.print(f"{command} · embedder {DEFAULT}, batches of 32 · {told}", highlight=False)


FORMS = (*[".3f" for _ in MEASURES], ".1f", ".1f", ".1f", ".0f")


def _row(r: PeerResult) -> list[float | None]:
    qualities = [r.measures[m].value for m in MEASURES]
    return [*qualities, r.ingest_s, 1000 * r.query_p50_s, 1000 * r.query_p95_s, r.peak_mb]


def _ratio(value: float | None, ours: float | None, form: str) -> str:
    if value is None:
        return "–"
    shown = format(value, form)
    return shown if ours is None or not ours else f"{shown} (×{value / ours:.2f})"

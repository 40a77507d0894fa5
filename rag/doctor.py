"""Whether all that an answer needs is in place; for each thing that is not, what to do."""

import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from rag.client import running_server
from rag.config import Settings
from rag.errors import RagError
from rag.index import current_database
from rag.models.embedder import model_path
from rag.models.llm import open_llm
from rag.models.weights import weights_path, weights_ready

ROOM = 500_000_000  # bytes
ORGANISATION = "sentence-transformers"  # where a name without one is looked for


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    ok: bool = True
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Looks only; nothing is loaded, started or written."""
    return [_server(settings), _index(settings), _embedder(settings), _llm(settings), _disk(settings)]


def _server(settings: Settings) -> Finding:
    try:
        server = running_server(settings.home)
    except RagError as error:
        return Finding("server: hangs", False, str(error))
    return Finding(f"server: running at {server.address}" if server else "server: not running (`rag serve` starts it)")


def _index(settings: Settings) -> Finding:
    folder = settings.home / "index"
    path = current_database(folder)
    if path is None or not path.exists():
        return Finding(f"index: nothing in {settings.home}", False, "`rag ingest PATH`, or `rag ingest --sample`.")
    try:
        db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        documents = db.execute("SELECT count(*) FROM documents WHERE source NOT NULL").fetchone()[0]
        passages = db.execute("SELECT count(*) FROM passages").fetchone()[0]
        embedder = dict(db.execute("SELECT key, value FROM manifest")).get("embedder", "").strip('"')
        db.close()
    except sqlite3.Error as error:
        return Finding(f"index: {path} cannot be read ({error})", False, f"Delete {folder} and ingest again.")
    if not embedder:
        return Finding(f"index: {path} does not say how it was made", False, f"Delete {folder} and ingest again.")
    if embedder != settings.embedder:
        return Finding(
            f"index: made with the embedder {embedder}, not {settings.embedder}",
            False,
            f"Set RAG_EMBEDDER={embedder}, or have it made anew: `rag ingest PATH` or `rag serve`.",
        )
    if not documents:
        return Finding("index: empty", False, "`rag ingest PATH`, or `rag ingest --sample`.")
    return Finding(f"index: {documents} documents, {passages} passages in {settings.home}")


def _embedder(settings: Settings) -> Finding:
    what = f"embedder: {settings.embedder}"
    try:
        path = model_path(settings.embedder)
    except RagError as error:
        return Finding(what, False, str(error))
    if isinstance(path, Path) or Path(path).expanduser().is_dir():
        return Finding(f"{what} ({path})")
    if _in_hub_cache(path) or os.environ.get("HF_HUB_OFFLINE") == "0":
        return Finding(what)
    remedy = (
        "No such folder, and not in the Hugging Face cache. Name another (RAG_EMBEDDER), or let it be fetched once:"
    )
    return Finding(what, False, f"{remedy} HF_HUB_OFFLINE=0 rag ingest PATH.")


def _in_hub_cache(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return any(isinstance(try_to_load_from_cache(n, "config.json"), str) for n in (name, f"{ORGANISATION}/{name}"))
    except HFValidationError:
        return False


def _llm(settings: Settings) -> Finding:
    if settings.llm == "extractive":
        return Finding("model: extractive (the best sentences, word for word)")
    if settings.llm == "local" and not weights_ready(settings.models):
        there = "not verified" if weights_path(settings.models).exists() else "missing"
        return Finding(
            f"model: weights {there}; answers are extractive", False, "`rag weights` brings and verifies them."
        )
    if settings.llm.startswith("local:"):
        path = Path(settings.llm.removeprefix("local:")).expanduser()
        return Finding(
            f"model: {path}", path.is_file(), "No such file: set RAG_LLM=local, or local:/path/to/model.gguf."
        )
    if settings.llm == "local":
        return Finding(f"model: {weights_path(settings.models)}, verified")
    try:
        if llm := open_llm(settings):
            llm.wait()  # makes the client of a provider, which needs its package and a key; asks nothing
    except RagError as error:
        return Finding(f"model: {settings.llm}", False, str(error))
    return Finding(f"model: {settings.llm}")


def _disk(settings: Settings) -> Finding:
    folder = next(p for p in (settings.home, *settings.home.parents) if p.exists())
    free = shutil.disk_usage(folder).free
    text = f"disk: {free / 1e9:.1f} GB free for {settings.home}"
    return Finding(text, free > ROOM, "Free some space, or set RAG_HOME elsewhere.")

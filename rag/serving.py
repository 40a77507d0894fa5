"""`rag serve`: page and endpoint on one port, the models loading behind them."""

import json
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from rag.api import Opening, create_app, evals_of, streams_of
from rag.client import SERVER_FILE, SERVER_LOCK, announce, withdraw
from rag.config import Settings
from rag.conversations import FILE, Conversations
from rag.errors import InputError, InUseError, RagError, StoreError
from rag.http.observing import log_to
from rag.http.origin import LOOPBACK
from rag.http.spans import Spans, provider_of
from rag.ingesting import Progress
from rag.keys import Keys
from rag.models.embedder import SentenceTransformerEmbedder
from rag.pipeline import Rag
from rag.uploads import resume

SAMPLE_MARK = "sample.pending"  # in RAG_HOME while the sample corpus is being indexed
LAST_ANSWERS_S = 2  # how long answers under way may go on after Ctrl-C


def run(
    settings: Settings,
    embedder: SentenceTransformerEmbedder,
    host: str,
    port: int,
    *,
    sample: Path,
    questions: Path,
    say: Callable[[str], None],
) -> None:
    """Serves until it is told to stop (SIGINT, SIGTERM). The page is built first, then the models are waited for.

    Raises InputError for a busy port, InUseError, and whatever kept the index or the models from being opened.
    """
    keys = Keys(settings.home)
    if host not in LOOPBACK and not keys.all():
        raise InputError(
            f"Serving on {host} opens your documents to other machines, and there is no key to keep them out."
            " `rag keys add NAME` makes one; or serve on 127.0.0.1.",
            "host",
        )
    signal.signal(signal.SIGTERM, _interrupt)
    lock = _own(settings.home)
    listener = _listen(host, port)
    address = f"http://{_written(host)}:{listener.getsockname()[1]}"
    token = secrets.token_urlsafe(32)
    log_to(settings.home)
    announce(settings.home, address, token)  # from here on the other commands wait for this server
    page_is_up = threading.Event()

    def open_behind_the_page() -> Rag:
        page_is_up.wait()
        return _open(settings, embedder, sample, say)

    opening = Opening(open_behind_the_page)
    failure: BaseException | None = None
    tracing = None
    try:
        kept = Conversations(settings.home / FILE)
        spans = Spans(tracing := provider_of(os.environ))
        from eval.jobs import Evals
        from ui.app import SAMPLE_QUESTIONS, mount

        app = create_app(
            opening,
            token=token,
            host=host,
            keys=keys,
            conversations=kept,
            spans=spans,
            evals=lambda streams: Evals(settings.home, opening.wait, streams, sample, questions),
        )

        mount(
            app,
            streams_of(app),
            kept,
            documents=lambda: opening.wait().documents() if opening.ready else None,
            examples=SAMPLE_QUESTIONS,
            offered=lambda: _holds(opening, sample),
            megabytes=settings.max_file_mb,
            evals=evals_of(app),
        )
        say(f"Footnote is at {address} (models are loading; Ctrl-C stops it)")
        server = _server(app, opening)
        page_is_up.set()
        server.run(sockets=[listener])
        failure = opening.error
    except KeyboardInterrupt:
        pass
    finally:
        for told in (signal.SIGINT, signal.SIGTERM):
            signal.signal(told, signal.SIG_IGN)  # a second Ctrl-C must not cut the clean-up short
        withdraw(settings.home)
        page_is_up.set()
        embedder.close()  # ends an opening that is still under way
        opening.close()
        if tracing:
            tracing.shutdown()  # sends what is left
        lock.release()
    if failure:
        raise failure
    say("Stopped.")


def _server(app: object, opening: Opening) -> uvicorn.Server:
    """Ends by itself where the index cannot be opened."""

    async def look() -> None:
        server.should_exit = server.should_exit or opening.error is not None

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        timeout_graceful_shutdown=LAST_ANSWERS_S,
        callback_notify=look,
        timeout_notify=1,
    )
    server = uvicorn.Server(config)
    # Every open page holds a connection that a stop cuts short: nothing to tell anybody.
    logging.getLogger("uvicorn.error").addFilter(lambda _: not server.should_exit)
    return server


def _open(settings: Settings, embedder: SentenceTransformerEmbedder, sample: Path, say: Callable[[str], None]) -> Rag:
    """A folder that was never used gets the sample corpus, also where an earlier start was stopped on the way."""
    mark = settings.home / SAMPLE_MARK
    if not (settings.home / "index").exists():
        mark.touch()
    rag = Rag.open(settings, embedder=embedder)
    try:
        if mark.exists() and all(document.root == str(sample) for document in rag.documents()):
            rag.ingest([sample])
            say(f"Indexed the sample corpus: {rag.index.counts()[0]} documents.")
        mark.unlink(missing_ok=True)
        resume(rag)
        if rag.llm:
            rag.llm.wait()
        say(f"Ready: {rag.index.counts()[0]} documents, model {rag.model}.")
        if rag.outdated:
            say(rag.outdated)
            threading.Thread(target=_rebuild, args=(rag, say), daemon=True).start()
    except BaseException:
        rag.close()
        raise
    return rag


def _rebuild(rag: Rag, say: Callable[[str], None]) -> None:
    """Makes an outdated index anew while it answers, and says how far that is, ten times."""
    told = -1

    def progress(p: Progress) -> None:
        nonlocal told
        if (tenth := 10 * p.done // max(p.total, 1)) > told:
            told = tenth
            say(f"Making the index anew: {p.done} of {p.total} documents.")

    try:
        rag.rebuild(progress)
        say(f"The index is made anew: {rag.index.counts()[0]} documents.")
    except RagError as error:  # at Ctrl-C as well: the models are closed
        say(f"The index stays as it was: {error}")


def _holds(opening: Opening, sample: Path) -> bool:
    """Whether questions about the sample corpus make sense; while the index is being opened, they may."""
    return not opening.ready or any(document.root == str(sample) for document in opening.wait().documents())


def _own(home: Path) -> FileLock:
    """Raises InUseError with the address of the server that has the folder."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / SERVER_LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise InUseError(f"{home} is already served{_where(home)}.") from None
    except OSError as error:
        raise StoreError(f"Cannot write in {home}: {error.strerror}. Set RAG_HOME elsewhere.") from error
    return lock


def _where(home: Path) -> str:
    try:
        said = json.loads((home / SERVER_FILE).read_text())
        return f" at {said['address']} by process {said['pid']}"
    except (OSError, ValueError, KeyError):
        return ""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise InputError(
            f"Cannot listen on {host} port {port}: {error.strerror}. Stop what uses it, or choose another: --port N.",
            "port",
        ) from error
    return listener


def _written(host: str) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{shown}]" if ":" in shown else shown

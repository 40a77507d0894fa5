"""What is seen of each request: an id, a line in the log, figures for Prometheus, and headers that keep browsers safe."""

import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.generation import count_tokens
from rag.http.problems import problem_of, respond
from rag.http.spans import Spans
from rag.types import Done, Event
from rag.types import Message as Turn

LOG_FILE = "server.log"  # in RAG_HOME, one JSON object a line
LOG_BYTES, LOG_FILES = 5_000_000, 5
REQUEST_ID = re.compile(r"[\w.:-]{1,64}")
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
# The page's own scripts stand in it; nothing comes from, or goes to, another host.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:;"
    " style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}

log = logging.getLogger("rag.access")


class Figures:
    """What `/metrics` shows. Gauges are asked for when it is read."""

    def __init__(self, queue: Callable[[], tuple[int, int]], index: Callable[[], tuple[int, int] | None]) -> None:
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("footnote_requests", "Requests", ["method", "route", "status"], **made)
        self.request_s = Histogram("footnote_request_seconds", "Until the end", ["route"], buckets=SECONDS, **made)
        self.answers = Counter("footnote_answers", "Answers by status", ["status"], **made)
        self.tokens = Counter("footnote_answer_tokens", "Tokens of all answers", **made)
        self.first_s = Histogram("footnote_first_token_seconds", "Until the first word", buckets=SECONDS, **made)
        self.search_s = Histogram("footnote_search_seconds", "Search of an answer", buckets=SECONDS, **made)
        self._gauge("footnote_answers_running", "Answers being written", lambda: queue()[0])
        self._gauge("footnote_questions_waiting", "Questions in the queue", lambda: queue()[1])
        self._gauge("footnote_documents", "Documents in the index", lambda: (index() or (0, 0))[0])
        self._gauge("footnote_passages", "Passages in the index", lambda: (index() or (0, 0))[1])

    def _gauge(self, name: str, what: str, read: Callable[[], float]) -> None:
        Gauge(name, what, registry=self.registry).set_function(read)

    def response(self) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    def answered(self, done: Done) -> None:
        answer = done.answer
        self.answers.labels(answer.status).inc()
        self.tokens.inc(count_tokens(answer.text))
        if (first := answer.timings.get("first_token_s")) is not None:
            self.first_s.observe(first)
        self.search_s.observe(answer.timings.get("search_s", 0.0))


class Counted:
    """Streams answers and counts them."""

    def __init__(self, rag: Any, figures: Figures, spans: Spans) -> None:
        self.rag, self.figures, self.spans = rag, figures, spans

    def stream(
        self, question: str, history: Sequence[Turn] = (), sources: Sequence[str] = (), user: str = "page"
    ) -> Iterator[Event]:
        for event in self.rag.stream(question, history, sources, user):
            if isinstance(event, Done):
                self.figures.answered(event)
                self.spans.answered(event.answer)
            yield event


class Observed:
    """Outermost: every answer goes through here, the refusals of what stands inside as well."""

    def __init__(self, app: ASGIApp, *, figures: Figures, spans: Spans) -> None:
        self.app, self.figures, self.spans = app, figures, spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        id_ = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        with self.spans.request(scope["method"], id_) as span:
            status = await self._watched(scope, receive, send, id_)
            span |= {"http.route": _route(scope), "http.response.status_code": status}

    async def _watched(self, scope: Scope, receive: Receive, send: Send, id_: str) -> int:
        """The status of the answer."""
        started, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = id_
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:
            if status:  # too late to say it in another way than by breaking off
                raise
            await respond(problem_of(error))(scope, receive, sending)
        finally:
            took, route = time.perf_counter() - started, _route(scope)
            self.figures.requests.labels(scope["method"], route, status).inc()
            self.figures.request_s.labels(route).observe(took)
            caller = getattr(scope.get("caller"), "name", None)
            told = {"request": id_, "method": scope["method"], "path": scope["path"], "status": status}
            log.info("request", extra={"told": told | {"seconds": round(took, 4), "caller": caller}})
        return status


def _route(scope: Scope) -> str:
    """As it is written in the program, so that there are few."""
    path = getattr(scope.get("route"), "path", "")
    return path if path.startswith(("/v1/", "/health", "/metrics")) and "{_:path}" not in path else "other"


class JsonLines(logging.Formatter):
    """What is logged as JSON: of a request never its query, headers or body, where questions and keys are."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {"time": when, "level": record.levelname, "logger": record.name}
        told |= getattr(record, "told", None) or {"message": record.getMessage()}
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def log_to(home: Path) -> logging.Handler:
    """Requests, warnings and errors into a file of bounded size; the terminal is left alone."""
    handler = RotatingFileHandler(
        home / LOG_FILE, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True
    )
    handler.setFormatter(JsonLines())
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    for name in ("rag", "uvicorn.error"):
        logging.getLogger(name).addHandler(handler)
    return handler

"""Traces for OpenTelemetry: of each request, and of the search, the check and the writing of each answer.

Off, and nothing of it loaded, unless the SDK's own variable OTEL_EXPORTER_OTLP_ENDPOINT names where they go (gRPC).
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rag.types import Answer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SERVICE = "footnote"
NS = 1_000_000_000


def provider_of(environ: Mapping[str, str]) -> "TracerProvider | None":
    """None where no address is set."""
    if not any(environ.get(name) for name in VARIABLES):
        return None
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": environ.get("OTEL_SERVICE_NAME", SERVICE)}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Spans:
    """Where spans go; without a provider nowhere."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self._tracer: Any = provider.get_tracer(SERVICE) if provider else None

    @contextmanager
    def request(self, method: str, id_: str) -> Iterator[dict[str, Any]]:
        """The span of a request, named at its end: what is put into the dictionary becomes its attributes."""
        told: dict[str, Any] = {"http.request.method": method, "footnote.request": id_}
        if not self._tracer:
            yield told
            return
        with self._tracer.start_as_current_span(method) as span:
            try:
                yield told
            finally:
                span.update_name(f"{method} {told.get('http.route', 'other')}")
                span.set_attributes(told)

    def answered(self, answer: Answer) -> None:
        """Spans of an answer that has just ended, by its own timings. The request that is under way is their parent."""
        if not self._tracer:
            return
        from opentelemetry.trace import set_span_in_context

        t = answer.timings
        end = time.time_ns()
        at = end - int(t.get("total_s", 0.0) * NS)
        attributes = {
            "footnote.answer": answer.id,
            "footnote.status": answer.status,
            "gen_ai.request.model": answer.model,
        }
        whole = self._tracer.start_span("answer", start_time=at, attributes=attributes)
        context = set_span_in_context(whole)
        for name, seconds in (("search", t.get("search_s")), ("check", t.get("check_s"))):
            if seconds is not None:
                span = self._tracer.start_span(name, context, start_time=at)
                at += int(seconds * NS)
                span.end(at)
        if "first_token_s" in t:
            self._tracer.start_span("write", context, start_time=at).end(end)
        whole.end(end)

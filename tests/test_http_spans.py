"""Traces of requests and answers, into the SDK's own memory."""

import subprocess
import sys

from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rag.api import create_app
from rag.http.spans import Spans, provider_of
from rag.pipeline import Rag

QUESTION = {"question": "Who built the lighthouse on Farrow Point?"}


def test_an_answer_and_its_stages_belong_to_the_request_that_asked(rag: Rag) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    client = TestClient(create_app(rag, spans=Spans(provider)), base_url="http://127.0.0.1")
    for path in ("/v1/answer", "/v1/answer/stream"):
        kept.clear()
        assert client.post(path, json=QUESTION, headers={"X-Request-ID": "mine"}).status_code == 200
        spans = {span.name: span for span in kept.get_finished_spans()}
        assert spans.keys() == {f"POST {path}", "answer", "search", "check", "write"}
        request, answer = spans[f"POST {path}"], spans["answer"]
        assert request.attributes is not None and answer.attributes is not None
        assert (request.attributes["http.response.status_code"], request.attributes["footnote.request"]) == (
            200,
            "mine",
        )
        assert answer.attributes["footnote.status"] == "answered"
        assert answer.parent and answer.parent.span_id == request.context.span_id
        assert all(spans[name].parent.span_id == answer.context.span_id for name in ("search", "check", "write"))
        assert "lighthouse" not in str([dict(span.attributes or {}) for span in spans.values()])  # no question


def test_nothing_is_sent_or_loaded_unless_an_address_is_set() -> None:
    assert provider_of({}) is None
    code = "import sys, rag.api, rag.serving; print('opentelemetry.exporter' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"


def test_an_address_makes_a_provider_of_that_service() -> None:
    provider = provider_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SERVICE_NAME": "papers"})
    assert provider is not None and provider.resource.attributes["service.name"] == "papers"
    provider.shutdown()

"""What the OpenAPI document says is what the endpoint does, whatever it is sent."""

import http
from typing import Any

import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from rag.api import create_app
from rag.pipeline import Rag
from tests.test_page import served

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PROBLEM = {"$ref": "#/components/schemas/Problem"}


def test_generated_requests_get_no_5xx_and_no_answer_that_is_not_described(rag: Rag) -> None:
    tried = 0
    with served(create_app(rag, token="t")) as address:
        for found in schemathesis.openapi.from_url(f"{address}/openapi.json").get_all_operations():
            operation = found.ok()

            @settings(
                max_examples=12, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck]
            )
            @given(case=operation.as_strategy())
            def check(case: Any) -> None:
                case.call_and_validate(checks=CHECKS)

            check()
            tried += 1
    assert tried > 12


def test_every_error_of_every_call_is_a_problem(rag: Rag) -> None:
    document = TestClient(create_app(rag), base_url="http://127.0.0.1").get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            errors = {status: told for status, told in call["responses"].items() if int(status) >= 400}
            if path == "/health":
                continue
            assert set(errors) >= {"401", "403", "429", "500"}, (method, path)
            for status, told in errors.items():
                assert told["content"] == {"application/problem+json": {"schema": PROBLEM}}, (path, status)
                assert http.HTTPStatus(int(status))
    assert document["components"]["schemas"]["Problem"]["properties"].keys() >= {"title", "status", "detail", "errors"}
    assert set(document["components"]["securitySchemes"]) == {"key", "login"}

"""The OpenAPI document: what each call can answer, the errors that every call can have, and how to log in."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from rag.http.problems import Problem, documented

EVERYWHERE = documented(401, 403, 413, 429, 500)
LOGIN = {"key": {"type": "http", "scheme": "bearer"}, "login": {"type": "http", "scheme": "basic"}}


def describe(app: FastAPI) -> None:
    """Keys are described as needed or not: on loopback, as long as there are none, everybody may read and write."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= described.pop("$defs", {}) | {"Problem": described}
    parts["securitySchemes"] = LOGIN
    document["security"] = [{}, {"key": []}, {"login": []}]
    for path, methods in document["paths"].items():
        for call in methods.values():
            responses = call["responses"]
            if "HTTPValidationError" in str(responses.get("422")):
                responses["422"] = documented(422)[422]
            if path != "/health":
                for status, told in EVERYWHERE.items():
                    responses.setdefault(str(status), told)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document

"""`/v1/documents/page`: a page of a PDF as a picture, with a quote marked on it."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from rag.errors import LoadError
from rag.http.bodies import Text
from rag.http.problems import documented
from rag.pipeline import Rag

KEPT_S = 600  # the address names no version of the document


def routes(opened: Callable[[], Rag]) -> APIRouter:
    router = APIRouter(tags=["documents"])

    @router.get(
        "/v1/documents/page",
        summary="A page of a PDF as a picture, with the text from start to end marked",
        response_class=Response,
        responses=documented(404, 422) | {200: {"content": {"image/jpeg": {}}}},
    )
    def page(
        source: Annotated[Text, Query()],
        page: Annotated[int, Query(ge=1, le=100_000)],
        start: Annotated[int, Query(ge=0)] = 0,
        end: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        try:
            picture = opened().page_picture(source, page, start, end)
        except LoadError as error:
            raise HTTPException(404, str(error)) from error
        return Response(picture, 200, {"Cache-Control": f"private, max-age={KEPT_S}"}, "image/jpeg")

    return router

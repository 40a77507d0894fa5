"""`/v1/evals`: question sets run against the documents, as jobs, and what came of them. Who runs them is handed in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from rag.errors import RagError
from rag.http.access import needs
from rag.http.bodies import STRICT
from rag.http.problems import documented, problem_of

QuestionSet = Literal["sample", "own"]
SHUT = "default-src 'none'; style-src 'unsafe-inline'"  # a report is one page that needs nothing
RUN = re.compile(r"[0-9]{8}-[0-9]{6}(-[0-9]+)?")  # the name of a run: its time in UTC
Id = Annotated[str, Path(pattern=f"^{RUN.pattern}$")]


class EvalRequest(BaseModel):
    model_config = STRICT
    set: QuestionSet = Field(
        default="sample", description="the sample's questions, asked of the sample alone; or those that readers kept"
    )
    limit: int | None = Field(default=None, ge=1, description="only this many, drawn with a fixed seed")


@dataclass(frozen=True, slots=True)
class EvalState:
    """A run under way, or what is kept of one. `wrong` and `failed` of the `done` questions are to be looked at."""

    id: str
    set: QuestionSet
    status: Literal["running", "done", "stopped", "failed"]
    done: int
    total: int
    wrong: int = 0
    failed: int = 0
    started: str = ""  # UTC, ISO 8601
    result: Mapping[str, Any] | None = None  # measures, by_type, stages, failures, comparison, made_with
    error: RagError | None = None

    def as_dict(self) -> dict[str, Any]:
        names = ("id", "set", "status", "done", "total", "wrong", "failed", "started")
        data = {name: getattr(self, name) for name in names}
        return data | {"result": self.result, "error": problem_of(self.error) if self.error else None}


class Evaluates(Protocol):
    def start(self, which: QuestionSet, limit: int | None) -> EvalState:
        """Raises InputError, InUseError while one is under way, EmptyIndexError."""

    def stop(self, id_: str) -> EvalState | None:
        """What was answered before is summed up. None: there is no such run."""

    def listed(self) -> Sequence[EvalState]:
        """The latest first, without their results."""

    def get(self, id_: str) -> EvalState | None: ...

    def report(self, id_: str) -> str | None:
        """A page of HTML that needs nothing else."""

    def questions(self) -> Mapping[QuestionSet, int]:
        """How many each set has."""


def routes(evals: Evaluates) -> APIRouter:
    router = APIRouter(tags=["Evals"])

    def known(found: EvalState | None, id_: str) -> EvalState:
        if found is None:
            raise HTTPException(404, f"There is no run {id_!r}; GET /v1/evals lists them.")
        return found

    @router.get("/v1/evals", summary="The question sets, and the runs, the latest first")
    def listed() -> dict[str, Any]:
        return {"sets": dict(evals.questions()), "runs": [state.as_dict() for state in evals.listed()]}

    @router.post(
        "/v1/evals",
        summary="Runs a question set as a job; each question takes its turn among those that others ask",
        dependencies=[needs("write")],
        status_code=202,
        responses=documented(409, 422),
    )
    def start(body: EvalRequest) -> JSONResponse:
        state = evals.start(body.set, body.limit)
        return JSONResponse(state.as_dict(), 202, {"Location": f"/v1/evals/{state.id}"})

    @router.get("/v1/evals/{id}", summary="How far a run is, or what came of it", responses=documented(404, 422))
    def get(id: Id) -> dict[str, Any]:
        return known(evals.get(id), id).as_dict()

    @router.post(
        "/v1/evals/{id}/stop",
        summary="Stops a run; what was answered before is summed up",
        dependencies=[needs("write")],
        responses=documented(404, 422),
    )
    def stop(id: Id) -> dict[str, Any]:
        return known(evals.stop(id), id).as_dict()

    @router.get(
        "/v1/evals/{id}/report",
        summary="The report of a run, with its plots, as one page",
        response_class=HTMLResponse,
        responses=documented(404, 422),
    )
    def report(id: Id) -> Response:
        if (page := evals.report(id)) is None:
            raise HTTPException(404, f"There is no report of a run {id!r}; GET /v1/evals lists the runs.")
        return HTMLResponse(page, 200, {"Content-Security-Policy": SHUT})

    return router

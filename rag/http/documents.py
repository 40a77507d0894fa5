"""Documents over HTTP: what is indexed, their texts, and the jobs that bring them in."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from rag.client import documents_as_json
from rag.errors import BusyError, InputError, LoadError, RagError
from rag.http.access import needs
from rag.http.bodies import STRICT, Text
from rag.http.problems import documented, problem_of
from rag.http.streams import EventStream, Named, from_thread, lines
from rag.pipeline import Failure, IngestReport, Progress, Rag
from rag.uploads import bring_in, forget, keep, read_again, safe_name, same_content

FILES = 200  # in one upload
JOBS_WAITING = 20
JOBS_REMEMBERED = 1000
POLL_S = 0.05
FORM = {
    "type": "object",
    "required": ["files"],
    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
}


class IngestRequest(BaseModel):
    model_config = STRICT
    paths: list[Text] = Field(description="absolute paths on this machine")
    prune: bool = False
    dry_run: bool = Field(default=False, description="say what would be done, and do nothing")
    only: list[Text] | None = Field(
        default=None, description="of what lies under the paths, only these files and folders"
    )


class RemoveRequest(BaseModel):
    model_config = STRICT
    sources: list[Text]


@dataclass(frozen=True, slots=True)
class Job:
    """Files on their way into the index."""

    id: str
    status: Literal["queued", "running", "done", "failed"] = "queued"
    done: int = 0
    total: int = 0
    path: str = ""  # the file that is being read
    report: IngestReport | None = None
    error: RagError | None = None

    @property
    def over(self) -> bool:
        return self.status in ("done", "failed")

    def as_dict(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in ("id", "status", "done", "total", "path")}
        report = self.report.as_dict() if self.report else None
        return data | {"report": report, "error": problem_of(self.error) if self.error else None}


class Jobs:
    """Work in threads of its own, one after the other since `Rag.ingest` is, remembered for whoever asks."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def check_room(self) -> None:
        """Raises BusyError."""
        with self._lock:
            waiting = sum(not job.over for job in self._jobs.values())
        if waiting >= JOBS_WAITING:
            raise BusyError(f"{waiting} uploads are being indexed already. Send it again later.", 10)

    def start(self, total: int, work: Callable[[Callable[[Progress], None]], IngestReport]) -> Job:
        job = Job(secrets.token_hex(8), total=total)
        with self._lock:
            self._jobs[job.id] = job
            while len(self._jobs) > JOBS_REMEMBERED:
                self._jobs.popitem(last=False)
        threading.Thread(target=self._run, args=(job.id, work), daemon=True, name="upload").start()
        return job

    def get(self, id_: str) -> Job | None:
        return self._jobs.get(id_)

    async def ended(self, id_: str) -> Job:
        while not self._jobs[id_].over:
            await anyio.sleep(POLL_S)
        return self._jobs[id_]

    def _run(self, id_: str, work: Callable[[Callable[[Progress], None]], IngestReport]) -> None:
        try:
            report = work(lambda p: self._change(id_, status="running", done=p.done, path=p.path))
            self._change(id_, status="done", done=self._jobs[id_].total, path="", report=report)
        except Exception as error:
            told = error if isinstance(error, RagError) else RagError("An unexpected error; the log has it.")
            problem_of(error)  # writes to the log what nobody expected
            self._change(id_, status="failed", path="", error=told)

    def _change(self, id_: str, **changes: Any) -> None:
        with self._lock:
            self._jobs[id_] = replace(self._jobs[id_], **changes)


def routes(opened: Callable[[], Rag]) -> APIRouter:
    router = APIRouter(tags=["documents"])
    jobs = Jobs()

    @router.get("/v1/documents", summary="What is indexed")
    def documents() -> dict[str, Any]:
        return {"documents": documents_as_json(opened())}

    @router.post(
        "/v1/documents",
        summary="Brings files in; with wait=true it answers when they are indexed",
        dependencies=[needs("write")],
        status_code=202,
        responses=documented(400, 413, 415, 422, 429, 507) | {200: {"description": "wait=true: the job has ended"}},
        openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}},
    )
    async def upload(request: Request, wait: Annotated[bool, Query()] = False) -> Response:
        jobs.check_room()
        async with request.form(max_files=FILES, max_fields=1) as form:
            job = await anyio.to_thread.run_sync(_take, opened, jobs, form)
        if wait:
            job = await jobs.ended(job.id)
        return JSONResponse(job.as_dict(), 200 if wait else 202, {"Location": f"/v1/jobs/{job.id}"})

    @router.get("/v1/jobs/{id}", summary="How far an upload is", responses=documented(404))
    def job(id: str) -> dict[str, Any]:
        if found := jobs.get(id):
            return found.as_dict()
        raise HTTPException(404, f"There is no job {id!r}; those of an earlier start of the server are forgotten.")

    @router.delete(
        "/v1/documents",
        summary="Takes documents out of the index",
        dependencies=[needs("write")],
        responses=documented(422, 507),
    )
    def delete(source: Annotated[list[Text], Query(min_length=1, description="may be repeated")]) -> dict[str, Any]:
        forget(opened(), source)
        return {"removed": source}

    @router.get(
        "/v1/documents/text",
        summary="The text that every offset points into",
        response_class=PlainTextResponse,
        responses=documented(422),
    )
    def text(source: Annotated[Text, Query()]) -> PlainTextResponse:
        return PlainTextResponse(opened().text(source))

    @router.post(
        "/v1/documents/remove",
        summary="The same as DELETE, for many",
        dependencies=[needs("write")],
        responses=documented(422, 507),
    )
    def remove(body: RemoveRequest) -> dict[str, Any]:
        forget(opened(), body.sources)
        return {"removed": body.sources}

    @router.post(
        "/v1/documents/again",
        summary="Reads the files of documents again",
        dependencies=[needs("write")],
        status_code=202,
        responses=documented(422, 429),
    )
    def again(source: Annotated[list[Text], Query(min_length=1, description="may be repeated")]) -> JSONResponse:
        jobs.check_room()
        rag = opened()
        path_of = {d.source: Path(d.path) for d in rag.documents()}
        if unknown := [s for s in source if s not in path_of]:
            raise InputError(f"No document {unknown[0]!r}. `rag documents` lists them.", "source")
        paths = list(dict.fromkeys(path_of[s] for s in source))
        job = jobs.start(len(paths), lambda progress: read_again(rag, paths, progress))
        return JSONResponse(job.as_dict(), 202, {"Location": f"/v1/jobs/{job.id}"})

    @router.post(
        "/v1/ingest",
        summary="Brings files of this machine in, as events",
        dependencies=[needs("admin")],
        responses=documented(422) | {200: {"content": {"text/event-stream": {}}}},
    )
    async def ingest(body: IngestRequest) -> StreamingResponse:
        events = _ingesting(opened, body)
        return EventStream(lines(await anext(events), events), events)

    return router


def _take(opened: Callable[[], Rag], jobs: Jobs, form: FormData) -> Job:
    """Keeps the files of an upload and starts their job. Raises InputError, RagError, HTTPException."""
    rag = opened()
    files = [value for name, value in form.multi_items() if name == "files" and isinstance(value, UploadFile)]
    if not files:
        raise InputError("Send one file or more, each as a part named `files`.", "files")
    kept: dict[str, Path] = {}
    same: list[str] = []
    failed: list[Failure] = []
    for file in files:
        name = file.filename or ""
        try:
            if source := same_content(rag, file.file):
                same.append(source)
                continue
            if safe_name(name) in kept:
                raise LoadError(f"Cannot take {name!r} twice: two files of one upload have this name.")
            path = keep(rag.settings.home, name, file.file, rag.settings.max_file_mb * 1_000_000)
            kept[path.name] = path
        except LoadError as error:
            failed.append(Failure(name, str(error)))
    if failed and not kept and not same:
        raise HTTPException(415, " ".join(failure.reason for failure in failed[:3]))
    earlier = IngestReport(unchanged=tuple(same), failed=tuple(failed))
    return jobs.start(len(kept), lambda progress: _joined(earlier, bring_in(rag, list(kept.values()), progress)))


def _joined(a: IngestReport, b: IngestReport) -> IngestReport:
    return replace(b, unchanged=a.unchanged + b.unchanged, failed=a.failed + b.failed)


def _ingesting(opened: Callable[[], Rag], body: IngestRequest) -> AsyncGenerator[Named | Exception]:
    """Events `progress` {done, total, path}, then `done` with the report. Closing it ends the ingest at its next file.

    What is finished then is kept.
    """

    def work(put: Callable[[Named], None]) -> None:
        def progress(p: Progress) -> None:
            put(("progress", {"done": p.done, "total": p.total, "path": p.path}))

        only = None if body.only is None else set(map(Path, body.only))
        paths = list(map(Path, body.paths))
        report = opened().ingest(paths, prune=body.prune, only=only, dry=body.dry_run, progress=progress)
        put(("done", report.as_dict()))

    return from_thread(work)

"""Documents over HTTP: what is indexed, their texts, and the jobs that bring them in."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
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
from rag.http.access import Caller, caller_of, key_of, needs
from rag.http.bodies import STRICT, Text
from rag.http.problems import documented, problem_of
from rag.http.streams import EventStream, Named, from_thread, lines
from rag.index import Stored
from rag.ingesting import Failure, FileProgress, IngestReport, Progress
from rag.pipeline import Rag
from rag.uploads import FOLDER, Owners, bring_in, forget, joined, keep, read_again, safe_name, same_content, stored_of

FILES = 200  # in one upload
JOBS_WAITING = 20
JOBS_REMEMBERED = 1000
POLL_S = 0.05
REASONS = 3  # told of one file, or of an upload of which nothing can be taken
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
class JobFile:
    """One file of a job. `name` is what its sender called it, `path` where it lies.

    `passages` that are stored of it; `sources`: the documents that it became; `reason`: what failed, where something did.
    """

    name: str
    path: str
    status: Literal["queued", "reading", "embedding", "storing", "stored", "unchanged", "failed"] = "queued"
    passages: int = 0
    sources: tuple[str, ...] = ()
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        names = ("name", "status", "passages", "reason")
        return {name: getattr(self, name) for name in names} | {"sources": list(self.sources)}


@dataclass(frozen=True, slots=True)
class Job:
    """Files on their way into the index."""

    id: str
    status: Literal["queued", "running", "done", "failed"] = "queued"
    done: int = 0
    total: int = 0
    path: str = ""  # the file that is being read
    files: tuple[JobFile, ...] = ()
    report: IngestReport | None = None
    error: RagError | None = None

    @property
    def over(self) -> bool:
        return self.status in ("done", "failed")

    def as_dict(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in ("id", "status", "done", "total", "path")}
        data |= {"files": [file.as_dict() for file in self.files]}
        report = self.report.as_dict() if self.report else None
        return data | {"report": report, "error": problem_of(self.error) if self.error else None}


Work = Callable[[Callable[[Progress], None], Callable[[FileProgress], None]], tuple[IngestReport, list[Stored]]]


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

    def start(self, files: Sequence[JobFile], work: Work) -> Job:
        """`work` gives the report, and what is indexed then."""
        total = sum(file.status == "queued" for file in files)
        job = Job(secrets.token_hex(8), total=total, files=tuple(files))
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

    def _run(self, id_: str, work: Work) -> None:
        try:
            report, stored = work(
                lambda p: self._change(id_, lambda job: replace(job, status="running", done=p.done, path=p.path)),
                lambda p: self._change(id_, lambda job: replace(job, files=tuple(_moved(f, p) for f in job.files))),
            )
            self._change(id_, lambda job: _done(job, report, stored))
        except Exception as error:
            told = error if isinstance(error, RagError) else RagError("An unexpected error; the log has it.")
            problem_of(error)  # writes to the log what nobody expected
            self._change(id_, lambda job: _broken(job, told))

    def _change(self, id_: str, change: Callable[[Job], Job]) -> None:
        with self._lock:
            self._jobs[id_] = change(self._jobs[id_])


def _moved(file: JobFile, p: FileProgress) -> JobFile:
    if file.path != p.path:
        return file
    return replace(file, status=p.stage, passages=file.passages + (p.passages if p.stage == "stored" else 0))


def _done(job: Job, report: IngestReport, stored: Sequence[Stored]) -> Job:
    by_path: dict[str, list[Stored]] = {}
    for document in stored:
        by_path.setdefault(document.path, []).append(document)
    files = tuple(_ended(file, report, by_path.get(file.path, [])) for file in job.files)
    return replace(job, status="done", done=job.total, path="", files=files, report=report)


def _ended(file: JobFile, report: IngestReport, stored: Sequence[Stored]) -> JobFile:
    if file.status in ("unchanged", "failed"):
        return file
    names = {file.name, Path(file.path).name}
    about = [
        f
        for f in (*report.failed, *report.skipped)
        if f.path in names or f.path.startswith(tuple(f"{n}/" for n in names))
    ]
    reason = " ".join(f.reason for f in about[:REASONS]) or None
    sources = tuple(document.source for document in stored)
    if not sources or any(f.path in names for f in report.failed):
        return replace(file, status="failed", sources=sources, reason=reason)
    status: Literal["stored", "unchanged"] = "unchanged" if set(sources) <= set(report.unchanged) else "stored"
    return replace(file, status=status, passages=sum(d.passages for d in stored), sources=sources, reason=reason)


def _broken(job: Job, error: RagError) -> Job:
    """What was stored before then stays."""
    files = tuple(
        f if f.status in ("stored", "unchanged", "failed") else replace(f, status="failed", reason=str(error))
        for f in job.files
    )
    return replace(job, status="failed", path="", files=files, error=error)


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
            job = await anyio.to_thread.run_sync(_take, opened, jobs, form, key_of(caller_of(request)))
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
        responses=documented(403, 422, 507),
    )
    def delete(
        request: Request, source: Annotated[list[Text], Query(min_length=1, description="may be repeated")]
    ) -> dict[str, Any]:
        _remove(opened(), source, caller_of(request))
        return {"removed": source}

    @router.post(
        "/v1/documents/again",
        summary="Reads the files of documents again, changed or not",
        dependencies=[needs("write")],
        status_code=202,
        responses=documented(422, 429),
    )
    def again(source: Annotated[list[Text], Query(min_length=1, description="may be repeated")]) -> JSONResponse:
        jobs.check_room()
        rag = opened()
        files = {d.path: d.source for d in stored_of(rag, source)}
        job = jobs.start(
            [JobFile(name, path) for path, name in files.items()],
            lambda *told: (read_again(rag, source, *told), rag.documents()),
        )
        return JSONResponse(job.as_dict(), 202, {"Location": f"/v1/jobs/{job.id}"})

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
        responses=documented(403, 422, 507),
    )
    def remove(request: Request, body: RemoveRequest) -> dict[str, Any]:
        _remove(opened(), body.sources, caller_of(request))
        return {"removed": body.sources}

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


def _remove(rag: Rag, sources: Sequence[str], caller: Caller) -> None:
    """Raises InputError, HTTPException for what another key has sent."""
    owners, key = Owners(rag.settings.home), key_of(caller)
    for document in stored_of(rag, sources):
        if not owners.may_change(document.path, key):
            raise HTTPException(
                403, f"{document.source!r} was sent by another key: it, or one of the scope admin, may remove it."
            )
    forget(rag, sources)


def _take(opened: Callable[[], Rag], jobs: Jobs, form: FormData, key: str | None) -> Job:
    """Keeps the files of an upload and starts their job. `key`: whose they are; None: nobody's.

    Raises InputError, RagError, HTTPException.
    """
    rag = opened()
    owners = Owners(rag.settings.home)
    files = [value for name, value in form.multi_items() if name == "files" and isinstance(value, UploadFile)]
    if not files:
        raise InputError("Send one file or more, each as a part named `files`.", "files")
    taken: list[JobFile] = []
    paths: dict[str, Path] = {}
    for file in files:
        name = file.filename or ""
        try:
            if source := same_content(rag, file.file):
                taken.append(JobFile(name, "", "unchanged", sources=(source,)))
                continue
            if safe_name(name) in paths:
                raise LoadError(f"Cannot take {name!r} twice: two files of one upload have this name.")
            if not owners.may_change(rag.settings.home / FOLDER / safe_name(name), key):
                raise LoadError(f"Cannot take {name!r}: another key has sent a file of this name. Give yours another.")
            path = keep(rag.settings.home, name, file.file, rag.settings.max_file_mb * 1_000_000)
            if key:
                owners.note(path.name, key)
            paths[path.name] = path
            taken.append(JobFile(name, str(path)))
        except LoadError as error:
            taken.append(JobFile(name, "", "failed", reason=str(error)))
    failed = [Failure(file.name, file.reason or "") for file in taken if file.status == "failed"]
    if len(failed) == len(taken):
        raise HTTPException(415, " ".join(failure.reason for failure in failed[:REASONS]))
    same = (source for file in taken for source in file.sources)
    earlier = IngestReport(unchanged=tuple(same), failed=tuple(failed))

    def work(*told: Any) -> tuple[IngestReport, list[Stored]]:
        return joined(earlier, bring_in(rag, list(paths.values()), *told)), rag.documents()

    return jobs.start(taken, work)


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

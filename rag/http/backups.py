"""`/v1/backup`: the server's home folder as one archive, while it answers."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from rag.backups import back_up, check_possible
from rag.errors import InputError
from rag.http.access import needs
from rag.http.bodies import STRICT, Text
from rag.http.problems import documented
from rag.http.streams import EventStream, Named, from_thread, lines
from rag.pipeline import Rag


class BackupRequest(BaseModel):
    model_config = STRICT
    file: Text = Field(description="absolute path of the archive, on this machine", examples=["/backups/footnote.zip"])


def routes(opened: Callable[[], Rag]) -> APIRouter:
    router = APIRouter(tags=["backup"])

    @router.post(
        "/v1/backup",
        summary="Writes all that is kept to an archive on this machine, as events",
        dependencies=[needs("admin")],
        responses=documented(422, 507) | {200: {"content": {"text/event-stream": {}}}},
    )
    async def backup(body: BackupRequest) -> StreamingResponse:
        events = _backing_up(opened, Path(body.file))
        first = await anext(events)
        if isinstance(first, Exception):  # nothing was sent yet: it can still be a plain problem
            raise first
        return EventStream(lines(first, events), events)

    return router


def _backing_up(opened: Callable[[], Rag], file: Path) -> AsyncGenerator[Named | Exception]:
    """Events `progress` {done, total, path}, then `done` {file, files, bytes}."""

    def work(put: Callable[[Named], None]) -> None:
        if not file.is_absolute():
            raise InputError(f"{str(file)!r} is no absolute path.", "file")
        rag = opened()
        check_possible(rag.settings)

        def report(done: int, total: int, name: str) -> None:
            put(("progress", {"done": done, "total": total, "path": name}))

        made = back_up(rag.settings.home, file, rag.index.still(), report)
        put(("done", {"file": str(file), "files": len(made.files), "bytes": file.stat().st_size}))

    return from_thread(work)

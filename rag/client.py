"""The same calls in this process or over HTTP. `connect` takes the server that runs on the folder, where there is one."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import httpx

from rag.config import Settings
from rag.errors import BusyError, InputError, ModelError, RagError, StoreError
from rag.types import Message, event_as_json

if TYPE_CHECKING:
    from rag.pipeline import Rag

SERVER_LOCK = "server.lock"  # in RAG_HOME, held for as long as a server lives
SERVER_FILE = "server.json"  # in RAG_HOME, readable by its owner only
CONNECT_S = 5.0
START_S = 60.0  # a server that has just been started listens before it answers

Named = tuple[str, dict[str, Any]]  # an event's name and data
Report = Callable[[int, int, str], None]  # files done, files in all, the file being read


class Caller(Protocol):
    """What the command line needs; answers, passages and documents in their JSON form."""

    def stream(self, question: str, history: Sequence[Message], sources: Sequence[str]) -> Iterator[Named]: ...
    def search(self, query: str, k: int, sources: Sequence[str] = ()) -> list[dict[str, Any]]: ...
    def documents(self) -> list[dict[str, Any]]: ...
    def text(self, source: str) -> str: ...
    def trace(self, answer_id: str) -> dict[str, Any]: ...
    def remove(self, sources: Sequence[str]) -> None: ...
    def ingest(
        self, paths: Sequence[Path], prune: bool, report: Report, only: Set[Path] | None = None, dry: bool = False
    ) -> dict[str, Any]: ...
    def diagnose(self, question: str, expected: str) -> dict[str, Any]: ...
    @property
    def outdated(self) -> str:
        """What has changed since the index was made, where that is for this process to say."""
        ...

    def close(self) -> None: ...


def connect(settings: Settings) -> Caller:
    """The running server of `settings.home`, else a Rag in this process. Raises RagError."""
    if client := running_server(settings.home):
        return client
    from rag.pipeline import Rag

    return Local(Rag.open(settings))


def documents_as_json(rag: "Rag") -> list[dict[str, Any]]:
    """What is stored of each document, and the `size` of its file in bytes; null where the file is gone."""
    return [stored.as_dict() | {"size": size_of(stored.path)} for stored in rag.documents()]


def size_of(path: str) -> int | None:
    """Bytes of a file; None where it is gone."""
    with suppress(OSError, ValueError):
        return Path(path).stat().st_size
    return None


class Local:
    def __init__(self, rag: "Rag") -> None:
        self.rag = rag

    def stream(self, question: str, history: Sequence[Message], sources: Sequence[str]) -> Iterator[Named]:
        yield from map(event_as_json, self.rag.stream(question, history, sources))

    def search(self, query: str, k: int, sources: Sequence[str] = ()) -> list[dict[str, Any]]:
        return [hit.as_dict() for hit in self.rag.search(query, k, sources)]

    def documents(self) -> list[dict[str, Any]]:
        return documents_as_json(self.rag)

    def text(self, source: str) -> str:
        return self.rag.text(source)

    def trace(self, answer_id: str) -> dict[str, Any]:
        if trace := self.rag.trace(answer_id):
            return trace.as_dict()
        raise StoreError(f"No answer {answer_id!r} is kept.")

    def remove(self, sources: Sequence[str]) -> None:
        from rag.uploads import forget

        forget(self.rag, sources)

    def ingest(
        self, paths: Sequence[Path], prune: bool, report: Report, only: Set[Path] | None = None, dry: bool = False
    ) -> dict[str, Any]:
        done = self.rag.ingest(
            paths, prune=prune, only=only, dry=dry, progress=lambda p: report(p.done, p.total, p.path)
        )
        return done.as_dict()

    def diagnose(self, question: str, expected: str) -> dict[str, Any]:
        return self.rag.diagnose(question, expected).as_dict()

    @property
    def outdated(self) -> str:
        return self.rag.outdated

    def close(self) -> None:
        self.rag.close()


class Client:
    """A running server, with the same calls as the endpoint. `key` is one of `rag keys add`. Raises RagError."""

    def __init__(self, address: str = "http://127.0.0.1:7860", key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(None, connect=CONNECT_S)  # the server has its own limits for models
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout, trust_env=False)
        self.address = address

    def stream(self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = ()) -> Iterator[Named]:
        """Events as in POST /v1/answer/stream, each as (name, data); the last is ("done", answer)."""
        yield from self._events("/v1/answer/stream", _question(question, history, sources))

    def search(self, query: str, k: int = 10, sources: Sequence[str] = ()) -> list[dict[str, Any]]:
        found = self._call("POST", "/v1/search", json={"query": query, "k": k, "sources": list(sources)})
        return list(found.json()["passages"])

    def documents(self) -> list[dict[str, Any]]:
        return list(self._call("GET", "/v1/documents").json()["documents"])

    def trace(self, answer_id: str) -> dict[str, Any]:
        return dict(self._call("GET", f"/v1/answers/{quote(answer_id, safe='')}/trace").json())

    def text(self, source: str) -> str:
        return self._call("GET", "/v1/documents/text", params={"source": source}).content.decode()

    def remove(self, sources: Sequence[str]) -> None:
        self._call("POST", "/v1/documents/remove", json={"sources": list(sources)})

    def ask(self, question: str, history: Sequence[Message] = (), sources: Sequence[str] = ()) -> dict[str, Any]:
        """The answer, as in POST /v1/answer."""
        return dict(self._call("POST", "/v1/answer", json=_question(question, history, sources)).json())

    def upload(self, *paths: str | Path) -> dict[str, Any]:
        """Sends files and returns the report when they are indexed: {added, unchanged, updated, removed, failed}."""
        with ExitStack() as stack:
            files = [("files", (Path(path).name, stack.enter_context(Path(path).open("rb")))) for path in paths]
            job = self._call("POST", "/v1/documents", params={"wait": True}, files=files).json()
        if job["error"]:
            raise _error_of(job["error"])
        return dict(job["report"])

    def delete(self, *sources: str) -> None:
        self._call("DELETE", "/v1/documents", params={"source": list(sources)})

    def ingest(
        self, paths: Sequence[Path], prune: bool, report: Report, only: Set[Path] | None = None, dry: bool = False
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"paths": [str(path.expanduser().absolute()) for path in paths], "prune": prune}
        body["dry_run"] = dry
        body["only"] = None if only is None else sorted(map(str, only))
        for name, data in self._events("/v1/ingest", body):
            if name == "done":
                return data
            report(data["done"], data["total"], data["path"])
        raise StoreError("The server ended before the documents were in. Start it and ingest again.")

    def back_up(self, file: Path, report: Report) -> dict[str, Any]:
        """Has the server write an archive of its home to `file`, on its own machine."""
        for name, data in self._events("/v1/backup", {"file": str(file.expanduser().absolute())}):
            if name == "done":
                return data
            report(data["done"], data["total"], data["path"])
        raise StoreError("The server ended before the backup was made. Start it and try again.")

    def diagnose(self, question: str, expected: str) -> dict[str, Any]:
        body = {"question": question, "expected": expected}
        return dict(self._call("POST", "/v1/diagnose", json=body).json())

    @property
    def outdated(self) -> str:
        return ""  # the server says it

    def close(self) -> None:
        self._http.close()

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise StoreError(f"The server at {self.address} does not answer: {error}.") from error
        if response.is_error:
            raise _error(response)
        return response

    def _events(self, path: str, body: Mapping[str, Any]) -> Iterator[Named]:
        try:
            with self._http.stream("POST", path, json=body) as response:
                if response.is_error:
                    response.read()
                    raise _error(response)
                name = ""
                for line in response.iter_lines():
                    if line.startswith("event: "):
                        name = line[7:]
                    elif line.startswith("data: "):
                        data = json.loads(line[6:])
                        if name == "error":
                            raise _error_of(data)
                        yield name, data
        except httpx.HTTPError as error:
            raise StoreError(f"The server at {self.address} broke off: {error}.") from error


def _question(question: str, history: Sequence[Message], sources: Sequence[str]) -> dict[str, Any]:
    return {"question": question, "history": [asdict(m) for m in history], "sources": list(sources)}


def _error(response: httpx.Response) -> RagError:
    if "json" not in response.headers.get("content-type", ""):
        return StoreError(f"{response.url} answered {response.status_code} {response.reason_phrase}.")
    return _error_of(response.json())


def _error_of(problem: Mapping[str, Any]) -> RagError:
    """A problem document as the error that it was."""
    status, detail = problem.get("status", 500), str(problem.get("detail", "The server failed."))
    if status == 422:
        fields = problem.get("errors") or [{"field": "question"}]
        return InputError(detail, fields[0]["field"])
    if status == 429:
        return BusyError(detail)
    return ModelError(detail) if status in (502, 504) else StoreError(detail)


# -- the file that tells the commands of a running server ---------------------------------------------------------


def announce(home: Path, address: str, token: str) -> None:
    path = home / SERVER_FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"address": address, "token": token, "pid": os.getpid()}, file)


def withdraw(home: Path) -> None:
    with suppress(OSError, ValueError):
        if json.loads((home / SERVER_FILE).read_text())["pid"] == os.getpid():
            (home / SERVER_FILE).unlink()


def running_server(home: Path) -> Client | None:
    """The server that owns the folder; None where the file is missing or was left behind.

    Raises StoreError where there is one that does not answer.
    """
    try:
        said = json.loads((home / SERVER_FILE).read_text())
        address, token, pid = said["address"], said["token"], int(said["pid"])
        os.kill(pid, 0)
        health = httpx.get(f"{address}/health", timeout=httpx.Timeout(START_S, connect=CONNECT_S), trust_env=False)
        if health.json()["status"] not in ("starting", "ready", "failed"):
            return None  # another program has the port now
    except httpx.ReadTimeout:
        raise StoreError(f"The server at {address} (process {pid}) does not answer. Stop it, then try again.") from None
    except (OSError, ValueError, KeyError, TypeError, httpx.HTTPError):
        return None
    return Client(address, token)

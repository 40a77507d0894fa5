"""`rag bench load`: many callers at once on a running server: errors, answers that are another's, health and memory."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np

from eval.runner import package_versions

if TYPE_CHECKING:
    from rich.console import Console

HEALTH_EVERY_S = 0.1
LATER_S = 60.0  # of a Retry-After at most this long is waited
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls of one kind. `refused`: told to come later (429); `mixed`: not the answer to what was asked."""

    kind: str
    seconds: tuple[float, ...]
    refused: int
    errors: tuple[str, ...]
    mixed: int

    def percentile(self, share: float) -> float | None:
        return float(np.percentile(self.seconds, share)) if self.seconds else None


@dataclass(frozen=True, slots=True)
class Load:
    calls: tuple[Calls, ...]
    seconds: float
    model: str
    memory: tuple[float, ...]  # MB of the server and its children, through the run; empty where it is elsewhere

    @property
    def sound(self) -> bool:
        """No error but 429, and no answer to another's question."""
        return not any(calls.errors or calls.mixed for calls in self.calls)

    def as_dict(self) -> dict[str, Any]:
        kinds = {
            c.kind: {
                "calls": len(c.seconds),
                "refused": c.refused,
                "errors": list(c.errors[:20]),
                "mixed": c.mixed,
                **{f"p{share}_s": c.percentile(share) for share in (50, 95, 99)},
            }
            for c in self.calls
        }
        return {"calls": kinds, "seconds": self.seconds, "model": self.model, "memory": list(self.memory)}


class _Caller:
    """Asks for one kind of thing until the time is over."""

    def __init__(self, kind: str, http: httpx.AsyncClient, until: float) -> None:
        self.kind, self.http, self.until = kind, http, until
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.refused = self.mixed = 0

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer's body; None where there is none to be looked at."""
        begun = time.perf_counter()
        try:
            response = await self.http.request(method, path, json=body)
        except httpx.HTTPError as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            return None
        if response.status_code == 429:
            self.refused += 1
            await asyncio.sleep(min(float(response.headers.get("Retry-After", 1)), LATER_S))
            return None
        if response.is_error:
            self.errors.append(f"{response.status_code}: {response.text[:200]}")
            return None
        self.seconds.append(time.perf_counter() - begun)
        return response.json()

    async def search(self, question: str, texts: Mapping[str, str]) -> None:
        found = await self.call("POST", "/v1/search", {"query": question, "k": 5})
        if found and any(texts.get(p["source"], "")[p["start"] : p["end"]] != p["text"] for p in found["passages"]):
            self.mixed += 1

    async def answer(self, question: str, texts: Mapping[str, str]) -> None:
        said = await self.call("POST", "/v1/answer", {"question": question})
        if said and (
            said["question"] != question
            or any(texts.get(c["source"], "")[c["start"] : c["end"]] != c["quote"] for c in said["citations"])
        ):
            self.mixed += 1

    def done(self) -> Calls:
        return Calls(self.kind, tuple(self.seconds), self.refused, tuple(self.errors), self.mixed)


def load(
    address: str,
    questions: Sequence[str],
    *,
    key: str | None = None,
    seconds: float = 120,
    readers: int = 50,
    answers: int = 8,
    memory: Callable[[], float | None] = lambda: None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Load:
    """`readers` search and `answers` ask at the same time, each the next question as soon as it has an answer.

    Without a model at the server, half of the readers ask as well, since its answers are sentences word for word.
    """
    return asyncio.run(_load(address, questions, key, seconds, readers, answers, memory, progress))


async def _load(
    address: str,
    questions: Sequence[str],
    key: str | None,
    seconds: float,
    readers: int,
    answers: int,
    memory: Callable[[], float | None],
    progress: Callable[[str, int, int], None],
) -> Load:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_connections=readers + answers + 1)
    async with httpx.AsyncClient(
        base_url=address, headers=headers, timeout=TIMEOUT_S, limits=limits, trust_env=False
    ) as http:
        listed = (await http.get("/v1/documents")).raise_for_status().json()["documents"]
        texts = {
            d["source"]: (await http.get("/v1/documents/text", params={"source": d["source"]})).text for d in listed
        }
        first = (await http.post("/v1/answer", json={"question": questions[0]})).raise_for_status().json()
        extractive = first["model"] == "extractive"
        begun = time.perf_counter()
        until = begun + seconds
        turn = count()
        callers: list[_Caller] = []

        async def until_over(caller: _Caller, asking: bool) -> None:
            callers.append(caller)
            while time.perf_counter() < until:
                question = questions[next(turn) % len(questions)]
                await (caller.answer(question, texts) if asking else caller.search(question, texts))

        sizes: list[float] = []

        async def watch(caller: _Caller) -> None:
            callers.append(caller)
            while (now := time.perf_counter()) < until:
                await caller.call("GET", "/health")
                if (size := memory()) is not None:
                    sizes.append(size)
                progress("calling", int(now - begun), int(seconds))
                await asyncio.sleep(HEALTH_EVERY_S)

        async with asyncio.TaskGroup() as group:
            group.create_task(watch(_Caller("health", http, until)))
            for n in range(readers):
                asking = extractive and n % 2 == 1
                kind = "extractive answers" if asking else "search"
                group.create_task(until_over(_Caller(kind, http, until), asking))
            for _ in range(answers):
                group.create_task(until_over(_Caller("answers", http, until), True))
        took = time.perf_counter() - begun
    kinds = dict.fromkeys(caller.kind for caller in callers)
    return Load(
        tuple(_together(kind, [c.done() for c in callers if c.kind == kind]) for kind in kinds),
        round(took, 1),
        first["model"],
        tuple(sizes),
    )


def _together(kind: str, some: Sequence[Calls]) -> Calls:
    return Calls(
        kind,
        tuple(s for c in some for s in c.seconds),
        sum(c.refused for c in some),
        tuple(e for c in some for e in c.errors),
        sum(c.mixed for c in some),
    )


def print_load(result: Load, console: "Console", *, command: str, readers: int, answers: int) -> None:
    from rich.table import Table

    title = f"{readers} readers and {answers} askers for {result.seconds:g} s, model {result.model}"
    table = Table(
        "calls of", "done", "told to wait", "errors", "mixed up", "p50", "p95", "p99", title=title, title_justify="left"
    )
    for c in result.calls:
        times = [f"{c.percentile(share):.3f} s" if c.seconds else "-" for share in (50, 95, 99)]
        table.add_row(c.kind, f"{len(c.seconds):,}", str(c.refused), str(len(c.errors)), str(c.mixed), *times)
    console.print(table)
    for told in dict.fromkeys(error for c in result.calls for error in c.errors[:3]):
        console.print(f"  error: {told}", markup=False)
    if sizes := result.memory:
        fifth = max(1, len(sizes) // 5)
        early, late = np.median(sizes[fifth : 2 * fifth] or sizes), np.median(sizes[-fifth:])
        console.print(
            f"Memory of the server and its children: {early:,.0f} MB early, {late:,.0f} MB late, at most {max(sizes):,.0f} MB."
        )
    console.print(f"{command}\n{package_versions()}", markup=False)

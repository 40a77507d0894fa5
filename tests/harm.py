"""What is done to an index in a process of its own: killed in the middle of an ingest, or left without room.

`python -m tests.harm kills HOME FOLDER` and `python -m tests.harm full HOME FOLDER limit|filler` print JSON lines.
"""

import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import chromadb  # noqa: F401 - here rather than in each of the forks
import tantivy

from rag.chunking import chunk
from rag.errors import DiskFullError
from rag.pipeline import Rag
from rag.types import Document
from tests.fakes import fake_rag

FILES = 60
KILLS = 20
SEED = 7


def text_of(number: int, version: int) -> str:
    """Some eight passages, all of them different in each version."""
    parts = [f"# Island {number}\n"]
    for part in range(8):
        parts.append(f"## Part {part}\n\nIn year {version} island {number} had {part * 37 + version} goats.\n")
        parts.append(f"Its harbour {part} was {version * 11 + part} metres deep.\n")
    return "\n".join(parts)


def write(folder: Path, version: int) -> None:
    """All files in a version; one of them is left out, another in each version."""
    folder.mkdir(exist_ok=True)
    for number in range(FILES):
        (folder / f"{number:02}.md").write_text(text_of(number, version), encoding="utf-8")
    (folder / f"{version % FILES:02}.md").unlink()


def problems(home: Path, versions: range, exactly: bool) -> list[str]:
    """What is not whole. `exactly`: all is of the last version, else each document of any one version."""
    with fake_rag(home) as rag:
        found = _parts_that_differ(rag)
        sources = [d.source for d in rag.documents()]
        last = versions[-1]
        expected = [f"{n:02}.md" for n in range(FILES) if n != last % FILES]
        if exactly and sources != expected:
            found.append(f"the documents are {sources}")
        for source in sources:
            text = rag.text(source)
            of = [v for v in versions if text == text_of(int(source[:2]), v)]
            if not of or (exactly and of != [last]):
                found.append(f"{source} is of version {of}")
            found += _wrong_passages(rag, source, text)
    return found


def _parts_that_differ(rag: Rag) -> list[str]:
    rows = {row[0] for row in rag.index._db.execute("SELECT id FROM passages")}
    vectors = {int(id_) for id_ in rag.index._chroma.get(include=[])["ids"]}
    searcher = rag.index._words.searcher()
    hits = searcher.search(tantivy.Query.all_query(), 100_000).hits
    words = {searcher.doc(address)["id"][0] for _, address in hits}
    pending = rag.index._db.execute("SELECT count(*) FROM documents WHERE source IS NULL").fetchone()[0]
    found = [
        f"{name}: {len(rows - ids)} missing, {len(ids - rows)} too many"
        for name, ids in (("vectors", vectors), ("words", words))
        if ids != rows
    ]
    return found + ([f"{pending} pending"] if pending else [])


def _wrong_passages(rag: Rag, source: str, text: str) -> list[str]:
    document = Document(source, "", text, "")
    wanted = chunk(document, rag.embedder.count_tokens, rag.settings.passage_tokens, rag.embedder.max_tokens)
    stored = rag.index._db.execute(
        'SELECT start, "end", p.text FROM passages p JOIN documents d ON d.id = document WHERE source = ? ORDER BY start',
        (source,),
    ).fetchall()
    right = [(p.start, p.end, p.text) for p in wanted]
    return [] if stored == right else [f"{source} has {len(stored)} passages rather than {len(right)}, or others"]


def ingest(home: Path, folder: Path) -> None:
    with fake_rag(home) as rag:
        rag.ingest([folder], prune=True)


def kills(home: Path, folder: Path) -> None:
    """A line a kill: {delay, killed, problems}; the last line is about the ingest that nobody disturbed."""
    draw = random.Random(SEED)
    write(folder, 0)
    started = time.monotonic()
    _forked(lambda: ingest(home, folder))
    whole = time.monotonic() - started
    for version in range(1, KILLS + 1):
        write(folder, version)
        delay = draw.uniform(0.05, whole)
        killed = _forked(lambda: ingest(home, folder), kill_after=delay)
        _forked(partial(_tell_problems, home, range(version + 1), delay=delay, killed=killed))
    _forked(lambda: ingest(home, folder))
    _forked(partial(_tell_problems, home, range(KILLS + 1), exactly=True))


def _tell_problems(home: Path, versions: range, exactly: bool = False, **more: object) -> None:
    _tell(problems=problems(home, versions, exactly), **more)


def _forked(work: Callable[[], object], kill_after: float | None = None) -> bool:
    """Runs it in a child; whether the child was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(KeyboardInterrupt):
            work()
            status = 0
        sys.stdout.flush()
        os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def full(home: Path, folder: Path, how: str) -> None:
    """One line: what happened while there was no room, and after there was again."""
    few, many = folder / "few", folder / "many"
    few.mkdir(parents=True)
    many.mkdir()
    (few / "mill.txt").write_text("The mill at Lindal ground barley until 1902.", encoding="utf-8")
    draw = random.Random(SEED)
    for number in range(60):
        words = " ".join(f"reef{draw.randrange(10**6)}" for _ in range(3000))
        (many / f"{number:02}.md").write_text(text_of(number, 0) + words, encoding="utf-8")
    with fake_rag(home) as rag:
        rag.ingest([few])
        make_room = _limit(home) if how == "limit" else _fill(home)
        said = ""
        try:
            rag.ingest([many])
        except DiskFullError as error:
            said = str(error)
        stored_then = [d.source for d in rag.documents()]
        answered_then = rag.ask("When did the mill at Lindal grind barley?").text
        make_room()
        after = rag.ingest([many]).as_dict()
    with fake_rag(home) as again:
        answered = again.ask("When did the mill at Lindal grind barley?").text
        _tell(
            said=said,
            stored_then=stored_then,
            answered_then=answered_then,
            failed=after["failed"],
            problems=_parts_that_differ(again),
            answered=answered,
            documents=len(again.documents()),
        )


def _limit(home: Path) -> Callable[[], None]:
    """No file may grow beyond what the largest one has now, and a little."""
    largest = max(path.stat().st_size for path in home.rglob("*") if path.is_file())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 100_000, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _fill(home: Path) -> Callable[[], None]:
    """The small disk that `home` lies on is filled up but for a little."""
    filler = home.parent / "filler"
    status = os.statvfs(home)
    filler.write_bytes(bytes(status.f_bavail * status.f_bsize - 300_000))
    return filler.unlink


def _tell(**said: object) -> None:
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    {"kills": kills, "full": full}[sys.argv[1]](*map(Path, sys.argv[2:4]), *sys.argv[4:])  # type: ignore[operator]

"""A server that is killed in the middle of an upload or an answer, and started again."""

import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx

from rag.uploads import FOLDER, PENDING
from tests.servers import Served, said_address, start, stop, wait_until_ready
from tests.test_serving import fake_serve

PAPERS = 60
FERRY = "The ferry to Orrin leaves at nine."


def started(home: Path) -> Served:
    process = start(home, command=fake_serve())
    server = Served(process, said_address(process), home)
    wait_until_ready(server)
    return server


def paper(n: int) -> str:
    return f"Island {n} has {n + 7} goats.\n" + f"Its harbour is {n + 3} metres deep.\n\n" * 200


def documents(server: Served) -> dict[str, dict[str, object]]:
    listed = httpx.get(f"{server.address}/v1/documents", timeout=60).json()["documents"]
    return {d["source"]: d for d in listed}


def text(server: Served, source: str) -> str:
    return httpx.get(f"{server.address}/v1/documents/text", params={"source": source}, timeout=60).text


def upload(server: Served, names: dict[str, str], *, wait: bool) -> httpx.Response:
    files = [("files", (name, said.encode())) for name, said in names.items()]
    return httpx.post(f"{server.address}/v1/documents", params={"wait": wait}, files=files, timeout=120)


def test_an_upload_that_was_cut_by_a_kill_is_finished_at_the_next_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = started(home)
    upload(server, {"ferry.txt": FERRY}, wait=True)
    before = documents(server)
    papers = {f"{n:02}.txt": paper(n) for n in range(PAPERS)}
    assert upload(server, papers, wait=False).status_code == 202
    while not any(name in documents(server) for name in papers):  # some are in, others are still to come
        time.sleep(0.02)
    stop(server.process, signal.SIGKILL)
    left = list((home / FOLDER).glob(f"{PENDING}*"))

    server = started(home)
    try:
        after = documents(server)
        assert before.items() <= after.items()
        assert text(server, "ferry.txt") == FERRY
        assert set(papers) <= set(after)
        assert {name: text(server, name) for name in papers} == papers
        assert left and not list((home / FOLDER).glob(f"{PENDING}*"))
        found = httpx.post(f"{server.address}/v1/search", json={"query": "goats of island 41", "k": 1}, timeout=60)
        assert found.json()["passages"][0]["source"] in papers
    finally:
        stop(server.process, signal.SIGTERM)


def test_files_that_were_still_being_sent_leave_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = started(home)

    def slowly() -> object:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="half.txt"\r\n\r\n'
        while True:
            yield b"Half of a sentence " * 5000
            time.sleep(0.01)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}

    def send() -> None:
        with suppress(httpx.HTTPError):
            httpx.post(f"{server.address}/v1/documents", content=slowly(), headers=headers, timeout=60)  # type: ignore[arg-type]

    sending = threading.Thread(target=send)
    sending.start()
    time.sleep(1)
    stop(server.process, signal.SIGKILL)
    sending.join(30)
    server = started(home)
    try:
        assert "half.txt" not in documents(server)
        assert not list((home / FOLDER).glob("*"))
    finally:
        stop(server.process, signal.SIGTERM)


def test_after_a_kill_in_the_middle_of_an_answer_all_is_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = started(home)
    upload(server, {"ferry.txt": FERRY}, wait=True)
    before = documents(server)
    body = {"question": "When does the ferry to Orrin leave?"}
    with (
        suppress(httpx.HTTPError),
        httpx.stream("POST", f"{server.address}/v1/answer/stream", json=body, timeout=60) as answer,
    ):
        for line in answer.iter_lines():
            if line.startswith("event: delta"):
                stop(server.process, signal.SIGKILL)
    assert server.process.poll() is not None

    server = started(home)
    try:
        assert documents(server) == before
        found = httpx.post(f"{server.address}/v1/search", json={"query": "ferry to Orrin"}, timeout=60).json()
        assert found["passages"][0]["text"] == FERRY
    finally:
        stop(server.process, signal.SIGTERM)

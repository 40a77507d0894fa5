import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from gguf import GGUFReader

from rag.config import load_settings
from rag.errors import ConfigError, ModelError, ModelTimeout
from rag.generation import ASKS_WHETHER
from rag.models.llm import ChatLLM, LocalLLM, open_llm, yes_share
from rag.models.weights import ADAPTER, weights_path, weights_ready
from rag.types import Message

ROOT = Path(__file__).parent.parent
ASK = [Message("system", "Be brief."), Message("user", "Who built the mill?")]


# -- what is opened -------------------------------------------------------------------------------------------------


def test_extractive_opens_no_model(tmp_path: Path) -> None:
    assert open_llm(load_settings(environ={}, llm="extractive", models=tmp_path)) is None


def test_local_without_weights_opens_no_model(tmp_path: Path) -> None:
    assert open_llm(load_settings(environ={}, models=tmp_path)) is None


@pytest.mark.parametrize("llm", ["gpt-4o", "openai", "openai:", ""])
def test_a_name_that_says_no_provider_is_a_bad_setting(tmp_path: Path, llm: str) -> None:
    with pytest.raises(ConfigError, match="provider:model"):
        open_llm(load_settings(environ={}, llm=llm, models=tmp_path))


def test_a_model_file_that_is_not_there_is_a_bad_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not there: .*gone\.gguf"):
        open_llm(load_settings(environ={}, llm=f"local:{tmp_path / 'gone.gguf'}"))


def test_a_provider_that_nobody_knows_is_a_bad_setting() -> None:
    llm = open_llm(load_settings(environ={}, llm="nobody:x"))
    assert llm is not None
    with pytest.raises(ConfigError, match="RAG_LLM='nobody:x' cannot be used"):
        llm.wait()


def test_a_provider_whose_package_is_missing_names_it() -> None:
    llm = open_llm(load_settings(environ={}, llm="groq:x"))
    assert llm is not None
    with pytest.raises(ConfigError, match=r"needs a package: .*langchain-groq"):
        llm.wait()


# -- a provider -----------------------------------------------------------------------------------------------------


@dataclass
class Provider:
    """A small OpenAI-compatible server. `behaviour` says what it does; `requests` keeps what it was asked."""

    behaviour: str = "answers"
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def open(self, **settings: object) -> ChatLLM:
        options = {"llm": "openai:x", "llm_base_url": self.address, "retries": 0} | settings
        llm = open_llm(load_settings(environ={}, **options))
        assert type(llm) is ChatLLM
        return llm


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.requests.append(request)
            made.keys.append(self.headers["Authorization"])
            with contextlib.suppress(OSError):
                self.respond(request)

        def respond(self, request: dict[str, Any]) -> None:
            if made.behaviour == "is slow":
                time.sleep(1.5)
            if made.behaviour == "fails":
                return self.send(500, {"error": {"message": "out of order"}})
            if made.behaviour == "fails once" and len(made.requests) == 1:
                return self.send(500, {"error": {"message": "out of order"}})
            if made.behaviour == "refuses logprobs" and "logprobs" in request:
                return self.send(400, {"error": {"message": "logprobs are not supported"}})
            if request.get("stream"):
                return self.stream()
            top = [{"token": t, "logprob": p} for t, p in ((" Yes", -0.5), ("no", -1.5), ("Maybe", -2.0))]
            logprobs = {"content": [{"token": "Yes", "logprob": -0.5, "top_logprobs": top}]}
            message = {"role": "assistant", "content": "Yes"}
            choice = {"index": 0, "message": message, "finish_reason": "length"}
            if made.behaviour != "has no logprobs":
                choice["logprobs"] = logprobs
            self.send(200, {"id": "1", "object": "chat.completion", "created": 1, "model": "x", "choices": [choice]})

        def stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number, word in enumerate(["", "Edna ", "Marsh", "."]):
                if number == 2 and made.behaviour == "hangs":
                    time.sleep(1.5)
                if number == 2 and made.behaviour == "breaks off":
                    self.close_connection = True
                    return
                delta = {"index": 0, "delta": {"content": word}, "finish_reason": None}
                self.chunk(
                    {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": [delta]}
                )
                if made.behaviour == "never ends":
                    self.talk_on()
            self.wfile.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

        def talk_on(self) -> None:
            delta = {"index": 0, "delta": {"content": "on and "}, "finish_reason": None}
            try:
                while True:
                    self.chunk({"id": "1", "object": "chat.completion.chunk", "created": 1, "choices": [delta]})
                    time.sleep(0.01)
            except OSError:
                made.hung_up.set()
                raise

        def chunk(self, data: dict[str, Any]) -> None:
            line = f"data: {json.dumps(data)}\n\n".encode()
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()

        def send(self, status: int, data: dict[str, Any]) -> None:
            body = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.address = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_server_of_ones_own_needs_no_key(provider: Provider) -> None:
    llm = provider.open()
    assert "".join(llm.stream(ASK)) == "Edna Marsh."
    assert llm.name == "openai:x"
    assert provider.requests[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who built the mill?"},
    ]
    assert (provider.requests[0]["model"], provider.requests[0]["temperature"]) == ("x", 0)


def test_a_key_that_is_set_is_sent(provider: Provider) -> None:
    "".join(provider.open(llm_api_key="sesame").stream(ASK))
    assert provider.keys == ["Bearer sesame"]


def test_the_probability_of_yes_is_asked_with_one_token(provider: Provider) -> None:
    assert provider.open().yes_probability(ASK) == pytest.approx(0.7311, abs=1e-3)
    assert provider.requests[0]["max_completion_tokens"] == 1


@pytest.mark.parametrize("behaviour", ["has no logprobs", "refuses logprobs"])
def test_where_the_provider_tells_no_probability_there_is_none(provider: Provider, behaviour: str) -> None:
    provider.behaviour = behaviour
    llm = provider.open()
    assert llm.yes_probability(ASK) is None
    assert "".join(llm.stream(ASK)) == "Edna Marsh."


def test_another_protocol_is_not_asked_for_a_probability(provider: Provider) -> None:
    from langchain_core.language_models import FakeListChatModel

    llm = provider.open()
    llm._chat = FakeListChatModel(responses=["Edna Marsh."])
    assert llm.yes_probability(ASK) is None
    assert "".join(llm.stream(ASK)) == "Edna Marsh."


@pytest.mark.parametrize("behaviour", ["fails", "breaks off"])
def test_a_provider_that_fails_is_a_model_error(provider: Provider, behaviour: str) -> None:
    provider.behaviour = behaviour
    with pytest.raises(ModelError, match="The model openai:x failed") as caught:
        "".join(provider.open().stream(ASK))
    assert not isinstance(caught.value, ModelTimeout)


def test_a_provider_that_fails_once_is_asked_again(provider: Provider) -> None:
    provider.behaviour = "fails once"
    assert "".join(provider.open(retries=1).stream(ASK)) == "Edna Marsh."


def test_a_server_that_is_not_there_is_a_model_error() -> None:
    settings = load_settings(environ={}, llm="openai:x", llm_base_url="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(ModelError, match="The model openai:x failed"):
        "".join(ChatLLM(settings).stream(ASK))
    with pytest.raises(ModelError):
        ChatLLM(settings).yes_probability(ASK)


@pytest.mark.parametrize("behaviour", ["is slow", "hangs"])
def test_a_provider_that_takes_too_long_is_a_timeout(provider: Provider, behaviour: str) -> None:
    provider.behaviour = behaviour
    with pytest.raises(ModelTimeout, match=r"no word within 0\.4 s \(RAG_TIMEOUT_S\)"):
        "".join(provider.open(timeout_s=0.4).stream(ASK))


def test_a_slow_probability_is_a_timeout(provider: Provider) -> None:
    provider.behaviour = "is slow"
    with pytest.raises(ModelTimeout):
        provider.open(timeout_s=0.4).yes_probability(ASK)


def test_closing_the_stream_hangs_up(provider: Provider) -> None:
    provider.behaviour = "never ends"
    stream = provider.open().stream(ASK)
    next(stream)
    stream.close()
    assert provider.hung_up.wait(5)


@pytest.mark.parametrize(
    ("top", "share"),
    [
        ({"Yes": 0.6, "No": 0.2}, 0.75),
        ({" yes": 0.3, "YES": 0.3, "no": 0.3, "Not": 0.1}, 0.6),
        ({"Sí": 0.5, "No": 0.5}, 0.5),
        ({"Yes": 0.4, "Maybe": 0.6}, 1.0),
        ({"Maybe": 0.9}, None),
        ({}, None),
    ],
)
def test_the_share_of_yes_is_counted_against_no(top: dict[str, float], share: float | None) -> None:
    from math import log

    found = yes_share([{"token": token, "logprob": log(p)} for token, p in top.items()])
    assert found == (pytest.approx(share) if share is not None else None)


# -- the local model --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local() -> Iterator[LocalLLM]:
    """The default model; `make test` brings its weights."""
    settings = load_settings(environ={k: v for k, v in os.environ.items() if k == "RAG_MODELS"})
    if not weights_ready(settings.models) and not os.environ.get("CI"):
        pytest.skip("the weights of the local model are not there: `rag weights`")
    llm = LocalLLM(weights_path(settings.models), settings, ADAPTER)
    yield llm
    llm.close()


LONG = [Message("user", "Count from one to one hundred in words.")]


@pytest.mark.model
def test_the_local_model_answers_and_tells_a_probability(local: LocalLLM) -> None:
    ask = "Passages:\nThe mill was built by Edna Marsh.\n\nCan this question be answered from the passages alone? {} Reply yes or no."
    known = local.yes_probability([Message("user", ask.format("Who built the mill?"))])
    unknown = local.yes_probability([Message("user", ask.format("How deep is the Pacific Ocean?"))])
    assert known is not None
    assert unknown is not None
    assert 0 <= unknown < known <= 1
    assert "".join(local.stream([Message("user", "Reply with the word barley only.")])).lower().startswith("barley")


PASSAGES = "Passages:\n[Lindal]\nThe mill at Lindal was built by Edna Marsh in 1820. The lighthouse was built by Tom Reed in 1845."


@pytest.mark.model
def test_the_check_is_surer_of_what_is_answered_than_of_any_near_miss(local: LocalLLM) -> None:
    def sure(question: str) -> float:
        ask = f"{PASSAGES}\n\n{ASKS_WHETHER}? {question} Reply yes or no."
        return local.yes_probability([Message("user", ask)]) or 0.0

    answered = [sure(q) for q in ("Who built the mill at Lindal?", "When was the lighthouse built?")]
    near_misses = (
        "Who paid for the mill at Lindal?",
        "When was the lighthouse torn down?",
        "Who built the bridge at Lindal?",
    )
    missed = [sure(q) for q in near_misses]
    assert min(answered) > max(missed), (answered, missed)
    assert min(answered) > local.settings.check > min(missed), (answered, missed)


@pytest.mark.model
def test_the_adapter_wakes_at_the_words_of_the_check_and_changes_no_answer(local: LocalLLM) -> None:
    root = str(local._model().openai_api_base).removesuffix("/v1")  # type: ignore[attr-defined]
    headers = {"Authorization": f"Bearer {local._key}"}
    said = httpx.post(f"{root}/tokenize", json={"content": ASKS_WHETHER}, headers=headers).json()["tokens"]
    assert GGUFReader(ADAPTER).fields["adapter.alora.invocation_tokens"].contents() == said
    ask = [Message("user", f"{PASSAGES}\n\nQuestion: Who built the mill, and when?")]
    with contextlib.closing(LocalLLM(local.path, local.settings)) as plain:
        assert "".join(local.stream(ask)) == "".join(plain.stream(ask))


@pytest.mark.model
def test_the_local_server_answers_nobody_without_its_key(local: LocalLLM) -> None:
    address = local._model().openai_api_base  # type: ignore[attr-defined]
    assert address.startswith("http://127.0.0.1:")
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    for headers in ({}, {"Authorization": "Bearer no-key"}):
        assert httpx.post(f"{address}/chat/completions", json=body, headers=headers).status_code == 401
    command = Path(f"/proc/{local._child.process.pid}/cmdline").read_text()
    assert local._key not in command


@pytest.mark.model
def test_a_local_model_that_was_killed_is_started_anew(local: LocalLLM) -> None:
    local._child.process.kill()
    local._child.process.wait()
    assert "".join(local.stream([Message("user", "Reply with the word barley only.")]))


@pytest.mark.model
def test_a_local_model_killed_in_mid_answer_is_a_failure(local: LocalLLM) -> None:
    stream = local.stream(LONG)
    next(stream)
    local._child.process.kill()
    with pytest.raises(ModelError) as caught:
        "".join(stream)
    assert not isinstance(caught.value, ModelTimeout)


@pytest.mark.model
def test_a_local_model_that_hangs_in_mid_answer_is_a_timeout_and_started_anew(local: LocalLLM) -> None:
    with contextlib.closing(LocalLLM(local.path, local.settings.model_copy(update={"timeout_s": 12}))) as llm:
        stream = llm.stream(LONG)
        next(stream)
        hanging = llm._child.process
        os.kill(hanging.pid, signal.SIGSTOP)
        with pytest.raises(ModelTimeout, match=r"no word within 12 s"):
            "".join(stream)
        assert hanging.returncode == -signal.SIGKILL
        assert "".join(llm.stream([Message("user", "Reply with the word barley only.")]))


@pytest.mark.model
def test_closing_the_stream_stops_the_local_model(local: LocalLLM) -> None:
    local.wait()
    started = time.monotonic()
    stream = local.stream(LONG)
    next(stream)
    first = time.monotonic() - started
    stream.close()
    started = time.monotonic()
    next(local.stream([Message("user", "Hello")]))
    assert time.monotonic() - started < 5 * first + 3  # the hundred numbers take twenty times as long as the first


@pytest.mark.model
def test_a_file_that_is_no_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    llm = LocalLLM(path, load_settings(environ={}))
    with pytest.raises(ModelError):
        "".join(llm.stream(ASK))
    llm.close()


def ended(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


@pytest.mark.model
def test_the_local_model_ends_when_its_parent_is_killed(local: LocalLLM) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom rag.config import load_settings\n"
        "from rag.models.llm import LocalLLM\nllm = LocalLLM(Path(sys.argv[1]), load_settings(environ={}))\n"
        "llm.wait(); print(llm._child.process.pid, flush=True); time.sleep(60)\n"
    )
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, str(local.path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, env=environ)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while not ended(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended(child)


@pytest.mark.model
def test_calls_of_the_local_model_take_turns_and_it_says_that_it_is_busy(local: LocalLLM) -> None:
    first = local.stream([Message("user", "Count from one to twenty in words.")])
    next(first)
    assert local.busy
    second: list[str] = []
    waiting = threading.Thread(target=lambda: second.extend(local.stream([Message("user", "Say hello.")])), daemon=True)
    waiting.start()
    time.sleep(0.5)
    assert second == []
    first.close()
    waiting.join(60)
    assert second and not local.busy

"""The language model: a stream of words, and a probability of yes. Every backend is a LangChain chat model."""

import math
import secrets
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rag.config import Settings
from rag.errors import ConfigError, ModelError, ModelTimeout, RagError
from rag.models.child import Child
from rag.models.weights import ADAPTER, weights_path, weights_ready
from rag.types import Message

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

CONTEXT = 8192
SMALL = ("local", "ollama:")  # these, and a server of one's own, most often run small models
NO_KEY = "no-key"  # an OpenAI client refuses to start without one, a server of one's own needs none


class LLM(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def cites(self) -> bool:
        """Whether it is told to name the sentences that its own are from. A small model then answers less."""
        ...

    def stream(self, messages: Sequence[Message]) -> Generator[str]:
        """Pieces of the reply. Closing the iterator stops the model. Raises ModelError, ModelTimeout."""
        ...

    def yes_probability(self, messages: Sequence[Message]) -> float | None:
        """Probability that the reply begins with yes rather than no; None where the model does not tell."""
        ...

    @property
    def busy(self) -> bool:
        """Whether it writes for somebody and the next would have to wait."""
        ...

    def wait(self) -> None:
        """Returns when the model can answer."""
        ...

    def close(self) -> None: ...


def open_llm(settings: Settings) -> "ChatLLM | None":
    """None for `extractive`, and for `local` while its weights are missing. Raises ConfigError."""
    kind, _, rest = settings.llm.partition(":")
    if settings.llm == "extractive" or (settings.llm == "local" and not weights_ready(settings.models)):
        return None
    if kind == "local":
        path = Path(rest).expanduser() if rest else weights_path(settings.models)
        if not path.is_file():
            raise ConfigError(f"RAG_LLM names a model file that is not there: {path}", "llm")
        return LocalLLM(path, settings, adapter=None if rest else ADAPTER)
    if not rest:
        raise ConfigError(
            f"RAG_LLM={settings.llm!r} is none of local, local:/path.gguf, extractive, provider:model (openai:gpt-4o).",
            "llm",
        )
    return ChatLLM(settings)


def import_client() -> None:
    """Imports what a model will import when it is connected: three seconds that can pass beside something else."""
    import langchain_openai  # noqa: F401


# The slope is fitted on 208 of the check's prompts of squad2_dev and nomiracl_en (Platt, 1999); the bias puts the default of
# RAG_CHECK where it refuses a twentieth and a quarter of what they answer.
SLOPE, BIAS = 0.544, 0.93


class ChatLLM:
    """Any provider that LangChain's `init_chat_model` knows."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = settings.llm
        self._chat: BaseChatModel | None = None
        self._lock = threading.Lock()

    @property
    def cites(self) -> bool:
        return not (self.settings.llm_base_url or self.settings.llm.startswith(SMALL))

    def stream(self, messages: Sequence[Message]) -> Generator[str]:
        chat = self._model()
        try:
            for chunk in chat.stream([(m.role, m.content) for m in messages]):
                if text := chunk.text:
                    yield str(text)
        except RagError:
            raise
        except Exception as error:  # each provider has errors of its own
            raise self._translate(error) from error

    def yes_probability(self, messages: Sequence[Message]) -> float | None:
        from langchain_openai.chat_models.base import BaseChatOpenAI
        from openai import BadRequestError

        chat = self._model()
        if not isinstance(chat, BaseChatOpenAI):
            return None  # only this protocol carries probabilities; other clients refuse the request
        try:
            reply = chat.bind(logprobs=True, top_logprobs=20, max_tokens=1).invoke(
                [(m.role, m.content) for m in messages]
            )
        except BadRequestError:
            return None  # a model or server that does not tell
        except Exception as error:
            raise self._translate(error) from error
        content = (reply.response_metadata.get("logprobs") or {}).get("content")
        return yes_share(content[0]["top_logprobs"]) if content else None

    @property
    def busy(self) -> bool:
        return False

    def wait(self) -> None:
        self._model()

    def close(self) -> None:
        pass

    def _model(self) -> "BaseChatModel":
        with self._lock:
            if self._chat is None:
                self._chat = self._connect()
            return self._chat

    def _connect(self) -> "BaseChatModel":
        from langchain.chat_models import init_chat_model

        options: dict[str, Any] = {
            "temperature": 0,
            "max_tokens": self.settings.answer_tokens,
            "timeout": self.settings.timeout_s,
            "max_retries": self.settings.retries,
        }
        if self.settings.llm_base_url:
            options |= {"base_url": self.settings.llm_base_url, "api_key": NO_KEY}
        if self.settings.llm_api_key:
            options["api_key"] = self.settings.llm_api_key.get_secret_value()
        try:
            chat: BaseChatModel = init_chat_model(self.settings.llm, **options)
        except ImportError as error:
            raise ConfigError(f"RAG_LLM={self.settings.llm!r} needs a package: {error}", "llm") from error
        except Exception as error:
            raise ConfigError(f"RAG_LLM={self.settings.llm!r} cannot be used: {error}", "llm") from error
        return chat

    def _translate(self, error: Exception) -> ModelError:
        causes = [error, error.__cause__, error.__context__]
        if any("timeout" in type(cause).__name__.lower() for cause in causes if cause):
            return ModelTimeout(
                f"The model {self.name} gave no word within {self.settings.timeout_s:g} s (RAG_TIMEOUT_S)."
            )
        return ModelError(f"The model {self.name} failed: {type(error).__name__}: {str(error)[:300]}")


class LocalLLM(ChatLLM):
    """llama.cpp in a child process, started at once, started anew after a crash or a timeout.

    `adapter`: an activated LoRA (Greenewald et al., 2025, arXiv 2504.12397) for the one question whether the passages answer.
    It changes nothing before the words that it follows, so that the answer reads on from the same cached passages.
    """

    def __init__(self, path: Path, settings: Settings, adapter: Path | None = None) -> None:
        super().__init__(settings)
        self.path = path
        self.adapter = adapter
        self.name = path.stem
        self._key = secrets.token_hex(16)
        self._closed = False
        self._turn = threading.Semaphore()  # one call at a time: waiting for another's is no silence of the model
        self._child = self._start()

    @property
    def busy(self) -> bool:
        if free := self._turn.acquire(blocking=False):
            self._turn.release()
        return not free

    def stream(self, messages: Sequence[Message]) -> Generator[str]:
        with self._turn:
            yield from self._stream(messages)

    def yes_probability(self, messages: Sequence[Message]) -> float | None:
        with self._turn:
            sure = self._yes_probability(messages)
        return sure if sure is None or self.adapter is None else calibrated(sure)

    def _stream(self, messages: Sequence[Message]) -> Generator[str]:
        started = False
        try:
            for text in super().stream(messages):
                started = True
                yield text
            return
        except ModelTimeout:
            self._stop()
            raise
        except ModelError:
            if started or self._child.alive:
                raise
        yield from super().stream(messages)  # it had died before the first word: once more, with a new one

    def _yes_probability(self, messages: Sequence[Message]) -> float | None:
        try:
            return super().yes_probability(messages)
        except ModelTimeout:
            self._stop()
            raise
        except ModelError:
            if self._child.alive:
                raise
        return super().yes_probability(messages)

    def close(self) -> None:
        self._closed = True
        self._child.close()

    def _start(self) -> Child:
        config = {
            "model": str(self.path),
            "adapter": str(self.adapter or ""),
            "key": self._key,
            "context": CONTEXT,
            "parallel": 1,
        }
        return Child("rag.models.llama_process", config)

    def _stop(self) -> None:
        self._child.process.kill()
        self._child.close()

    def _model(self) -> "BaseChatModel":
        with self._lock:
            if self._closed:
                raise ModelError("The model is closed.")
            if not self._child.alive:
                self._child, self._chat = self._start(), None
            if self._chat is None:
                self._chat = self._connect()
            return self._chat

    def _connect(self) -> "BaseChatModel":
        from langchain_openai import ChatOpenAI
        from pydantic import SecretStr

        return ChatOpenAI(
            model=self.name,
            base_url=f"{self._child.receive()['address']}/v1",
            api_key=SecretStr(self._key),
            temperature=0,
            max_completion_tokens=self.settings.answer_tokens,
            timeout=self.settings.timeout_s,
            max_retries=0,
        )


def calibrated(sure: float) -> float:
    """What the adapter says, whose doubt is set far too low, on the scale of RAG_CHECK (Platt, 1999)."""
    sure = min(max(sure, 1e-9), 1 - 1e-9)
    return 1 / (1 + math.exp(-(SLOPE * math.log(sure / (1 - sure)) + BIAS)))


def yes_share(top_logprobs: Sequence[dict[str, Any]]) -> float | None:
    """P(yes) / (P(yes) + P(no)) over the likeliest first tokens, in any case; None if neither is among them."""
    yes = no = 0.0
    for entry in top_logprobs:
        word = entry["token"].strip().lower()
        if word in ("yes", "sí", "si"):
            yes += math.exp(entry["logprob"])
        elif word in ("no", "not"):
            no += math.exp(entry["logprob"])
    return yes / (yes + no) if yes + no else None

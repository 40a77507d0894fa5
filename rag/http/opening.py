"""A Rag that is still being opened."""

import logging
import threading
from collections.abc import Callable

from rag.errors import RagError, StoreError
from rag.pipeline import Rag

log = logging.getLogger(__name__)


class Opening:
    """A Rag that is being opened in a thread, so that the page is there first. Its calls wait for it."""

    def __init__(self, opener: Callable[[], Rag]) -> None:
        self._opener = opener
        self._opened = threading.Event()
        self._rag: Rag | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._open, name="opening", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        return self._rag is not None

    def wait(self) -> Rag:
        """Raises what stopped the opening."""
        self._opened.wait()
        if self._rag is None:
            raise self.error or StoreError("The index could not be opened.")
        return self._rag

    def close(self) -> None:
        self._opened.wait()
        if self._rag:
            self._rag.close()

    def _open(self) -> None:
        try:
            self._rag = self._opener()
        except BaseException as error:
            self.error = error
            if not isinstance(error, RagError):
                log.error("The index could not be opened", exc_info=error)
        finally:
            self._opened.set()

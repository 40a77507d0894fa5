"""Footnote: ask your own documents a question; every sentence of the answer carries a footnote.

from rag import Rag, load_settings

with Rag.open(load_settings()) as rag:
    rag.ingest([Path("papers")])
    answer = rag.ask("What did the board decide?")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.config import Settings, load_settings
    from rag.errors import RagError
    from rag.pipeline import Rag
    from rag.types import Answer, Citation, Delta, Document, Done, Evidence, Hit, Message, Passage, Retrieved, Sentence

__all__ = [
    "Answer",
    "Citation",
    "Delta",
    "Document",
    "Done",
    "Evidence",
    "Hit",
    "Message",
    "Passage",
    "Rag",
    "RagError",
    "Retrieved",
    "Sentence",
    "Settings",
    "load_settings",
]

_HOME = {"Rag": "rag.pipeline", "RagError": "rag.errors", "Settings": "rag.config", "load_settings": "rag.config"}


def __getattr__(name: str) -> Any:
    """A name is imported when it is used, so that `rag --help` does not load a vector store."""
    if name not in __all__:
        raise AttributeError(f"module 'rag' has no attribute {name!r}")
    return getattr(import_module(_HOME.get(name, "rag.types")), name)

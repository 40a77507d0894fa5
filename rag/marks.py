"""Citation marks in a model's reply: codes of the sentences that it was given are kept, all others mean nothing and go."""

import hashlib
import re
from base64 import b32encode
from collections.abc import Iterator

from rag.types import Evidence

CODE = r"e-[a-z2-7]{4}"
ONE = rf"(?:\d{{1,3}}|doc ?\d{{1,3}}|{CODE})"
# [1], [^2], [3, 4], [doc2], [e-k7qm] and 【4:0†source】, with the space before.
MARK = re.compile(rf"\s*(?:\[\^?{ONE}\^?(?:\s*[,;–-]\s*{ONE})*\]|【\d{{1,3}}[:†][^】\n]{{0,60}}】)")
# What may yet become a mark.
MARK_BEGINS = re.compile(r"\s*\[[\^a-z\d\s,;–-]{0,40}\Z|\s*【\d{0,3}(?:[:†][^】\n]{0,60})?\Z|\s+\Z")


def code_of(evidence: Evidence) -> str:
    """Four letters that stand for a sentence in a prompt: no number, which a model mixes up with those of the text."""
    place = f"{evidence.passage.source}\n{evidence.start}"
    return f"e-{b32encode(hashlib.sha256(place.encode()).digest())[:4].decode().lower()}"


def without_marks(chunks: Iterator[str], codes: list[tuple[int, str]] | None = None) -> Iterator[str]:
    """A reply without the citation marks that a model writes: they are not checked, and ours look the same.

    `codes` is told of each code and how many characters of what is passed on stand before it.
    """
    held, passed = "", 0
    for chunk in chunks:
        held += chunk
        while mark := MARK.search(held):
            if codes is not None:
                codes += [(passed + mark.start(), code) for code in re.findall(CODE, mark.group())]
            held = held[: mark.start()] + held[mark.end() :]
        end = MARK_BEGINS.search(held)
        cut = end.start() if end else len(held)
        if cut:
            yield held[:cut]
            passed += cut
        held = held[cut:]
    if held:
        yield held

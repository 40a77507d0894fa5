"""One peer over one question set: `python -P child.py PEER.py REQUEST.json RESULT.json`.

PEER.py holds PACKAGES, whose versions are told, and a class Peer with

    Peer(model, home, corpus)           loads the embedder from the folder `model`; may write into `home`
    ingest([(source, title, text)])     makes the index
    search(question, k)                 [(source, start, end)] of what is found, best first; the text's code points
    chunks                              [(source, start, end)] of what was embedded
    window                              tokens that the embedder reads of a chunk; None: each chunk fits

It is loaded by its path: with this folder among Python's paths, `haystack` would be eval/peers/haystack.py.
"""

import importlib.util
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main(peer_file: Path, request: Path, result: Path) -> None:
    asked = json.loads(request.read_text(encoding="utf-8"))
    module = load(peer_file)
    peer = module.Peer(asked["model"], Path(asked["home"]), Path(asked["corpus"]))
    started = time.perf_counter()
    peer.ingest([(d["source"], d["title"], d["text"]) for d in asked["documents"]])
    ingest_s = time.perf_counter() - started
    peer.search(asked["questions"][0], asked["k"])  # what is only made at the first question is not counted
    found, seconds = [], []
    for question in asked["questions"]:
        started = time.perf_counter()
        found.append(peer.search(question, asked["k"]))
        seconds.append(time.perf_counter() - started)
    told = {
        "versions": {package: version(package) for package in module.PACKAGES},
        "ingest_s": ingest_s,
        "query_s": seconds,
        "found": found,
        "chunks": peer.chunks,
        "window": peer.window,
    }
    result.write_text(json.dumps(told), encoding="utf-8")
    if close := getattr(peer, "close", None):
        close()


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

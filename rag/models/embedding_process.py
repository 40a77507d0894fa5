"""The child process of `SentenceTransformerEmbedder`: it imports for 10 seconds, and never holds the server's lock."""

import importlib.machinery
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

from rag.models.child import child_streams, reply


def main() -> None:
    stdin, out = child_streams()
    config = json.loads(stdin.readline())
    _leave_out_sklearn()
    try:
        import numpy as np
        import torch
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(config["model"], device="cpu" if not torch.cuda.is_available() else None)
        if model.device.type == "cpu" and _has_bfloat16():
            model.to(torch.bfloat16)  # twice as fast; the vectors keep a cosine of 0.9999 to those of float32
        model.encode("warm", show_progress_bar=False)
    except Exception as error:  # whatever stops a model from loading is told to the parent
        reply(out, {"error": f"Cannot load the embedder {config['model']!r}: {error}"})
        return
    info = {"dimension": model.get_sentence_embedding_dimension(), "max_tokens": model.max_seq_length}
    reply(out, info | {"tokenizer": _tokenizer(model)})
    for line in stdin:
        request = json.loads(line)
        try:
            if "count" in request:
                encoded = model.tokenizer(request["count"], add_special_tokens=False, verbose=False)["input_ids"]
                reply(out, {"counts": [len(ids) for ids in encoded]})
                continue
            texts = request["encode"]
            # A question alone: two threads that wait for each other are slow where another process has a core.
            torch.set_num_threads(1 if len(texts) == 1 else os.cpu_count() or 1)
            vectors = model.encode(texts, batch_size=len(texts), convert_to_numpy=True, show_progress_bar=False).astype(
                "<f4"
            )
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)  # here, in full precision
        except Exception as error:
            reply(out, {"error": f"The embedder failed: {error}"})
            continue
        reply(out, {"bytes": vectors.nbytes})
        out.write(vectors.tobytes())
        out.flush()


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; where it does not, it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _tokenizer(model: Any) -> str | None:
    """As JSON, for the parent to count with; None where the model's is written in Python."""
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    return backend.to_str() if backend else None


def _leave_out_sklearn() -> None:
    """sentence_transformers imports scikit-learn for one distance that embedding never uses: a quarter of its start."""
    package, metrics = types.ModuleType("sklearn"), types.ModuleType("sklearn.metrics")
    package.__spec__ = importlib.machinery.ModuleSpec("sklearn", None)
    metrics.pairwise_distances = None  # type: ignore[attr-defined]
    sys.modules |= {"sklearn": package, "sklearn.metrics": metrics}


if __name__ == "__main__":
    main()

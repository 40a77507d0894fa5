import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.config import load_settings
from rag.models.weights import weights_ready
from rag.pipeline import Rag
from tests.fakes import FakeLLM, fake_rag
from tests.servers import Served, serving, stop

for name in [name for name in os.environ if name.startswith("RAG_") and name != "RAG_MODELS"]:
    del os.environ[name]  # the machine's own settings must not decide a test


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with two small documents."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "lighthouse.md").write_text(
        "---\ntitle: The Farrow lighthouse\nauthor: Ida Holm\ndate: 1931-05-02\n---\n# The Farrow lighthouse\n\n"
        "## Building\n\nThe lighthouse on Farrow Point was built by Edna Marsh in 1887. It cost 4,200 crowns.\n\n"
        "## Keepers\n\nThe first keeper was Tomas Rell. He kept a goat.\n",
        encoding="utf-8",
    )
    (folder / "mill.txt").write_text(
        "The mill at Lindal ground barley until 1902.\n\nIts wheel measured 6 metres across.\n", encoding="utf-8"
    )
    return folder


@pytest.fixture
def rag(tmp_path: Path, corpus: Path) -> Iterator[Rag]:
    """The small corpus behind a fake model that says who built the lighthouse."""
    llm = FakeLLM("The lighthouse on Farrow Point was built by Edna Marsh in 1887.")
    with fake_rag(tmp_path / "home", llm) as rag:
        rag.ingest([corpus])
        yield rag


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`rag serve` with the real models on the sample corpus: one for all tests, since it takes its time to start."""
    if not weights_ready(load_settings().models):
        pytest.fail("the weights of the local model are missing: `rag weights` brings them")
    home = tmp_path_factory.mktemp("real") / "home"
    with serving(home) as server:
        yield server
        stop(server.process, signal.SIGINT)  # its children as well
        assert not (home / "server.json").exists()
        assert server.process.returncode == 0
        assert server.process.stderr is not None
        assert "Traceback" not in server.process.stderr.read()

"""What the README shows is what the program does."""

import json
import re
import shlex
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from eval.metrics import measures
from rag.api import create_app
from rag.cli import app
from rag.config import PREFIX, Settings
from rag.pipeline import Rag
from tests.fakes import FakeLLM, fake_rag
from tests.test_page import served

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.S)


def command_of(words: list[str]) -> typer._click.Command:
    """The command that the words name, groups followed."""
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    return command


def shown_commands() -> list[str]:
    lines = [
        line.removeprefix("$ ") for kind, block in BLOCKS if kind in ("sh", "console") for line in block.splitlines()
    ]
    return [line.split("#")[0].strip() for line in lines if line.startswith("rag ")]


@pytest.mark.parametrize("line", shown_commands())
def test_every_command_shown_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    command = command_of(words)
    command.make_context("rag", words, resilient_parsing=False)


def test_every_command_of_the_program_is_shown() -> None:
    assert [name for name in typer.main.get_command(app).commands if f"rag {name}" not in README] == []


def test_the_make_targets_shown_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)


def test_the_answer_shown_has_the_fields_of_an_answer(rag: Rag) -> None:
    shown = next(json.loads(block) for kind, block in BLOCKS if kind == "json" and '"sentences"' in block)
    answer = json.loads(json.dumps(rag.ask("Who built the lighthouse on Farrow Point?").as_dict()))
    assert list(shown) == list(answer)
    for name in ("sentences", "citations", "passages"):
        assert set(shown[name][0]) == set(answer[name][0])


def test_the_quotes_shown_stand_in_the_sample_corpus() -> None:
    shown = next(json.loads(block) for kind, block in BLOCKS if kind == "json" and '"sentences"' in block)
    for citation in shown["citations"]:
        text = (ROOT / "seeds" / citation["source"]).read_text(encoding="utf-8")
        assert text[citation["start"] : citation["end"]] == citation["quote"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """(address, a folder with the files that the examples send) of a server with fake models."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "notes.md").write_text("On Monday the board decided to buy the mill.", encoding="utf-8")
    with zipfile.ZipFile(folder / "papers.zip", "w") as archive:
        archive.writestr("minutes.txt", "The board met in May.")
    (folder / "board.txt").write_text("The board decided to buy the mill.", encoding="utf-8")
    with fake_rag(folder / "home", FakeLLM("The board decided to buy the mill.")) as rag:
        rag.ingest([folder / "board.txt"])
        with served(create_app(rag)) as address:
            yield address, folder


def test_the_curl_examples_run(running: tuple[str, Path]) -> None:
    address, folder = running
    lines = "\n".join(block for kind, block in BLOCKS if kind == "sh").replace("\\\n", " ").splitlines()
    commands = [line for line in lines if line.startswith("curl ")]
    assert len(commands) >= 5
    for command in commands:
        line = command.replace("http://127.0.0.1:7860", address).replace("curl ", "curl --fail-with-body ", 1)
        done = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        assert "event: error" not in done.stdout


@pytest.mark.parametrize("block", [b for kind, b in BLOCKS if kind == "python" and "http://127.0.0.1:7860" in b])
def test_the_python_examples_run(running: tuple[str, Path], block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address, folder = running
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(block.replace("http://127.0.0.1:7860", address), "README.md", "exec"), names)
    if "answer" in names:
        assert names["answer"]["status"] == "answered"
    if "completion" in names:
        assert names["completion"].status == "answered"


def test_every_setting_is_shown_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `{PREFIX}{name.upper()}` \| (.*?) \| (.*?) \|$", README, re.M)
        assert row, name
        assert row.group(2) == field.description
        if isinstance(field.default, int | float | str):
            assert row.group(1).strip("`") == str(field.default)


def test_the_measures_shown_are_those_of_the_eval() -> None:
    shown = set(re.findall(r"^\| `([\w@]+)` \|", README, re.M)) - {
        f"{PREFIX}{n.upper()}" for n in Settings.model_fields
    }
    assert shown == set(measures({}))


def test_nothing_shown_is_left_open() -> None:
    assert "@@" not in README

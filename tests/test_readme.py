"""What the README shows is what the program does."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from eval.metrics import measures
from rag.cli import app
from rag.config import PREFIX, Settings
from rag.pipeline import Rag

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

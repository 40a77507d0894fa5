"""What the page says, in both of its languages."""

import re
import string
from pathlib import Path

import pytest

from ui.words import EN, ES, IN_SCRIPTS, WORDS, language_of

UI = Path(__file__).parent.parent / "ui"
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in UI.iterdir() if path.suffix in (".py", ".js")}
COMPUTED = r"(mark|reason|fate|cut|flag|column|view|do|stage|measure|eval|set|verdict)\."  # keys that are put together: f"mark.{support}"
SAME = {"column.tokens", "column.n"}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_every_key_with_the_same_places() -> None:
    assert EN.keys() == ES.keys()
    assert [key for key in EN if placeholders(EN[key]) != placeholders(ES[key])] == []
    assert {key for key in EN if EN[key] == ES[key]} == SAME


def test_every_key_is_said_somewhere_and_every_key_that_is_said_is_there() -> None:
    said = set()
    for name, text in SOURCES.items():
        pattern = r"\bsay\(\s*[\"']([\w.]+)[\"']" if name.endswith(".js") else r"\bwords\(\s*f?[\"']([\w.]+)[\"']"
        said |= {(IN_SCRIPTS if name.endswith(".js") else "") + key for key in re.findall(pattern, text)}
    assert said - EN.keys() == set()
    everywhere = "\n".join(text for name, text in SOURCES.items() if name != "words.py")
    left = {
        key
        for key in EN.keys() - said
        if not re.match(COMPUTED, key) and f'"{key.removeprefix(IN_SCRIPTS)}"' not in everywhere
    }
    nouns = {key for key in left if key.endswith((".one", ".many"))}
    assert {key for key in left - nouns if not key.startswith(IN_SCRIPTS)} == set()
    assert [key for key in nouns if key.removeprefix(IN_SCRIPTS).rpartition(".")[0] not in everywhere] == []


def test_one_is_not_many() -> None:
    assert WORDS["en"].count("passage", 1) == "1 passage"
    assert WORDS["es"].count("passage", 2000) == "2,000 pasajes"


@pytest.mark.parametrize(
    ("cookies", "accepted", "language"),
    [
        ("", "", "en"),
        ("", "es", "es"),
        ("", "es-MX,es;q=0.9,en;q=0.8", "es"),
        ("", "de,en;q=0.5,es;q=0.7", "es"),
        ("", "fr, *;q=0.1", "en"),
        ("footnote_language=en", "es", "en"),
        ("a=b; footnote_language=es", "en", "es"),
        ("footnote_language=<script>", "es;q=x", "es"),
        ("xfootnote_language=es", "en", "en"),
    ],
)
def test_the_choice_of_a_browser_goes_before_what_it_asks_for(cookies: str, accepted: str, language: str) -> None:
    assert language_of(cookies, accepted) == language

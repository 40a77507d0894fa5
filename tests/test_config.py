from pathlib import Path

import pytest

from rag.config import explain_settings, load_settings, write_settings
from rag.errors import ConfigError, InputError


def write_toml(home: Path, text: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "rag.toml").write_text(text, encoding="utf-8")


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    settings = load_settings(environ={}, home=tmp_path)
    assert (settings.llm, settings.embedder, settings.chroma_url) == ("local", "all-MiniLM-L6-v2", None)


def test_arguments_go_before_environment_before_file_before_defaults(tmp_path: Path) -> None:
    write_toml(tmp_path, "passages = 1\nretries = 1\ntimeout_s = 1\n")
    environ = {"RAG_HOME": str(tmp_path), "RAG_PASSAGES": "2", "RAG_RETRIES": "2"}
    settings = load_settings(environ=environ, passages=3)
    assert (settings.passages, settings.retries, settings.timeout_s) == (3, 2, 1)


def test_every_setting_tells_where_its_value_came_from(tmp_path: Path) -> None:
    write_toml(tmp_path, "retries = 1\n")
    environ = {"RAG_HOME": str(tmp_path), "RAG_LLM": "extractive"}
    origins = {o.name: (o.value, o.origin) for o in explain_settings(environ=environ, passages=3)}
    assert origins["passages"] == (3, "argument")
    assert origins["llm"] == ("extractive", "RAG_LLM")
    assert origins["home"] == (tmp_path, "RAG_HOME")
    assert origins["retries"] == (1, str(tmp_path / "rag.toml"))
    assert origins["timeout_s"] == (60, "default")


def test_every_setting_has_a_description() -> None:
    assert all(o.description for o in explain_settings(environ={}))


def test_an_unknown_variable_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="Unknown setting RAG_PASAGES") as caught:
        load_settings(environ={"RAG_PASAGES": "3"})
    assert caught.value.field == "RAG_PASAGES"


def test_a_variable_of_another_program_is_left_alone() -> None:
    assert load_settings(environ={"RAGGED_EDGE": "1", "PATH": "/bin"}).passages == 10


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_settings(environ={"RAG_LLM": ""}).llm == "local"


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAG_PASSAGES", "many"), ("RAG_PASSAGES", "0"), ("RAG_GATE", "1.5"), ("RAG_GATE", "nan"), ("RAG_TIMEOUT_S", "0")],
)
def test_a_bad_value_is_an_error_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_settings(environ={name: value})


def test_a_bad_setting_is_bad_input() -> None:
    assert issubclass(ConfigError, InputError)


def test_an_unknown_key_of_the_file_is_an_error(tmp_path: Path) -> None:
    write_toml(tmp_path, "pasages = 3\n")
    with pytest.raises(ConfigError, match=r"Unknown setting 'pasages' in .*rag\.toml"):
        load_settings(environ={}, home=tmp_path)


def test_a_bad_value_in_the_file_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    write_toml(tmp_path, "passages = 0\n")
    with pytest.raises(ConfigError, match=r"Bad setting passages \(.*rag\.toml\)"):
        load_settings(environ={}, home=tmp_path)


def test_the_file_cannot_move_the_folder_that_it_lies_in(tmp_path: Path) -> None:
    write_toml(tmp_path, 'home = "/elsewhere"\n')
    with pytest.raises(ConfigError, match="cannot set home"):
        load_settings(environ={}, home=tmp_path)


@pytest.mark.parametrize("data", [b"passages = ", b"\xff\xfe\x00", b"[passages"])
def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "rag.toml").write_bytes(data)
    with pytest.raises(ConfigError, match=r"Cannot read .*rag\.toml"):
        load_settings(environ={}, home=tmp_path)


def test_a_file_in_place_of_the_home_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigError, match="Cannot read"):
        load_settings(environ={"RAG_HOME": str(tmp_path / "home")})


def test_a_tilde_is_the_users_folder_for_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_toml(tmp_path / "notes", "passages = 4\n")
    settings = load_settings(environ={"RAG_HOME": "~/notes", "RAG_MODELS": "~/models"})
    assert settings.home == tmp_path / "notes"
    assert settings.models == tmp_path / "models"
    assert settings.passages == 4


def test_settings_cannot_be_changed() -> None:
    settings = load_settings(environ={})
    with pytest.raises(ValueError, match="frozen"):
        settings.passages = 3


def test_the_key_is_not_shown() -> None:
    settings = load_settings(environ={"RAG_LLM_API_KEY": "sesame"})
    assert "sesame" not in repr(settings)
    assert settings.llm_api_key is not None
    assert settings.llm_api_key.get_secret_value() == "sesame"


def test_settings_are_written_beside_what_stands_there(tmp_path: Path) -> None:
    path = write_settings(tmp_path / "new", {"gate": 0.3})
    path.write_text("passages = 5  # few\n gate = 0.1\n", encoding="utf-8")
    write_settings(tmp_path / "new", {"gate": 0.3, "check": 0.65})
    assert path.read_text(encoding="utf-8") == "passages = 5  # few\ngate = 0.3\ncheck = 0.65\n"
    path.write_text("what = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="what"):
        write_settings(tmp_path / "new", {"gate": 0.3})
    assert path.read_text(encoding="utf-8") == "what = 1\n"

"""Settings, made once at the edge. Only this module reads the environment."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rag.errors import ConfigError

PREFIX = "RAG_"
APP = "footnote"


class Settings(BaseSettings):
    """Each field is a line of `rag.toml` and, upper case behind RAG_, an environment variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir(APP, appauthor=False)),
        description="where the index and rag.toml live",
    )
    models: Path = Field(
        default_factory=lambda: Path(platformdirs.user_cache_dir(APP, appauthor=False)) / "models",
        description="where model weights live",
    )
    llm: str = Field("local", description="local, local:/path.gguf, extractive, or provider:model")
    llm_base_url: str | None = Field(None, description="an OpenAI-compatible server; needs no key")
    llm_api_key: SecretStr | None = Field(None, description="key for the provider, where it is not in its own variable")
    embedder: str = Field(
        "all-MiniLM-L6-v2", description="all-MiniLM-L6-v2, or a folder or name that sentence-transformers loads"
    )
    chroma_url: str | None = Field(None, description="a Chroma server, http://host:port; default: on disk in home")
    passage_tokens: int = Field(230, ge=32, le=4000, description="longest passage, in the embedder's tokens")
    passages: int = Field(10, ge=1, le=50, description="passages fetched for an answer")
    evidence_tokens: int = Field(200, ge=50, le=16000, description="sentences sent to the model, in tokens")
    answer_tokens: int = Field(200, ge=16, le=4000, description="longest answer, in tokens")
    gate: float = Field(0.25, ge=0, le=1, description="a best score under this is off topic: no model call")
    check: float = Field(0.7, ge=0, le=1, description="least probability that the evidence answers the question")
    timeout_s: float = Field(60, gt=0, description="longest wait for the model's next word")
    retries: int = Field(2, ge=0, le=10, description="tries after a failed call of an API model")
    max_file_mb: int = Field(100, ge=1, description="larger files are passed over by name")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # load_settings joins the layers, so that it can say where each value came from


@dataclass(frozen=True)
class Origin:
    """Where the value of one setting came from: default, rag.toml, RAG_NAME or argument."""

    name: str
    value: object
    origin: str
    description: str


def load_settings(environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
    """Arguments over environment over `rag.toml` in the home folder over defaults.

    Raises ConfigError for an unknown key, an unknown RAG_ variable or a bad value.
    """
    return _load(os.environ if environ is None else environ, arguments)[0]


def explain_settings(environ: Mapping[str, str] | None = None, **arguments: Any) -> list[Origin]:
    settings, origins = _load(os.environ if environ is None else environ, arguments)
    return [
        Origin(name, getattr(settings, name), origins.get(name, "default"), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def write_settings(home: Path, values: Mapping[str, float]) -> Path:
    """Sets lines of `rag.toml`, the others kept. Raises ConfigError."""
    path = home / "rag.toml"
    _read_toml(path)  # what cannot be read is not written over
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for name, value in values.items():
        line = f"{name} = {value}"
        at = next((i for i, old in enumerate(lines) if re.match(rf"\s*{name}\s*=", old)), None)
        if at is None:
            lines.append(line)
        else:
            lines[at] = line
    try:
        home.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part")
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise ConfigError(f"Cannot write {path}: {error.strerror}.", "rag.toml") from error
    return path


def _load(environ: Mapping[str, str], arguments: Mapping[str, Any]) -> tuple[Settings, dict[str, str]]:
    from_env = {key[len(PREFIX) :].lower(): key for key in environ if key.startswith(PREFIX)}
    if unknown := sorted(key for name, key in from_env.items() if name not in Settings.model_fields):
        raise ConfigError(f"Unknown setting {unknown[0]}. `rag config` lists the settings.", unknown[0])
    env = {name: environ[key] for name, key in from_env.items() if environ[key] != ""}
    given = {name: value for name, value in arguments.items() if value is not None}
    home = Path(
        given.get("home") or env.get("home") or Settings.model_fields["home"].get_default(call_default_factory=True)
    ).expanduser()
    file = _read_toml(home / "rag.toml")
    values = file | env | given
    origins = dict.fromkeys(file, str(home / "rag.toml"))
    origins |= {name: from_env[name] for name in env} | dict.fromkeys(given, "argument")
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise ConfigError(
            f"Bad setting {name} ({origins.get(name, 'argument')}): {first['msg']}. `rag config` lists the settings.",
            name,
        ) from error
    settings = settings.model_copy(
        update={"home": settings.home.expanduser().absolute(), "models": settings.models.expanduser().absolute()}
    )
    return settings, origins


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read {path}: {error}.", "rag.toml") from error
    if "home" in values:
        raise ConfigError(f"{path} cannot set home: set RAG_HOME instead.", "home")
    if unknown := sorted(set(values) - set(Settings.model_fields)):
        raise ConfigError(f"Unknown setting {unknown[0]!r} in {path}. `rag config` lists the settings.", unknown[0])
    return values

"""One settings file (`buddies.toml`) and BUDDIES_* variables, read once. Unknown keys are refused."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

PREFIX = "BUDDIES_"
FILE_VARIABLE = "BUDDIES_CONFIG"
DEFAULT_FILE = Path("buddies.toml")
_LOGIN = re.compile(r"(://[^/@:]*:)[^@]*@")
_PASSWORD = re.compile(r"(password=)('[^']*'|[^&\s]*)", re.IGNORECASE)


class SettingsError(Exception):
    """A setting cannot be used; the message names the file or variable, the key and what to do."""


class ClientSettings(BaseModel):
    """The [client] section: how the command reaches the service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        None, description="host:port of the service; unset: the one that this state directory runs"
    )
    timeout_s: float = Field(5.0, gt=0, description="deadline of a call, all attempts together")
    attempts: int = Field(4, ge=1, description="tries of a call, the first one included")


class BaseConfig(BaseSettings):
    """The keys above the sections."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True
    )

    state_dir: Path = Field(Path(".buddies"), description="directory of everything that the command writes")
    postgres_url: str | None = Field(None, description="Postgres of the feedback; unset: an embedded one")
    redis_url: str | None = Field(None, description="Redis of the daily lists; unset: an embedded one")
    mlflow_tracking_uri: str | None = Field(
        None,
        description="MLflow server; unset: SQLite in the state directory",
        validation_alias=AliasChoices("mlflow_tracking_uri", "MLFLOW_TRACKING_URI", "BUDDIES_MLFLOW_TRACKING_URI"),
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over file over defaults."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def read_settings(
    sections: Mapping[str, type[BaseModel]], *, file: Path | None = None, environment: Mapping[str, str] | None = None
) -> Any:
    """Read and check everything; the frozen settings have one attribute per section.

    file: the settings file; unset, $BUDDIES_CONFIG, else buddies.toml of the working directory where there is one.
    SettingsError: the file is missing or malformed, a key or variable is unknown, a value is out of its range.
    """
    environment = os.environ if environment is None else environment
    file = _find_file(file, environment)
    _check_variables(sections, environment)
    models: dict[str, type[BaseModel]] = {**sections, "client": ClientSettings}
    fields: dict[str, Any] = {name: (model, model()) for name, model in models.items()}
    base: type[BaseConfig] = type("Config", (BaseConfig,), {"model_config": SettingsConfigDict(toml_file=file)})
    settings: type[BaseConfig] = create_model("Settings", __base__=base, **fields)
    try:
        return settings()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: not TOML: {error}") from error
    except ValidationError as error:
        raise SettingsError(_explain(error, file, models)) from error


def shown(settings: BaseSettings) -> dict[str, Any]:
    """The settings as JSON values, passwords in URLs masked."""
    values = settings.model_dump(mode="json")
    return {key: masked(value) if key.endswith(("_url", "_uri")) else value for key, value in values.items()}


def masked(url: str | None) -> str | None:
    """A URL or a Postgres connection string without its passwords."""
    if url is None:
        return None
    return _PASSWORD.sub(r"\1***", _LOGIN.sub(r"\1***@", url))


def _find_file(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    named = file or (Path(environment[FILE_VARIABLE]) if environment.get(FILE_VARIABLE) else None)
    if named is not None and not named.is_file():
        raise SettingsError(f"{named}: no such settings file; name one with --config or {FILE_VARIABLE}")
    return named or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)


def _check_variables(sections: Mapping[str, type[BaseModel]], environment: Mapping[str, str]) -> None:
    """pydantic-settings ignores variables that it does not know; a typo would go unnoticed."""
    known = {FILE_VARIABLE, *(PREFIX + name.upper() for name in BaseConfig.model_fields)}
    models: dict[str, type[BaseModel]] = {**sections, "client": ClientSettings}
    for name, model in models.items():
        known |= {f"{PREFIX}{name}__{key}".upper() for key in model.model_fields}
    for variable in environment:
        if variable.startswith(PREFIX) and variable not in known:
            raise SettingsError(f"{variable}: no such setting{_nearest(variable, known)}")


def _explain(error: ValidationError, file: Path | None, models: Mapping[str, type[BaseModel]]) -> str:
    known = [*BaseConfig.model_fields, *models]
    for name, section in models.items():
        known += [f"{name}.{key}" for key in section.model_fields]
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        unknown = problem["type"] == "extra_forbidden"
        message = f"no such setting{_nearest(key, known)}" if unknown else f"{problem['msg']}, got {problem['input']!r}"
        lines.append(f"{key}: {message}")
    where = f"{file or 'settings'} (or its {PREFIX}* variable)"
    return f"{where}: " + "; ".join(lines)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "; see `buddies config show`"

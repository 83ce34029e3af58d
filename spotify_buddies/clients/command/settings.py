"""One settings file (`buddies.toml`) and BUDDIES_* variables, read once. Unknown keys are refused."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from spotify_buddies.clients.command.secret_files import SecretError, filled
from spotify_buddies.clients.python.checks import check_address
from spotify_buddies.foundation.addresses import AddressError, AddressKind, masked, parse

PREFIX = "BUDDIES_"
FILE_VARIABLE = "BUDDIES_CONFIG"
DEFAULT_FILE = Path("buddies.toml")
MLFLOW_NAMES = ("MLFLOW_TRACKING_URI", "BUDDIES_MLFLOW_TRACKING_URI")
_SECRETS: Mapping[str, tuple[str, ...]] = {"postgres_url": (), "redis_url": (), "mlflow_tracking_uri": MLFLOW_NAMES}
_KINDS = {
    "postgres_url": AddressKind.POSTGRES,
    "redis_url": AddressKind.REDIS,
    "mlflow_tracking_uri": AddressKind.MLFLOW,
}
_EXAMPLES = {
    "postgres_url": "postgresql://USER:PASSWORD@HOST:5432/DATABASE or host=HOST password='PASSWORD'",
    "redis_url": "redis://:PASSWORD@HOST:6379/0",  # kingfisher:ignore
    "mlflow_tracking_uri": "https://USER:PASSWORD@HOST or sqlite:////PATH",  # kingfisher:ignore
}
_ESCAPES = "in a password of a URL write % as %25, @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, a blank as %20"


class SettingsError(Exception):
    """A setting cannot be used; the message names the file or variable, the key and what to do."""


class ClientSettings(BaseModel):
    """The [client] section: the way from the command to the service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        None, description="host:port of the service; unset: the one that this state directory runs"
    )
    timeout_s: float = Field(5.0, gt=0, description="deadline of a call, all attempts together")
    attempts: int = Field(4, ge=1, description="tries of a call, the first one included")
    tls: bool = Field(False, description="speak TLS; on with ca or certificate too")
    ca: Path | None = Field(None, description="PEM file of the authorities to trust; unset: those gRPC comes with")
    certificate: Path | None = Field(None, description="PEM file of the client certificate's chain")
    key: Path | None = Field(None, description="PEM file of the client certificate's key")
    token: SecretStr | None = Field(None, description="bearer token of each call, with TLS only")
    token_file: Path | None = Field(None, description="file with the token")

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: Any) -> Any:
        return filled(values, {"token": ()}) if isinstance(values, dict) else values

    @field_validator("address")
    @classmethod
    def _check_address(cls, value: str | None) -> str | None:
        if value is not None:
            check_address(value)
        return value


class BaseConfig(BaseSettings):
    """The keys above the sections."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True
    )

    state_dir: Path = Field(Path(".buddies"), description="directory of everything that the command writes")
    postgres_url: str | None = Field(None, description="Postgres of the feedback; unset: an embedded one")
    postgres_url_file: Path | None = Field(None, description="file with postgres_url")
    redis_url: str | None = Field(None, description="Redis of the daily lists; unset: an embedded one")
    redis_url_file: Path | None = Field(None, description="file with redis_url")
    mlflow_tracking_uri: str | None = Field(
        None,
        description="MLflow server; unset: SQLite in the state directory",
        validation_alias=AliasChoices("mlflow_tracking_uri", *MLFLOW_NAMES),
    )
    mlflow_tracking_uri_file: Path | None = Field(None, description="file with mlflow_tracking_uri")

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: Any) -> Any:
        return filled(values, _SECRETS)

    @field_validator(*_KINDS)
    @classmethod
    def _check_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        name = info.field_name or ""
        if value is not None:
            try:
                parse(value, _KINDS[name])
            except AddressError as error:
                # Said without the value, and before libraries see it: their errors would show it, password and all.
                raise SecretError(f"{name}: not an address such as {_EXAMPLES[name]}: {error}; {_ESCAPES}") from None
        return value

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
    except SecretError as error:
        where = f"{file} or a {PREFIX}* variable" if file else f"{PREFIX}* variables"
        raise SettingsError(f"{where}: {error}") from error
    except ValidationError as error:
        # The cause would show what was given, secrets too.
        raise SettingsError(_explain(error, file, models, environment)) from None


def shown(settings: BaseSettings) -> dict[str, Any]:
    """The settings as JSON values, passwords in URLs masked."""
    values = settings.model_dump(mode="json")
    return {key: masked(value, _KINDS[key]) if value and key in _KINDS else value for key, value in values.items()}


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


def _explain(
    error: ValidationError,
    file: Path | None,
    models: Mapping[str, type[BaseModel]],
    environment: Mapping[str, str],
) -> str:
    """One sentence for each problem, with the file or the variable that it came from."""
    known = [*BaseConfig.model_fields, *models]
    for name, section in models.items():
        known += [f"{name}.{key}" for key in section.model_fields]
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            said = f"no such setting{_nearest(key, known)}"
        else:
            given, said = repr(problem["input"]), problem["msg"].removeprefix("Value error, ")
            said += "" if given in said or _is_secret(key, problem["input"]) else f", got {given}"
        lines.append(f"{_source(key, file, environment)}: {said}")
    return "; ".join(lines)


def _source(key: str, file: Path | None, environment: Mapping[str, str]) -> str:
    """The variable that sets a key, which wins over the file, else the file and the key."""
    section, _, rest = key.partition(".")
    names = {f"{PREFIX}{section}", f"{PREFIX}{section}__{rest.partition('.')[0]}"}
    variable = next((name for name in environment if name.upper() in {one.upper() for one in names}), None)
    return variable or (f"{file}: {key}" if file else key)


def _is_secret(key: str, given: Any) -> bool:
    """Whether what was given must not be repeated; a whole section can hold a secret too, and so can a login."""
    return (
        isinstance(given, dict)
        or "@" in str(given)
        or key.removeprefix("client.") in ("token", *_SECRETS, *MLFLOW_NAMES)
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "; see `buddies config show`"

"""The settings of the root command, as far as this package's commands read them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings

# Of the running service in the state directory: where everything listens.
ENDPOINTS = "serving.json"
# The same for Prometheus's file_sd_configs: HAProxy's metrics, which Ray's own list of targets lacks.
HAPROXY_TARGETS = "haproxy-targets.json"
# In the place of an address that the settings name: it may hold a password.
CONFIGURED = "configured"


class RegistrySettings(Protocol):
    """The [registry] section."""

    model: str


class Settings(Protocol):
    """The settings that `buddies` gives to its commands."""

    state_dir: Path
    postgres_url: str | None
    redis_url: str | None
    mlflow_tracking_uri: str | None
    serve: ServeSettings
    rollout: RolloutSettings
    registry: RegistrySettings


class Endpoints(BaseModel):
    """The part of a service's endpoints that commands read. None: the release that started it did not write this.

    started: of the process, as `started_at`. run: the run's own directory, which older releases call temp.
    """

    model_config = ConfigDict(frozen=True, strict=True, protected_namespaces=())

    pid: int = Field(ge=1, lt=2**31)
    started: float | None = None
    postgres: str | None = None
    redis: str | None = None
    mlflow: str | None = None
    model_version: str | None = None
    bundle: str | None = None
    follows: str | None = None
    ray: str | None = None
    run: str | None = None
    temp: str | None = None

    def needed(self, name: str) -> str:
        """The value of a name. LaunchError: the release that started the service did not write it."""
        value: str | None = getattr(self, name)
        if value is None:
            raise LaunchError(f"the running service was started by a release that did not note {name!r}; restart it")
        return value


def read_endpoints(state_dir: Path) -> Endpoints | None:
    """The endpoints that a state directory's service wrote when it was ready; None: none.

    A service that was killed leaves them behind. LaunchError: the file is not what a service writes.
    """
    path = state_dir / ENDPOINTS
    try:
        return Endpoints.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise LaunchError(
            f"{path} is not what a service writes ({where}: {first['msg']}); stop the service that runs here, delete "
            "the file and start again"
        ) from None


def withdraw(state_dir: Path) -> None:
    """Remove the files that a service wrote when it was ready; it has ended."""
    for name in (ENDPOINTS, HAPROXY_TARGETS):
        (state_dir / name).unlink(missing_ok=True)


def store_url(settings: Settings, store: str) -> str:
    """The configured store, else the embedded one of the service that runs in this state directory.

    typer.Exit: there is neither, or what the service wrote cannot be read, which was said.
    """
    configured: str | None = getattr(settings, f"{store}_url")
    if configured:
        return configured
    variable = f"BUDDIES_{store.upper()}_URL"
    try:
        endpoints = read_endpoints(settings.state_dir)
        address = None if endpoints is None else endpoints.needed(store)
    except LaunchError as error:
        say(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if address is None:
        say(f"error: no service runs in {settings.state_dir} and {variable} is not set; start one first", err=True)
        raise typer.Exit(1)
    if address == CONFIGURED:
        say(
            f"error: the running service uses a configured {store.capitalize()}; set {variable} for this command too",
            err=True,
        )
        raise typer.Exit(1)
    return address

"""The settings of the root command, as far as this package's commands read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import typer

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


def read_endpoints(state_dir: Path) -> dict[str, Any] | None:
    """The endpoints that a state directory's service wrote when it was ready; None: none, or unreadable ones.

    A service that was killed leaves it behind.
    """
    try:
        return dict(json.loads((state_dir / ENDPOINTS).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def withdraw(state_dir: Path) -> None:
    """Remove the files that a service wrote when it was ready; it has ended."""
    for name in (ENDPOINTS, HAPROXY_TARGETS):
        (state_dir / name).unlink(missing_ok=True)


def store_url(settings: Settings, store: str) -> str:
    """The configured store, else the embedded one of the service that runs in this state directory.

    typer.Exit: there is neither, which was said.
    """
    configured: str | None = getattr(settings, f"{store}_url")
    if configured:
        return configured
    variable = f"BUDDIES_{store.upper()}_URL"
    endpoints = read_endpoints(settings.state_dir)
    if endpoints is None:
        say(f"error: no service runs in {settings.state_dir} and {variable} is not set; start one first", err=True)
        raise typer.Exit(1)
    if endpoints[store] == CONFIGURED:
        say(
            f"error: the running service uses a configured {store.capitalize()}; set {variable} for this command too",
            err=True,
        )
        raise typer.Exit(1)
    return str(endpoints[store])

"""The settings of the root command, as far as this package's commands read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import typer

from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings

# Of the running service in the state directory: where everything listens.
ENDPOINTS = "serving.json"
# Stands there for an address that the settings name: it may hold a password.
CONFIGURED = "configured"


class RegistrySettings(Protocol):
    """The [registry] section."""

    model: str


class Settings(Protocol):
    """What `buddies` hands to its commands."""

    state_dir: Path
    postgres_url: str | None
    redis_url: str | None
    mlflow_tracking_uri: str | None
    serve: ServeSettings
    rollout: RolloutSettings
    registry: RegistrySettings


def store_url(settings: Settings, store: str) -> str:
    """The configured store, else the embedded one of the service that runs in this state directory."""
    configured: str | None = getattr(settings, f"{store}_url")
    if configured:
        return configured
    try:
        endpoints = json.loads((settings.state_dir / ENDPOINTS).read_bytes())
    except FileNotFoundError:
        variable = f"BUDDIES_{store.upper()}_URL"
        say(f"error: no service runs here and {variable} is not set; start one first", err=True)
        raise typer.Exit(1) from None
    if endpoints[store] == CONFIGURED:
        variable = f"BUDDIES_{store.upper()}_URL"
        say(f"error: the service here uses a {store} of yours; set {variable} for this command too", err=True)
        raise typer.Exit(1)
    return str(endpoints[store])

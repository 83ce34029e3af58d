"""Checks of a version before it is started, with the registry and the bundles that the settings name."""

from __future__ import annotations

from collections.abc import Callable

from spotify_buddies.serve_app.rollout.preflight import objections
from spotify_buddies.serve_app.settings.command import Settings
from spotify_buddies.serve_app.versions.fetch import Shelf
from spotify_buddies.trainer.registry.registry import Registry, tracking_uri


def registry_of(settings: Settings) -> Registry:
    """The registry that the settings name."""
    return Registry(tracking_uri(settings.state_dir, settings.mlflow_tracking_uri), settings.registry.model)


def unequal_exploration(settings: Settings) -> str | None:
    """A sentence where the settings here draw the lists of the two arms in different ways; None: they do not."""
    if not settings.serve.exploration.differs:
        return None
    return (
        "warning: serve.exploration differs between production and canary; lists that are drawn at random earn fewer "
        "likes, so the gates compare more than the versions"
    )


def checker(settings: Settings, version: str) -> Callable[[str], list[str]]:
    """A function that gives the objections to the version beside a production version. RegistryError: see there."""

    def look(production: str) -> list[str]:
        registry = registry_of(settings)
        # Beside replicas on this machine, which may be fetching the same version.
        fetch = Shelf(registry.uri, registry.model, (settings.state_dir / "bundles").resolve()).fetch
        return objections(registry, fetch, version, production, settings.rollout)

    return look

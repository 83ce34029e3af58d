"""The version that serves, and its bundle on this machine."""

from __future__ import annotations

from pathlib import Path

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import GenerationState
from spotify_buddies.serve_app.online.drift.read import Span, most_shown_version
from spotify_buddies.serve_app.rollout.commands.check import registry_of
from spotify_buddies.serve_app.settings.command import Settings, read_endpoints
from spotify_buddies.serve_app.versions.fetch import Shelf
from spotify_buddies.trainer.bundle import Bundle, BundleError, open_bundle
from spotify_buddies.trainer.registry.registry import RegistryError


async def serving_version(connection: psycopg.AsyncConnection, span: Span) -> str | None:
    """Production of the newest active generation, else the version of most lists of the span; None: there is none."""
    newest = await ledger.read_newest(connection, GenerationState.ACTIVE)
    return newest.wanted.production if newest is not None else await most_shown_version(connection, span)


def bundle_of(settings: Settings, version: str) -> tuple[Bundle | None, str]:
    """The bundle of a version, or why there is none: as the service of this state directory has it, else fetched."""
    endpoints = read_endpoints(settings.state_dir)
    if endpoints is not None and endpoints.bundle and endpoints.model_version == version:
        return _opened(Path(endpoints.bundle), version)
    try:
        registry = registry_of(settings)
        directory = Shelf(registry.uri, registry.model, (settings.state_dir / "bundles").resolve()).fetch(version)
    except (RegistryError, BundleError) as error:
        return None, f"the bundle of version {version} cannot be fetched: {error}"
    return _opened(directory, version)


def _opened(directory: Path, version: str) -> tuple[Bundle | None, str]:
    try:
        return open_bundle(directory, check_hashes=False), ""
    except BundleError as error:
        return None, f"the bundle of version {version} cannot be used: {error}"

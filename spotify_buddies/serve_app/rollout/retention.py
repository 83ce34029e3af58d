"""Retention of the rollout: counts of ended generations, and bundles that nothing names, about once a day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import psycopg

from spotify_buddies.foundation.process.low_priority import low_priority_thread
from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.trainer.registry.registry import RegistryError

# Deletes the versions on this machine that are old and not among those given; returns which. Blocks.
Prune = Callable[[Collection[str]], Sequence[str]]
# All versions that the registry's aliases name. RegistryError: unknown for now.
Named = Callable[[], Awaitable[Collection[str]]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pruned:
    """What one run deleted. counts: rows. complete: False where something is left for another run soon."""

    counts: int = 0
    versions: tuple[str, ...] = ()
    complete: bool = True


async def retain(
    connection: psycopg.AsyncConnection, settings: RolloutSettings, named: Named, prune: Prune | None
) -> Pruned:
    """Delete what is older than `settings` say. prune: None where this machine holds no bundles.

    Versions stay that an alias of the registry, a generation of the last days or a live replica names. Without the
    registry no bundle is deleted. psycopg.Error: Postgres is away.
    """
    try:
        counts = await ledger.prune_counts(connection, settings.counts_days)
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
        # A busy Postgres: the controller must not lose its connections over work that has time.
        _log.warning("counts of ended generations are not deleted: %s", error)
        return Pruned(complete=False)
    if prune is None or settings.bundles_days == 0:
        return Pruned(counts)
    try:
        aliases = await named()
    except RegistryError as error:
        _log.warning("bundles of old versions are not deleted: %s", error)
        return Pruned(counts, complete=False)
    if not aliases:
        # Even production has no alias: an emptied or wrong registry says nothing about what may go.
        return Pruned(counts)
    generations = await ledger.read_versions(connection, settings.bundles_days)
    held = {version for report in await ledger.read_reports(connection) for version in report.versions}
    try:
        versions = await _in_thread(prune, {*aliases, *generations, *held})
    except OSError as error:
        _log.warning("bundles of old versions are not deleted: %s", error)
        return Pruned(counts, complete=False)
    if counts or versions:
        _log.info("deleted %d counts of ended generations and the bundles of versions %s", counts, versions)
    return Pruned(counts, tuple(versions))


async def _in_thread(prune: Prune, keep: Collection[str]) -> Sequence[str]:
    thread = low_priority_thread("retention")
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, prune, keep)
    finally:
        thread.shutdown(wait=False)

"""Assembly of a Service from settings, a bundle and the addresses of its stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.generations.state import Role
from spotify_buddies.serve_app.neighbours.client import Local, Neighbours
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Arm
from spotify_buddies.serve_app.ranking.rules import Exploration, Policy
from spotify_buddies.serve_app.settings.exploration import ExplorationSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.store.database.maintain import Retention
from spotify_buddies.serve_app.store.rights.places import Places
from spotify_buddies.serve_app.store.store import Store, StoreSettings
from spotify_buddies.serve_app.telemetry.metrics import Telemetry
from spotify_buddies.serve_app.versions.answers import Budgets
from spotify_buddies.serve_app.versions.counterfactual.answer import Limits
from spotify_buddies.serve_app.versions.fetch import Shelf
from spotify_buddies.serve_app.versions.follow import FollowingReplica, GenerationFollower, Replica, following
from spotify_buddies.serve_app.versions.index import Index, Searching, open_search
from spotify_buddies.serve_app.versions.parity import check_parity
from spotify_buddies.serve_app.versions.ranker import Loader, Ranker
from spotify_buddies.serve_app.versions.table import Loaded, VersionTable
from spotify_buddies.trainer.bundle import open_bundle

# A replica that starts waits this long for the active generation; then it serves what it was started with until it has
# loaded it.
FOLLOW_WITHIN_S = 60.0


def local(engine: Engine) -> Local:
    """The search over an engine's own users, in this process. SearchError: the index is for others."""
    from spotify_buddies.pairing.neighbours.search import NeighbourSearch

    return Local(NeighbourSearch.open(engine.bundle.index, engine.bundle.user_songs))


def places_of(settings: ServeSettings, services: Services, bundle: Path) -> Places | None:
    """Where the rights of a listener apply; None: the settings do not offer them, or there is no Postgres."""
    if not settings.user_rights or services.postgres_url is None or services.erasure_key is None:
        return None
    return Places(services.postgres_url, services.redis_url, services.erasure_key, services.state_dir, bundle)


def explorations_of(settings: ExplorationSettings) -> dict[Arm, Exploration]:
    """How the arms that explore do it."""
    explorations = {}
    for arm, one in ((Arm.PRODUCTION, settings.production), (Arm.CANARY, settings.canary)):
        if one.policy == "epsilon":
            explorations[arm] = Exploration(Policy.EPSILON, one.epsilon, one.top)
        elif one.policy == "plackett_luce":
            explorations[arm] = Exploration(Policy.PLACKETT_LUCE, one.temperature, one.top)
    return explorations


def shelf_of(services: Services, model: str) -> Shelf | None:
    """The source of versions that are wanted later; None without a registry, a place for bundles or a Postgres."""
    if services.mlflow_uri is None or services.bundles is None or services.postgres_url is None:
        return None
    return Shelf(services.mlflow_uri, model, services.bundles)


async def open_service(
    settings: ServeSettings,
    bundle: Path,
    version: str,
    services: Services,
    stack: AsyncExitStack,
    *,
    model: str,
    telemetry: Telemetry,
    neighbours: Callable[[Engine], Neighbours],
    replica: str,
) -> Service:
    """Open the bundle with its hashes checked, warm up, and start the pools; `stack` closes them.

    An unreachable store does not stop the service. neighbours: makes the search of an engine, in a thread. With a
    registry and a Postgres, the active generation is served instead of the bundle once it is loaded, and later ones
    after it. replica: the name under which this process reports, unique. BundleError: the bundle is refused.
    """
    engine = Engine(await asyncio.to_thread(open_bundle, bundle), version)
    note = await asyncio.to_thread(check_parity, engine)
    store = None
    if services.postgres_url is not None:
        opening = Store(
            services.postgres_url, _store_settings(settings), telemetry,
            erasure_key=services.erasure_key, name=replica,
        )  # fmt: skip
        store = await stack.enter_async_context(opening)
    daily = None
    if services.redis_url is not None:
        from redis.asyncio import Redis

        daily = Redis.from_url(services.redis_url)
        stack.push_async_callback(daily.aclose)
    service = Service(
        engine,
        model=model,
        budgets=Budgets(
            settings.neighbour_budget_ms / 1000,
            settings.store_budget_ms / 1000,
            settings.local_taste_listeners,
            Limits(settings.counterfactual_rankings, settings.counterfactual_budget_ms / 1000),
        ),
        feedback=store,
        daily=daily,
        telemetry=telemetry,
        history=store,
        note=note,
        event_times=settings.event_times,
        rights=places_of(settings, services, bundle),
        explorations=explorations_of(settings.exploration),
    )
    service.use_neighbours(await asyncio.to_thread(neighbours, engine))
    await asyncio.to_thread(service.warm_up)
    shelf = shelf_of(services, model)
    if shelf is not None:
        service.table.load_with(Loader(shelf.in_turn, service.answers, neighbours))
        ranker = Ranker(service.rotation, service.table, telemetry)
        stack.callback(ranker.close)
        await follow(settings, services, Replica(replica, Role.RANKER), service.table, ranker, stack)
    return service


async def open_index(
    settings: ServeSettings,
    bundle: Path,
    version: str,
    services: Services,
    stack: AsyncExitStack,
    *,
    model: str,
    replica: str,
) -> VersionTable[Searching]:
    """Open the index of the bundle, hashes checked, and follow generations, as open_service does. BundleError."""
    table: VersionTable[Searching] = VersionTable()
    table.put(version, await asyncio.to_thread(lambda: open_search(open_bundle(bundle))))
    shelf = shelf_of(services, model)
    if shelf is not None:
        table.load_with(partial(_open_index, shelf))
        await follow(settings, services, Replica(replica, Role.INDEX), table, Index(table), stack)
    return table


def _open_index(shelf: Shelf, version: str) -> Loaded[Searching]:
    with shelf.in_turn(version) as directory:
        return open_search(open_bundle(directory, check_hashes=False))


async def follow(
    settings: ServeSettings,
    services: Services,
    replica: Replica,
    table: VersionTable[Any],
    serving: FollowingReplica,
    stack: AsyncExitStack,
) -> None:
    """Follow generations until `stack` ends; returns when the active one is served, or after FOLLOW_WITHIN_S."""
    follower = GenerationFollower(str(services.postgres_url), settings.feedback_timeout_s, replica, table, serving)
    task = await following(follower, FOLLOW_WITHIN_S)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await follower.close()

    stack.push_async_callback(stop)


def _store_settings(settings: ServeSettings) -> StoreSettings:
    return StoreSettings(
        timeout_s=settings.feedback_timeout_s,
        seen_s=settings.store_budget_ms / 1000,
        impressions_waiting=settings.impressions_waiting,
        retention=Retention(settings.impressions_days, settings.feedback_days),
    )

"""Putting a Service together from settings, a bundle and the addresses of its stores."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from serve_app.answers import Budgets
from serve_app.engine import Engine
from serve_app.service import Service
from serve_app.settings import ServeSettings
from serve_app.store.maintain import Retention
from serve_app.store.store import Store, StoreSettings
from serve_app.telemetry import Telemetry
from trainer.bundle import open_bundle


@dataclass(frozen=True)
class Services:
    """Addresses of what the service stores into and reads from; None: there is none. mlflow_uri: for people."""

    # Addresses may hold passwords: they are not part of what is printed of a Services.
    postgres_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    mlflow_uri: str | None = field(default=None, repr=False)


async def open_service(
    settings: ServeSettings,
    bundle: Path,
    version: str,
    services: Services,
    stack: AsyncExitStack,
    *,
    model: str,
    telemetry: Telemetry,
) -> Service:
    """Open the bundle with its hashes checked, warm up, and start the pools; what is opened is closed by `stack`.

    A store that cannot be reached does not stop the service. BundleError: the bundle is refused.
    """
    opened = await asyncio.to_thread(open_bundle, bundle)
    store = None
    if services.postgres_url is not None:
        opening = Store(services.postgres_url, _store_settings(settings), telemetry)
        store = await stack.enter_async_context(opening)
    daily = None
    if services.redis_url is not None:
        from redis.asyncio import Redis

        daily = Redis.from_url(services.redis_url)
        stack.push_async_callback(daily.aclose)
    service = Service(
        Engine(opened, version),
        model=model,
        budgets=Budgets(settings.neighbour_budget_ms / 1000, settings.store_budget_ms / 1000),
        feedback=store,
        daily=daily,
        telemetry=telemetry,
        history=store,
    )
    await asyncio.to_thread(service.warm_up)
    return service


def _store_settings(settings: ServeSettings) -> StoreSettings:
    return StoreSettings(
        timeout_s=settings.feedback_timeout_s,
        seen_s=settings.store_budget_ms / 1000,
        impressions_waiting=settings.impressions_waiting,
        retention=Retention(settings.impressions_days, settings.feedback_days),
    )

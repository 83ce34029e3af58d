"""The rollout's controller as a Ray Serve deployment: one replica, beside the ranker and the neighbour index.

It also tells Prometheus the newest check of drift: once for the service, since there is one of it.
"""

from __future__ import annotations

import asyncio

from ray import serve

from spotify_buddies.foundation.process.low_priority import lower_process
from spotify_buddies.serve_app.build import shelf_of
from spotify_buddies.serve_app.online.gauges import RayDriftGauges, watch_checks
from spotify_buddies.serve_app.rollout.controller import Controller
from spotify_buddies.serve_app.rollout.gates.judge import watching
from spotify_buddies.serve_app.rollout.gauges import RayGauges
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.versions.counts import EDGES_MS
from spotify_buddies.serve_app.versions.retention import BundleRetention
from spotify_buddies.trainer.registry.registry import Registry


@serve.deployment(name="RolloutController")
class RolloutController:
    """Ready at once: neither the registry nor Postgres has to be there for the service to answer."""

    async def __init__(  # type: ignore[misc]
        self, settings: RolloutSettings, services: Services, model: str, version: str
    ) -> None:
        """Start to work. version: what new replicas are started with."""
        # It asks the registry once a second, through MLflow's client: callers must not wait for that.
        lower_process()
        shelf = shelf_of(services, model)
        if shelf is None or services.postgres_url is None:
            raise ValueError("a rollout needs a Postgres, a registry and a place for its bundles")
        judge = watching(settings, EDGES_MS)
        registry = Registry(shelf.uri, model)
        tell = RayGauges().tell
        retention = BundleRetention(shelf, version, settings.bundles_days)
        controller = Controller(
            registry, services.postgres_url, shelf.fetch, settings, judge=judge, tell=tell, prune=retention
        )
        self._working = [
            asyncio.create_task(controller.run()),
            asyncio.create_task(watch_checks(services.postgres_url, RayDriftGauges().tell)),
        ]

    async def check_health(self) -> None:
        """Raise when the work has ended, so that Ray starts another controller."""
        for work in self._working:
            if work.done():
                raise RuntimeError("the rollout's controller has stopped") from _why(work)

    async def __del__(self) -> None:
        for work in self._working:
            work.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)


def _why(done: asyncio.Task[None]) -> BaseException | None:
    return None if done.cancelled() else done.exception()

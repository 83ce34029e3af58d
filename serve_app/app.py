"""The one Serve application: several would break reflection and health behind HAProxy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serve_app.build import Services
from serve_app.settings import ServeSettings


def build_app(
    settings: ServeSettings, bundle: Path, version: str, services: Services, *, model: str = "organic-playlists"
) -> Any:
    """The application, ready for serve.run. Ray's flags must be in the environment before this is called."""
    from serve_app.deployments import NeighbourIndex, Recommender

    # Ray's decorator carries no types.
    neighbours: Any = NeighbourIndex
    ranker: Any = Recommender
    index = neighbours.options(
        num_replicas=1, max_ongoing_requests=4, max_queued_requests=16, ray_actor_options={"num_cpus": 0.5}
    ).bind(str(bundle))
    most = max(settings.replicas, settings.max_replicas)
    return ranker.options(
        max_ongoing_requests=settings.max_ongoing_requests,
        # Per replica; beyond it callers are told RESOURCE_EXHAUSTED instead of waiting past their deadline.
        max_queued_requests=settings.max_ongoing_requests * 2,
        autoscaling_config={
            "min_replicas": settings.replicas,
            "max_replicas": most,
            # The autoscaler sees running requests only, and never more than max_ongoing_requests of them: the target
            # must stay well below, or the measured load cannot pass it.
            "target_ongoing_requests": max(1.0, settings.max_ongoing_requests / 4),
            "upscale_delay_s": 5.0,
            "downscale_delay_s": 120.0,
            "metrics_interval_s": 2.0,
            "look_back_period_s": 10.0,
        },
        graceful_shutdown_timeout_s=settings.drain_s + 5.0,
        ray_actor_options={"num_cpus": 1},
    ).bind(settings, str(bundle), version, model, services, index)

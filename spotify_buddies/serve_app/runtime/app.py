"""The one Serve application: several would break reflection and health behind HAProxy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services

# Calls that Ray lets into a replica beyond those the replica takes on: it turns them away at once with RetryInfo, which
# Ray's own refusal lacks. A call is let in before the replica counts it, so a burst of this size arrives together.
REFUSALS = 1_024
# Beyond these Ray itself refuses.
QUEUED = 256
# Percent of the replicas that a code release may start before it stops the old ones; 0 would stop them first.
SURGE = 100
# In a replica's environment.
BUILD = "SPOTIFY_BUDDIES_BUILD"


def build_app(
    settings: ServeSettings,
    bundle: Path,
    version: str,
    services: Services,
    *,
    model: str = "organic-playlists",
    rollout: RolloutSettings | None = None,
    build: str = "",
) -> Any:
    """The application, ready for serve.run. Ray's flags must be in the environment before this is called.

    rollout: None, or no Postgres, registry or place for bundles among the services: one version, for good. build: a
    name of the code; replicas never share a process that has begun for another build, with its modules.
    """
    from spotify_buddies.serve_app.runtime.deployments import NeighbourIndex, Recommender

    # Ray's decorator carries no types.
    neighbours: Any = NeighbourIndex
    ranker: Any = Recommender
    index = neighbours.options(
        num_replicas=1,
        max_ongoing_requests=4,
        max_queued_requests=16,
        max_surge_percent=SURGE,
        ray_actor_options=_actor(0.5, build),
    ).bind(settings, str(bundle), version, model, services)
    return ranker.options(
        max_ongoing_requests=settings.max_ongoing_requests + REFUSALS,
        max_queued_requests=QUEUED,
        autoscaling_config=autoscaling(settings),
        # From the start of draining: whatever came in until its end may take its full time. Idle replicas do not wait.
        graceful_shutdown_timeout_s=settings.drain_s + settings.request_timeout_s + 5.0,
        max_surge_percent=SURGE,
        ray_actor_options=_actor(1, build),
        # One line per call, written or not, costs as much as ranking does; calls are counted in the metrics.
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    ).bind(settings, str(bundle), version, model, services, index, controller(services, model, version, rollout, build))


def controller(services: Services, model: str, version: str, rollout: RolloutSettings | None, build: str = "") -> Any:
    """The deployment that decides on versions; None where one version serves for good."""
    if rollout is None or not services.follows_registry:
        return None
    from spotify_buddies.serve_app.runtime.controller_deployment import RolloutController

    deployed: Any = RolloutController
    return deployed.options(
        num_replicas=1,
        graceful_shutdown_timeout_s=2.0,
        max_surge_percent=SURGE,
        ray_actor_options=_actor(0, build),
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    ).bind(rollout, services, model, version)


def _actor(processors: float, build: str) -> dict[str, Any]:
    """Options of a replica's process: what it counts for, and the build that it is for."""
    return {"num_cpus": processors, "runtime_env": {"env_vars": {BUILD: build}}}


def autoscaling(settings: ServeSettings) -> dict[str, Any]:
    """Ray's autoscaling of the ranker; see scaling."""
    return {
        "min_replicas": settings.replicas,
        "max_replicas": max(settings.replicas, settings.max_replicas),
        "policy": {
            "policy_function": "spotify_buddies.serve_app.runtime.scaling:ByLoad",
            "policy_kwargs": {"busy": settings.target_busy},
        },
        "target_ongoing_requests": settings.target,
        "upscale_delay_s": settings.upscale_delay_s,
        "downscale_delay_s": settings.downscale_delay_s,
        "metrics_interval_s": settings.scale_interval_s,
        "look_back_period_s": settings.scale_window_s,
    }

"""A code release: every replica is replaced by a new process, which imports the code that is installed now.

Run in a process of its own, which has that code too: settings and what replicas are started with are its own, and
nothing of what the running service's first process once imported is handed on. Ray's Serve controller, HAProxy and that
first process stay as they are, and with them ports, hosts and `serve_app.runtime.scaling`.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.run_dir import RunDir
from spotify_buddies.serve_app.runtime import loopback
from spotify_buddies.serve_app.runtime.app import build_app
from spotify_buddies.serve_app.runtime.flags import applied, flags, write_token
from spotify_buddies.serve_app.runtime.launch import APPLICATION, quiet
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services


class ReleaseFailed(Exception):
    """New replicas do not come up; the message says why. The old ones go on."""


@dataclass(frozen=True)
class Cluster:
    """A running service. ray: where other processes join its Ray. run: its own directory."""

    ray: str
    run: RunDir


@dataclass(frozen=True)
class Released:
    """seconds: until all replicas were new. replicas: how many run now, by deployment."""

    seconds: float
    replicas: dict[str, int]


def release(
    cluster: Cluster,
    settings: ServeSettings,
    bundle: Path,
    version: str,
    services: Services,
    *,
    state_dir: Path,
    model: str,
    rollout: RolloutSettings | None,
    build: str,
) -> Released:
    """Start new replicas, then stop the old ones, which finish the calls that they took; returns when all are new.

    The arguments after cluster are those of `launch`. build: a name that no release before had. ReleaseFailed: a new
    replica ends while it starts. LaunchError: the service's Ray cannot be joined. A caller who is interrupted leaves a
    release that goes on. One release per process: Ray reads its switches when it is imported.
    """
    with applied(flags(settings, cluster.run, write_token(state_dir))):
        import ray
        from ray import serve
        from ray.exceptions import RayError

        for name in ("ray", "ray.serve"):
            logging.getLogger(name).setLevel(logging.ERROR)
        began = time.monotonic()
        try:
            with quiet():
                ray.init(
                    cluster.ray,
                    namespace="serve",
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    runtime_env={"worker_process_setup_hook": loopback.HOOK},
                )
        except (RayError, ConnectionError, ValueError) as error:
            raise LaunchError(f"the service's Ray at {cluster.ray} cannot be joined: {error}") from error
        try:
            app = build_app(settings, bundle, version, services, model=model, rollout=rollout, build=build)
            with quiet():
                try:
                    serve.run(app, name=APPLICATION, route_prefix="/")
                except RuntimeError as error:
                    raise ReleaseFailed(_why(serve.status()) or str(error)) from error
                found = serve.status().applications[APPLICATION].deployments
        finally:
            ray.shutdown()
    running = {name: deployment.replica_states.get("RUNNING", 0) for name, deployment in found.items()}
    return Released(time.monotonic() - began, running)


def _why(status: Any) -> str:
    """What Ray says of deployments that failed: the last line of each, which is the error; empty where none did."""
    found = status.applications[APPLICATION].deployments
    failed = {name: one.message.strip() for name, one in found.items() if one.status == "DEPLOY_FAILED"}
    return "; ".join(f"{name} does not start: {said.splitlines()[-1].strip()}" for name, said in failed.items() if said)

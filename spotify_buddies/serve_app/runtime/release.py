"""A code release: every replica is replaced by a new process, which imports the code that is installed now.

Run in a process of its own, which has that code too: settings and what replicas are started with are its own, and
nothing that the running service's first process once imported is handed on. Ray's Serve controller, HAProxy and that
first process stay as they are, and with them ports, hosts and `serve_app.runtime.scaling`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.process.children import still_runs
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.local_ray import quiet
from spotify_buddies.foundation.process.run_dir import RunDir
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.foundation.text.pseudonym import read_key
from spotify_buddies.serve_app.runtime import loopback
from spotify_buddies.serve_app.runtime.app import build_app
from spotify_buddies.serve_app.runtime.flags import applied, flags, write_token
from spotify_buddies.serve_app.runtime.start import APPLICATION
from spotify_buddies.serve_app.settings.command import CONFIGURED, Endpoints, Settings, read_endpoints, store_url
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.versions.retention import in_use
from spotify_buddies.trainer.registry.registry import Registry, RegistryError


class ReleaseFailed(Exception):
    """New replicas do not come up; the message says why. The old ones stay."""


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


def release_running(settings: Settings, build: str) -> Released:
    """Release into the service that runs in the state directory, with the version that it follows by now.

    As `release`; LaunchError too where no service runs there. typer.Exit: the service uses a store that these settings
    do not name, which was said.
    """
    endpoints = read_endpoints(settings.state_dir)
    if endpoints is None or not still_runs(endpoints.pid, endpoints.started):
        raise LaunchError(f"no service runs in {settings.state_dir}; start one with `buddies serve start`")
    cluster = Cluster(endpoints.needed("ray"), RunDir(Path(endpoints.run or endpoints.temp or endpoints.needed("run"))))
    version, bundle, services, rollout = _first(settings, endpoints)
    # The new controller protects it from then on; until it runs, the old one may find it old.
    with in_use(settings.state_dir / "bundles", bundle):
        return release(
            cluster,
            settings.serve,
            bundle,
            version,
            services,
            state_dir=settings.state_dir,
            model=settings.registry.model,
            rollout=rollout,
            build=build,
        )


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
    replica ends while it starts. LaunchError: the service's Ray cannot be joined. A release continues when its caller
    is interrupted. One release per process: Ray reads its switches when it is imported.
    """
    with applied(flags(settings, cluster.run, write_token(state_dir))):
        began = time.monotonic()
        with _joined(cluster):
            app = build_app(settings, bundle, version, services, model=model, rollout=rollout, build=build)
            replicas = _run(app)
    return Released(time.monotonic() - began, replicas)


@contextmanager
def _joined(cluster: Cluster) -> Iterator[None]:
    """Be a driver of the service's Ray until the block ends. LaunchError."""
    import ray
    from ray.exceptions import RayError

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
        yield
    finally:
        ray.shutdown()


def _run(app: Any) -> dict[str, int]:
    """Replace the application; returns how many replicas run now, by deployment. ReleaseFailed."""
    from ray import serve

    with quiet():
        try:
            serve.run(app, name=APPLICATION, route_prefix="/")
        except RuntimeError as error:
            raise ReleaseFailed(_why(serve.status()) or str(error)) from error
        deployments = serve.status().applications[APPLICATION].deployments
    return {name: deployment.replica_states.get("RUNNING", 0) for name, deployment in deployments.items()}


def _first(settings: Settings, endpoints: Endpoints) -> tuple[str, Path, Services, RolloutSettings | None]:
    """What new replicas begin with: version and bundle, their services, and the rollout that they follow."""
    postgres, redis = (store_url(settings, store) or None for store in ("postgres", "redis"))
    embedded = endpoints.needed("mlflow")
    mlflow = settings.mlflow_tracking_uri if embedded == CONFIGURED else embedded or None
    key = read_key(settings.state_dir, settings.serve.erasure_key_file)
    services = Services(postgres, redis, mlflow, erasure_key=key, state_dir=settings.state_dir.resolve())
    version, bundle = endpoints.needed("model_version"), Path(endpoints.needed("bundle"))
    follows = endpoints.needed("follows")
    if not follows:
        return version, bundle, services, None
    if mlflow is None:
        raise LaunchError(
            "the service here uses an MLflow that its settings name; set MLFLOW_TRACKING_URI for this command too"
        )
    services = replace(services, bundles=(settings.state_dir / "bundles").resolve())
    version, bundle = _newest(settings, mlflow, follows) or (version, bundle)
    return version, bundle, services, settings.rollout


def _newest(settings: Settings, mlflow: str, alias: str) -> tuple[str, Path] | None:
    """The version that new replicas begin with, until they follow the active generation; None: no registry answers."""
    registry = Registry(mlflow, settings.registry.model)
    try:
        version = registry.resolve(alias).number
        return version, registry.fetch(version, (settings.state_dir / "bundles").resolve())
    except RegistryError as error:
        say(f"the registry does not answer, so replicas begin with the version of the start: {error}", err=True)
        return None


def _why(status: Any) -> str:
    """Ray's reasons why deployments failed: the last line of each, which is the error; empty where none did."""
    deployments = status.applications[APPLICATION].deployments
    failed = {name: one.message.strip() for name, one in deployments.items() if one.status == "DEPLOY_FAILED"}
    return "; ".join(f"{name} does not start: {said.splitlines()[-1].strip()}" for name, said in failed.items() if said)

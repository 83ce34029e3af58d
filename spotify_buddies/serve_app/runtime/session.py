"""The life of one service in one process: stores, the version it begins with, Ray, and the wait for its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.ports import claim
from spotify_buddies.foundation.process.private import repair, replaceable_by_others
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.foundation.text.pseudonym import read_key
from spotify_buddies.serve_app.embedded import start_services
from spotify_buddies.serve_app.embedded.supervisor import Supervisor
from spotify_buddies.serve_app.runtime.endpoints import announce
from spotify_buddies.serve_app.runtime.launch import Running, launch
from spotify_buddies.serve_app.runtime.stores import unreachable
from spotify_buddies.serve_app.settings.command import Settings, withdraw
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.versions.retention import in_use
from spotify_buddies.trainer.bundle import Bundle, open_bundle
from spotify_buddies.trainer.registry.registry import Registry

POLL_S = 0.5
PRODUCTION = "production"
# What commands make in the state directory, but for Postgres' data, which look after themselves.
KEPT = (
    "bench", "bundles", "dataset", "erasure-key", "lock", "logs", "mlflow", "mlflow-token", "organic", "pairing",
    "peers", "queue", "ray-token", "raw", "services.json", "train", "tune", "valkey",
)  # fmt: skip


@dataclass(frozen=True)
class Start:
    """What a service begins with. services: as its replicas get them.

    rollout: None: this version serves for good. follows: the alias whose rollouts are followed, or none.
    """

    version: str
    bundle: Path
    services: Services
    rollout: RolloutSettings | None = None
    follows: str = ""


def serve(settings: Settings, alias: str, bundle: Path | None, *, any_port: bool, pid: int) -> None:
    """Start everything and stay until a signal.

    bundle: served in the place of the alias' version, for good. any_port: a configured port that is taken is replaced
    by a free one. pid: the process to stop, for others. LaunchError, BundleError, RegistryError.
    """
    # Before anything starts: a directory that is no bundle should not take half a minute to say so.
    named = None if bundle is None else open_bundle(bundle, check_hashes=False)
    _close(settings.state_dir)
    for problem in unreachable(settings.postgres_url, settings.redis_url):
        say(f"warning: {problem}", err=True)
    ports = _with_free_ports(settings.serve) if any_port else settings.serve
    supervisor = Supervisor((LaunchError,))
    with start_services(
        settings.state_dir,
        postgres_url=settings.postgres_url,
        redis_url=settings.redis_url,
        # A bundle that is given needs no registry: "" starts none.
        mlflow_uri=settings.mlflow_tracking_uri if named is None else settings.mlflow_tracking_uri or "",
        mlflow_port=ports.mlflow_port,
        supervisor=supervisor,
    ) as started:
        key = read_key(settings.state_dir, settings.serve.erasure_key_file)
        services = replace(started, erasure_key=key, state_dir=settings.state_dir.resolve())
        begin = _of_alias(settings, services, alias) if named is None else _of_bundle(named, services)
        with launch(
            ports,
            begin.bundle,
            begin.version,
            begin.services,
            state_dir=settings.state_dir,
            model=settings.registry.model,
            rollout=begin.rollout,
        ) as running:
            served = _served(settings, begin, running)
            # A release without a registry begins with what is noted here, however long ago that was.
            with in_use(settings.state_dir / "bundles", served.bundle):
                announce(settings, running, services, served.version, served.bundle, served.follows, pid)
                _wait(settings.state_dir, running, supervisor)


def _of_bundle(bundle: Bundle, services: Services) -> Start:
    return Start(bundle.sha256[:12], bundle.directory, services)


def _of_alias(settings: Settings, services: Services, alias: str) -> Start:
    """The version of an alias, fetched. RegistryError."""
    registry = Registry(str(services.mlflow_uri), settings.registry.model)
    version, bundles = registry.resolve(alias).number, (settings.state_dir / "bundles").resolve()
    begin = Start(version, registry.fetch(version, bundles), services)
    # Of another alias one version serves for good: the rollout's aliases are those beside production.
    if alias != PRODUCTION:
        return begin
    return replace(begin, services=replace(services, bundles=bundles), rollout=settings.rollout, follows=alias)


def _served(settings: Settings, begin: Start, running: Running) -> Start:
    """What is served now: an active rollout may want another version than the alias names."""
    if running.version == begin.version:
        return begin
    say(f"a rollout is active that serves version {running.version}, not {begin.version}", err=True)
    registry = Registry(str(begin.services.mlflow_uri), settings.registry.model)
    # The replicas have fetched it by now, so it lies there.
    bundle = registry.fetch(running.version, (settings.state_dir / "bundles").resolve())
    return replace(begin, version=running.version, bundle=bundle)


def _close(state_dir: Path) -> None:
    """Close what an older release left open, and say what cannot be closed."""
    if mended := repair(state_dir / name for name in KEPT):
        say(f"closed {mended:,} files in {state_dir} that other users could open", err=True)
    if (above := replaceable_by_others(state_dir)) is not None:
        say(f"other users can replace what lies in {above}, {state_dir} too; use a place of your own", err=True)


def _with_free_ports(settings: ServeSettings) -> ServeSettings:
    """Every configured port that is taken becomes 0, a free one."""
    taken = {}
    for name in ("grpc_port", "http_port", "dashboard_port", "mlflow_port"):
        try:
            claim(getattr(settings, name), name, settings.host)
        except LaunchError:
            taken[name] = 0
    for name in taken:
        say(f"port {getattr(settings, name)} ({name}) is taken; using a free one", err=True)
    return settings.model_copy(update=taken)


def _wait(state_dir: Path, running: Running, supervisor: Supervisor) -> None:
    """Until Ctrl-C, SIGTERM or SIGHUP, all a clean end; stores that die are started again. LaunchError: Ray died."""
    try:
        while (died := running.died()) is None:
            for sentence in supervisor.look():
                say(sentence, err=True)
            time.sleep(POLL_S)
    except (KeyboardInterrupt, SystemExit):
        say("stopping", err=True)
        return
    finally:
        withdraw(state_dir)
    raise LaunchError(f"Ray's {died} has died, so the service was stopped; its logs are in {running.logs}. Start again")

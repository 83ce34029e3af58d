"""`buddies serve`: run the service, and look at what it stored."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from spotify_buddies.foundation.addresses import AddressKind, masked
from spotify_buddies.foundation.terminal.console import an_id
from spotify_buddies.foundation.terminal.visible import say, visible
from spotify_buddies.serve_app.baseline import sample_command
from spotify_buddies.serve_app.settings.command import CONFIGURED, ENDPOINTS, Settings, store_url
from spotify_buddies.serve_app.settings.serve import ServeSettings

SECTIONS = {"serve": ServeSettings}
POLL_S = 0.5
# What commands make in the state directory, but for Postgres' data, which look after themselves.
KEPT = (
    "bench", "bundles", "dataset", "lock", "logs", "mlflow", "mlflow-token", "organic", "pairing", "peers", "queue",
    "ray-token", "raw", "services.json", "train", "tune", "valkey",
)  # fmt: skip
PRODUCTION = "production"

app = typer.Typer(help="The recommendation service.", no_args_is_help=True)
app.command()(sample_command.sample)
app.command()(sample_command.plain)


@app.command()
def start(
    context: typer.Context,
    alias: Annotated[str | None, typer.Option(help="Registry alias to serve; default: the setting.")] = None,
    any_port: Annotated[bool, typer.Option(help="Take a free port where a configured one is taken.")] = False,
    bundle: Annotated[
        Path | None, typer.Option(help="Serve this bundle's directory, without asking the registry.")
    ] = None,
) -> None:
    """Start the service with what it needs and stay up until Ctrl-C, SIGTERM or SIGHUP.

    Without configured services a real Postgres, a Redis-compatible server and MLflow start too, on this machine only;
    with --bundle no MLflow.

    Example: BUDDIES_SERVE__GRPC_PORT=9100 buddies serve start
    """
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.process.signals import stop_as_interrupt
    from spotify_buddies.foundation.process.subreaper import guard
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.runtime.lock import locked

    settings: Settings = context.obj
    with explained(LaunchError), locked(settings.state_dir) as pid:
        # From here on in a child; what it starts in threads, sessions and C ends with it.
        code = guard(settings.serve.stop_within_s)
        if code is None:
            stop_as_interrupt()
            _serve(settings, alias or settings.serve.alias, bundle, any_port=any_port, pid=pid)
            return
        (settings.state_dir / ENDPOINTS).unlink(missing_ok=True)
    if code < 0:
        say(f"error: the service was ended by signal {-code}; everything it had started is stopped", err=True)
    raise typer.Exit(code if code >= 0 else 128 - code)


def _serve(settings: Settings, alias: str, bundle: Path | None, *, any_port: bool, pid: int) -> None:
    """Start everything and stay until a signal; pid: what others are told to stop. bundle: instead of the alias'."""
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.embedded import start_services
    from spotify_buddies.serve_app.embedded.supervisor import Watch
    from spotify_buddies.serve_app.runtime.launch import launch
    from spotify_buddies.trainer.bundle import BundleError, open_bundle
    from spotify_buddies.trainer.registry.registry import Registry, RegistryError

    with explained(LaunchError, BundleError, RegistryError):
        # Before anything starts: a directory that is none should not take half a minute to say so.
        version = "" if bundle is None else open_bundle(bundle, check_hashes=False).sha256[:12]
        _close(settings.state_dir)
        serve = settings.serve if not any_port else _free_ports(settings.serve)
        watch = Watch((LaunchError,))
        services = start_services(
            settings.state_dir,
            postgres_url=settings.postgres_url,
            redis_url=settings.redis_url,
            # A bundle that is given needs no registry: "" starts none.
            mlflow_uri=settings.mlflow_tracking_uri if bundle is None else settings.mlflow_tracking_uri or "",
            mlflow_port=serve.mlflow_port,
            watch=watch,
        )
        with services as up:
            served, rollout = up, None
            if bundle is None:
                registry = Registry(str(up.mlflow_uri), settings.registry.model)
                version = registry.resolve(alias).number
                bundles = (settings.state_dir / "bundles").resolve()
                bundle = registry.fetch(version, bundles)
                # Of another alias one version serves for good: the rollout's aliases are those beside production.
                if alias == PRODUCTION:
                    served, rollout = replace(up, bundles=bundles), settings.rollout
            launched = launch(
                serve,
                bundle,
                version,
                served,
                state_dir=settings.state_dir,
                model=settings.registry.model,
                rollout=rollout,
            )
            with launched as running:
                if running.version != version:
                    # Its replicas have fetched it by now.
                    say(f"a rollout is active that serves version {running.version}, not {version}", err=True)
                    bundle = registry.fetch(running.version, bundles)
                follows = alias if rollout is not None else ""
                _announce(settings, running, up, running.version, bundle, follows, pid)
                _wait(settings.state_dir, running, watch)


def _close(state_dir: Path) -> None:
    """Close what an older release left open, and say what cannot be closed."""
    from spotify_buddies.foundation.process.private import repair, replaceable_by_others

    if mended := repair(state_dir / name for name in KEPT):
        say(f"{mended:,} files and directories of {state_dir} were open to others; closed", err=True)
    if (above := replaceable_by_others(state_dir)) is not None:
        say(f"other users can replace what lies in {above}, {state_dir} too; use a place of your own", err=True)


@app.command()
def release(context: typer.Context) -> None:
    """Replace every replica of the running service by one with the code and settings of now, without failing a call.

    After an upgrade of this package. New replicas start beside the old ones and are warm before those take no more
    calls; where they do not start, the old ones go on. Ports and hosts stay.

    Example: pip install --upgrade spotify-buddies && buddies serve release
    """
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.process.run_dir import RunDir
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.runtime.release import Cluster, ReleaseFailed
    from spotify_buddies.serve_app.runtime.release import release as released
    from spotify_buddies.serve_app.settings.services import Services

    settings: Settings = context.obj
    postgres, redis = (store_url(settings, store) or None for store in ("postgres", "redis"))
    endpoints = json.loads((settings.state_dir / ENDPOINTS).read_bytes())
    found = endpoints["mlflow"]
    mlflow = settings.mlflow_tracking_uri if found == CONFIGURED else found or None
    services = Services(postgres_url=postgres, redis_url=redis, mlflow_uri=mlflow)
    version, bundle = endpoints["model_version"], Path(endpoints["bundle"])
    rollout = None
    if endpoints["follows"]:
        services = replace(services, bundles=(settings.state_dir / "bundles").resolve())
        version, bundle = _newest(settings, services, endpoints["follows"]) or (version, bundle)
        rollout = settings.rollout
    with explained(LaunchError, ReleaseFailed):
        done = released(
            Cluster(endpoints["ray"], RunDir(Path(endpoints.get("run") or endpoints["temp"]))),
            settings.serve, bundle, version, services,
            state_dir=settings.state_dir, model=settings.registry.model, rollout=rollout, build=uuid.uuid4().hex,
        )  # fmt: skip
    running = ", ".join(f"{count} {name}" for name, count in sorted(done.replicas.items()))
    say(f"every replica is new after {done.seconds:.1f} s: {running}")


def _newest(settings: Settings, services: Any, alias: str) -> tuple[str, Path] | None:
    """The version that new replicas begin with, until they follow the active generation; None: no registry answers."""
    from spotify_buddies.trainer.registry.registry import Registry, RegistryError

    registry = Registry(str(services.mlflow_uri), settings.registry.model)
    try:
        version = registry.resolve(alias).number
        return version, registry.fetch(version, services.bundles)
    except RegistryError as error:
        say(f"the registry does not help, replicas begin with the version of the start: {error}", err=True)
        return None


@app.command()
def reactions(
    context: typer.Context,
    recommendation: Annotated[str, typer.Option(help="Recommendation id.", callback=an_id)],
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False,
) -> None:
    """Show what Postgres holds of one recommendation: one row per playlist.

    Example: buddies serve reactions --recommendation 1f0c..
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.store.report import read_feedback

    settings: Settings = context.obj
    with explained(psycopg.Error):
        rows = read_feedback(store_url(settings, "postgres"), recommendation)
    if as_json:
        say(json.dumps([vars(row) for row in rows], indent=1, default=str))
        return
    say(f"{len(rows)} rows in Postgres for recommendation {recommendation}")
    for row in rows:
        said = {1: "liked", 0: "ignored", -1: "disliked"}[row.score]
        say(
            f"  {row.created_at:%Y-%m-%d %H:%M:%S%z}  {visible(row.user_id)}  {said:<8}  {row.score:>2}  "
            f"playlist {visible(row.playlist_id)}  version {row.model_version or '-'} ({row.arm})"
        )


def _free_ports(settings: ServeSettings) -> ServeSettings:
    """Every configured port that is taken becomes 0, a free one."""
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.process.ports import claim

    taken = {}
    for name in ("grpc_port", "http_port", "dashboard_port", "mlflow_port"):
        try:
            claim(getattr(settings, name), name, settings.host)
        except LaunchError:
            taken[name] = 0
    for name in taken:
        say(f"port {getattr(settings, name)} ({name}) is taken; using a free one", err=True)
    return settings.model_copy(update=taken)


def _announce(
    settings: Settings, running: Any, services: Any, version: str, bundle: Path, follows: str, pid: int
) -> None:
    """Write where everything listens, for the other commands, and say it; no configured address, which is a secret.

    follows: the alias whose rollouts are followed, or none.
    """
    state_dir = settings.state_dir
    endpoints = {
        "pid": pid,
        "grpc": running.grpc,
        "http": running.http,
        "dashboard": running.dashboard,
        "mlflow": CONFIGURED if settings.mlflow_tracking_uri else services.mlflow_uri or "",
        "postgres": CONFIGURED if settings.postgres_url else services.postgres_url,
        "redis": CONFIGURED if settings.redis_url else services.redis_url,
        "model_version": version,
        "bundle": str(bundle.resolve()),
        "follows": follows,
        "ray": running.ray,
        "run": str(running.run.path),
    }
    partial = state_dir / f".{ENDPOINTS}.partial"
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(endpoints, indent=1))
    partial.replace(state_dir / ENDPOINTS)
    say(f"serving version {version} over gRPC at {running.grpc}; Ctrl-C stops everything")
    say(f"Ray dashboard {running.dashboard}, its token is in {state_dir / 'ray-token'}")
    if settings.mlflow_tracking_uri is None and services.mlflow_uri:
        say(
            f"MLflow {masked(services.mlflow_uri, AddressKind.MLFLOW)}, its password is in {state_dir / 'mlflow-token'}"
        )


def _wait(state_dir: Path, running: Any, watch: Any) -> None:
    """Until Ctrl-C, SIGTERM or SIGHUP, all a clean end; stores that die are started again. LaunchError: Ray died."""
    from spotify_buddies.foundation.process.errors import LaunchError

    try:
        while (died := running.died()) is None:
            for sentence in watch.look():
                say(sentence, err=True)
            time.sleep(POLL_S)
    except (KeyboardInterrupt, SystemExit):
        say("stopping", err=True)
        return
    finally:
        (state_dir / ENDPOINTS).unlink(missing_ok=True)
    raise LaunchError(f"Ray's {died} has died, so the service was stopped; its logs are in {running.logs}. Start again")

"""`buddies serve`: run the service, and look at what it stored."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from serve_app.settings import ServeSettings
from serve_app.store.cli import app as store_app

__all__ = ["ENDPOINTS", "SECTIONS", "app", "daily_app", "store_app", "store_url"]

SECTIONS = {"serve": ServeSettings}
ENDPOINTS = "serving.json"
POLL_S = 0.5

app = typer.Typer(help="The recommendation service.", no_args_is_help=True)
daily_app = typer.Typer(help="Lists computed once a day.", no_args_is_help=True)


class _Registry(Protocol):
    model: str


class _Settings(Protocol):
    state_dir: Path
    postgres_url: str | None
    redis_url: str | None
    mlflow_tracking_uri: str | None
    serve: ServeSettings
    registry: _Registry


@app.command()
def start(
    context: typer.Context,
    alias: Annotated[str | None, typer.Option(help="Registry alias to serve; default: the setting.")] = None,
    any_port: Annotated[bool, typer.Option(help="Take a free port where a configured one is taken.")] = False,
) -> None:
    """Start the service with what it needs and stay up until Ctrl-C, SIGTERM or SIGHUP.

    Without configured services a real Postgres, a Redis-compatible server and MLflow start too, on this machine only.

    Example: BUDDIES_SERVE__GRPC_PORT=9100 buddies serve start
    """
    from pairing.console import explained
    from pairing.signals import stop_as_interrupt
    from serve_app.errors import LaunchError
    from serve_app.guard import guard
    from serve_app.lock import locked

    settings: _Settings = context.obj
    with explained(LaunchError), locked(settings.state_dir) as pid:
        # From here on in a child; what it starts in threads, sessions and C ends with it.
        code = guard()
        if code is None:
            stop_as_interrupt()
            _serve(settings, alias or settings.serve.alias, any_port=any_port, pid=pid)
            return
        (settings.state_dir / ENDPOINTS).unlink(missing_ok=True)
    if code < 0:
        typer.echo(f"error: the service was ended by signal {-code}; everything it had started is stopped", err=True)
    raise typer.Exit(code if code >= 0 else 128 - code)


def _serve(settings: _Settings, alias: str, *, any_port: bool, pid: int) -> None:
    """Start everything and stay until a signal; pid: what others are told to stop."""
    from pairing.console import explained
    from serve_app.embedded import start_services
    from serve_app.errors import LaunchError
    from serve_app.launch import launch
    from trainer.bundle import BundleError
    from trainer.registry import Registry, RegistryError

    with explained(LaunchError, BundleError, RegistryError):
        serve = settings.serve if not any_port else _free_ports(settings.serve)
        services = start_services(
            settings.state_dir,
            postgres_url=settings.postgres_url,
            redis_url=settings.redis_url,
            mlflow_uri=settings.mlflow_tracking_uri,
            mlflow_port=serve.mlflow_port,
        )
        with services as up:
            registry = Registry(str(up.mlflow_uri), settings.registry.model)
            version = registry.resolve(alias)
            bundle = registry.fetch(version.number, settings.state_dir / "bundles")
            with launch(
                serve, bundle, version.number, up, state_dir=settings.state_dir, model=settings.registry.model
            ) as running:
                _announce(settings.state_dir, running, up, version.number, pid)
                _wait(settings.state_dir, running)


@app.command()
def reactions(
    context: typer.Context,
    recommendation: Annotated[str, typer.Option(help="Recommendation id.")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False,
) -> None:
    """Show what Postgres holds of one recommendation: one row per playlist.

    Example: buddies serve reactions --recommendation 1f0c..
    """
    import psycopg

    from pairing.console import explained
    from serve_app.store.report import read_feedback

    settings: _Settings = context.obj
    with explained(psycopg.Error):
        rows = read_feedback(store_url(settings, "postgres"), recommendation)
    if as_json:
        typer.echo(json.dumps([vars(row) for row in rows], indent=1, default=str))
        return
    typer.echo(f"{len(rows)} rows in Postgres for recommendation {recommendation}")
    for row in rows:
        said = {1: "liked", 0: "ignored", -1: "disliked"}[row.score]
        typer.echo(
            f"  {row.created_at:%Y-%m-%d %H:%M:%S%z}  {row.user_id}  {said:<8}  {row.score:>2}  "
            f"playlist {row.playlist_id}  version {row.model_version or '-'} ({row.arm})"
        )


@daily_app.callback()
def _daily() -> None:
    """Lists computed once a day."""


@daily_app.command("run")
def run_daily(
    context: typer.Context,
    alias: Annotated[str | None, typer.Option(help="Registry alias; default: the one that is served.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False,
) -> None:
    """Score every listener with one version and write the lists into Redis, for Recommend in daily mode.

    Example: buddies daily run && buddies recommend USER_ID --mode daily
    """
    from redis import Redis
    from redis.exceptions import RedisError

    from pairing.console import explained
    from pairing.progress import Reporter
    from serve_app.daily import write_daily
    from serve_app.engine import Engine
    from trainer.bundle import BundleError, open_bundle
    from trainer.registry import Registry, RegistryError, tracking_uri

    settings: _Settings = context.obj
    url = store_url(settings, "redis")
    with explained(RedisError, BundleError, RegistryError):
        uri = tracking_uri(settings.state_dir, settings.mlflow_tracking_uri)
        registry = Registry(uri, settings.registry.model)
        version = registry.resolve(alias or settings.serve.alias)
        engine = Engine(open_bundle(registry.fetch(version.number, settings.state_dir / "bundles")), version.number)
        with Redis.from_url(url) as redis:
            written = write_daily(engine, redis, ttl_s=settings.serve.daily_ttl_s, progress=Reporter())
    users = engine.bundle.manifest.users
    if as_json:
        typer.echo(json.dumps({"version": version.number, "users": users, "lists": written}))
        return
    typer.echo(f"{written:,} lists of version {version.number} for {users:,} users; the rest is answered live")


def store_url(settings: _Settings, store: str) -> str:
    """The configured store, else the embedded one of the service that runs in this state directory."""
    configured: str | None = getattr(settings, f"{store}_url")
    if configured:
        return configured
    try:
        endpoints = json.loads((settings.state_dir / ENDPOINTS).read_bytes())
    except FileNotFoundError:
        variable = f"BUDDIES_{store.upper()}_URL"
        typer.echo(f"error: no service runs here and {variable} is not set; start one first", err=True)
        raise typer.Exit(1) from None
    return str(endpoints[store])


def _free_ports(settings: ServeSettings) -> ServeSettings:
    """Every configured port that is taken becomes 0, a free one."""
    from serve_app.errors import LaunchError
    from serve_app.ports import claim

    taken = {}
    for name in ("grpc_port", "http_port", "dashboard_port", "mlflow_port"):
        try:
            claim(getattr(settings, name), name, settings.host)
        except LaunchError:
            taken[name] = 0
    for name in taken:
        typer.echo(f"port {getattr(settings, name)} ({name}) is taken; using a free one", err=True)
    return settings.model_copy(update=taken)


def _announce(state_dir: Path, running: Any, services: Any, version: str, pid: int) -> None:
    """Write where everything listens, for the other commands, and say it."""
    endpoints = {
        "pid": pid,
        "grpc": running.grpc,
        "http": running.http,
        "dashboard": running.dashboard,
        "mlflow": services.mlflow_uri,
        "postgres": services.postgres_url,
        "redis": services.redis_url,
        "model_version": version,
    }
    partial = state_dir / f".{ENDPOINTS}.partial"
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(endpoints, indent=1))
    partial.replace(state_dir / ENDPOINTS)
    typer.echo(f"serving version {version} over gRPC at {running.grpc}")
    typer.echo(f"Ray dashboard {running.dashboard}, MLflow {services.mlflow_uri}; Ctrl-C stops everything")


def _wait(state_dir: Path, running: Any) -> None:
    """Until Ctrl-C, SIGTERM or SIGHUP, all a clean end. LaunchError when Ray dies."""
    from serve_app.errors import LaunchError

    try:
        while (died := running.died()) is None:
            time.sleep(POLL_S)
    except (KeyboardInterrupt, SystemExit):
        typer.echo("stopping", err=True)
        return
    finally:
        (state_dir / ENDPOINTS).unlink(missing_ok=True)
    raise LaunchError(f"Ray's {died} has died, so the service was stopped; its logs are in {running.logs}. Start again")

"""`buddies serve`: run the service, and look at what it stored."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from serve_app.settings import ServeSettings

SECTIONS = {"serve": ServeSettings}
ENDPOINTS = "serving.json"

app = typer.Typer(help="The recommendation service.", no_args_is_help=True)


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
    """Start the service with what it needs and stay up until Ctrl-C or SIGTERM.

    Without configured services a real Postgres, a Redis-compatible server and MLflow start too, on this machine only.

    Example: BUDDIES_SERVE__GRPC_PORT=9100 buddies serve start
    """
    from pairing.console import explained
    from serve_app.embedded import start_services
    from serve_app.errors import LaunchError
    from serve_app.launch import launch
    from trainer.bundle import BundleError
    from trainer.registry import Registry, RegistryError

    settings: _Settings = context.obj
    _stop_on_sigterm()
    with explained(LaunchError, BundleError, RegistryError):
        _refuse_second(settings.state_dir)
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
            version = registry.resolve(alias or serve.alias)
            bundle = registry.fetch(version.number, settings.state_dir / "bundles")
            with launch(
                serve, bundle, version.number, up, state_dir=settings.state_dir, model=settings.registry.model
            ) as running:
                _announce(settings.state_dir, running, up, version.number)
                _wait(settings.state_dir)


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
    from serve_app.feedback import read_feedback

    settings: _Settings = context.obj
    with explained(psycopg.Error):
        rows = read_feedback(_postgres_url(settings), recommendation)
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


def _postgres_url(settings: _Settings) -> str:
    """The configured Postgres, else the embedded one of the service that runs in this state directory."""
    if settings.postgres_url:
        return settings.postgres_url
    try:
        endpoints = json.loads((settings.state_dir / ENDPOINTS).read_bytes())
    except FileNotFoundError:
        typer.echo("error: no service runs here and BUDDIES_POSTGRES_URL is not set; start one first", err=True)
        raise typer.Exit(1) from None
    return str(endpoints["postgres"])


def _refuse_second(state_dir: Path) -> None:
    """One service a state directory: two would share its Postgres and Redis directories."""
    import psutil

    from serve_app.errors import LaunchError

    path = state_dir / ENDPOINTS
    if path.exists() and psutil.pid_exists(pid := json.loads(path.read_bytes())["pid"]):
        raise LaunchError(
            f"a service already runs in {state_dir} (process {pid}); stop it, or set BUDDIES_STATE_DIR to another place"
        )


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


def _stop_on_sigterm() -> None:
    """SIGTERM stops the service as Ctrl-C does: everything that was started is stopped in reverse."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def _announce(state_dir: Path, running: Any, services: Any, version: str) -> None:
    """Write where everything listens, for the other commands, and say it."""
    endpoints = {
        "pid": os.getpid(),
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


def _wait(state_dir: Path) -> None:
    """Until Ctrl-C or SIGTERM, both a clean end."""
    try:
        signal.pause()
    except (KeyboardInterrupt, SystemExit):
        typer.echo("stopping", err=True)
    finally:
        (state_dir / ENDPOINTS).unlink(missing_ok=True)

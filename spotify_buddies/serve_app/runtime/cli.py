"""`buddies serve`: start and release the service, and show stored reactions."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_buddies.foundation.terminal.console import AsJson, an_id
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.baseline import peer_command, sample_command
from spotify_buddies.serve_app.settings.command import Settings, store_url, withdraw
from spotify_buddies.serve_app.settings.serve import ServeSettings

if TYPE_CHECKING:
    from spotify_buddies.serve_app.store.report import FeedbackRow

SECTIONS = {"serve": ServeSettings}

app = typer.Typer(help="The recommendation service.", no_args_is_help=True)
app.command()(sample_command.sample)
app.command()(sample_command.plain)
app.command()(peer_command.peer)


@app.command()
def start(
    context: typer.Context,
    alias: Annotated[str | None, typer.Option(help="Registry alias to serve; default: serve.alias.")] = None,
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
    from spotify_buddies.foundation.process.lock import locked
    from spotify_buddies.foundation.process.signals import stop_as_interrupt
    from spotify_buddies.foundation.process.subreaper import fork_under_subreaper
    from spotify_buddies.foundation.terminal.console import explained

    settings: Settings = context.obj
    with explained(LaunchError), locked(settings.state_dir, "a service already runs") as pid:
        # From here on in a child; what it starts in threads, sessions and C ends with it.
        code = fork_under_subreaper(settings.serve.stop_within_s)
        if code is None:
            stop_as_interrupt()
            _serve(settings, alias or settings.serve.alias, bundle, any_port=any_port, pid=pid)
            return
        withdraw(settings.state_dir)
    if code < 0:
        say(f"error: the service was ended by signal {-code}; everything it had started is stopped", err=True)
    raise typer.Exit(code if code >= 0 else 128 - code)


def _serve(settings: Settings, alias: str, bundle: Path | None, *, any_port: bool, pid: int) -> None:
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.runtime.session import serve
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.registry.registry import RegistryError

    with explained(LaunchError, BundleError, RegistryError):
        serve(settings, alias, bundle, any_port=any_port, pid=pid)


@app.command()
def release(context: typer.Context) -> None:
    """Restart every replica with the installed code and current settings; no call fails.

    After an upgrade of this package. New replicas start beside the old ones and are warm before those take no
    more calls; where they do not start, the old ones stay. Ports and hosts stay too.

    Example: pip install --upgrade spotify-buddies && buddies serve release
    """
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.runtime.release import ReleaseFailed, release_running

    settings: Settings = context.obj
    with explained(LaunchError, ReleaseFailed):
        done = release_running(settings, build=uuid.uuid4().hex)
    running = ", ".join(f"{count} {name}" for name, count in sorted(done.replicas.items()))
    say(f"every replica is new after {done.seconds:.1f} s: {running}")


@app.command()
def reactions(
    context: typer.Context,
    recommendation: Annotated[str, typer.Option(help="Recommendation id.", callback=an_id)],
    as_json: AsJson = False,
) -> None:
    """Show the stored reactions to one recommendation: one row per playlist.

    Example: buddies serve reactions --recommendation 1f0c..
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.foundation.terminal.tables import table
    from spotify_buddies.serve_app.store.report import read_feedback

    settings: Settings = context.obj
    with explained(psycopg.Error):
        rows = read_feedback(store_url(settings, "postgres"), recommendation)
    if as_json:
        say(json.dumps([vars(row) for row in rows], indent=1, default=str))
        return
    if not rows:
        say(f"no reaction to recommendation {recommendation} is stored")
        return
    headers = ("at", "user", "reaction", "score", "playlist", "version", "arm")
    say(table(headers, map(_reaction, rows), right=(3,), whole=(0, 2)))


def _reaction(row: FeedbackRow) -> tuple[object, ...]:
    said = {1: "liked", 0: "ignored", -1: "disliked"}[row.score]
    at = f"{row.created_at:%Y-%m-%d %H:%M:%S%z}"
    return at, row.user_id, said, row.score, row.playlist_id, row.model_version or "-", row.arm

"""`buddies demo`: the whole way once, with the commands that a person would type."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from spotify_buddies.clients.command.endpoints import CONFIGURED, Endpoints, running
from spotify_buddies.clients.command.invoke import CommandFailed, answer, command
from spotify_buddies.clients.command.recommendations import print_recommendations
from spotify_buddies.clients.python import BuddiesError, Client, Recommendation, Song, Source, Taste
from spotify_buddies.foundation.addresses import masked
from spotify_buddies.foundation.terminal.visible import say, visible

START_TIMEOUT_S = 180.0
# A session of its own: Ctrl-C in the terminal reaches a command through us, once.
_ALONE: dict[str, Any] = {"start_new_session": True}
UNKNOWN_USER = "somebody-new"


class _Failed(Exception):
    """A command of the demo failed; it has said why."""


def demo(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Directory of real raw files; default: made-up data.")] = None,
    once: Annotated[bool, typer.Option(help="Stop by itself at the end.")] = False,
) -> None:
    """Raw files in, recommendations out over gRPC, a like into Postgres. Stays up until Ctrl-C.

    Example: buddies demo --data ~/music-data --once
    """
    state_dir = context.obj.state_dir.absolute()
    os.environ["BUDDIES_STATE_DIR"] = str(state_dir)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C: stop what runs, then leave
    try:
        _build(state_dir, data)
        with _service(state_dir) as endpoints:
            _use(endpoints)
            _tell(endpoints, state_dir)
            if not once:
                _wait_for_interrupt()
    except (_Failed, CommandFailed, BuddiesError) as failure:
        say(f"error: the demo stopped at: {failure}", err=True)
        raise typer.Exit(1) from failure


def _build(state_dir: Path, data: Path | None) -> None:
    raw = data.absolute() if data else state_dir / "raw"
    if data is None:
        _buddies("data", "synth", "--preset", "demo")
    _buddies("data", "build", str(raw))
    _buddies("pair", "build")
    _buddies("train", "run")
    _buddies("data", "stats", quiet=True)  # once more, now that the report can show the pairing


@contextmanager
def _service(state_dir: Path) -> Iterator[Endpoints]:
    """Run `buddies serve start` beside us until the block ends."""
    arguments = ("serve", "start", "--any-port")
    _announce(arguments)
    process = subprocess.Popen(command(*arguments), **_ALONE)
    try:
        yield _wait_until_up(process, state_dir)
    finally:
        say("\nstopping")
        _stop(process, signal.SIGTERM)


def _wait_until_up(process: subprocess.Popen[bytes], state_dir: Path) -> Endpoints:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        endpoints = running(state_dir)
        if endpoints and endpoints.pid == process.pid:
            return endpoints
        if process.poll() is not None:
            raise _Failed("buddies serve start")
        time.sleep(0.1)
    raise _Failed(f"buddies serve start (no answer within {START_TIMEOUT_S:.0f} s)")


def _use(endpoints: Endpoints) -> None:
    """Three known users, a new one with a taste, an unknown one; then a like."""
    known = answer("data", "listeners", "--count", "3")
    cold = answer("data", "listeners", "--cold", "--count", "1")
    taste = Taste([Song(**song) for song in cold[0]["songs"]], user_id="a-new-user") if cold else None
    with Client(endpoints.grpc, timeout_s=10.0) as client:
        typer.secho(f"\nRecommend over gRPC at {endpoints.grpc}", bold=True)
        recommendations = client.recommend(
            [*(user["user_id"] for user in known), UNKNOWN_USER], tastes=[taste] if taste else []
        )
        print_recommendations(recommendations)
        chosen = next((item for item in recommendations if item.source is Source.LIVE and item.playlists), None)
        if chosen is None:
            raise _Failed("Recommend (no known user got a playlist; is the data set too small?)")
        _like(client, chosen)


def _like(client: Client, recommendation: Recommendation) -> None:
    liked, *ignored = [playlist.playlist_id for playlist in recommendation.playlists]
    typer.secho(f"Feedback: {visible(recommendation.user_id)} likes {recommendation.playlists[0].title!r}", bold=True)
    result = client.feedback(recommendation, liked=[liked], ignored=ignored)
    again = client.feedback(recommendation, liked=[liked], ignored=ignored, idempotency_key=result.idempotency_key)
    say(f"stored {result.reactions} reactions; the same key again: {'duplicate' if again.duplicate else 'stored'}")
    _buddies("serve", "reactions", "--recommendation", recommendation.recommendation_id)


def _tell(endpoints: Endpoints, state_dir: Path) -> None:
    typer.secho("\nUp and running", bold=True)
    for name, value in {
        "gRPC": endpoints.grpc,
        "Ray dashboard": endpoints.dashboard,
        "MLflow": _shown(endpoints.mlflow),
        "Postgres": _shown(endpoints.postgres),
        "report": state_dir / "dataset" / "report.html",
    }.items():
        say(f"  {name + ':':<15}{value}")


def _shown(address: str) -> str:
    return address if address == CONFIGURED else masked(address)


def _wait_for_interrupt() -> None:
    say("Ctrl-C stops it.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        return


def _buddies(*arguments: str, quiet: bool = False) -> None:
    """Run one of our commands; what it prints is shown unless quiet."""
    _announce(arguments)
    code = _finish(subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL if quiet else None, **_ALONE))
    if code == 130:
        raise KeyboardInterrupt
    if code != 0:
        raise _Failed(f"buddies {shlex.join(arguments)}")


def _finish(process: subprocess.Popen[bytes]) -> int:
    """Wait for a command; Ctrl-C is passed on, and the command gets the time that it needs to end in order."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        _stop(process, signal.SIGINT)
        raise


def _stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            say("still stopping", err=True)


def _announce(arguments: tuple[str, ...]) -> None:
    typer.secho(f"\n$ buddies {shlex.join(arguments)}", bold=True)

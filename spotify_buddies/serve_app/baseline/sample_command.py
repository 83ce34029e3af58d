"""`buddies serve sample` and `plain`: users to ask for, and the same service without Ray, for load tests."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say, visible
from spotify_buddies.serve_app.baseline.opened import (
    BundleOption,
    PortOption,
    WithParent,
    opened_bundle,
    stores,
    version_of,
)
from spotify_buddies.serve_app.settings.command import Settings

if TYPE_CHECKING:
    from spotify_buddies.trainer.bundle import Bundle

TASTES = 500
SONGS_A_TASTE = 15


def sample(
    context: typer.Context,
    count: Annotated[int, typer.Option(min=1, help="Users at most.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Another seed draws other users.")] = 1,
    bundle: BundleOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts, with tastes.")] = False,
) -> None:
    """Draw users that the served model knows, and tastes from their songs, to ask for in a test or a load.

    Example: buddies serve sample --count 100 > ids.txt
    """
    import numpy as np

    settings: Settings = context.obj
    with opened_bundle(settings, bundle) as opened:
        rng = np.random.default_rng(seed)
        users = opened.manifest.users
        rows = np.sort(rng.choice(users, min(count, users), replace=False)).tolist()
        ids = [opened.user_ids.table[row] for row in rows]
        if not as_json:
            say("\n".join(map(visible, ids)))
            return
        say(json.dumps({"user_ids": ids, "tastes": list(_tastes(opened, rng)), "sha256": opened.sha256}))


def plain(
    context: typer.Context,
    bundle: BundleOption = None,
    grpc_port: PortOption = 0,
    version: Annotated[str, typer.Option(help="Version that answers name; default: the served one.")] = "",
    with_parent: WithParent = False,
    as_json: AsJson = False,
) -> None:
    """Serve a bundle with the same handlers on a bare grpc.aio server in one process, without Ray: a baseline.

    It uses the stores of the service that runs in this state directory, or the configured ones; without, feedback is
    unavailable. Says where it listens, then serves until Ctrl-C or SIGTERM.

    Example: buddies serve plain --bundle .buddies/train/bundle/1f0c2a --grpc-port 9100
    """
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.process.ports import claim
    from spotify_buddies.foundation.process.subreaper import end_with_parent
    from spotify_buddies.foundation.terminal.console import explained

    settings: Settings = context.obj
    if with_parent:
        end_with_parent()
    with opened_bundle(settings, bundle) as opened, explained(LaunchError):
        port = claim(grpc_port, "--grpc-port", settings.serve.host)
        named = version_of(settings, opened, version)
        asyncio.run(_serve(settings, opened.directory, port, named, as_json=as_json))


async def _serve(settings: Settings, bundle: Path, port: int, version: str, *, as_json: bool) -> None:
    from spotify_buddies.serve_app.baseline.server import serve_plain

    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    services = stores(settings)
    serve = settings.serve.model_copy(update={"grpc_port": port})
    async with serve_plain(serve, bundle, version, services, model=settings.registry.model) as address:
        said = {"grpc": address, "model_version": version, "bundle": str(bundle)}
        say(json.dumps(said) if as_json else f"serving version {version} over gRPC at {address}; Ctrl-C stops it")
        await stopping.wait()


def _tastes(bundle: Bundle, rng: Any) -> Iterator[list[tuple[str, str]]]:
    """Some of the songs of users, by title and artist; users without named songs are passed over."""
    for row in rng.choice(bundle.manifest.users, min(TASTES, bundle.manifest.users), replace=False).tolist():
        songs = bundle.user_songs.row(row)
        chosen = rng.choice(songs, min(SONGS_A_TASTE, songs.size), replace=False).tolist()
        named = [(bundle.song_titles[song], bundle.song_artists[song]) for song in chosen]
        if taste := [(title, artist) for title, artist in named if title.strip() and artist.strip()]:
            yield taste

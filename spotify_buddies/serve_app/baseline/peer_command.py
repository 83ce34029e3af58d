"""`buddies serve peer`: other ways to serve the same bundle, for measurements beside the service."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
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

EXTRA = "spotify-buddies[peers]"


class PeerKind(StrEnum):
    """A way to serve."""

    REFERENCE = "reference"
    FASTAPI = "fastapi"
    GRPCLIB = "grpclib"


def peer(
    context: typer.Context,
    kind: PeerKind,
    bundle: BundleOption = None,
    port: PortOption = 0,
    with_parent: WithParent = False,
    as_json: AsJson = False,
) -> None:
    """Serve a bundle in another way, as a peer of measurements; until Ctrl-C or SIGTERM.

    reference: FastAPI, one worker process that ranks with torch, and a Redis of its own, over HTTP, as the published
    system did. fastapi: the same with this service's ranking. grpclib: the service's handlers on a gRPC server in pure
    Python, with the stores of the service that runs in this state directory.

    Example: buddies serve peer reference --bundle .buddies/train/bundle/1f0c2a --port 9200
    """
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.process.ports import claim
    from spotify_buddies.foundation.process.signals import stop_as_interrupt
    from spotify_buddies.foundation.process.subreaper import end_with_parent
    from spotify_buddies.foundation.terminal.console import explained

    settings: Settings = context.obj
    if with_parent:
        end_with_parent()
    stop_as_interrupt()
    with opened_bundle(settings, bundle) as opened, explained(LaunchError):
        claimed = claim(port, "--port", settings.serve.host)
        try:
            if kind is PeerKind.GRPCLIB:
                asyncio.run(_serve_grpclib(settings, opened, claimed, as_json=as_json))
            else:
                _serve_fastapi(settings, opened, claimed, kind, as_json=as_json)
        except ModuleNotFoundError as error:
            library = (error.name or "").partition(".")[0]
            raise LaunchError(f"{library} is not installed: pip install '{EXTRA}' for the peer {kind}") from error


def _serve_fastapi(settings: Settings, bundle: Bundle, port: int, kind: PeerKind, *, as_json: bool) -> None:
    from spotify_buddies.serve_app.baseline.fastapi_server import PATH, Ranking, serve_fastapi
    from spotify_buddies.serve_app.embedded import valkey

    if kind is PeerKind.REFERENCE:
        from spotify_buddies.serve_app.baseline import published_ranking as chosen
    else:
        from spotify_buddies.serve_app.baseline import own_ranking as chosen  # type: ignore[no-redef]

    def ready(address: str) -> None:
        _tell("http", address, f"http://{address}{PATH}", bundle, as_json=as_json)

    with (
        tempfile.TemporaryDirectory(prefix="buddies-peer-") as directory,
        valkey(Path(directory) / "valkey") as redis_url,
    ):
        ranking = Ranking(chosen.open_model, chosen.rank)
        serve_fastapi(bundle.directory, ranking, redis_url, settings.serve.host, port, ready)


async def _serve_grpclib(settings: Settings, bundle: Bundle, port: int, *, as_json: bool) -> None:
    from spotify_buddies.serve_app.baseline.grpclib_server import serve_grpclib

    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    serve = settings.serve.model_copy(update={"grpc_port": port})
    version, model = version_of(settings, bundle), settings.registry.model
    async with serve_grpclib(serve, bundle.directory, version, stores(settings), model=model) as address:
        _tell("grpc", address, address, bundle, as_json=as_json)
        await stopping.wait()


def _tell(key: str, address: str, where: str, bundle: Bundle, *, as_json: bool) -> None:
    said = {key: address, "bundle": str(bundle.directory)}
    say(json.dumps(said) if as_json else f"serving at {where}; Ctrl-C stops it")

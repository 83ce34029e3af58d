"""The same service on a bare grpc.aio server, in one process: for tests and as the baseline of benchmarks."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc

from spotify_buddies.serve_app.api.grpc_registration import add_service
from spotify_buddies.serve_app.api.limits import SERVER_OPTIONS
from spotify_buddies.serve_app.api.servicer import GrpcServicer
from spotify_buddies.serve_app.api.standard.health import add_health
from spotify_buddies.serve_app.build import local, open_service
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.telemetry.metrics import Silent


@asynccontextmanager
async def serve_plain(
    settings: ServeSettings, bundle: Path, version: str, services: Services, *, model: str = "organic-playlists"
) -> AsyncIterator[str]:
    """Serve until the block ends; yields host:port. BundleError when the bundle is refused."""
    telemetry = Silent()
    async with AsyncExitStack() as stack:
        opened = await open_service(
            settings, bundle, version, services, stack,
            model=model, telemetry=telemetry, neighbours=local, replica=f"plain#{uuid.uuid4().hex[:8]}",
        )  # fmt: skip
        server = grpc.aio.server(options=SERVER_OPTIONS)
        add_service(GrpcServicer(opened, telemetry, settings), server)
        add_health(None, server)
        port = server.add_insecure_port(f"{settings.host}:{settings.grpc_port}")
        await server.start()
        stack.push_async_callback(server.stop, 1.0)
        yield f"{settings.host}:{port}"

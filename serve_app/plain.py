"""The same service on a bare grpc.aio server, in one process: for tests and as the baseline of benchmarks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from protos.buddies.v1 import recommender_pb2 as pb
from serve_app.admission import Admission
from serve_app.build import Services, open_service
from serve_app.encoding import Encoded
from serve_app.health import add_health
from serve_app.service import Service
from serve_app.settings import ServeSettings
from serve_app.status import answer, answer_stream
from serve_app.telemetry import Silent, Telemetry
from serve_app.wire import SERVICE, add_service


class Servicer:
    """The API's methods over a Service."""

    def __init__(self, service: Service, telemetry: Telemetry, admission: Admission, within_s: float) -> None:
        self._service = service
        self._telemetry = telemetry
        self._admission = admission
        self._within_s = within_s

    async def Recommend(  # noqa: N802
        self,
        request: pb.RecommendRequest,
        context: grpc.aio.ServicerContext,  # type: ignore[type-arg]
    ) -> pb.RecommendResponse | Encoded:
        """Playlists for listeners."""
        return await answer(
            self._service.recommend,
            request,
            context,
            pb.RecommendResponse,
            self._telemetry,
            self._admission,
            self._within_s,
        )

    async def RecommendStream(  # noqa: N802
        self,
        request: pb.RecommendStreamRequest,
        context: grpc.aio.ServicerContext,  # type: ignore[type-arg]
    ) -> AsyncGenerator[Encoded, None]:
        """Playlists for many listeners, in parts."""
        stream = answer_stream(
            self._service.recommend_stream,
            request,
            context,
            pb.RecommendStreamResponse,
            self._telemetry,
            self._admission,
            self._within_s,
        )
        async with aclosing(stream) as parts:
            async for part in parts:
                yield part

    async def Feedback(  # noqa: N802
        self,
        request: pb.FeedbackRequest,
        context: grpc.aio.ServicerContext,  # type: ignore[type-arg]
    ) -> pb.FeedbackResponse | Encoded:
        """Store what a listener did."""
        return await answer(
            self._service.feedback,
            request,
            context,
            pb.FeedbackResponse,
            self._telemetry,
            self._admission,
            self._within_s,
        )

    async def GetModelStatus(  # noqa: N802
        self,
        request: pb.GetModelStatusRequest,
        context: grpc.aio.ServicerContext,  # type: ignore[type-arg]
    ) -> pb.GetModelStatusResponse | Encoded:
        """What is served."""
        return await answer(
            self._service.get_model_status, request, context, pb.GetModelStatusResponse, self._telemetry
        )


@asynccontextmanager
async def serve_plain(
    settings: ServeSettings, bundle: Path, version: str, services: Services, *, model: str = "organic-playlists"
) -> AsyncIterator[str]:
    """Serve until the block ends; yields host:port. BundleError when the bundle is refused."""
    from pairing.search import NeighbourSearch
    from serve_app.neighbours import Local

    telemetry = Silent()
    async with AsyncExitStack() as stack:
        opened = await open_service(settings, bundle, version, services, stack, model=model, telemetry=telemetry)
        search = await asyncio.to_thread(
            NeighbourSearch.open, opened.engine.bundle.index, opened.engine.bundle.user_songs
        )
        opened.use_neighbours(Local(search))
        server = grpc.aio.server()
        admission = Admission(settings.max_ongoing_requests, random.Random())  # noqa: S311 - spreads retries
        add_service(Servicer(opened, telemetry, admission, settings.request_timeout_s), server)
        add_health(None, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        port = server.add_insecure_port(f"{settings.host}:{settings.grpc_port}")
        await server.start()
        stack.push_async_callback(server.stop, 1.0)
        yield f"{settings.host}:{port}"

"""The gRPC methods of the API, for Ray Serve's servers and plain grpc.aio alike."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.admission import Admission
from spotify_buddies.serve_app.api.codec import Malformed
from spotify_buddies.serve_app.api.event_time import event_time_of
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.api.status import Context, call_with_status, caller_of, stream_with_status
from spotify_buddies.serve_app.ranking.encoding import Encoded
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.telemetry.metrics import Telemetry

# Longest work on the rights of one listener, whatever the maximum of other calls is.
EXPORT_WITHIN_S, ERASE_WITHIN_S = 300.0, 25.0


class GrpcServicer:
    """The calls as gRPC methods: admission, deadline and status around a Service, which does the work.

    Ray Serve passes a context to methods that name a parameter `grpc_context`.
    """

    def __init__(self, service: Service, telemetry: Telemetry, settings: ServeSettings) -> None:
        self._service = service
        self._telemetry = telemetry
        self._admission = Admission(settings.max_ongoing_requests, random.Random())  # noqa: S311 - spreads retries
        self._streams = Admission(settings.stream_places, random.Random())  # noqa: S311
        self._within_s, self._counterfactual_places = settings.request_timeout_s, settings.counterfactual_places

    async def Recommend(  # noqa: N802
        self, request: pb.RecommendRequest, grpc_context: Context
    ) -> pb.RecommendResponse | Encoded:
        """Playlists for users."""
        event_time, recommend = event_time_of(grpc_context), self._service.recommend
        return await call_with_status(
            partial(recommend, event_time=event_time) if event_time else recommend,
            request, grpc_context, pb.RecommendResponse,
            self._telemetry, self._admission, self._within_s, self._places(request),
        )  # fmt: skip

    def _places(self, request: pb.RecommendRequest | Malformed) -> int:
        """The places that a call takes: its rankings for counterfactuals take time from others."""
        asked = not isinstance(request, Malformed) and request.HasField("counterfactual")
        return self._counterfactual_places if asked else 1

    async def RecommendStream(  # noqa: N802
        self, request: pb.RecommendStreamRequest, grpc_context: Context
    ) -> AsyncGenerator[Encoded, None]:
        """Playlists for many users, in parts."""
        stream = stream_with_status(
            partial(self._service.recommend_stream, event_time=event_time_of(grpc_context)),
            request, grpc_context, pb.RecommendStreamResponse,
            self._telemetry, self._streams, self._within_s,
        )  # fmt: skip
        async with aclosing(stream) as parts:
            async for part in parts:
                yield part

    async def Feedback(  # noqa: N802
        self, request: pb.FeedbackRequest, grpc_context: Context
    ) -> pb.FeedbackResponse | Encoded:
        """Store what a user did."""
        feedback = partial(
            self._service.feedback, caller=caller_of(grpc_context), event_time=event_time_of(grpc_context)
        )
        return await call_with_status(
            feedback, request, grpc_context, pb.FeedbackResponse,
            self._telemetry, self._admission, self._within_s,
        )  # fmt: skip

    async def GetModelStatus(  # noqa: N802
        self, request: pb.GetModelStatusRequest, grpc_context: Context
    ) -> pb.GetModelStatusResponse | Encoded:
        """What is served; answered however full the server is."""
        return await call_with_status(
            self._service.get_model_status, request, grpc_context, pb.GetModelStatusResponse, self._telemetry
        )

    async def ExportUser(  # noqa: N802
        self, request: pb.ExportUserRequest, grpc_context: Context
    ) -> AsyncGenerator[pb.ExportUserResponse | Encoded, None]:
        """What is held of a user, in parts."""
        stream = stream_with_status(
            self._service.rights.export, request, grpc_context, pb.ExportUserResponse,
            self._telemetry, self._streams, EXPORT_WITHIN_S,
        )  # fmt: skip
        async with aclosing(stream) as parts:
            async for part in parts:
                yield part

    async def EraseUser(  # noqa: N802
        self, request: pb.EraseUserRequest, grpc_context: Context
    ) -> pb.EraseUserResponse | Encoded:
        """Erase a user, with a receipt."""
        return await call_with_status(
            self._service.rights.erase, request, grpc_context, pb.EraseUserResponse,
            self._telemetry, self._admission, max(self._within_s, ERASE_WITHIN_S),
        )  # fmt: skip

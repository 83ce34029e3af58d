"""Places of a replica: streams have some of their own, beside those of calls."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.api.servicer import GrpcServicer
from spotify_buddies.serve_app.ranking.encoding import Encoded
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Budgets
from tests.serve_app.api.test_status import Context

STREAM = pb.RecommendStreamRequest(request=pb.RecommendRequest(user_ids=["user-1"]))
CALL = pb.RecommendRequest(user_ids=["user-1"])


@pytest.fixture
def settings() -> ServeSettings:
    """Eight places for calls, two for streams."""
    made = ServeSettings(max_ongoing_requests=8)
    assert made.stream_places == 2
    return made


@pytest.fixture
def servicer(engine: Engine, settings: ServeSettings) -> GrpcServicer:
    budgets = Budgets(neighbours_s=0.05, store_s=0.05)
    service = Service(engine, model="m", budgets=budgets, feedback=None, daily=None, telemetry=Silent())
    return GrpcServicer(service, Silent(), settings)


def reason(context: Any) -> str:
    ((_, packed),) = [pair for pair in context.trailers if pair[0] == "grpc-status-details-bin"]
    info = ErrorInfo()
    assert Status.FromString(packed).details[0].Unpack(info)
    return info.reason


async def hold_streams(servicer: GrpcServicer, count: int, stack: AsyncExitStack) -> None:
    """Streams whose callers have read the first part and no more."""
    for _ in range(count):
        context = Context()
        stream = await stack.enter_async_context(aclosing(servicer.RecommendStream(STREAM, context)))
        assert (await anext(stream)).SerializeToString()
        assert context.code is None


def test_a_counterfactual_takes_the_places_that_the_settings_say(engine: Engine, settings: ServeSettings) -> None:
    places: list[int] = []

    class Noting(Service):
        async def recommend(self, request: Any, event_time: str = "") -> Encoded:
            places.append(made._admission.in_flight)
            return await super().recommend(request, event_time)

    budgets = Budgets(neighbours_s=0.05, store_s=0.05)
    service = Noting(engine, model="m", budgets=budgets, feedback=None, daily=None, telemetry=Silent())
    made = GrpcServicer(service, Silent(), settings.model_copy(update={"counterfactual_places": 5}))
    asked = pb.RecommendRequest(user_ids=["user-1"], counterfactual=pb.CounterfactualOptions())

    async def check() -> None:
        await made.Recommend(CALL, Context())
        answers = await asyncio.gather(*(made.Recommend(one, Context()) for one in (asked, asked, CALL)))
        sent = [pb.RecommendResponse.FromString(answer.SerializeToString()).recommendations for answer in answers]
        # The second one finds three places.
        assert list(map(len, sent)) == [1, 0, 1]
        assert sent[0][0].playlists[0].HasField("counterfactual")
        assert not sent[2][0].playlists[0].HasField("counterfactual")

    asyncio.run(check())
    assert places == [1, 5, 6]


def test_unread_streams_take_their_own_places_and_none_of_calls(servicer: GrpcServicer) -> None:
    async def check() -> None:
        async with AsyncExitStack() as stack:
            await hold_streams(servicer, 2, stack)
            called, refused, after = Context(), Context(), Context()
            answer = await servicer.Recommend(CALL, called)
            assert called.code is None
            assert isinstance(answer, Encoded)
            assert len(pb.RecommendResponse.FromString(answer.SerializeToString()).recommendations) == 1
            assert [part.SerializeToString() async for part in servicer.RecommendStream(STREAM, refused)] == [b""]
            assert (refused.code, reason(refused)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_FULL")
        assert [part.SerializeToString() async for part in servicer.RecommendStream(STREAM, after)] != [b""]
        assert after.code is None

    asyncio.run(check())

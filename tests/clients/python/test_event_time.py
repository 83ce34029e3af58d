"""The time of a call's events goes along as a header, in UTC."""

import asyncio
from datetime import datetime, timedelta, timezone

import grpc
import pytest

from spotify_buddies.clients.python import AsyncClient, Client
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import serving
from tests.clients.python.answers import ANSWER

THEN = datetime(2026, 10, 12, 10, 30, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))


def test_calls_say_when_their_events_happened_and_nothing_where_that_is_now() -> None:
    seen: list[str | bytes | None] = []

    def note(context: grpc.ServicerContext) -> None:
        seen.append(dict(context.invocation_metadata()).get("buddies-event-time"))

    def recommend(request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        note(context)
        return ANSWER

    def feedback(request: pb.FeedbackRequest, context: grpc.ServicerContext) -> pb.FeedbackResponse:
        note(context)
        return pb.FeedbackResponse(reactions=1)

    async def asynchronously(address: str) -> None:
        async with AsyncClient(address) as client:
            (answer,) = await client.recommend(["ada"], at=THEN)
            await client.feedback(answer, liked=["p1"], at=THEN)

    with serving(Recommend=recommend, Feedback=feedback) as address:
        with Client(address) as client:
            (answer,) = client.recommend(["ada"], at=THEN)
            client.feedback(answer, liked=["p1"], at=THEN)
            client.recommend(["ada"])
            client.feedback(answer, liked=["p1"])
        asyncio.run(asynchronously(address))
    assert seen == ["2026-10-12T08:30:00.250000+00:00"] * 2 + [None] * 2 + ["2026-10-12T08:30:00.250000+00:00"] * 2


def test_a_time_without_a_zone_is_refused() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(ValueError, match="time zone"):
        client.recommend(["ada"], at=datetime(2026, 10, 12))

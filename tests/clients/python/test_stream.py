"""RecommendStream of both clients against a real gRPC server."""

import asyncio
import threading
from collections.abc import Iterator

import grpc
import pytest

from spotify_buddies.clients.python import (
    AsyncClient,
    Client,
    ServiceUnavailable,
)
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import refuse, serving
from tests.waiting import WITHIN_S


def parts(users: list[str], size: int) -> list[pb.RecommendStreamResponse]:
    return [
        pb.RecommendStreamResponse(recommendations=[pb.Recommendation(user_id=u) for u in users[i : i + size]], first=i)
        for i in range(0, len(users), size)
    ]


def test_a_stream_gives_listeners_in_order_as_parts_arrive() -> None:
    seen: list[pb.RecommendStreamRequest] = []
    arrived = threading.Event()

    def answer(
        request: pb.RecommendStreamRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RecommendStreamResponse]:
        seen.append(request)
        first, *rest = parts(list(request.request.user_ids), request.part_size)
        yield first
        assert arrived.wait(WITHIN_S), "the first part was kept back"
        yield from rest

    users = [str(i) for i in range(5)]
    with serving(RecommendStream=answer) as address, Client(address) as client:
        found = client.recommend_stream(users, limit=3, part_size=2)
        got = [next(found).user_id]
        arrived.set()
        got += [item.user_id for item in found]
    assert got == users
    assert seen == [
        pb.RecommendStreamRequest(
            request=pb.RecommendRequest(user_ids=users, limit=3, mode=pb.MODE_LIVE, explain=True), part_size=2
        )
    ]


def test_a_stream_that_is_left_is_cancelled_and_one_that_breaks_is_an_error_of_ours() -> None:
    left = threading.Event()

    def endless(
        request: pb.RecommendStreamRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RecommendStreamResponse]:
        context.add_callback(left.set)
        yield from parts(["a"], 1)
        left.wait(WITHIN_S)
        refuse(context, grpc.StatusCode.UNAVAILABLE, "gone")

    async def use(address: str) -> None:
        async with AsyncClient(address) as client:
            found = client.recommend_stream(["a"])
            assert (await anext(found)).user_id == "a"
            await found.aclose()
            assert await asyncio.to_thread(left.wait, WITHIN_S)
            with pytest.raises(ServiceUnavailable, match="gone"):
                assert [item.user_id async for item in client.recommend_stream(["a"])] == ["a"]

    with serving(RecommendStream=endless) as address:
        asyncio.run(use(address))
        with Client(address) as client, pytest.raises(ServiceUnavailable, match="gone"):
            list(client.recommend_stream(["a"]))

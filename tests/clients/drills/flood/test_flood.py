"""The floods against a real front: what they send arrives as meant, and what the drill says of it."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from spotify_buddies.clients.drills.flood.caller import flooding, sent_by
from spotify_buddies.clients.drills.flood.doors import front
from spotify_buddies.clients.drills.flood.floods import FLOODS, Pace
from spotify_buddies.clients.drills.flood.play import Wave
from spotify_buddies.clients.drills.flood.wire import Door, block, connected
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.front import STATUS
from tests.serve_app.runtime.front.conftest import Backend, Start, backend, start
from tests.waiting import WITHIN_S

__all__ = ["backend", "start"]


@pytest.fixture(scope="module")
def address(start: Start, backend: Backend) -> str:
    return start(backend).calls


def door(address: str) -> Door:
    return front(address).door


@pytest.mark.parametrize("name", list(FLOODS))
def test_each_flood_sends_and_the_service_answers_others_meanwhile_and_afterwards(name: str, address: str) -> None:
    with grpc.insecure_channel(address) as channel, flooding(name, door(address), 1.0) as process:
        stub = RecommenderServiceStub(channel)
        while process.poll() is None:
            assert stub.GetModelStatus(pb.GetModelStatusRequest(), timeout=WITHIN_S).model == "m"
        assert sent_by(process, 60.0) > 0


def test_headers_that_take_several_frames_are_one_call(address: str) -> None:
    async def call() -> bool:
        async with connected(door(address)) as connection:
            await connection.call(block(STATUS, [("x-filler", "f" * 40_000)]), b"\0\0\0\0\0")
            await connection.call(block(STATUS, []), b"\0\0\0\0\0")
            return connection.gone

    assert not asyncio.run(call())


def test_a_pace_ends_when_its_time_is_over() -> None:
    async def turns(rate: float) -> int:
        pace, count = Pace(rate, 0.2), 0
        while await pace.turn():
            count += 1
        return count

    assert 0 < asyncio.run(turns(100.0)) <= 20


def wave(**changed: object) -> Wave:
    usual = {
        "way": "edge", "flood": "resets", "sent": 9, "calls": 100, "failed": 0, "errors": {}, "p50_s": 0.002,
        "p99_s": 0.019, "calm_p99_s": 0.01, "mib": 1.0,
    }  # fmt: skip
    return Wave(**{**usual, **changed})  # type: ignore[arg-type]


def test_a_wave_that_nobody_noticed_is_no_problem() -> None:
    assert list(wave().problems()) == []
    assert wave().slower == pytest.approx(1.9)
    # Three times of next to nothing is next to nothing.
    assert list(wave(p99_s=0.006, calm_p99_s=0.002).problems()) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"failed": 2, "errors": {"UNAVAILABLE": 2}}, "2 of 100 calls of another caller failed ({'UNAVAILABLE': 2})"),
        ({"p99_s": 0.025}, "another caller's p99 is 2.5 times as long (25.0 ms)"),
        ({"calls": 0, "p50_s": None, "p99_s": None}, "nobody called beside it, or before"),
        ({"calm_p99_s": None}, "nobody called beside it, or before"),
        ({"sent": 0}, "nothing could be sent"),
    ],
)
def test_a_wave_that_another_caller_noticed_is_told_with_its_figures(changed: dict[str, object], said: str) -> None:
    assert list(wave(**changed).problems()) == [f"resets at the edge: {said}"]


def test_the_front_is_flooded_from_another_address_than_it_is_called_from() -> None:
    way = front("127.0.0.1:9000")
    assert (way.address, way.door.host, way.door.port, way.door.source) == (
        "127.0.0.1:9000", "127.0.0.1", 9000, "127.0.0.2",
    )  # fmt: skip

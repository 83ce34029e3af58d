"""A constant rate against a real gRPC server: every call is sent once, in time, and accounted for."""

from __future__ import annotations

import multiprocessing
import threading
import time
from itertools import pairwise
from typing import Any

import grpc
import pytest

from spotify_buddies.clients.drills.framework.account import errors_of, unsigned
from spotify_buddies.clients.drills.framework.apart import TrafficApart
from spotify_buddies.clients.drills.framework.service import DrillError
from spotify_buddies.clients.drills.framework.traffic import READS, Traffic, Users
from spotify_buddies.clients.drills.rollout.canary import ask
from spotify_buddies.clients.python import Arm, Song, Taste
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import refuse, serving
from tests.waiting import WITHIN_S

IDS = ("ann", "bob")
USERS = Users(IDS, (Taste([Song(song_id="SO1")]),))


def recommend(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
    asked = request.user_ids or [""]
    arm = pb.ARM_CANARY if request.tastes else pb.ARM_PRODUCTION
    return pb.RecommendResponse(
        recommendations=[
            pb.Recommendation(user_id=user_id, model_version="7", arm=arm, recommendation_id="r") for user_id in asked
        ]
    )


def sent(address: str, count: int, rate: float = 400.0) -> Traffic:
    traffic = Traffic(address, USERS, rate)
    with traffic.running():
        tick = threading.Event()
        while len(traffic.calls) < count:
            tick.wait(0.01)
    return traffic


def test_each_call_is_due_a_step_after_the_one_before_and_says_who_answered() -> None:
    with serving(Recommend=recommend) as address:
        traffic = sent(address, 2 * READS.taste_every)
    calls = sorted(traffic.calls, key=lambda call: call.due)
    steps = {round(after.due - before.due, 5) for before, after in pairwise(calls)}
    assert steps == {0.0025}
    arms = [call.arm for call in calls[: 2 * READS.taste_every]]
    assert arms == [*[Arm.PRODUCTION] * (READS.taste_every - 1), Arm.CANARY] * 2
    assert {(call.version, call.error) for call in calls} == {("7", "")}
    assert unsigned(calls) == 0
    assert sorted(call.due for call in traffic.between(calls[2].due, calls[5].due)) == [call.due for call in calls[2:5]]


def test_a_failed_call_is_not_sent_again() -> None:
    asked: list[str] = []

    def fail(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
        asked.append("")
        refuse(context, grpc.StatusCode.UNAVAILABLE, "away")
        return pb.RecommendResponse()

    with serving(Recommend=fail) as address:
        traffic = sent(address, 10)
    assert errors_of(traffic.calls) == {"UNAVAILABLE": len(asked)}


def test_asking_leaves_out_who_has_no_answer() -> None:
    def answer(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
        found = recommend(request, context)
        for one in found.recommendations:
            if one.user_id == "bob":
                one.error.code = 3
        return found

    with serving(Recommend=answer) as address:
        assert ask(address, IDS) == {"ann": ("7", Arm.PRODUCTION)}


def test_a_server_that_stands_still_is_asked_on_and_its_calls_count_from_their_time() -> None:
    released = threading.Event()
    asked = threading.Semaphore(0)

    def stall(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
        asked.release()
        released.wait(WITHIN_S)
        return recommend(request, context)

    with serving(Recommend=stall) as address:
        traffic = Traffic(address, USERS, 400.0)
        with traffic.running():
            for _ in range(4):
                assert asked.acquire(timeout=WITHIN_S)
            # More is asked although nothing was answered.
            assert traffic.calls == []
            released_at = time.time()
            released.set()
    waiting = [call for call in traffic.calls if call.due < released_at]
    assert len(waiting) >= 4
    assert all(call.ended >= released_at for call in waiting)


def test_a_process_of_its_own_makes_the_same_calls_and_hands_them_all_over() -> None:
    asked: list[str] = []

    def noted(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
        asked.append("call")
        return recommend(request, context)

    with serving(Recommend=noted) as address:
        traffic = TrafficApart(address, USERS, 200.0)
        tick = threading.Event()
        with traffic.running():
            while len(traffic.calls) < 2 * READS.taste_every:
                tick.wait(0.01)
    assert len(traffic.calls) == len(asked)
    calls = sorted(traffic.calls, key=lambda call: call.due)
    assert {round(after.due - before.due, 5) for before, after in pairwise(calls)} == {0.005}
    assert {(call.version, call.error) for call in calls} == {("7", "")}


def test_a_process_of_calls_that_dies_is_an_error() -> None:
    with serving(Recommend=recommend) as address:
        traffic = TrafficApart(address, USERS, 100.0)

        def kill() -> None:
            with traffic.running():
                (process,) = multiprocessing.active_children()
                process.kill()
                process.join(WITHIN_S)

        with pytest.raises(DrillError, match="ended with -9"):
            kill()

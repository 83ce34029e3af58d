"""A constant rate against a real gRPC server: every call is sent once, in time, and accounted for."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import grpc

from spotify_buddies.clients.drills.canary import ask
from spotify_buddies.clients.drills.steady import ONE_TASTE_IN, Steady, errors_of, unsigned
from spotify_buddies.clients.python import Arm, Song, Taste
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import refuse, serving

IDS = ("ann", "bob")
TASTES = (Taste([Song(song_id="SO1")]),)


def recommend(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
    asked = request.user_ids or [""]
    arm = pb.ARM_CANARY if request.tastes else pb.ARM_PRODUCTION
    return pb.RecommendResponse(
        recommendations=[
            pb.Recommendation(user_id=user_id, model_version="7", arm=arm, recommendation_id="r") for user_id in asked
        ]
    )


def sent(address: str, count: int, rate: float = 400.0) -> Steady:
    steady = Steady(address, IDS, TASTES, rate)
    with steady.running():
        tick = threading.Event()
        while len(steady.calls) < count:
            tick.wait(0.01)
    return steady


def test_each_call_is_due_a_step_after_the_one_before_and_says_who_answered() -> None:
    with serving(Recommend=recommend) as address:
        steady = sent(address, 2 * ONE_TASTE_IN)
    calls = sorted(steady.calls, key=lambda call: call.at)
    steps = {round(after.at - before.at, 5) for before, after in pairwise(calls)}
    assert steps == {0.0025}
    arms = [call.arm for call in calls[: 2 * ONE_TASTE_IN]]
    assert arms == [*[Arm.PRODUCTION] * (ONE_TASTE_IN - 1), Arm.CANARY] * 2
    assert {(call.version, call.error) for call in calls} == {("7", "")}
    assert unsigned(calls) == 0
    assert sorted(call.at for call in steady.between(calls[2].at, calls[5].at)) == [call.at for call in calls[2:5]]


def test_a_failed_call_is_not_sent_again() -> None:
    asked: list[str] = []

    def fail(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
        asked.append("")
        refuse(context, grpc.StatusCode.UNAVAILABLE, "away")
        return pb.RecommendResponse()

    with serving(Recommend=fail) as address:
        steady = sent(address, 10)
    assert errors_of(steady.calls) == {"UNAVAILABLE": len(asked)}


def test_asking_leaves_out_who_has_no_answer() -> None:
    def answer(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
        found = recommend(request, context)
        for one in found.recommendations:
            if one.user_id == "bob":
                one.error.code = 3
        return found

    with serving(Recommend=answer) as address:
        assert ask(address, IDS) == {"ann": ("7", Arm.PRODUCTION)}

"""How many calls are taken on at once, and what those beyond are told."""

from __future__ import annotations

import asyncio
import pickle
import random
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1 import health_pb2
from pydantic import ValidationError

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.admission import RETRY_AFTER_S, Admission
from spotify_buddies.serve_app.api.grpc_registration import parser
from spotify_buddies.serve_app.api.limits import REQUEST_BYTES
from spotify_buddies.serve_app.api.standard.health import Health, HealthState
from spotify_buddies.serve_app.api.status import PUSHBACK_KEY, call_with_status, describe
from spotify_buddies.serve_app.errors import ServerFull
from spotify_buddies.serve_app.runtime.app import autoscaling
from spotify_buddies.serve_app.settings.serve import ServeSettings
from tests.serve_app.api.test_status import Context, Counting


def test_one_place_is_given_once_and_again_when_it_is_free() -> None:
    admission = Admission(1, random.Random(0))
    with admission.admitted():
        with pytest.raises(ServerFull) as full, admission.admitted():
            raise AssertionError("two were let in")
        assert admission.in_flight == 1
    assert RETRY_AFTER_S[0] <= full.value.retry_after_s <= RETRY_AFTER_S[1]
    with admission.admitted():
        assert admission.in_flight == 1
    assert admission.in_flight == 0


def test_a_large_call_takes_several_places_or_all_that_there_are() -> None:
    admission = Admission(8, random.Random(0))
    with admission.admitted(3), admission.admitted(5):
        assert admission.in_flight == 8
        with pytest.raises(ServerFull), admission.admitted():
            raise AssertionError("more were let in than there are places")
    with admission.admitted(), pytest.raises(ServerFull), admission.admitted(100):
        raise AssertionError("it was let in beside another")
    with admission.admitted(100):
        assert admission.in_flight == 8
    assert admission.in_flight == 0


def test_a_call_that_fails_gives_its_place_back() -> None:
    admission = Admission(1, random.Random(0))
    with pytest.raises(KeyError), admission.admitted():
        raise KeyError
    assert admission.in_flight == 0


def test_a_full_server_says_when_to_come_back_in_both_ways() -> None:
    admission, context, counting = Admission(1, random.Random(0)), Context(), Counting()

    async def recommend(request: pb.RecommendRequest) -> pb.RecommendResponse:
        raise AssertionError("it was let in")

    with admission.admitted():
        asyncio.run(
            call_with_status(recommend, pb.RecommendRequest(), context, pb.RecommendResponse, counting, admission)
        )
    assert context.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert counting.calls == [("RecommendResponse", "RESOURCE_EXHAUSTED")]
    trailers = dict(context.trailers)
    _, status = describe(ServerFull(1, int(trailers[PUSHBACK_KEY]) / 1000))
    retry = RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == int(trailers[PUSHBACK_KEY])


def test_a_cancelled_call_stops_gives_its_place_back_and_is_counted() -> None:
    admission, counting = Admission(1, random.Random(0)), Counting()

    async def wait(request: pb.RecommendRequest) -> pb.RecommendResponse:
        await asyncio.Event().wait()
        raise AssertionError("it went on")

    async def leave() -> None:
        call = asyncio.create_task(
            call_with_status(wait, pb.RecommendRequest(), Context(), pb.RecommendResponse, counting, admission)
        )
        await asyncio.sleep(0)
        assert admission.in_flight == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(leave())
    assert admission.in_flight == 0
    assert counting.calls == [("RecommendResponse", "CANCELLED")]


def test_the_error_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(ServerFull(64, 0.1)))
    assert str(copy) == "the server is full (64 calls in flight); try again in 0.10 s"


def test_a_request_of_the_largest_weight_is_read_and_one_byte_more_is_not() -> None:
    parse = parser(pb.RecommendRequest)
    empty = len(pb.RecommendRequest(user_ids=["x" * (REQUEST_BYTES - 10)]).SerializeToString()) - (REQUEST_BYTES - 10)
    largest = pb.RecommendRequest(user_ids=["x" * (REQUEST_BYTES - empty)]).SerializeToString()
    assert len(largest) == REQUEST_BYTES
    assert isinstance(parse(largest), pb.RecommendRequest)
    assert "at most 16,777,216 are read" in str(parse(largest + b"\0"))


def test_the_autoscaler_aims_well_below_what_a_replica_takes_on() -> None:
    assert autoscaling(ServeSettings())["target_ongoing_requests"] == 16
    assert autoscaling(ServeSettings(max_ongoing_requests=1))["target_ongoing_requests"] == 1
    assert autoscaling(ServeSettings(target_ongoing_requests=32))["target_ongoing_requests"] == 32
    with pytest.raises(ValidationError, match="at most half of max_ongoing_requests, 32 here"):
        ServeSettings(target_ongoing_requests=33)


def test_replicas_at_most_are_never_fewer_than_those_at_least() -> None:
    assert autoscaling(ServeSettings(replicas=3, max_replicas=2))["max_replicas"] == 3


def test_a_window_without_two_reports_is_refused() -> None:
    with pytest.raises(ValidationError, match="scale_window_s must be longer"):
        ServeSettings(scale_interval_s=2, scale_window_s=2)


def test_who_watches_is_told_of_the_stop_and_let_go(tmp_path: Path) -> None:
    note = tmp_path / "stopping"

    async def watch() -> list[int]:
        statuses = []
        async for answered in Health(HealthState(note)).Watch(health_pb2.HealthCheckRequest(), None):
            statuses.append(answered.status)
            note.touch()
        return statuses

    states = health_pb2.HealthCheckResponse
    assert asyncio.run(watch()) == [states.SERVING, states.NOT_SERVING]

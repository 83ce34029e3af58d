"""Status, health, reflection and errors of every server, whatever carries them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.contract.calls import SERVICE, TIMEOUT_S, details, fail, feedback
from tests.waiting import wait_until


def a_replica_answers(stub: RecommenderServiceStub) -> bool:
    """Not Serve's own proxy, which marks what passes through it."""
    _, call = stub.Recommend.with_call(pb.RecommendRequest(user_ids=["user-39"]), timeout=TIMEOUT_S)
    return "request_id" not in dict(call.trailing_metadata())


def test_a_replica_answers_recommend_and_feedback_itself_and_the_rest_through_serve(
    stub: RecommenderServiceStub, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["address"]
    if kind.startswith("haproxy"):
        # Until its checks of a new replica have passed, HAProxy hands on to Serve's own proxy.
        wait_until(lambda: a_replica_answers(stub), "an answer past Serve's own proxy", 6 * TIMEOUT_S)
    _, ranked = stub.Recommend.with_call(pb.RecommendRequest(user_ids=["user-39"]), timeout=TIMEOUT_S)
    _, stored = stub.Feedback.with_call(feedback(), timeout=TIMEOUT_S)
    _, status = stub.GetModelStatus.with_call(pb.GetModelStatusRequest(), timeout=TIMEOUT_S)
    # Serve marks what it has handled with its request id.
    marked = ["request_id" in dict(call.trailing_metadata()) for call in (ranked, stored, status)]
    behind = [False, False, True]
    assert marked == {"plain": [False] * 3, "haproxy": behind, "haproxy-grpc": behind, "proxy": [True] * 3}[kind]


@pytest.mark.parametrize(
    ("method", "data"),
    [
        *[(method, data) for method in ("Recommend", "Feedback") for data in (b"\x0a\x02\xff\xfe", b"\x0a\x7fshort")],
        ("GetModelStatus", b"\xff\xff"),
    ],
)
def test_bytes_that_are_not_the_message_are_the_callers_error(channel: grpc.Channel, method: str, data: bytes) -> None:
    error = fail(channel.unary_unary(f"/{SERVICE}/{method}"), data)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not UTF-8" in details(error, BadRequest).field_violations[0].description


def test_a_method_that_does_not_exist_is_unimplemented(channel: grpc.Channel) -> None:
    assert fail(channel.unary_unary(f"/{SERVICE}/Nothing"), b"").code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_model_status_tells_the_version(stub: RecommenderServiceStub) -> None:
    status = stub.GetModelStatus(pb.GetModelStatusRequest(), timeout=TIMEOUT_S)
    version = status.versions[0]
    assert (version.version, version.state, version.arm) == ("7", pb.VERSION_STATE_READY, pb.ARM_PRODUCTION)
    assert (version.users, version.playlists, version.share) == (60, 120, 1.0)
    assert (status.model, len(version.bundle_sha256)) == ("organic-playlists", 64)
    assert status.uptime.ToMilliseconds() > 0


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_serving(channel: grpc.Channel, service: str) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    assert health.Check(request, timeout=TIMEOUT_S).status == health_pb2.HealthCheckResponse.SERVING
    watch = health.Watch(request, timeout=TIMEOUT_S)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_the_health_of_a_service_that_is_not_here_is_not_found(channel: grpc.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service="other")
    assert fail(health_pb2_grpc.HealthStub(channel).Check, request).code() is grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_api_and_health_and_describes_the_api(channel: grpc.Channel) -> None:
    reflection = ProtoReflectionDescriptorDatabase(channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(reflection.get_services())
    described = reflection.FindFileContainingSymbol(SERVICE)
    assert described.name == "buddies/v1/recommender.proto"


def test_callers_in_parallel_get_their_own_answers(stub: RecommenderServiceStub) -> None:
    barrier = threading.Barrier(16)

    def ask(i: int) -> bool:
        barrier.wait(timeout=TIMEOUT_S)
        answered = [stub.Recommend(pb.RecommendRequest(user_ids=[f"user-{i}"]), timeout=TIMEOUT_S) for _ in range(20)]
        return all(a.recommendations[0].user_id == f"user-{i}" for a in answered)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(16)))

"""The published service config: what a stock channel makes of it, and that our own client keeps to the same rules."""

from __future__ import annotations

import json

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details

from spotify_buddies.clients.python.errors import _KINDS, ServerBusy, ServiceUnavailable
from spotify_buddies.clients.python.retry import Retry
from spotify_buddies.clients.python.service_config import SERVICE_CONFIG
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.clients.grpc_server import refuse, serving

# The published deadline is short for a busy machine, and it is not what is looked at here.
PATIENT = SERVICE_CONFIG.replace('"2s",\n      "waitForReady"', '"60s",\n      "waitForReady"')


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED]
)
def test_a_stock_channel_retries_a_passing_failure(code: grpc.StatusCode) -> None:
    calls = []

    def answer(request: pb.FeedbackRequest, context: grpc.ServicerContext) -> pb.FeedbackResponse:
        calls.append(request.idempotency_key)
        if len(calls) < 4:
            refuse(context, code, "not now", details.RetryInfo(retry_delay=Duration()))
        return pb.FeedbackResponse(reactions=1)

    with serving(Feedback=answer) as address, stock(address) as channel:
        answered = RecommenderServiceStub(channel).Feedback(pb.FeedbackRequest(idempotency_key="once"))
    assert answered.reactions == 1
    assert calls == ["once"] * 4


def test_a_stock_channel_does_not_retry_what_cannot_pass() -> None:
    calls = []

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> None:
        calls.append(request)
        refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "limit")

    with (
        serving(Recommend=answer) as address,
        stock(address) as channel,
        pytest.raises(grpc.RpcError) as error,
    ):
        RecommenderServiceStub(channel).Recommend(pb.RecommendRequest())
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(calls) == 1


def test_a_stock_channel_heeds_what_the_server_says_of_retries() -> None:
    calls = []

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        calls.append(request)
        if len(calls) == 1:
            # A negative number is the protocol's way to say: do not retry.
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "-1"),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return pb.RecommendResponse()

    with (
        serving(Recommend=answer) as address,
        stock(address) as channel,
        pytest.raises(grpc.RpcError) as error,
    ):
        RecommenderServiceStub(channel).Recommend(pb.RecommendRequest())
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(calls) == 1


def test_every_method_has_a_deadline_and_retries() -> None:
    configs = json.loads(SERVICE_CONFIG)["methodConfig"]
    named = sorted(name["method"] for config in configs for name in config["name"])
    assert named == sorted(method.name for method in pb.DESCRIPTOR.services_by_name["RecommenderService"].methods)
    assert {name["service"] for config in configs for name in config["name"]} == {"buddies.v1.RecommenderService"}
    assert all(config["timeout"] and config["retryPolicy"] for config in configs)


def test_our_own_client_keeps_to_the_published_rules() -> None:
    retry = Retry()
    codes = sorted(code.name for code, kind in _KINDS.items() if kind in (ServiceUnavailable, ServerBusy))
    for config in json.loads(SERVICE_CONFIG)["methodConfig"]:
        policy = config["retryPolicy"]
        assert policy["maxAttempts"] == retry.attempts
        assert policy["initialBackoff"] == f"{retry.first_s}s"
        assert policy["maxBackoff"] == f"{retry.longest_s:g}s"
        assert policy["backoffMultiplier"] == retry.factor
        assert sorted(policy["retryableStatusCodes"]) == codes


def stock(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=[("grpc.service_config", PATIENT)])

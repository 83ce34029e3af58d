"""RecommendStream, the same on every server, whatever carries it."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.contract.calls import TIMEOUT_S, details, fail


def test_a_stream_answers_many_listeners_in_parts(stub: RecommenderServiceStub) -> None:
    users = [*(f"user-{i % 60}" for i in range(2500)), ""]
    request = pb.RecommendStreamRequest(request=pb.RecommendRequest(user_ids=users), part_size=1000)
    parts = list(stub.RecommendStream(request, timeout=TIMEOUT_S))
    assert [(part.first, len(part.recommendations)) for part in parts] == [(0, 1000), (1000, 1000), (2000, 501)]
    answered = [r for part in parts for r in part.recommendations]
    assert [r.user_id for r in answered] == users
    assert answered[-1].error.field == "user_ids[2500]"
    assert all(r.playlists for r in answered[:-1])


def test_a_stream_out_of_range_is_told_which_field(stub: RecommenderServiceStub) -> None:
    request = pb.RecommendStreamRequest(request=pb.RecommendRequest(user_ids=["u"] * 50_001), part_size=0)
    error = fail(lambda *given, **named: list(stub.RecommendStream(*given, **named)), request)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in details(error, BadRequest).field_violations] == ["request.user_ids", "part_size"]
    assert details(error, ErrorInfo).reason == "INVALID_REQUEST"


def test_a_stream_that_is_cancelled_ends_and_leaves_the_server_well(stub: RecommenderServiceStub) -> None:
    users = [f"user-{i % 60}" for i in range(50_000)]
    request = pb.RecommendStreamRequest(request=pb.RecommendRequest(user_ids=users, limit=100), part_size=100)
    parts = stub.RecommendStream(request, timeout=TIMEOUT_S)
    assert next(parts).first == 0
    parts.cancel()
    with pytest.raises(grpc.RpcError) as error:
        list(parts)
    assert error.value.code() is grpc.StatusCode.CANCELLED  # type: ignore[attr-defined]
    assert stub.Recommend(pb.RecommendRequest(user_ids=["user-1"]), timeout=TIMEOUT_S).recommendations[0].playlists


def test_others_are_answered_while_a_stream_goes_on(stub: RecommenderServiceStub) -> None:
    users = [f"user-{i % 60}" for i in range(50_000)]
    request = pb.RecommendStreamRequest(request=pb.RecommendRequest(user_ids=users), part_size=200)
    parts = stub.RecommendStream(request, timeout=TIMEOUT_S * 3)
    next(parts)
    assert stub.Recommend(pb.RecommendRequest(user_ids=["user-1"]), timeout=TIMEOUT_S).recommendations[0].playlists
    assert parts.is_active()
    parts.cancel()

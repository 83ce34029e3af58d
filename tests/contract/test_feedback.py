"""Feedback, the same on every server, whatever carries it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from spotify_buddies.serve_app.store.report import read_feedback
from tests.contract.calls import TIMEOUT_S, details, fail, feedback


def test_feedback_is_committed_when_it_is_acknowledged(stub: RecommenderServiceStub, database: Any) -> None:
    request = feedback()
    answered = stub.Feedback(request, timeout=TIMEOUT_S)
    assert (answered.outcome, answered.reactions) == (pb.FEEDBACK_OUTCOME_ACCEPTED, 3)
    rows = read_feedback(database.url, request.recommendation_id)
    assert [(r.playlist_id, r.score, r.arm) for r in rows] == [
        ("list-1", 1, "production"),
        ("list-2", 0, "production"),
        ("list-3", 0, "production"),
    ]


def test_concurrent_retries_store_once(stub: RecommenderServiceStub, database: Any) -> None:
    request = feedback()
    with ThreadPoolExecutor(64) as pool:
        answered = list(pool.map(lambda _: stub.Feedback(request, timeout=TIMEOUT_S).outcome, range(64)))
    assert sorted(answered) == [pb.FEEDBACK_OUTCOME_ACCEPTED] + [pb.FEEDBACK_OUTCOME_DUPLICATE] * 63
    assert len(read_feedback(database.url, request.recommendation_id)) == 3


def test_a_key_used_for_another_action_is_told_what_differs(stub: RecommenderServiceStub, database: Any) -> None:
    first = feedback()
    stub.Feedback(first, timeout=TIMEOUT_S)
    other = feedback(idempotency_key=first.idempotency_key, recommendation_id=first.recommendation_id, liked=["list-9"])
    error = fail(stub.Feedback, other)
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    assert [v.field for v in details(error, BadRequest).field_violations] == ["idempotency_key", "liked"]
    assert details(error, ErrorInfo).reason == "IDEMPOTENCY_KEY_REUSED"
    assert len(read_feedback(database.url, first.recommendation_id)) == 3
    assert stub.Feedback(first, timeout=TIMEOUT_S).outcome == pb.FEEDBACK_OUTCOME_DUPLICATE


def test_keys_belong_to_the_caller_that_the_edge_names(stub: RecommenderServiceStub) -> None:
    first = feedback()
    radio, shop = ((("buddies-caller", name),) for name in ("radio", "shop"))
    for metadata in (radio, shop, None):
        answered = stub.Feedback(first, timeout=TIMEOUT_S, metadata=metadata)
        assert answered.outcome == pb.FEEDBACK_OUTCOME_ACCEPTED
    other = feedback(idempotency_key=first.idempotency_key)
    with pytest.raises(grpc.RpcError) as error:
        stub.Feedback(other, timeout=TIMEOUT_S, metadata=radio)
    assert error.value.code() is grpc.StatusCode.ALREADY_EXISTS  # type: ignore[attr-defined]
    with pytest.raises(grpc.RpcError) as error:
        stub.Feedback(first, timeout=TIMEOUT_S, metadata=(("buddies-caller", "x" * 65),))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]


def test_feedback_out_of_range_is_told_which_field(stub: RecommenderServiceStub) -> None:
    error = fail(stub.Feedback, feedback(liked=["a", "a"], idempotency_key=""))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in details(error, BadRequest).field_violations] == ["idempotency_key", "liked[1]"]


def test_a_dead_postgres_is_unavailable_with_a_retry_delay_and_works_again_when_it_is_back(
    stub: RecommenderServiceStub, database: Any
) -> None:
    request = feedback()
    database.stop()
    try:
        error = fail(stub.Feedback, request)
        answered = stub.Recommend(pb.RecommendRequest(user_ids=["user-39"]), timeout=TIMEOUT_S)
    finally:
        database.start()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert details(error, RetryInfo).retry_delay.ToMilliseconds() > 0
    assert details(error, ErrorInfo).reason == "FEEDBACK_STORE_UNAVAILABLE"
    assert answered.recommendations[0].source == pb.SOURCE_LIVE
    assert read_feedback(database.url, request.recommendation_id) == []
    assert stub.Feedback(request, timeout=TIMEOUT_S).outcome == pb.FEEDBACK_OUTCOME_ACCEPTED


def test_a_deadline_ends_a_call_that_waits_and_leaves_the_server_well(
    stub: RecommenderServiceStub, database: Any
) -> None:
    request = feedback()
    stub.Feedback(feedback(), timeout=TIMEOUT_S)
    with psycopg.connect(database.url) as blocker:
        blocker.execute("LOCK TABLE reactions IN ACCESS EXCLUSIVE MODE")
        assert fail(stub.Feedback, request, timeout=0.3).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.Feedback(feedback(), timeout=TIMEOUT_S).outcome == pb.FEEDBACK_OUTCOME_ACCEPTED


def recommended(stub: RecommenderServiceStub, user_id: str, **rest: Any) -> list[str]:
    request = pb.RecommendRequest(user_ids=[user_id], limit=100, **rest)
    return [found.playlist_id for found in stub.Recommend(request, timeout=TIMEOUT_S).recommendations[0].playlists]


def test_what_was_disliked_or_put_off_does_not_come_back_until_it_is_liked_or_its_time_has_come(
    stub: RecommenderServiceStub,
) -> None:
    before = recommended(stub, "user-21")
    disliked, put_off = before[:2]
    later = Timestamp(seconds=int(time.time()) + 3_600)
    wish = pb.DoNotRecommend(playlist_id=put_off, until=later)
    said = {"user_id": "user-21", "liked": [], "ignored": []}
    stub.Feedback(feedback(**said, disliked=[disliked], do_not_recommend=[wish]), timeout=TIMEOUT_S)
    after = recommended(stub, "user-21")
    assert after
    assert {disliked, put_off}.isdisjoint(after)
    back = pb.DoNotRecommend(playlist_id=put_off, until=Timestamp(seconds=1))
    stub.Feedback(feedback(**{**said, "liked": [disliked]}, do_not_recommend=[back]), timeout=TIMEOUT_S)
    assert recommended(stub, "user-21") == before

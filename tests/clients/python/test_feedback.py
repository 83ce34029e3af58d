"""Feedback against a real gRPC server: keys, versions, and what is put off."""

from datetime import datetime, timedelta, timezone

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details

from spotify_buddies.clients.python import (
    Client,
    KeyReused,
    Retry,
    ServiceUnavailable,
)
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import refuse, serving
from tests.clients.python.answers import ANSWER


def test_feedback_is_retried_under_one_key() -> None:
    seen: list[pb.FeedbackRequest] = []

    def answer(request: pb.FeedbackRequest, context: grpc.ServicerContext) -> pb.FeedbackResponse:
        seen.append(request)
        if len(seen) == 1:
            refuse(context, grpc.StatusCode.UNAVAILABLE, "no store", details.RetryInfo(retry_delay=Duration()))
        return pb.FeedbackResponse(outcome=pb.FEEDBACK_OUTCOME_DUPLICATE, reactions=2)

    handlers = {"Recommend": lambda request, context: ANSWER, "Feedback": answer}
    with serving(**handlers) as address, Client(address) as client:
        (found,) = client.recommend(["ada"])
        result = client.feedback(found, liked=["p1"], ignored=["p2"])
    assert len({request.idempotency_key for request in seen}) == 1
    assert len(seen) == 2
    assert (result.duplicate, result.reactions) == (True, 2)
    assert (seen[0].user_id, seen[0].recommendation_id) == ("ada", "r1")
    assert (seen[0].model_version, seen[0].arm) == ("7", pb.ARM_CANARY)


def test_what_is_put_off_goes_along_with_its_time() -> None:
    seen: list[pb.FeedbackRequest] = []

    def answer(request: pb.FeedbackRequest, context: grpc.ServicerContext) -> pb.FeedbackResponse:
        seen.append(request)
        return pb.FeedbackResponse(reactions=1)

    until = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    with serving(Feedback=answer) as address, Client(address) as client:
        client.feedback("r1", user_id="ada", do_not_recommend={"p1": until})
        with pytest.raises(ValueError, match="'p2' has no time zone"):
            client.feedback("r1", user_id="ada", do_not_recommend={"p2": datetime(2030, 1, 1)})
    (put_off,) = seen[0].do_not_recommend
    assert (len(seen), put_off.playlist_id, put_off.until.ToJsonString()) == (1, "p1", "2030-01-01T10:00:00Z")


def test_a_failed_feedback_carries_the_key_to_send_it_again_with() -> None:
    def answer(request: pb.FeedbackRequest, context: grpc.ServicerContext) -> None:
        refuse(context, grpc.StatusCode.UNAVAILABLE, request.idempotency_key)

    with serving(Feedback=answer) as address, Client(address, retry=Retry(attempts=1)) as client:
        with pytest.raises(ServiceUnavailable) as generated:
            client.feedback("r", user_id="u", liked=["p"])
        with pytest.raises(ServiceUnavailable) as given:
            client.feedback("r", user_id="u", liked=["p"], idempotency_key="mine")
    assert generated.value.idempotency_key == generated.value.message != ""
    assert given.value.idempotency_key == "mine"


def test_a_reused_key_is_an_error_of_its_own_that_names_the_fields_and_is_not_retried() -> None:
    seen: list[str] = []

    def answer(request: pb.FeedbackRequest, context: grpc.ServicerContext) -> None:
        seen.append(request.idempotency_key)
        fields = ("idempotency_key", "liked")
        bad = details.BadRequest(
            field_violations=[details.BadRequest.FieldViolation(field=field, description="differs") for field in fields]
        )
        info = details.ErrorInfo(reason="IDEMPOTENCY_KEY_REUSED", domain="buddies")
        refuse(context, grpc.StatusCode.ALREADY_EXISTS, "another action", bad, info)

    with serving(Feedback=answer) as address, Client(address) as client, pytest.raises(KeyReused) as error:
        client.feedback("r", user_id="u", liked=["p"], idempotency_key="mine")
    assert [violation.field for violation in error.value.violations] == ["idempotency_key", "liked"]
    assert (error.value.reason, error.value.idempotency_key) == ("IDEMPOTENCY_KEY_REUSED", "mine")
    assert seen == ["mine"]

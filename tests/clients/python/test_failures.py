"""Errors, deadlines and retries against a real gRPC server."""

import pickle
import random
import threading

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details

from spotify_buddies.clients.python import (
    BuddiesError,
    Client,
    DeadlineExceeded,
    InvalidRequest,
    Retry,
    ServerBusy,
    ServiceFailure,
    ServiceUnavailable,
    Violation,
)
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import refuse, serving
from tests.clients.python.answers import ANSWER
from tests.waiting import WITHIN_S


def test_a_bad_request_names_the_field_and_is_not_retried() -> None:
    calls = []

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> None:
        calls.append(request)
        violation = details.BadRequest.FieldViolation(field="limit", description="101 is above 100")
        refuse(
            context,
            grpc.StatusCode.INVALID_ARGUMENT,
            "bad request",
            details.BadRequest(field_violations=[violation]),
            details.ErrorInfo(reason="INVALID_FIELD", domain="buddies"),
        )

    with serving(Recommend=answer) as address, Client(address) as client, pytest.raises(InvalidRequest) as caught:
        client.recommend(["ada"], limit=101)
    assert caught.value.violations == (Violation("limit", "101 is above 100"),)
    assert caught.value.reason == "INVALID_FIELD"
    assert "limit: 101 is above 100" in str(caught.value)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, ServiceUnavailable),
        (grpc.StatusCode.UNKNOWN, ServiceUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ServerBusy),
    ],
)
def test_a_passing_failure_is_retried_until_it_passes(code: grpc.StatusCode, kind: type[BuddiesError]) -> None:
    calls = []

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        calls.append(request)
        if len(calls) < 3:
            refuse(context, code, "not now", details.RetryInfo(retry_delay=Duration(nanos=1_000_000)))
        return ANSWER

    with serving(Recommend=answer) as address:
        with Client(address) as client:
            assert client.recommend(["ada"])[0].user_id == "ada"
        assert len(calls) == 3
        calls.clear()
        with Client(address, retry=Retry(attempts=2)) as client, pytest.raises(kind) as caught:
            client.recommend(["ada"])
        assert len(calls) == 2
        assert caught.value.retry_after_s == 0.001


def test_a_retry_that_would_outlast_the_deadline_is_not_made() -> None:
    calls = []

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> None:
        calls.append(request)
        refuse(context, grpc.StatusCode.UNAVAILABLE, "later", details.RetryInfo(retry_delay=Duration(seconds=60)))

    with serving(Recommend=answer) as address, Client(address) as client, pytest.raises(ServiceUnavailable):
        client.recommend(["ada"])
    assert len(calls) == 1


def test_a_server_that_does_not_answer_runs_into_the_deadline() -> None:
    release = threading.Event()

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        release.wait(WITHIN_S)
        return ANSWER

    with serving(Recommend=answer) as address, Client(address, timeout_s=0.2) as client:
        with pytest.raises(DeadlineExceeded):
            client.recommend(["ada"])
        release.set()


def test_nobody_listening_is_unavailable() -> None:
    with serving() as address:
        pass
    with Client(address, timeout_s=WITHIN_S, retry=Retry(attempts=1)) as client, pytest.raises(ServiceUnavailable):
        client.model_status()


def test_an_unimplemented_method_is_a_failure_of_the_service() -> None:
    with serving() as address, Client(address) as client, pytest.raises(ServiceFailure, match="UNIMPLEMENTED"):
        client.model_status()


def test_text_that_is_not_utf_8_is_an_invalid_request() -> None:
    with serving() as address, Client(address) as client:
        with pytest.raises(InvalidRequest, match="UTF-8"):
            client.recommend(["a\udcff"])
        with pytest.raises(InvalidRequest, match="UTF-8"):
            client.feedback("r", user_id="a\udcff", liked=["p"])


def test_errors_survive_pickling() -> None:
    error = InvalidRequest("bad", "INVALID_ARGUMENT", "R", 1.5, (Violation("f", "d"),))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, copy.violations) == (InvalidRequest, error.args, error.violations)


def test_backoff_grows_to_its_ceiling_and_then_gives_up() -> None:
    retry = Retry(attempts=5, first_s=0.1, factor=2.0, longest_s=0.3, rng=random.Random(1))
    waits = [retry.wait_s(attempt, ServiceUnavailable("x"), left_s=9.0) for attempt in (1, 2, 3, 4)]
    for wait, ceiling in zip(waits, (0.1, 0.2, 0.3, 0.3), strict=True):
        assert wait is not None
        assert 0 <= wait <= ceiling
    assert retry.wait_s(5, ServiceUnavailable("x"), left_s=9.0) is None
    assert retry.wait_s(1, InvalidRequest("x"), left_s=9.0) is None


def refusal(message: str, *described: tuple[str, str]) -> str:
    """What a user reads when a call is refused with these violations."""

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> None:
        violations = [details.BadRequest.FieldViolation(field=field, description=text) for field, text in described]
        refuse(context, grpc.StatusCode.INVALID_ARGUMENT, message, details.BadRequest(field_violations=violations))

    with serving(Recommend=answer) as address, Client(address) as client, pytest.raises(InvalidRequest) as caught:
        client.recommend(["ada"])
    return str(caught.value)


def test_a_field_that_the_message_names_is_not_named_again() -> None:
    said = refusal("limit: is 101; part_size: is 0", ("limit", "is 101"), ("part_size", "is 0"))
    assert said == "limit: is 101; part_size: is 0 (INVALID_ARGUMENT)"
    assert refusal("limit: is 101; par...", ("limit", "is 101"), ("part_size", "is 0")) == (
        "limit: is 101; par... (INVALID_ARGUMENT)\n  part_size: is 0"
    )


def test_a_connection_that_fails_is_said_once() -> None:
    with serving() as address:
        pass
    with Client(address, retry=Retry(attempts=1)) as client, pytest.raises(ServiceUnavailable) as refused:
        client.model_status()
    assert str(refused.value) == "cannot connect: Connection refused (UNAVAILABLE)"
    with Client("nobody.invalid:9", retry=Retry(attempts=1)) as client, pytest.raises(ServiceUnavailable) as unknown:
        client.model_status(timeout_s=WITHIN_S)
    assert str(unknown.value).startswith("cannot find the host of nobody.invalid:9: ")
    assert str(unknown.value).count("nobody.invalid") == 1

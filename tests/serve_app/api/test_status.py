from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.status import CALLER_KEY, MOST_VIOLATIONS, call_with_status, caller_of, describe
from spotify_buddies.serve_app.errors import FeedbackUnavailable, InvalidRequest, KeyReused, Violation
from spotify_buddies.serve_app.telemetry.metrics import Silent


def unpack(packed: AnyMessage, kind: Any) -> Any:
    message = kind()
    assert packed.Unpack(message)
    return message


def test_an_invalid_request_carries_its_violations_and_a_reason() -> None:
    code, status = describe(InvalidRequest((Violation("user_ids[3]", "is 0 bytes, must be 1 to 128"),)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert status.code == 3
    assert status.message == "user_ids[3]: is 0 bytes, must be 1 to 128"
    found = unpack(status.details[0], BadRequest).field_violations
    assert [(v.field, v.description) for v in found] == [("user_ids[3]", "is 0 bytes, must be 1 to 128")]
    info = unpack(status.details[1], ErrorInfo)
    assert (info.reason, info.domain) == ("INVALID_REQUEST", "buddies")


def test_a_dead_store_says_when_to_retry() -> None:
    code, status = describe(FeedbackUnavailable("connection refused", 1.5))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "nothing was stored" not in status.message
    assert "may be stored: send it again with the same idempotency_key" in status.message
    assert unpack(status.details[0], ErrorInfo).reason == "FEEDBACK_STORE_UNAVAILABLE"
    assert unpack(status.details[1], RetryInfo).retry_delay.ToMilliseconds() == 1500


def test_a_reused_key_names_the_key_and_what_differs() -> None:
    code, status = describe(KeyReused(("user_id", "liked")))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    found = unpack(status.details[0], BadRequest).field_violations
    assert [v.field for v in found] == ["idempotency_key", "user_id", "liked"]
    info = unpack(status.details[1], ErrorInfo)
    assert (info.reason, info.domain) == ("IDEMPOTENCY_KEY_REUSED", "buddies")


def test_a_status_fits_into_http2_trailers_however_many_fields_are_wrong() -> None:
    _, status = describe(InvalidRequest(tuple(Violation(f"user_ids[{i}]", "is 0 bytes") for i in range(1000))))
    assert len(unpack(status.details[0], BadRequest).field_violations) == MOST_VIOLATIONS
    assert len(status.SerializeToString()) < 8192


class Context:
    code: grpc.StatusCode | None = None
    details = ""
    trailers: Any = ()

    def __init__(self, *metadata: tuple[str, str | bytes]) -> None:
        self.metadata = metadata

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...] | None:
        return self.metadata or None

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self.trailers = trailing_metadata


class Counting(Silent):
    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def count_status(self, method: str, code: str) -> None:
        self.calls.append((method, code))


def test_an_error_becomes_an_empty_message_with_a_status_on_the_context() -> None:
    async def refuse(request: pb.FeedbackRequest) -> pb.FeedbackResponse:
        raise InvalidRequest((Violation("liked", "is empty"),))

    context, counting = Context(), Counting()
    answered = asyncio.run(call_with_status(refuse, pb.FeedbackRequest(), context, pb.FeedbackResponse, counting))
    assert answered == pb.FeedbackResponse()
    assert context.code is grpc.StatusCode.INVALID_ARGUMENT
    key, value = context.trailers[0]
    assert key == "grpc-status-details-bin"
    assert Status.FromString(value).message == context.details == "liked: is empty"
    assert counting.calls == [("FeedbackResponse", "INVALID_ARGUMENT")]


def test_the_caller_is_who_the_edge_says() -> None:
    assert caller_of(Context()) == ""
    assert caller_of(Context(("user-agent", "x"), (CALLER_KEY, "radio"))) == "radio"


def test_two_callers_of_one_call_are_nobody_whom_one_of_them_could_name() -> None:
    assert caller_of(Context((CALLER_KEY, "radio"), (CALLER_KEY, "shop"))) == "radio, shop"

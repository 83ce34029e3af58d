"""gRPC status, with google.rpc details, of the errors of a call.

Ray Serve drops trailing metadata when a method raises. So the status is set on the context and an empty message is
returned; Serve counts such a request as OK, which is why the status is counted here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, nullcontext
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from spotify_buddies.serve_app.api.admission import Admission
from spotify_buddies.serve_app.errors import (
    FeedbackUnavailable,
    InvalidRequest,
    KeyReused,
    NotAllowed,
    ServerFull,
    ServiceError,
    StoreUnavailable,
    TookTooLong,
    Violation,
)
from spotify_buddies.serve_app.ranking.encoding import Encoded
from spotify_buddies.serve_app.telemetry.metrics import Telemetry

DOMAIN = "buddies"
DETAILS_KEY = "grpc-status-details-bin"
# What RetryInfo says, for gRPC's own retries (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
PUSHBACK_KEY = "grpc-retry-pushback-ms"
# Names the caller. The edge in front sets it, and removes what the client sends.
CALLER_KEY = "buddies-caller"
# Trailers travel in HTTP/2 headers, where 8 KiB is the common limit.
MOST_VIOLATIONS = 20

Request = TypeVar("Request")
Answer = TypeVar("Answer", bound=Message)
Answered = TypeVar("Answered")
Part = TypeVar("Part")


class Context(Protocol):
    """The part of a gRPC context that grpc.aio and Ray Serve share."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """The headers of the call, names in lower case."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status code."""

    def set_details(self, details: str) -> None:
        """Set the message for people."""

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Set the trailers."""


def caller_of(context: Context) -> str:
    """Who calls; empty where nobody says. Several such headers are one with commas, as HTTP has it: nobody's name."""
    values = (value for key, value in context.invocation_metadata() or () if key == CALLER_KEY)
    return ", ".join(value if isinstance(value, str) else value.decode(errors="replace") for value in values)


async def call_with_status(
    call: Callable[[Request], Awaitable[Answer | Encoded]],
    request: Request,
    context: Context,
    empty: type[Answer],
    telemetry: Telemetry,
    admission: Admission | None = None,
    within_s: float | None = None,
    places: int = 1,
) -> Answer | Encoded:
    """Await call(request); on a ServiceError put its status on the context and return an empty message.

    admission: where the call needs `places`; None for calls that are answered in any case. within_s: the server's
    maximum; a call that takes longer is DEADLINE_EXCEEDED. A call whose caller left, or whose own deadline is over, is
    cancelled here and counted as CANCELLED.
    """
    try:
        with admission.admitted(places) if admission is not None else nullcontext():
            result = await _in_time(call(request), within_s)
    except ServiceError as error:
        code = refuse(error, context)
        telemetry.count_status(empty.__name__, code.name)
        return empty()
    except asyncio.CancelledError:
        telemetry.count_status(empty.__name__, grpc.StatusCode.CANCELLED.name)
        raise
    telemetry.count_status(empty.__name__, grpc.StatusCode.OK.name)
    return result


async def stream_with_status(
    call: Callable[[Request], AsyncGenerator[Part, None]],
    request: Request,
    context: Context,
    empty: type[Message],
    telemetry: Telemetry,
    admission: Admission,
    within_s: float,
) -> AsyncGenerator[Part | Encoded, None]:
    """Pass on what call(request) yields; on a ServiceError put its status on the context, yield nothing more and end.

    The nothing is an empty message: Serve's own proxy learns of the context with every message and not at the end.
    within_s: the server's maximum for all parts together, looked at between them.
    """
    until = time.monotonic() + within_s
    try:
        with admission.admitted():
            async with aclosing(call(request)) as parts:
                async for part in parts:
                    yield part
                    if time.monotonic() > until:
                        raise TookTooLong(within_s)
    except ServiceError as error:
        code = refuse(error, context)
        telemetry.count_status(empty.__name__, code.name)
        yield Encoded(b"")
        return
    except (asyncio.CancelledError, GeneratorExit):
        telemetry.count_status(empty.__name__, grpc.StatusCode.CANCELLED.name)
        raise
    telemetry.count_status(empty.__name__, grpc.StatusCode.OK.name)


async def _in_time(call: Awaitable[Answered], within_s: float | None) -> Answered:
    """Await a call. TookTooLong: it was not done within so many seconds, and was cancelled."""
    try:
        async with asyncio.timeout(within_s):
            return await call
    except TimeoutError:
        raise TookTooLong(within_s) from None


def refuse(error: ServiceError, context: Context) -> grpc.StatusCode:
    """Put the status of an error on the context, with its details in the trailers; returns the code."""
    code, status = describe(error)
    context.set_code(code)
    context.set_details(status.message)
    trailers: list[tuple[str, str | bytes]] = [(DETAILS_KEY, status.SerializeToString())]
    if isinstance(error, FeedbackUnavailable | ServerFull):
        trailers.append((PUSHBACK_KEY, str(round(error.retry_after_s * 1000))))
    context.set_trailing_metadata(trailers)
    return code


def describe(error: ServiceError) -> tuple[grpc.StatusCode, Status]:
    """The status code of an error and its rich form; details as documented in the proto."""
    if isinstance(error, InvalidRequest):
        return _pack(
            grpc.StatusCode.INVALID_ARGUMENT,
            error,
            _bad_request(error.violations),
            ErrorInfo(reason="INVALID_REQUEST", domain=DOMAIN),
        )
    if isinstance(error, KeyReused):
        info = ErrorInfo(reason="IDEMPOTENCY_KEY_REUSED", domain=DOMAIN)
        return _pack(grpc.StatusCode.ALREADY_EXISTS, error, _bad_request(error.violations), info)
    if isinstance(error, FeedbackUnavailable):
        info = ErrorInfo(reason="FEEDBACK_STORE_UNAVAILABLE", domain=DOMAIN)
        return _pack(grpc.StatusCode.UNAVAILABLE, error, info, _retry(error.retry_after_s))
    if isinstance(error, ServerFull):
        info = ErrorInfo(reason="SERVER_FULL", domain=DOMAIN)
        return _pack(grpc.StatusCode.RESOURCE_EXHAUSTED, error, info, _retry(error.retry_after_s))
    if isinstance(error, NotAllowed):
        return _pack(grpc.StatusCode.PERMISSION_DENIED, error, ErrorInfo(reason="USER_RIGHTS_OFF", domain=DOMAIN))
    if isinstance(error, StoreUnavailable):
        return _pack(grpc.StatusCode.UNAVAILABLE, error, ErrorInfo(reason="STORE_UNAVAILABLE", domain=DOMAIN))
    if isinstance(error, TookTooLong):
        return _pack(grpc.StatusCode.DEADLINE_EXCEEDED, error, ErrorInfo(reason="TOOK_TOO_LONG", domain=DOMAIN))
    return _pack(grpc.StatusCode.INTERNAL, error, ErrorInfo(reason=type(error).__name__, domain=DOMAIN))


def _bad_request(violations: Sequence[Violation]) -> BadRequest:
    return BadRequest(
        field_violations=[
            BadRequest.FieldViolation(field=v.field, description=v.description) for v in violations[:MOST_VIOLATIONS]
        ]
    )


def _retry(after_s: float) -> RetryInfo:
    delay = Duration()
    delay.FromMilliseconds(round(after_s * 1000))
    return RetryInfo(retry_delay=delay)


def _pack(code: grpc.StatusCode, error: ServiceError, *details: Message) -> tuple[grpc.StatusCode, Status]:
    packed = []
    for detail in details:
        wrapped = AnyMessage()
        wrapped.Pack(detail)
        packed.append(wrapped)
    number: int = code.value[0]
    message = str(error)
    return code, Status(code=number, message=message if len(message) <= 1000 else message[:997] + "...", details=packed)

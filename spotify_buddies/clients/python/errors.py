"""The service's errors as exceptions of our own; gRPC stays inside."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
# gRPC's words for a connection that fails hold the address and the failure twice; the cause is at their end.
_CONNECT = re.compile(
    r"failed to connect to all addresses; last error: .*?(?:to remote host|error): (?P<cause>.+)", re.DOTALL
)
_RESOLVE = re.compile(r"errors resolving (?P<address>.+?): .*: (?P<cause>[^\]]+)\]", re.DOTALL)


@dataclass(frozen=True)
class Violation:
    """A field that breaks its documented range. field: a path such as `user_ids[3]`."""

    field: str
    description: str


class BuddiesError(Exception):
    """A call failed. code: the gRPC status name. reason: a constant to program against, empty where there is none.

    retry_after_s: what the server asks for, None where it does not say. violations: for InvalidRequest and KeyReused.
    idempotency_key: of a feedback that failed; send it again with this key, and it is stored once at most.
    """

    idempotency_key: str | None = None

    def __init__(
        self,
        message: str,
        code: str = "UNKNOWN",
        reason: str = "",
        retry_after_s: float | None = None,
        violations: tuple[Violation, ...] = (),
    ) -> None:
        super().__init__(message, code, reason, retry_after_s, violations)
        self.message = message
        self.code = code
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.violations = violations

    def __str__(self) -> str:
        lines = [f"{violation.field}: {violation.description}" for violation in self.violations]
        # The service names the fields in its message too; those that a long message has no room for are added.
        return "\n  ".join([f"{self.message} ({self.code})", *(line for line in lines if line not in self.message)])


class InvalidRequest(BuddiesError):
    """The request breaks a documented range; retrying cannot help."""


class KeyReused(BuddiesError):
    """The idempotency key stands for another feedback, and this one is not stored; violations name what differs.

    Retrying it cannot help: take a new key for a new action, or repeat the first one exactly.
    """


class ServerBusy(BuddiesError):
    """The server is full."""


class ServiceUnavailable(BuddiesError):
    """The service, or a store it needs for this call, cannot be reached. A feedback was not acknowledged."""


class DeadlineExceeded(BuddiesError):
    """No answer within the deadline. A feedback may or may not be stored: send it again with the same key."""


class AccessDenied(BuddiesError):
    """The token or certificate is missing, unknown or revoked; retrying cannot help."""


class ServiceFailure(BuddiesError):
    """Anything else the server answers: a defect there, or a version mismatch."""


class _Status(Protocol):
    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, Any]] | None: ...


_KINDS: dict[grpc.StatusCode, type[BuddiesError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.ALREADY_EXISTS: KeyReused,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ServerBusy,
    grpc.StatusCode.UNAUTHENTICATED: AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: AccessDenied,
    grpc.StatusCode.UNAVAILABLE: ServiceUnavailable,
    # A proxy without a backend answers UNKNOWN: its HTTP status has no gRPC counterpart.
    grpc.StatusCode.UNKNOWN: ServiceUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def from_grpc(error: grpc.RpcError) -> BuddiesError:
    """Translate what grpc raises, with the google.rpc details where the server sent some."""
    status = cast(_Status, error)  # grpc and grpc.aio raise two classes with the same accessors and no common type
    metadata = {str(key): value for key, value in status.trailing_metadata() or ()}
    violations, reason, retry_after_s = _details(metadata.get(_DETAILS, b""))
    code = status.code()
    kind = _KINDS.get(code, ServiceFailure)
    return kind(_short(status.details() or code.name), code.name, reason, retry_after_s, violations)


def _short(message: str) -> str:
    """A message without gRPC's repetitions; any other as it is."""
    if failed := _CONNECT.fullmatch(message):
        return f"cannot connect: {failed['cause']}"
    if unknown := _RESOLVE.fullmatch(message):
        return f"cannot find the host of {unknown['address']}: {unknown['cause']}"
    return message


def _details(encoded: bytes) -> tuple[tuple[Violation, ...], str, float | None]:
    status = status_pb2.Status()
    try:
        status.ParseFromString(encoded)
    except DecodeError:
        return (), "", None  # not ours: a proxy on the way wrote it
    violations: tuple[Violation, ...] = ()
    reason, retry_after_s = "", None
    bad, info, retry = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(bad):
            violations = tuple(Violation(item.field, item.description) for item in bad.field_violations)
        elif detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    return violations, reason, retry_after_s

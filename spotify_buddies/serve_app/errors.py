"""What can go wrong while serving. Errors hold fields, survive pickling and carry no gRPC code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One field of a request that breaks its documented range. field: its path, as in `user_ids[3]`."""

    field: str
    description: str


class ServiceError(Exception):
    """Anything that the service answers with a status other than OK."""


class InvalidRequest(ServiceError):
    """The request breaks documented ranges; args[0] is a tuple of Violations, at least one."""

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Every field found wrong."""
        found: tuple[Violation, ...] = self.args[0]
        return found

    def __str__(self) -> str:
        return "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in self.violations)


class KeyReused(ServiceError):
    """The idempotency key stands for another action of the same caller; nothing was stored.

    args[0]: the fields that differ from the stored action, at least one.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that differ."""
        found: tuple[str, ...] = self.args[0]
        return found

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The key, and every field that differs."""
        key = Violation("idempotency_key", "stands for another action")
        return (
            key,
            *(Violation(field, "differs from the action that is stored under the key") for field in self.fields),
        )

    def __str__(self) -> str:
        return (
            f"the idempotency_key stands for another action, which differs in {', '.join(self.fields)}; nothing was "
            "stored: take a new key for a new action, or send the first one again as it was"
        )


class FeedbackUnavailable(ServiceError):
    """The feedback is not acknowledged: not stored, or stored and the answer was lost.

    args: cause, seconds until a retry makes sense.
    """

    @property
    def retry_after_s(self) -> float:
        """Seconds to wait before the same request is worth sending again."""
        return float(self.args[1])

    def __str__(self) -> str:
        return (
            f"the feedback store is unavailable ({self.args[0]}); the feedback is not acknowledged but may be stored: "
            "send it again with the same idempotency_key"
        )


class ServerFull(ServiceError):
    """The replica works on as many calls as it takes on. args: that many, seconds until a retry makes sense."""

    @property
    def retry_after_s(self) -> float:
        """Seconds to wait before the same request is worth sending again."""
        return float(self.args[1])

    def __str__(self) -> str:
        return f"the server is full ({self.args[0]} calls in flight); try again in {self.retry_after_s:.2f} s"


class TookTooLong(ServiceError):
    """The call was not answered within the server's maximum. args: seconds."""

    def __str__(self) -> str:
        return f"not answered within the server's maximum of {self.args[0]:g} s; ask for fewer listeners at once"


class NeighboursUnavailable(ServiceError):
    """The neighbour search did not answer within its budget; the answer goes on without it. args: cause."""

    def __str__(self) -> str:
        return f"no neighbour search ({self.args[0]})"


class HistoryUnavailable(ServiceError):
    """What listeners have seen cannot be read now; the answer goes on without it. args: cause."""

    def __str__(self) -> str:
        return f"no history of listeners ({self.args[0]})"

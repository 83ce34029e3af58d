"""Errors of the service. They hold fields, survive pickling and carry no gRPC code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """A field of a request that breaks its documented range. field: its path, such as `user_ids[3]`."""

    field: str
    description: str


class ServiceError(Exception):
    """Any error that the service answers with a status other than OK."""


class InvalidRequest(ServiceError):
    """The request breaks documented ranges; args[0] is a tuple of Violations, at least one."""

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Every field that breaks its range."""
        violations: tuple[Violation, ...] = self.args[0]
        return violations

    def __str__(self) -> str:
        return "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in self.violations)


class KeyReused(ServiceError):
    """The idempotency key belongs to another action of the same caller; nothing was stored.

    args[0]: the fields that differ from the stored action, at least one.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that differ."""
        fields: tuple[str, ...] = self.args[0]
        return fields

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The key, and every field that differs."""
        key = Violation("idempotency_key", "belongs to another action")
        return (
            key,
            *(Violation(field, "differs from the action that is stored with the key") for field in self.fields),
        )

    def __str__(self) -> str:
        return (
            f"the idempotency_key belongs to another action, which differs in {', '.join(self.fields)}; nothing was "
            "stored: use a new key for a new action, or send the first one again unchanged"
        )


class FeedbackUnavailable(ServiceError):
    """The feedback is not acknowledged: it was not stored, or the answer of the store was lost.

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


class NotAllowed(ServiceError):
    """The deployment does not offer the call. args: the method."""

    def __str__(self) -> str:
        return (
            f"{self.args[0]} is for operators, and this deployment does not offer it: set serve.user_rights = true "
            "where only operators can call it (docs/privacy.md), or use `buddies user` beside the stores"
        )


class StoreUnavailable(ServiceError):
    """A store that the call needs does not answer. args: cause."""

    def __str__(self) -> str:
        return f"a store does not answer ({self.args[0]}); send the call again when it is back"


class ServerFull(ServiceError):
    """The replica has as many calls in flight as it allows. args: their number, seconds until a retry makes sense."""

    @property
    def retry_after_s(self) -> float:
        """Seconds to wait before the same request is worth sending again."""
        return float(self.args[1])

    def __str__(self) -> str:
        return f"the server is full ({self.args[0]} calls in flight); try again in {self.retry_after_s:.2f} s"


class TookTooLong(ServiceError):
    """The call was not answered within the server's maximum. args: seconds."""

    def __str__(self) -> str:
        return f"not answered within the server's maximum of {self.args[0]:g} s; ask for fewer users at once"


class NonFiniteScores(ServiceError):
    """A version scored playlists of the answer with NaN or infinity, so their order means nothing. args: version."""

    def __str__(self) -> str:
        return f"version {self.args[0]} has scores that are not finite; serve another version"


class NeighboursUnavailable(ServiceError):
    """The neighbour search did not answer within its budget; the answer is made without it. args: cause."""

    def __str__(self) -> str:
        return f"no neighbour search ({self.args[0]})"


class HistoryUnavailable(ServiceError):
    """The history of users cannot be read now; the answer is made without it. args: cause."""

    def __str__(self) -> str:
        return f"no history of users ({self.args[0]})"

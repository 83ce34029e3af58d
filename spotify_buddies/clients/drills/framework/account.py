"""The account of calls: failures by status, latencies of a time, and feedback that was lost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spotify_buddies.clients.drills.framework.traffic import Acknowledged, Call
from spotify_buddies.clients.python import Arm, Client

AUDIT_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Window:
    """Calls that were due in a span of time. p50_s, p99_s: from then to the answer; None where none was answered."""

    calls: int
    failed: int
    p50_s: float | None
    p99_s: float | None

    @classmethod
    def of(cls, calls: Sequence[Call]) -> Window:
        """Of these calls."""
        times = [call.latency_s for call in calls if not call.error]
        return cls(len(calls), len(calls) - len(times), percentile(times, 50), percentile(times, 99))


def percentile(values: Iterable[float], percent: float) -> float | None:
    """The smallest value that at least so many percent do not exceed (nearest rank); None of nothing."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1] if ordered else None


def errors_of(calls: Sequence[Call]) -> dict[str, int]:
    """Failed calls by status, as in "UNAVAILABLE"."""
    return dict(Counter(call.error for call in calls if call.error))


def errors_by_method(calls: Sequence[Call]) -> dict[str, int]:
    """Failed calls by method and status, as in "feedback UNAVAILABLE"."""
    return dict(Counter(f"{call.method} {call.error}" for call in calls if call.error))


def unsigned(calls: Sequence[Call]) -> int:
    """Answers that do not say version and arm."""
    return sum(not call.error and (not call.version or call.arm is Arm.NONE) for call in calls)


def count_lost(address: str, acknowledged: Sequence[Acknowledged]) -> int:
    """The number of acknowledged feedbacks that are not stored as they were: sent again, each must be a duplicate."""
    lost = 0
    with Client(address, timeout_s=AUDIT_TIMEOUT_S) as client:
        for one in acknowledged:
            # The same key and content: what is stored answers as a duplicate.
            again = client.feedback(
                one.recommendation_id,
                user_id=one.user_id,
                liked=one.liked,
                ignored=one.ignored,
                idempotency_key=one.key,
            )
            lost += not again.duplicate or again.reactions != one.reactions
    return lost


def milliseconds(seconds: float | None) -> str:
    """A time for people: "12.3 ms", "-" of nothing."""
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"

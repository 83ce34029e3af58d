"""The result of a fault in the middle of a rollout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from spotify_buddies.clients.drills.framework.account import errors_of
from spotify_buddies.clients.drills.framework.traffic import Call

# Of a killed replica: its calls in flight, and those that reached it before it was known to be gone.
MOST_FAILED, RECOVERY_S = 0.05, 15.0


@dataclass(frozen=True)
class FaultResult:
    """The result of one fault. seconds: of what `what` says; broken_at: Unix time of a fault that may cost calls."""

    name: str
    what: str
    seconds: float
    problems: tuple[str, ...] = ()
    broken_at: float | None = None
    requests: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)


def counted(result: FaultResult, calls: Sequence[Call]) -> FaultResult:
    """The result with the calls of its time, and the limits that these break."""
    failed = [call for call in calls if call.error]
    errors = errors_of(calls)
    problems = list(result.problems)
    if not calls:
        problems.append("no call was answered")
    elif result.broken_at is None:
        if failed:
            problems.append(f"{len(failed):,} of {len(calls):,} calls failed ({errors})")
    else:
        if len(failed) > MOST_FAILED * len(calls):
            problems.append(f"{len(failed):,} of {len(calls):,} calls failed, more than {MOST_FAILED:.0%} ({errors})")
        last_s = max((call.ended - result.broken_at for call in failed), default=0.0)
        if last_s > RECOVERY_S:
            problems.append(f"calls failed until {last_s:.1f} s after the fault, limit {RECOVERY_S:g} s")
    return replace(result, problems=tuple(problems), requests=len(calls), errors=errors)

"""What a fault in the middle of a rollout did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from spotify_buddies.clients.drills.steady import Call, errors_of

# Of a killed replica: the calls that it had, and those that reached it before it was known to be gone.
MOST_FAILED, RECOVERY_S = 0.05, 15.0


@dataclass(frozen=True)
class Found:
    """What one fault did. seconds: of what is told in `what`; broken_at: Unix time of a fault that may cost calls."""

    name: str
    what: str
    seconds: float
    problems: tuple[str, ...] = ()
    broken_at: float | None = None
    requests: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)


def counted(found: Found, calls: Sequence[Call]) -> Found:
    """The same with the calls of its time, and what these break."""
    failed = [call for call in calls if call.error]
    errors = errors_of(calls)
    problems = list(found.problems)
    if not calls:
        problems.append("no call was answered")
    elif found.broken_at is None:
        if failed:
            problems.append(f"{len(failed):,} of {len(calls):,} calls failed ({errors})")
    else:
        if len(failed) > MOST_FAILED * len(calls):
            problems.append(f"{len(failed):,} of {len(calls):,} calls failed, more than {MOST_FAILED:.0%} ({errors})")
        last_s = max((call.ended_at - found.broken_at for call in failed), default=0.0)
        if last_s > RECOVERY_S:
            problems.append(f"calls failed until {last_s:.1f} s after the fault, limit {RECOVERY_S:g} s")
    return replace(found, problems=tuple(problems), requests=len(calls), errors=errors)

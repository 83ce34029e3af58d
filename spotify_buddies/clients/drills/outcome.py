"""What a drill found, and whether that is good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Limits:
    """The worst that a drill accepts. failed: share of all calls, 0 to 1; recovery_s: seconds after the fault."""

    failed: float
    recovery_s: float


@dataclass(frozen=True)
class Outcome:
    """Counts of one drill.

    requests: calls, each with its retries. failed: those that ended with an error, by status in `errors`. degraded:
    answers with a step left out, or without personal playlists for a known listener. acknowledged: feedback that was
    answered; lost: of it, what is not stored. recovery_s: from the fault to the end of the last call that failed, 0
    where none did. healed_s: from the fault until the broken part was there again, None where it never was. slowest_s:
    the slowest call. note: what else a person should know; skipped: why the drill could not be run here.
    """

    name: str
    requests: int = 0
    failed: int = 0
    degraded: int = 0
    acknowledged: int = 0
    lost: int = 0
    recovery_s: float = 0.0
    healed_s: float | None = None
    slowest_s: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    note: str = ""
    skipped: str = ""
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Nothing was found wrong. A drill that could not be run here has not passed, nor failed."""
        return not self.problems and not self.skipped

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "problems": list(self.problems), "passed": self.passed}


def judge(outcome: Outcome, limits: Limits) -> tuple[str, ...]:
    """What breaks the limits, one sentence each. Lost feedback always does."""
    problems = []
    if outcome.lost:
        problems.append(f"{outcome.lost:,} acknowledged feedback is not stored")
    if outcome.requests == 0:
        problems.append("no call was made")
    elif outcome.failed / outcome.requests > limits.failed:
        problems.append(
            f"{outcome.failed:,} of {outcome.requests:,} calls failed, more than {limits.failed:.0%} ({outcome.errors})"
        )
    if outcome.recovery_s > limits.recovery_s:
        problems.append(f"calls failed until {outcome.recovery_s:.1f} s after the fault, limit {limits.recovery_s:g} s")
    if outcome.healed_s is None:
        problems.append("the broken part did not come back")
    return tuple(problems)


def table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table, one line a drill."""
    lines = [
        "| fault | requests | failed | degraded | lost | recovery | back after | slowest call | verdict |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --- |",
    ]
    for one in outcomes:
        healed = "-" if one.healed_s is None else f"{one.healed_s:.1f} s"
        verdict = f"skipped: {one.skipped}" if one.skipped else "passed" if one.passed else "; ".join(one.problems)
        lines.append(
            f"| {one.name} | {one.requests:,} | {one.failed:,} | {one.degraded:,} | {one.lost:,} | "
            f"{one.recovery_s:.1f} s | {healed} | {one.slowest_s:.2f} s | {verdict} |"
        )
    return "\n".join(lines)

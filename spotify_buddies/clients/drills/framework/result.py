"""The result of a drill, its limits, and the table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from spotify_buddies.foundation.terminal.tables import table


@dataclass(frozen=True)
class Limits:
    """The worst that a drill accepts. failed: share of all calls, 0 to 1; recovery_s: seconds after the fault."""

    failed: float
    recovery_s: float


@dataclass(frozen=True)
class FaultCost:
    """Costs of one fault for its callers, beside calls that failed.

    degraded: answers with a step left out, or without personal playlists for a known user. acknowledged: feedback that
    was answered; lost: of it, what is not stored. recovery_s: from the fault to the end of the last call that failed, 0
    where none did. healed_s: from the fault until the broken part was there again, None where it never was. slowest_s:
    the slowest call. note: for people.
    """

    degraded: int = 0
    acknowledged: int = 0
    lost: int = 0
    recovery_s: float = 0.0
    healed_s: float | None = None
    slowest_s: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class DrillResult:
    """The result of a drill.

    requests, failed: calls and those that ended with an error, by status in `errors`. cost: of a drill that is one
    fault; figures: JSON values of any other, and lines: the same for people. problems: what breaks a limit, a sentence
    each. skipped: why the drill could not be run here.
    """

    name: str
    requests: int = 0
    failed: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    cost: FaultCost | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Nothing was found wrong. A drill that could not be run here has neither passed nor failed."""
        return not self.problems and not self.skipped

    @property
    def verdict(self) -> str:
        """For people: passed, why it was skipped, or the problems."""
        return f"skipped: {self.skipped}" if self.skipped else "passed" if self.passed else "; ".join(self.problems)

    def plain(self) -> dict[str, Any]:
        """As JSON values: the cost's fields for a fault, `figures` for any other drill."""
        own = {"figures": dict(self.figures)} if self.cost is None else asdict(self.cost)
        return {
            "name": self.name, "requests": self.requests, "failed": self.failed, "errors": dict(self.errors), **own,
            "problems": list(self.problems), "skipped": self.skipped, "passed": self.passed,
        }  # fmt: skip

    def details(self) -> str:
        """Its tables and its verdict."""
        counted = f"{self.requests:,} calls, {self.failed:,} failed"
        return "\n".join([f"{self.name}: {counted}", *self.lines, f"{self.name}: {self.verdict}"])


def judge(result: DrillResult, limits: Limits) -> tuple[str, ...]:
    """A sentence for each limit of one fault that is broken. Lost feedback always does."""
    problems, cost = [], result.cost or FaultCost()
    if cost.lost:
        problems.append(f"{cost.lost:,} acknowledged feedback is not stored")
    if result.requests == 0:
        problems.append("no call was made")
    elif result.failed / result.requests > limits.failed:
        problems.append(
            f"{result.failed:,} of {result.requests:,} calls failed, more than {limits.failed:.0%} "
            f"({dict(result.errors)})"
        )
    if cost.recovery_s > limits.recovery_s:
        problems.append(f"calls failed until {cost.recovery_s:.1f} s after the fault, limit {limits.recovery_s:g} s")
    if cost.healed_s is None:
        problems.append("the broken part did not come back")
    return tuple(problems)


def text(results: Sequence[DrillResult]) -> str:
    """One table with a line for each drill, and then the tables of those that have some."""
    headers = ("drill", "calls", "failed", "degraded", "lost", "recovery", "back after", "slowest call", "verdict")
    rows = [(one.name, f"{one.requests:,}", f"{one.failed:,}", *_cost(one.cost), one.verdict) for one in results]
    return "\n\n".join([table(headers, rows, right=range(1, 8)), *(one.details() for one in results if one.lines)])


def _cost(cost: FaultCost | None) -> tuple[str, ...]:
    if cost is None:
        return ("-",) * 5
    healed = "-" if cost.healed_s is None else f"{cost.healed_s:.1f} s"
    return (f"{cost.degraded:,}", f"{cost.lost:,}", f"{cost.recovery_s:.1f} s", healed, f"{cost.slowest_s:.2f} s")

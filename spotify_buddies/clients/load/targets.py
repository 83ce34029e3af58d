"""The figures that serving is judged by, measured one after the other: each with its target and what was reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from spotify_buddies.clients.load.mix import CallKind
from spotify_buddies.clients.load.plan import LoadPlan
from spotify_buddies.clients.load.rounds import Comparison, Result

SOAK_SHARE = 0.6


@dataclass(frozen=True)
class Row:
    """One figure. value: in the unit that `figure` names; None: could not be measured. least, most: the target."""

    work: str
    figure: str
    value: float | None
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where nothing was measured."""
        if self.value is None:
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    def to_json(self) -> dict[str, Any]:
        """Numbers for scripts, and target and value as people read them."""
        target = f">= {self.least:,g}" if self.least is not None else f"<= {self.most:,g}"
        reached = "not measured" if self.value is None else _number(self.value)
        value = None if self.value is None else round(self.value, 4)
        return {"work": self.work, "figure": self.figure, "value": value, "least": self.least, "most": self.most,
                "target": target, "reached": reached, "met": self.met}  # fmt: skip


@dataclass(frozen=True)
class TargetCase:
    """One kind of load. rows: the figures of its results; the comparison is None without a baseline."""

    name: str
    change: Callable[[LoadPlan], LoadPlan]
    rows: Callable[[Result, Comparison | None], list[Row]]
    feedback: bool = False


def cases() -> list[TargetCase]:
    """The loads of the table, in its order."""
    return [
        TargetCase("one user per call, 32 callers", _many, _many_rows),
        TargetCase("one caller", _single, _single_rows),
        TargetCase("1,000 users per call", _batch, _batch_rows),
        TargetCase("taste", lambda plan: replace(_single(plan), mix={CallKind.TASTE: 1.0}), _taste_rows),
        TargetCase(
            "feedback, 32 callers",
            lambda plan: replace(_many(plan), mix={CallKind.FEEDBACK: 1.0}),
            _feedback_rows,
            True,
        ),
    ]


def soak_plan(plan: LoadPlan, capacity: float, duration_s: float) -> LoadPlan:
    """Open loop at a share of the calls a second that a closed loop reached."""
    return replace(_many(plan), rate=SOAK_SHARE * capacity, callers=512, duration_s=duration_s)


def soak_rows(result: Result) -> list[Row]:
    """Errors, memory and the tail of a long run."""
    work = f"{result.plan.duration_s:,.0f} s at {SOAK_SHARE:.0%} of capacity"
    usage = result.usage
    before, p50, p99 = usage.rss_before_mib, result.latency_ms(50), result.latency_ms(99)
    grown = 100 * (usage.rss_after_mib - before) / before if before else None
    return [
        Row(work, "failed calls", float(result.record.errors.total()), most=0.0),
        Row(work, "RSS growth, %", grown, most=2.0),
        Row(work, "p99 / p50", p99 / p50 if p50 and p99 else None, most=4.0),
    ]


def _many(plan: LoadPlan) -> LoadPlan:
    return replace(plan, mix={CallKind.KNOWN: 1.0}, callers=32, users_per_call=1, rate=None)


def _single(plan: LoadPlan) -> LoadPlan:
    return replace(_many(plan), callers=1, connections=1, processes=1)


def _batch(plan: LoadPlan) -> LoadPlan:
    return replace(_many(plan), callers=4, users_per_call=1_000, timeout_s=max(plan.timeout_s, 30.0))


def _many_rows(result: Result, comparison: Comparison | None) -> list[Row]:
    del result
    work = "one user per call, 32 callers"
    return [
        Row(work, "calls/s, ratio to bare grpc.aio", comparison.calls_per_s if comparison else None, least=1.8),
        Row(work, "processor time a call, the same", comparison.cpu_per_call if comparison else None, most=0.7),
    ]


def _single_rows(result: Result, comparison: Comparison | None) -> list[Row]:
    del result
    return [Row("one caller", "p50, ratio to bare grpc.aio", comparison.p50 if comparison else None, most=0.9)]


def _batch_rows(result: Result, comparison: Comparison | None) -> list[Row]:
    del comparison
    return [Row("1,000 users per call", "users/s", result.users_per_s, least=180_000.0)]


def _taste_rows(result: Result, comparison: Comparison | None) -> list[Row]:
    ratio = comparison.calls_per_s if comparison else None
    return [
        Row("taste request", "calls/s, ratio to bare grpc.aio", ratio, least=0.9),
        Row("taste request", "p50, ms", result.latency_ms(50), most=6.0),
    ]


def _feedback_rows(result: Result, comparison: Comparison | None) -> list[Row]:
    work = "Feedback, committed, 32 callers"
    return [
        Row(work, "calls/s, ratio to bare grpc.aio", comparison.calls_per_s if comparison else None, least=1.2),
        Row(work, "calls/s", result.calls_per_s, least=1_500.0),
        Row(work, "p50, ms", result.latency_ms(50), most=20.0),
    ]


def _number(value: float) -> str:
    return f"{value:,.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3}f}"

"""Thresholds: limits that a canary must not exceed, compared with production at the same time.

Each compares bounds, not estimates: a gate breaks where the figure is clearly beyond its limit (Clopper and Pearson's
exact binomial bounds), so a few calls do where all of them fail, and chance does not where few do. Shares are of users,
since each user is in either arm with the same probability whatever the size of the call; the bounds count independent
calls, since the users of one call succeed or fail together (docs/adr/0014-gates-count-calls.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scipy.special import betaincinv

from spotify_buddies.serve_app.rollout.gates.latency import compare_sizes
from spotify_buddies.serve_app.rollout.gates.measures import ArmFigures, Measures, StepCounts, share
from spotify_buddies.serve_app.settings.gates import GateSettings

# Of each bound. They are looked at every second, for days: far beyond the customary 0.05.
UNSURE = 1e-4


class GateOutcome(StrEnum):
    """Result of a gate: go on; too little is known, or not yet as required; roll back; nothing can be compared."""

    PASSED = "passed"
    WAITING = "waiting"
    BROKEN = "broken"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Gate:
    """One gate at one look. canary, production: its figures, None where there are none. message: says them."""

    name: str
    outcome: GateOutcome
    message: str
    canary: float | None = None
    production: float | None = None


def lower(part: float, whole: float) -> float:
    """Lower bound of the probability behind a count, which may be fractional; 0 of nothing."""
    return float(betaincinv(part, whole - part + 1, UNSURE)) if part else 0.0


def upper(part: float, whole: float) -> float:
    """Upper bound of the probability behind a count, which may be fractional; 1 of nothing."""
    return float(betaincinv(part + 1, whole - part, 1 - UNSURE)) if part < whole else 1.0


def thresholds(measures: Measures, settings: GateSettings) -> tuple[Gate, ...]:
    """The gates of everything but likes, in the order shown."""
    canary, production = measures.canary, measures.production
    return (
        _errors("recent errors", canary.recent, production.recent, settings),
        _errors("errors", canary.step, production.step, settings),
        _latency(measures, settings),
        _rise("cold", canary.step.cold, production.step.cold, measures, settings.max_cold_rise),
        _rise("empty", canary.step.empty, production.step.empty, measures, settings.max_empty_rise),
        _coverage(canary, production, settings),
    )


def _errors(name: str, canary: StepCounts, production: StepCounts, settings: GateSettings) -> Gate:
    figures = share(canary.errors, canary.asked), share(production.errors, production.asked)
    calls = canary.asked_calls
    text = (
        f"the canary failed {canary.errors:,} of {canary.asked:,} users, who count as {calls:,.0f} calls; production "
        f"{_percent(figures[1])}"
    )
    if calls < settings.min_error_calls:
        # Of the recent ones there need not be so many: a canary of 1 % is asked seldom.
        outcome = GateOutcome.PASSED if name.startswith("recent") else GateOutcome.WAITING
        return Gate(name, outcome, f"{text}; needs at least {settings.min_error_calls} calls", *figures)
    least = _least(canary.errors, canary.asked, calls)
    if least > settings.max_error_rate:
        text += f": clearly more than {settings.max_error_rate:.2%}"
        return Gate(name, GateOutcome.BROKEN, text, *figures)
    most = _most(production.errors, production.asked, production.asked_calls)
    if least > most + settings.max_error_rise:
        text += f": clearly more than {settings.max_error_rise:.2%} above production's"
        return Gate(name, GateOutcome.BROKEN, text, *figures)
    return Gate(name, GateOutcome.PASSED, text, *figures)


def _latency(measures: Measures, settings: GateSettings) -> Gate:
    seen = compare_sizes(
        measures.canary.step.latencies, measures.production.step.latencies, measures.edges_ms, settings.min_answers
    )
    if seen.canary_ms is None or seen.production_ms is None:
        text = "no latencies of both arms for calls of like sizes yet"
        return Gate("p99", _unlike(measures, seen.calls, settings), text, seen.canary_ms, seen.production_ms)
    figures = seen.canary_ms, seen.production_ms
    limit_ms = seen.production_ms * settings.max_p99_ratio + settings.p99_slack_ms
    text = (
        f"p99 {seen.canary_ms:.1f} ms, production's {seen.production_ms:.1f} ms for calls of the same sizes; limit "
        f"{limit_ms:.1f} ms"
    )
    if seen.comparable < settings.min_answers:
        text += f"; needs at least {settings.min_answers:,} calls of both"
        return Gate("p99", _unlike(measures, seen.calls, settings), text, *figures)
    late = seen.slower(limit_ms)
    if lower(late, seen.comparable) > 0.01:
        text += f"; {late:,} of {seen.comparable:,} calls took longer"
        return Gate("p99", GateOutcome.BROKEN, text, *figures)
    return Gate("p99", GateOutcome.PASSED, text, *figures)


def _unlike(measures: Measures, calls: int, settings: GateSettings) -> GateOutcome:
    """The outcome without enough calls of like sizes.

    A canary with more than half of the users gets the larger part of each call, and production may never have as large
    ones: it passes, since the steps before were compared. Below that it is a matter of time.
    """
    larger = measures.canary.step.answers > measures.production.step.answers
    return GateOutcome.PASSED if larger and calls >= settings.min_answers else GateOutcome.WAITING


def _rise(name: str, mine: int, theirs: int, measures: Measures, most: float) -> Gate:
    """A share of the answered users that may be above production's by `most`."""
    canary, production = measures.canary.step, measures.production.step
    figures = share(mine, canary.answers), share(theirs, production.answers)
    text = f"{_percent(figures[0])} of the canary's answers, {_percent(figures[1])} of production's"
    text += f"; at most {most:.1%} more"
    limit = _most(theirs, production.answers, production.answered_calls) + most
    broken = _least(mine, canary.answers, canary.answered_calls) > limit
    outcome = GateOutcome.BROKEN if broken else GateOutcome.PASSED if canary.answers else GateOutcome.WAITING
    return Gate(name, outcome, text, *figures)


def _least(part: int, users: int, calls: float) -> float:
    """Lower bound of the probability behind a share of users who are worth so many independent calls."""
    return lower(part / users * calls, calls) if users else 0.0


def _most(part: int, users: int, calls: float) -> float:
    """Upper bound of it."""
    return upper(part / users * calls, calls) if users else 1.0


def _coverage(canary: ArmFigures, production: ArmFigures, settings: GateSettings) -> Gate:
    """Distinct playlists. More answers bring more of them, by less and less: with a part q of production's answers an
    equal canary has at least a part q of its playlists, so that is required of it, less the allowance.
    """
    if canary.coverage is None or production.coverage is None or not canary.step.answers:
        return Gate("coverage", GateOutcome.WAITING, "not counted yet")
    figures = float(canary.coverage), float(production.coverage)
    part = min(1.0, canary.step.answers / max(1, production.step.answers))
    required = (1 - settings.max_coverage_drop) * part * production.coverage
    text = (
        f"{canary.coverage:,} playlists in {canary.step.answers:,} answers, production's {production.coverage:,} in "
        f"{production.step.answers:,}; at least {required:,.0f}"
    )
    if canary.step.answers < settings.min_answers:
        return Gate(
            "coverage", GateOutcome.WAITING, f"{text}; needs at least {settings.min_answers:,} answers", *figures
        )
    outcome = GateOutcome.BROKEN if canary.coverage < required else GateOutcome.PASSED
    return Gate("coverage", outcome, text, *figures)


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.2%}"

"""Thresholds: what a canary must not do, compared with production at the same time.

Each compares bounds, not estimates: a gate breaks where the figure is surely beyond its limit (Clopper and Pearson's
exact binomial bounds), so a few calls do where all of them fail, and chance does not where few do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scipy.special import betaincinv

from spotify_buddies.serve_app.rollout.gates.measures import (
    ArmFigures,
    Measures,
    StepCounts,
    quantile_ms,
    share,
    slower,
)
from spotify_buddies.serve_app.settings.gates import GateSettings

# Of each bound. They are looked at every second, for days: far beyond the customary 0.05.
UNSURE = 1e-4


class GateOutcome(StrEnum):
    """What a gate says: go on; not enough is known, or not yet as asked; go back."""

    PASSED = "passed"
    WAITING = "waiting"
    BROKEN = "broken"


@dataclass(frozen=True)
class Gate:
    """One gate at one look. canary, production: its figures, None where there are none. message: says them."""

    name: str
    outcome: GateOutcome
    message: str
    canary: float | None = None
    production: float | None = None


def lower(part: int, whole: int) -> float:
    """Lower bound of the probability behind a count; 0 of nothing."""
    return float(betaincinv(part, whole - part + 1, UNSURE)) if part else 0.0


def upper(part: int, whole: int) -> float:
    """Upper bound of the probability behind a count; 1 of nothing."""
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
    figures = share(canary.errors, canary.calls), share(production.errors, production.calls)
    text = f"{canary.errors:,} of {canary.calls:,} calls of the canary failed, {_percent(figures[1])} of production's"
    if canary.calls < settings.min_error_calls:
        # Of the recent ones there need not be so many: a canary of 1 % is asked seldom.
        outcome = GateOutcome.PASSED if name.startswith("recent") else GateOutcome.WAITING
        return Gate(name, outcome, f"{text}; judged from {settings.min_error_calls} on", *figures)
    least = lower(canary.errors, canary.calls)
    if least > settings.max_error_rate:
        text += f": surely more than {settings.max_error_rate:.2%}"
        return Gate(name, GateOutcome.BROKEN, text, *figures)
    if least > upper(production.errors, production.calls) + settings.max_error_rise:
        text += f": surely {settings.max_error_rise:.2%} more than there"
        return Gate(name, GateOutcome.BROKEN, text, *figures)
    return Gate(name, GateOutcome.PASSED, text, *figures)


def _latency(measures: Measures, settings: GateSettings) -> Gate:
    canary, production = measures.canary.step.latencies, measures.production.step.latencies
    edges_ms = measures.edges_ms
    mine, theirs = quantile_ms(canary, edges_ms, 0.99), quantile_ms(production, edges_ms, 0.99)
    if mine is None or theirs is None:
        return Gate("p99", GateOutcome.WAITING, "no latencies of both arms yet", mine, theirs)
    limit_ms = theirs * settings.max_p99_ratio + settings.p99_slack_ms
    text = f"p99 {mine:.1f} ms, production's {theirs:.1f} ms; limit {limit_ms:.1f} ms"
    calls = sum(canary)
    if sum(production) < settings.min_answers or calls < settings.min_answers:
        return Gate(
            "p99", GateOutcome.WAITING, f"{text}; judged from {settings.min_answers:,} calls of both on", mine, theirs
        )
    late = slower(canary, edges_ms, limit_ms)
    if lower(late, calls) > 0.01:
        return Gate("p99", GateOutcome.BROKEN, f"{text}; {late:,} of {calls:,} calls took longer", mine, theirs)
    return Gate("p99", GateOutcome.PASSED, text, mine, theirs)


def _rise(name: str, mine: int, theirs: int, measures: Measures, most: float) -> Gate:
    """A share of the answers that may be above production's by `most`."""
    answers, others = measures.canary.step.answers, measures.production.step.answers
    figures = share(mine, answers), share(theirs, others)
    text = f"{_percent(figures[0])} of the canary's answers, {_percent(figures[1])} of production's"
    text += f"; at most {most:.1%} more"
    broken = lower(mine, answers) > upper(theirs, others) + most
    outcome = GateOutcome.BROKEN if broken else GateOutcome.PASSED if answers else GateOutcome.WAITING
    return Gate(name, outcome, text, *figures)


def _coverage(canary: ArmFigures, production: ArmFigures, settings: GateSettings) -> Gate:
    """Distinct playlists. More answers bring more of them, by less and less: with a part q of production's answers an
    equal canary has at least a part q of its playlists, so that is asked of it, less the allowance.
    """
    if canary.coverage is None or production.coverage is None or not canary.step.answers:
        return Gate("coverage", GateOutcome.WAITING, "not counted yet")
    figures = float(canary.coverage), float(production.coverage)
    part = min(1.0, canary.step.answers / max(1, production.step.answers))
    asked = (1 - settings.max_coverage_drop) * part * production.coverage
    text = (
        f"{canary.coverage:,} playlists in {canary.step.answers:,} answers, production's {production.coverage:,} in "
        f"{production.step.answers:,}; at least {asked:,.0f}"
    )
    if canary.step.answers < settings.min_answers:
        return Gate(
            "coverage", GateOutcome.WAITING, f"{text}; judged from {settings.min_answers:,} answers on", *figures
        )
    outcome = GateOutcome.BROKEN if canary.coverage < asked else GateOutcome.PASSED
    return Gate("coverage", outcome, text, *figures)


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.2%}"

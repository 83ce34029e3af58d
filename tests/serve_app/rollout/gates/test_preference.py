"""The gate of drafted lists: preferences by hand, and what they decide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from spotify_buddies.serve_app.rollout.gates.likes import preference_gate
from spotify_buddies.serve_app.rollout.gates.limits import GateOutcome
from spotify_buddies.serve_app.rollout.gates.measures import ArmFigures, Measures, StepCounts
from spotify_buddies.serve_app.rollout.gates.preference import Credits, estimate, preference_of
from spotify_buddies.serve_app.rollout.gates.sequential import radius
from spotify_buddies.serve_app.rollout.gates.verdict import Position, VerdictKind, decide
from spotify_buddies.serve_app.settings.gates import GateSettings

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SETTINGS = GateSettings(min_step_s=0, min_answers=1, min_error_calls=1)


def credits_of(likes: list[tuple[int, int]]) -> Credits:
    """Of listeners with so many likes of the canary's and of production's picks."""
    values = [(c - p) / (c + p) for c, p in likes]
    mine, theirs = (sum(pair[k] for pair in likes) for k in (0, 1))
    return Credits(len(likes), sum(values), sum(value**2 for value in values), mine, theirs)


def test_the_preference_is_the_mean_over_listeners_and_its_variance_that_of_the_mean() -> None:
    # Preferences 1, -1, 1/3, 0: one listener's many likes count as one opinion.
    likes = [(1, 0), (0, 50), (2, 1), (4, 4)]
    seen = estimate(credits_of(likes), effect=0.2, alpha=0.05)
    values = np.array([1, -1, 1 / 3, 0, 1, -1])  # and the two made-up ones
    variance = ((values**2).mean() - values.mean() ** 2) / (len(values) - 1)
    reach = float(radius(variance, 0.2 / 1.8, 0.05))
    assert seen.mean == pytest.approx(1 / 12)
    assert (seen.low, seen.high) == pytest.approx((1 / 12 - reach, 1 / 12 + reach))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_a_lower_like_rate_is_the_preference_of_its_proportion(share: float) -> None:
    mine, theirs = 1 - share, 1.0
    assert -preference_of(share) == pytest.approx((mine - theirs) / (mine + theirs))


@pytest.mark.parametrize(
    ("likes", "outcome", "says"),
    [
        ([(1, 0)] * 99, GateOutcome.WAITING, "needs at least 100 listeners"),
        ([(1, 2)] * 400 + [(2, 1)] * 100, GateOutcome.BROKEN, "worse, p"),
        ([(2, 1)] * 400 + [(1, 2)] * 100, GateOutcome.PASSED, "better"),
        ([(2, 1), (1, 2)] * 1_000, GateOutcome.PASSED, "not worse by 0.0526"),
        ([(1, 0), (0, 1)] * 60, GateOutcome.WAITING, "not yet clearly above -0.0526"),
    ],
)
def test_the_gate_breaks_passes_or_waits(likes: list[tuple[int, int]], outcome: GateOutcome, says: str) -> None:
    gate = preference_gate(credits_of(likes), SETTINGS)
    assert (gate.name, gate.outcome) == ("preference", outcome)
    assert says in gate.message
    mine, theirs = (sum(pair[k] for pair in likes) for k in (0, 1))
    assert f"{mine:,} likes of playlists that the canary picked, {theirs:,} of production's" in gate.message


def verdict(credited: Credits, *, canary: StepCounts | None = None, **given: Any) -> Any:
    arm = ArmFigures(canary or StepCounts(2_000, 0, 0, 0, (2_000, 0)), StepCounts(2_000), 50)
    measures = Measures(arm, ArmFigures(StepCounts(2_000, latencies=(2_000, 0)), StepCounts(2_000), 50), (10.0,))
    position = Position(0.05, NOW - timedelta(hours=3), NOW - timedelta(hours=3), interleave=True)
    return decide(Measures(arm, measures.production, (10.0,), credited=credited), position, SETTINGS, NOW)


def test_an_interleaved_canary_is_promoted_from_its_only_step_or_rolled_back() -> None:
    better, worse = [(2, 1)] * 400 + [(1, 2)] * 100, [(1, 2)] * 400 + [(2, 1)] * 100
    promoted = verdict(credits_of(better))
    assert (promoted.kind, promoted.next_share) == (VerdictKind.PROMOTE, 1.0)
    assert "preference" in promoted.reason
    assert verdict(credits_of(worse)).kind is VerdictKind.ROLL_BACK
    assert verdict(credits_of([(1, 0), (0, 1)] * 60)).kind is VerdictKind.HOLD


def test_a_failing_canary_is_rolled_back_however_well_its_playlists_are_liked() -> None:
    better = credits_of([(2, 1)] * 400 + [(1, 2)] * 100)
    failing = verdict(better, canary=StepCounts(1_000, 1_000, 0, 0, (1_000, 0)))
    assert failing.kind is VerdictKind.ROLL_BACK
    assert failing.reason.startswith("errors: the canary failed 1,000 of 2,000 users")

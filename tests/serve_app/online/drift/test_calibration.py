"""Alarms of quiet quarters, and of waves and slow drift, on simulated days; thresholds by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spotify_buddies.serve_app.online.drift.calibration import (
    psi_rise,
    psi_threshold,
    risk_of_a_test,
    spread_of_days,
    variance_of,
)
from spotify_buddies.serve_app.online.drift.distances import shares
from spotify_buddies.serve_app.online.drift.judge import chart, compare, risk_of, sides
from spotify_buddies.serve_app.online.drift.signals import BAD_DIRECTION, COMPARED, TESTS, Against, Signal
from spotify_buddies.serve_app.settings.drift import DriftSettings
from tests.serve_app.online.drift.quiet import quiet_days

Array = npt.NDArray[Any]

SETTINGS = DriftSettings()
WINDOW, SPAN = 7, SETTINGS.history_days + 7
QUARTER, QUARTERS = 90, 200
RISK = risk_of_a_test(SETTINGS.alarms_per_quarter, TESTS)
# Shares of the bins of each signal, the first that of what is judged where one direction is bad.
SHARES = {
    Signal.COLD_USERS: [0.2, 0.8],
    Signal.SOURCES: [0.6, 0.2, 0.1, 0.07, 0.03],
    Signal.LIBRARY_SIZES: [0.1] * 10,
    Signal.GENRES_ASKED: [0.5, 0.2, 0.1, 0.1, 0.05, 0.05],
    Signal.GENRES_SHOWN: [0.2, 0.15, 0.15, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05],
    Signal.SCORES: [0.05, 0.06, 0.08, 0.1, 0.1, 0.11, 0.12, 0.13, 0.13, 0.12],
    Signal.SKIPPED_STEPS: [0.01, 0.99],
    Signal.UNKNOWN_SONGS: [0.05, 0.95],
    Signal.LIKE_RATE: [0.15, 0.85],
    Signal.FEEDBACK_VOLUME: [0.15, 0.85],
}


def alarms(signal: Signal, days: Array, against: Against) -> Array:
    """Whether the last of the days (repetitions, days, bins) raises the alarm, bool (repetitions,)."""
    risk = risk_of(signal, SETTINGS)
    if signal is Signal.FEEDBACK_VOLUME:
        value, limit = chart(days.sum(axis=-1), WINDOW, against, risk)
        return np.abs(value) > limit
    parts = sides(days, WINDOW, against)
    # As far from training as the people who ask are from all people.
    reference = 1e6 * np.array(SHARES[signal])[::-1] if against is Against.TRAINING else None
    value, limit = compare(parts, risk, spread_of_days(parts.history), reference)
    raised = value > np.maximum(limit, SETTINGS.least_psi)
    if direction := BAD_DIRECTION.get(signal):
        now, before = (shares(side.sum(axis=-2))[..., 0] for side in (parts.window, parts.base))
        raised &= direction * (now - before) > 0
    return raised


@pytest.mark.parametrize("correlation", [0.0, 0.001, 0.004])
def test_quiet_quarters_raise_at_most_one_alarm_on_average(correlation: float) -> None:
    rng = np.random.default_rng(15)
    raised = np.zeros(QUARTERS)
    for signal, bins in SHARES.items():
        days = quiet_days(bins, (QUARTERS, SPAN + QUARTER - 1), rng, correlation=correlation)
        for end in range(SPAN, SPAN + QUARTER):
            for against in COMPARED[signal]:
                raised += alarms(signal, days[:, end - SPAN : end], against)
    assert raised.mean() <= 1.0


def songs_of_tastes(unknown: float, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Unknown and known songs of 300 tastes of 20 a day, int64 (repetitions, days, 2); few tastes have most unknown.

    The share of a taste is of a beta distribution with a correlation of 0.2 within it; that of a day wanders besides.
    """
    mean = np.clip(rng.normal(unknown, 0.1 * unknown, shape), 0.001, 0.9)[..., None]
    of_taste = rng.beta(4 * mean, 4 * (1 - mean), (*shape, 300))
    found = rng.binomial(20, of_taste).sum(axis=-1)
    return np.stack([found, 300 * 20 - found], axis=-1)


def test_songs_of_one_taste_that_are_unknown_together_raise_no_more_alarms_and_a_wave_is_found() -> None:
    rng = np.random.default_rng(21)
    days = songs_of_tastes(0.05, (60, SPAN + QUARTER - 1), rng)
    raised = np.zeros(60)
    for end in range(SPAN, SPAN + QUARTER):
        for against in COMPARED[Signal.UNKNOWN_SONGS]:
            raised += alarms(Signal.UNKNOWN_SONGS, days[:, end - SPAN : end], against)
    # Its share of all alarms: 2 comparisons of TESTS.
    assert raised.mean() <= 4 * SETTINGS.alarms_per_quarter * 2 / TESTS
    days[:, SPAN - 1] = songs_of_tastes(0.15, (60, 1), rng)[:, 0]
    assert alarms(Signal.UNKNOWN_SONGS, days[:, :SPAN], Against.DAY).mean() >= 0.9


def test_a_wave_of_cold_users_raises_the_alarm_within_its_first_day() -> None:
    rng = np.random.default_rng(16)
    days = quiet_days([0.2, 0.8], (500, SPAN), rng)
    days[:, -1:] = quiet_days([0.4, 0.6], (500, 1), rng, weekend=0.0)
    assert alarms(Signal.COLD_USERS, days, Against.DAY).mean() >= 0.99


def test_half_a_day_of_the_wave_is_often_enough() -> None:
    rng = np.random.default_rng(17)
    days = quiet_days([0.2, 0.8], (500, SPAN), rng)
    days[:, -1:] = quiet_days([0.3, 0.7], (500, 1), rng, weekend=0.0)
    assert alarms(Signal.COLD_USERS, days, Against.DAY).mean() >= 0.4


def test_a_slow_drift_of_two_points_a_day_raises_the_alarm_within_the_week() -> None:
    rng = np.random.default_rng(18)
    days = quiet_days([0.2, 0.8], (500, SPAN), rng)
    for day in range(1, 8):
        share = 0.2 + 0.02 * day
        days[:, SPAN - 8 + day, :] = quiet_days([share, 1 - share], (500, 1), rng, weekend=0.0)[:, 0]
    found = alarms(Signal.COLD_USERS, days, Against.DAY) | alarms(Signal.COLD_USERS, days, Against.WEEK)
    assert found.mean() >= 0.99


def test_a_half_of_the_feedback_lost_is_noticed_on_that_day() -> None:
    rng = np.random.default_rng(19)
    days = quiet_days([0.15, 0.85], (500, SPAN), rng)
    days[:, -1] //= 2
    assert alarms(Signal.FEEDBACK_VOLUME, days, Against.DAY).mean() >= 0.9


def test_going_away_from_training_is_an_alarm_and_coming_nearer_is_none() -> None:
    rng = np.random.default_rng(20)
    reference = 1e6 * np.array([0.5, 0.3, 0.2])
    near, far = (quiet_days(bins, (200, 7), rng, weekend=0.0) for bins in ([0.45, 0.3, 0.25], [0.25, 0.3, 0.45]))
    spread = spread_of_days(quiet_days([0.45, 0.3, 0.25], (200, 28), rng, weekend=0.0))
    rise, limit = psi_rise(far, near, reference, spread, RISK)
    assert (rise > limit).mean() >= 0.99
    fall, limit = psi_rise(near, far, reference, spread, RISK)
    assert not (fall > limit).any()


def test_the_spread_of_two_days_is_calculated_by_hand() -> None:
    # 30 and 50 of 100: 40 expected of each, (10^2/40 + 10^2/60) * 2 = 8.333 with one degree; of independent draws 1.
    # The correlation makes it 1 + 99 r, r = 7.333 / 99.
    spread = spread_of_days(np.array([[30, 70], [50, 50]]))
    assert (float(spread.freedom), float(spread.correlation)) == (1.0, pytest.approx((25 / 3 - 1) / 99))
    # 200 entries of two days of 100: effect 1 + r * 99 = 25 / 3.
    assert float(variance_of(np.array([100, 100]), spread)) == pytest.approx(25 / 3 / 200)


def test_the_threshold_grows_with_bins_and_falls_with_entries() -> None:
    history = np.tile([250, 250, 250, 250], (28, 1))
    spread = spread_of_days(history)
    few, many = (psi_threshold(size * history[:7], size * history[7:14], spread, 0.001) for size in (1, 10))
    assert float(few) == pytest.approx(10 * float(many))
    pairs = np.tile([500, 500], (28, 1))
    assert float(psi_threshold(pairs[:7], pairs[7:14], spread_of_days(pairs), 0.001)) < float(few)


@pytest.mark.parametrize("history", [np.zeros((0, 3)), np.zeros((28, 3)), np.ones((1, 3))])
def test_without_days_to_learn_from_there_is_no_threshold(history: Array) -> None:
    days = np.full((7, 3), 100)
    assert np.isinf(psi_threshold(days, days, spread_of_days(history), 0.001))


def test_a_risk_is_the_budget_spread_over_tests_and_days() -> None:
    assert risk_of_a_test(0.9, 10, 2.0) == pytest.approx(0.0005)

"""Intervals over listeners, CUPED and exposure: numbers worked by hand, and coverage by simulation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from spotify_buddies.serve_app.online.evaluation.cuped import adjust
from spotify_buddies.serve_app.online.evaluation.estimates import difference, estimate, mean, ratio, summed
from spotify_buddies.serve_app.online.evaluation.exposure import deciles, gini, novelty_bits
from spotify_buddies.serve_app.online.evaluation.outliers import modified_z, outliers
from spotify_buddies.serve_app.online.evaluation.window import BadTime, Window, moment

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
# Of Student's t with one degree of freedom, which is Cauchy's distribution: tan(0.475 pi).
T1 = 12.7062047


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def test_a_ratio_of_two_listeners_by_hand() -> None:
    # 1 of 1 and 1 of 3: R = 1/2; (y - R n) / 4 = 1/8 and -1/8, times sqrt(2): the variance is 2 * 2/64 = 1/16.
    found = estimate(ratio(ints(1, 2), ints(1, 1), ints(1, 3)))
    assert (found.value, found.listeners) == (0.5, 2)
    assert (found.low, found.high) == (pytest.approx(0.5 - T1 / 4), pytest.approx(0.5 + T1 / 4))


def test_the_mean_of_listeners_is_another_figure_than_the_ratio() -> None:
    found = estimate(mean(ints(1, 2), np.array([1, 1 / 3])))
    assert found.value == pytest.approx(2 / 3)
    # the standard error of two values is half their distance
    assert found.high == pytest.approx(2 / 3 + T1 / 3)


def test_one_listener_and_listeners_who_are_alike_have_no_interval() -> None:
    for alone in (ratio(ints(1), ints(3), ints(4)), ratio(ints(1, 2), ints(3, 3), ints(4, 4))):
        found = estimate(alone)
        assert (found.value, found.low, found.high) == (0.75, None, None)
    with pytest.raises(ValueError, match="ratio of nothing"):
        ratio(ints(), ints(), ints())


def test_a_difference_has_the_sum_of_variances_and_of_shared_listeners_what_is_left() -> None:
    left, right = mean(ints(1, 2), np.array([0.8, 0.4])), mean(ints(3, 4), np.array([0.5, 0.1]))
    apart = difference(left, right)
    assert (apart.value, apart.listeners) == (pytest.approx(0.3), 4)
    # both variances are 0.04; Welch gives 0.08^2 / (2 * 0.04^2) = 2 degrees of freedom, where t is 4.30265
    assert apart.high == pytest.approx(0.3 + 4.30265 * 0.08**0.5, abs=1e-5)
    # the same listeners in the same order: each differs by 0.3, and nothing varies
    same = difference(left, mean(ints(1, 2), np.array([0.5, 0.1])))
    assert (same.value, same.listeners) == (pytest.approx(0.3), 2)
    assert same.low is None or same.high - same.low < 1e-6
    assert difference(left, mean(ints(9), np.array([0.5]))).low is None


def test_intervals_hold_the_truth_where_listeners_react_many_times() -> None:
    """95 % of 400: by binomial bounds (0.001 a side) 364 to 394."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        rates = rng.beta(2, 2, 200)
        many = rng.integers(1, 30, 200)
        found = estimate(ratio(np.arange(200), rng.binomial(many, rates), many))
        held += found.low is not None and found.high is not None and found.low <= 0.5 <= found.high
    assert 364 <= held <= 394


def test_cuped_by_hand() -> None:
    # One arm, y = 0 and 1, x = 0.2 and 0.6: theta = 0.2 / 0.08 = 2.5, and the past explains everything.
    (whole,) = adjust([ints(1, 2, 3)], [np.array([0, 1, 0.5])], [np.array([0.2, 0.6, np.nan])]) or []
    assert (whole.spread.value, whole.reduction, whole.with_past) == (pytest.approx(0.5), pytest.approx(1), 2)
    # Four listeners: deviations of y are -.5 .5 -.5 .5, of x -.1 .1 .1 -.1: nothing in common, nothing gained.
    past = np.array([0.2, 0.4, 0.4, 0.2])
    (none,) = adjust([ints(1, 2, 3, 4)], [np.array([0.0, 1, 0, 1])], [past]) or []
    assert (none.spread.value, none.reduction) == (pytest.approx(0.5), pytest.approx(0, abs=1e-12))


def test_cuped_takes_out_what_was_different_before() -> None:
    # y = x + 0.1 in the second arm, whose listeners liked 0.2 more before.
    values = [np.array([0.2, 0.4]), np.array([0.5, 0.7])]
    left, right = adjust([ints(1, 2), ints(3, 4)], values, [np.array([0.2, 0.4]), np.array([0.4, 0.6])]) or []
    assert right.spread.value - left.spread.value == pytest.approx(0.1)


@pytest.mark.parametrize("past", [[np.nan, np.nan], [0.3, 0.3], [0.3, np.nan]])
def test_cuped_says_when_the_past_tells_nothing(past: list[float]) -> None:
    assert adjust([ints(1, 2)], [np.array([0.0, 1])], [np.array(past)]) is None
    assert adjust([], [], []) is None


def test_exposure_by_hand() -> None:
    assert gini(ints(5, 5, 5)) == pytest.approx(0)
    # of 1 and 3: half of the holders hold a quarter
    assert gini(ints(3, 1)) == pytest.approx(0.25)
    assert np.isnan(gini(ints()))
    # a half of impressions at 1 bit, and two quarters at 2 bits
    assert novelty_bits(ints(2, 1, 1), np.array([0.5, 0.25, 0.25])) == 1.5
    assert np.isnan(novelty_bits(ints(), np.array([])))
    assert list(deciles(np.arange(20)[::-1])) == [10, 10, 9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert (list(deciles(ints())), list(deciles(ints(4)))) == ([], [1])


def test_modified_z_scores_by_hand() -> None:
    # Median 3, absolute deviations 2, 1, 0, 1, 97, their median 1.
    assert modified_z(np.array([1.0, 2, 3, 4, 100])).tolist() == pytest.approx(
        [-2 / 1.4826, -1 / 1.4826, 0, 1 / 1.4826, 97 / 1.4826]
    )
    # Most alike: median deviation 0, mean deviation 1.
    assert modified_z(np.array([5.0, 5, 5, 9])).tolist() == pytest.approx([0, 0, 0, 4 / 1.2533])
    assert modified_z(np.array([7.0, 7])).tolist() == [0, 0]


def test_only_who_reacts_often_and_unlike_the_others_is_an_outlier() -> None:
    rng = np.random.default_rng(6)
    reactions = np.r_[rng.integers(5, 60, 40), 600, 600, 30].astype(float)
    # A busy listener likes as the others do, a bot everything, and one of few reactions everything too.
    likes = np.r_[np.round(reactions[:40] * rng.uniform(0.05, 0.25, 40)), 90, 600, 30]
    listeners = np.arange(43)
    assert np.flatnonzero(outliers(listeners, likes, reactions)).tolist() == [41]
    # In two arms a listener is one.
    halves = outliers(np.tile(listeners, 2), np.tile(likes / 2, 2), np.tile(reactions / 2, 2))
    assert np.flatnonzero(halves).tolist() == [41, 84]
    assert not outliers(listeners[-19:], likes[-19:], reactions[-19:]).any()


def test_sums_by_listener() -> None:
    keys, ones = summed(ints(7, 3, 7), ints(1, 2, 4))
    assert (list(keys), list(ones)) == ([3, 7], [2, 5])


def test_times_are_spans_or_moments() -> None:
    assert moment("7d", NOW) == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert moment("90m", NOW) == datetime(2026, 3, 8, 10, 30, tzinfo=UTC)
    assert moment("2026-03-01", NOW) == datetime(2026, 3, 1, tzinfo=UTC)
    assert moment("2026-03-01T02:00+02:00", NOW) == datetime(2026, 3, 1, tzinfo=UTC)
    for bad in ("", "0d", "7", "d", "yesterday", "-1d", "2026-13-01"):
        with pytest.raises(BadTime):
            moment(bad, NOW)
    with pytest.raises(BadTime, match="the window is empty"):
        Window(NOW, NOW, NOW)

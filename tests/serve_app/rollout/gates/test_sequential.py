"""The like-rate test: its numbers by hand, and how often it is wrong or right on simulated users who come back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spotify_buddies.serve_app.rollout.gates.sequential import (
    Comparison,
    LikeRates,
    Likes,
    Returned,
    StepLikes,
    compare,
    evidence,
    mean_variance,
    radius,
)
from tests.benchmarks.like_gate import World, simulate


def test_without_a_difference_there_is_evidence_for_none() -> None:
    # d = 0: L = 2 * Phi(0) * sqrt(V / (V + tau^2)) = sqrt(1 / 2) where V is tau^2.
    assert evidence(0.0, 0.01, 0.1) == pytest.approx(math.log(0.5) / 2)


def test_evidence_is_the_likelihood_ratio_averaged_over_worse_differences() -> None:
    difference, variance, tau = -0.05, 0.0004, 0.04
    worse = -(np.arange(200_000) + 0.5) * 1e-6 * 2  # 0 down to -0.4, ten tau
    prior = 2 * np.exp(-(worse**2) / (2 * tau**2)) / math.sqrt(2 * math.pi * tau**2)
    ratio = np.exp((difference * worse - worse**2 / 2) / variance)
    mixed = float((prior * ratio).sum() * 2e-6)
    assert evidence(difference, variance, tau) == pytest.approx(math.log(mixed), abs=1e-4)


def test_the_radius_is_where_the_evidence_reaches_its_level() -> None:
    variance = np.array([1e-8, 1e-4, 1e-2, 0.1])
    for alpha in (0.05, 0.4):
        assert evidence(-radius(variance, 0.03, alpha), variance, 0.03) == pytest.approx(-math.log(alpha))


def compared(*steps: tuple[Likes, Likes], returned: tuple[Returned, ...] = ()) -> Comparison:
    rates = LikeRates(tuple(StepLikes(*step) for step in steps), returned, 1_000, 1_000)
    return compare(rates, effect=0.2, alpha=0.05)


def likes(users: int, rate: float) -> Likes:
    """Users who like all or nothing."""
    return Likes(users, users * rate, users * rate, 5 * users)


def test_a_user_counts_once_in_a_step_however_much_they_react() -> None:
    one, many = Likes(100, 20.0, 8.0, 100), Likes(100, 20.0, 8.0, 90_000)
    assert compared((one, one)) == compared((many, many))


def test_rates_that_fall_while_the_share_grows_make_an_equal_canary_no_worse() -> None:
    # 5 % of 60,000 users at 0.22, then 25 % at 0.18: together 0.1867 of 18,000 and 0.2024 of 102,000.
    seen = compared((likes(3_000, 0.22), likes(57_000, 0.22)), (likes(15_000, 0.18), likes(45_000, 0.18)))
    assert seen.difference == pytest.approx(0, abs=1e-12)
    assert seen.worse_p == 1
    assert compared((likes(18_000, 0.18 * 5 / 6 + 0.22 / 6), likes(102_000, (0.22 * 19 + 0.18 * 15) / 34))).high < 0


def test_each_step_counts_by_the_information_of_its_users_and_an_arm_without_any_by_nothing() -> None:
    # 100 * 300 / 400 = 75 and 150 * 50 / 200 = 37.5: weights 2/3 and 1/3; the last step has no canary.
    steps = ((likes(100, 0.3), likes(300, 0.2)), (likes(150, 0.1), likes(50, 0.4)), (Likes(), likes(900, 0.9)))
    seen = compared(*steps)
    assert seen.difference == pytest.approx(0.1 * 2 / 3 - 0.3 / 3)
    assert (seen.canary, seen.production) == pytest.approx((0.7 / 3, 0.8 / 3))


def test_the_same_users_in_two_steps_are_no_more_certain_than_in_one() -> None:
    step = likes(1_000, 0.2), likes(1_000, 0.2)
    once, others = compared(step), compared(step, step)
    # Users who come back with the same rates: 200 of 1,000 like all in both steps.
    same = compared(
        step, step, returned=tuple(Returned(arm, 0, 1, 1_000, 200.0, 200.0, 200.0) for arm in (True, False))
    )
    assert others.high < once.high
    assert same.high == pytest.approx(once.high, rel=2e-3)


def test_users_who_all_agree_still_leave_some_doubt() -> None:
    # (0 + 1) / (98 + 2) = 0.01; (0 + 1) / 100 - 0.01^2 = 0.0099; / 99 = 0.0001
    assert mean_variance(98, 0, 0) == pytest.approx(0.0001)


def test_an_arm_without_reactions_is_not_compared() -> None:
    for steps in ((), ((Likes(), Likes(10, 5.0, 3.0, 10)),)):
        seen = compared(*steps)
        assert (seen.low, seen.high, seen.worse_p) == (-math.inf, math.inf, 1.0)


def test_an_equal_canary_is_called_worse_in_at_most_5_of_100_however_often_it_is_looked_at() -> None:
    decided = simulate(World(users=1_000, looks=60), 1_000, seed=11)
    assert np.mean(decided.worse >= 0) <= 0.05
    # A test that is meant for one look fails here, so the simulation can tell.
    assert np.mean(decided.naive >= 0) > 0.10


def test_a_canary_at_a_tenth_of_the_users_is_not_called_worse_more_often() -> None:
    assert np.mean(simulate(World(users=2_000, shares=(0.1,), looks=30), 1_000, seed=12).worse >= 0) <= 0.05


def test_a_canary_that_loses_3_of_10_likes_is_found_among_a_thousand_users() -> None:
    decided = simulate(World(users=1_000, change=0.7, looks=60), 300, seed=13)
    assert np.mean(decided.worse >= 0) >= 0.9


def test_a_canary_that_is_worse_by_the_margin_is_taken_for_as_good_in_at_most_5_of_100() -> None:
    decided = simulate(World(users=1_000, change=0.9, looks=40), 1_000, seed=14, margin=0.1)
    assert np.mean(decided.as_good >= 0) <= 0.05


def test_an_equal_canary_is_found_as_good_among_enough_users() -> None:
    decided = simulate(World(users=3_000, looks=40), 100, seed=15, margin=0.2)
    assert np.mean(decided.as_good >= 0) >= 0.9


@pytest.mark.parametrize("drift", [0.6, 0.8, 1.0, 1.25])
def test_an_equal_canary_on_a_ramp_is_called_worse_in_at_most_5_of_100_whatever_all_rates_do(drift: float) -> None:
    decided = simulate(World(users=2_000, shares=(0.05, 0.25, 0.5), drift=drift, looks=30), 400, seed=16)
    assert np.mean(decided.worse >= 0) <= 0.05
    if drift < 1:
        # The reactions of all steps together, as one sample: what this guards against.
        assert np.mean(decided.pooled >= 0) > 0.2


def test_a_worse_canary_is_found_on_a_ramp_although_all_rates_rise() -> None:
    world = World(users=4_000, shares=(0.05, 0.25, 0.5), change=0.7, drift=1.25, looks=30)
    assert np.mean(simulate(world, 100, seed=17).worse >= 0) >= 0.9

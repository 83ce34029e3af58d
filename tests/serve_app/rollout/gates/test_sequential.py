"""The like-rate test: its numbers by hand, and how often it is wrong or right on simulated listeners who come back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spotify_buddies.serve_app.rollout.gates.sequential import Likes, compare, evidence, mean_variance, radius
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


def test_a_listener_counts_once_however_much_he_reacts() -> None:
    one, many = Likes(100, 20.0, 8.0, 100), Likes(100, 20.0, 8.0, 90_000)
    assert compare(one, one, effect=0.2, alpha=0.05) == compare(many, many, effect=0.2, alpha=0.05)


def test_listeners_who_all_agree_still_leave_some_doubt() -> None:
    # (0 + 1) / (98 + 2) = 0.01; (0 + 1) / 100 - 0.01^2 = 0.0099; / 99 = 0.0001
    assert mean_variance(98, 0, 0) == pytest.approx(0.0001)


def test_an_arm_without_reactions_is_not_compared() -> None:
    found = compare(Likes(), Likes(10, 5.0, 3.0, 10), effect=0.2, alpha=0.05)
    assert (found.low, found.high, found.worse_p) == (-math.inf, math.inf, 1.0)


def test_an_equal_canary_is_called_worse_in_at_most_5_of_100_however_often_it_is_looked_at() -> None:
    decided = simulate(World(listeners=1_000, looks=60), 1_000, seed=11)
    assert np.mean(decided.worse >= 0) <= 0.05
    # A test that is meant for one look fails here, so the simulation can tell.
    assert np.mean(decided.naive >= 0) > 0.10


def test_a_canary_at_a_tenth_of_the_listeners_is_not_called_worse_more_often() -> None:
    assert np.mean(simulate(World(listeners=2_000, share=0.1, looks=30), 1_000, seed=12).worse >= 0) <= 0.05


def test_a_canary_that_loses_3_of_10_likes_is_found_among_a_thousand_listeners() -> None:
    decided = simulate(World(listeners=1_000, change=0.7, looks=60), 300, seed=13)
    assert np.mean(decided.worse >= 0) >= 0.9


def test_a_canary_that_is_worse_by_the_margin_is_taken_for_as_good_in_at_most_5_of_100() -> None:
    decided = simulate(World(listeners=1_000, change=0.9, looks=40), 1_000, seed=14, margin=0.1)
    assert np.mean(decided.as_good >= 0) <= 0.05


def test_an_equal_canary_is_found_as_good_among_enough_listeners() -> None:
    decided = simulate(World(listeners=3_000, looks=40), 100, seed=15, margin=0.2)
    assert np.mean(decided.as_good >= 0) >= 0.9

"""The numbers that describe distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.trainer.reports.plots import histogram, lorenz_curve
from spotify_buddies.trainer.reports.quantiles import describe, describe_bins, describe_counts, gini, lorenz, top_share

untimed = settings(deadline=None)  # the first call may compile a kernel


def test_a_distribution_is_described_by_its_quantiles():
    found = describe(np.arange(101))
    assert list(found) == ["min", "p1", "p25", "median", "mean", "p75", "p99", "max"]
    assert list(found.values()) == [0, 1, 25, 50, 50, 75, 99, 100]


def test_nothing_is_described_by_nothing():
    empty = np.zeros(0)
    assert describe(empty) == {}
    assert describe_counts(np.zeros(4, np.int64)) == {}
    assert describe_bins(np.zeros(4, np.int64), 1.0, least=0, most=0, mean=0) == {}
    assert (gini(empty), top_share(empty, 0.1)) == (0.0, 0.0)
    assert (histogram(empty, "x", "y"), lorenz_curve(empty, "x")) == ("", "")


@untimed
@given(st.lists(st.integers(0, 20), min_size=1, max_size=50))
def test_counts_by_value_describe_the_same_range_and_mean(values):
    counts = np.bincount(values, minlength=21)
    found, expected = describe_counts(counts), describe(np.array(values))
    assert (found["min"], found["max"]) == (expected["min"], expected["max"])
    assert found["mean"] == pytest.approx(expected["mean"], abs=1e-5)


def test_bins_give_the_middle_of_the_bin_that_holds_the_quantile():
    found = describe_bins(np.array([0, 99, 1]), 0.1, least=0.1, most=0.25, mean=0.15)
    assert (found["median"], found["min"], found["max"]) == (0.15, 0.1, 0.25)


def test_one_who_owns_all_has_the_highest_gini():
    assert gini(np.array([1, 1, 1, 1])) == 0.0
    assert gini(np.array([0, 0, 0, 4])) == 0.75
    assert gini(np.array([1, 3])) == 0.25


def test_the_top_tenth_of_ten_is_one():
    assert top_share(np.array([11] + [1] * 9), 0.1) == 0.55


def test_a_lorenz_curve_runs_from_nobody_to_all():
    holders, held = lorenz(np.array([1, 3]))
    assert holders.tolist() == [0, 0.5, 1]
    assert held.tolist() == [0, 0.25, 1]

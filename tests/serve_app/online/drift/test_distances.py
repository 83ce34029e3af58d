"""PSI and chi-square, by hand."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from spotify_buddies.serve_app.online.drift.distances import chi_square, merged, psi, regrouped


def test_psi_is_the_sum_of_differences_times_logarithms() -> None:
    # Half an entry is added to each bin: 3.5 and 1.5 of 5, 1.5 and 3.5 of 5.
    assert float(psi(np.array([3, 1]), np.array([1, 3]))) == pytest.approx(0.8 * log(7 / 3))
    assert float(psi(np.array([5, 5]), np.array([500, 500]))) == 0.0


def test_an_empty_bin_has_a_finite_psi() -> None:
    # 0.5 and 9.5 of 10; 5 and 5 of 10.
    assert float(psi(np.array([0, 9]), np.array([4.5, 4.5]))) == pytest.approx(-0.45 * log(0.1) + 0.45 * log(1.9))


def test_psi_of_two_samples_of_one_distribution_has_the_mean_of_yurdakul_and_naranjo() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.multinomial(1_000, [0.1] * 10, 4_000), rng.multinomial(3_000, [0.1] * 10, 4_000)
    assert psi(first, second).mean() == pytest.approx((1 / 1_000 + 1 / 3_000) * 9, rel=0.03)


def test_chi_square_of_two_samples() -> None:
    # 30 of 40 and 20 of 60, 50 of 100 expected: 10^2/20 twice and 10^2/30 twice.
    statistic, degrees, p_value = chi_square(np.array([30, 10]), np.array([20, 40]))
    assert (statistic, degrees) == (pytest.approx(100 / 20 * 2 + 100 / 30 * 2), 1)
    assert p_value == pytest.approx(4.46e-5, rel=0.01)


@pytest.mark.parametrize(("one", "other"), [([0, 0], [1, 2]), ([3, 0], [4, 0]), ([], [])])
def test_chi_square_of_nothing_to_compare_is_zero(one: list[int], other: list[int]) -> None:
    assert chi_square(np.array(one), np.array(other)) == (0.0, 0, 1.0)


@pytest.mark.parametrize(
    ("expected", "places"),
    [
        ([10, 2, 9, 3], [0, 2, 1, 2]),
        ([10, 2, 9, 1], [0, 1, 1, 1]),
        ([10, 20], [0, 1]),
        ([1, 2], [0, 0]),
        ([], []),
    ],
)
def test_rare_bins_are_put_together(expected: list[int], places: list[int]) -> None:
    assert merged(np.array(expected)).tolist() == places


def test_regrouped_counts_are_sums_of_the_bins() -> None:
    days = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert regrouped(days, np.array([0, 2, 1, 2])).tolist() == [[1, 3, 6], [5, 7, 14]]

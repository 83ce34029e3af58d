"""Distributions, growing arrays, blocks and pages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.arrays import Growing
from spotify_buddies.trainer.dataset.kernels import distinct
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


@pytest.mark.parametrize("parts", [[], [0], [3], [2, 0, 5]])
def test_a_growing_file_is_the_file_that_numpy_writes(tmp_path, parts):
    rows = np.arange(sum(parts) * 3, dtype=np.int32).reshape(-1, 3)
    with Growing(tmp_path / "a.npy", np.int32, (3,)) as file:
        for part in np.split(rows, np.cumsum(parts)[:-1]) if parts else []:
            file.append(part)
    np.save(tmp_path / "b.npy", rows)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@untimed
@given(
    st.lists(st.lists(st.integers(0, 6), max_size=6), max_size=6), st.lists(st.integers(0, 3), min_size=7, max_size=7)
)
def test_rows_are_renamed_sorted_and_distinct(rows, rename):
    matrix = Csr.from_rows(rows, 7)
    indptr, indices = distinct(matrix.indptr, matrix.indices, np.array(rename, np.int32))
    found = [indices[indptr[i] : indptr[i + 1]].tolist() for i in range(len(rows))]
    assert found == [sorted({rename[j] for j in row}) for row in rows]


def test_a_plot_is_the_same_text_every_time():
    values = np.array([1, 2, 2, 900])
    assert histogram(values, "x", "y") == histogram(values, "x", "y")
    assert "currentColor" in histogram(values, "x", "y")


@pytest.mark.parametrize("values", [[5], [5, 5], [0, 1000], [0.1, 0.1], [1, 10_000]])
def test_any_values_can_be_plotted(values):
    assert histogram(np.array(values), "x", "y").startswith("<svg")

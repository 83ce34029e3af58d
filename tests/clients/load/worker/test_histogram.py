"""Percentiles against numpy's, and what the buckets promise."""

import json

import numpy as np
import pytest

from spotify_buddies.clients.load.worker.histogram import Histogram


def counted(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def test_of_nothing_there_is_no_percentile() -> None:
    histogram = Histogram()
    assert histogram.percentile(50) is None
    assert histogram.mean() is None
    assert histogram.summary_ms() == dict.fromkeys(["p50", "p90", "p99", "p99.9", "max", "mean"])


def test_one_value_is_every_percentile() -> None:
    histogram = counted([7_654_321])
    assert {histogram.percentile(percent) for percent in (0, 50, 99.9, 100)} == {7_654_321}


def test_small_values_are_exact_by_nearest_rank() -> None:
    histogram = counted([10, 20, 30, 40])
    assert [histogram.percentile(percent) for percent in (0, 25, 26, 50, 75, 100)] == [10, 10, 20, 20, 30, 40]
    assert histogram.mean() == 25


def test_a_value_below_zero_counts_as_zero() -> None:
    assert counted([-3]).percentile(100) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_percentiles_are_numpys_within_a_thousandth_and_never_below(seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(8, 2.5, 20_001).astype(np.int64)
    histogram = counted(values.tolist())
    for percent in (1, 50, 90, 99, 99.9, 100):
        exact = int(np.percentile(values, percent, method="inverted_cdf"))
        found = histogram.percentile(percent)
        assert found is not None
        assert exact <= found <= exact * (1 + 1 / 1024)


@pytest.mark.parametrize("value", [0, 1, 2047, 2048, 2049, 4095, 4096, 10**6, 2**40 + 12345])
def test_every_value_lies_in_the_bucket_that_names_it(value: int) -> None:
    histogram = counted([value, 2**50])
    found = histogram.percentile(50)
    assert found is not None
    assert value <= found <= value + value // 1024


def test_merging_counts_as_if_all_had_been_counted_in_one() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.integers(0, 10**6, 500).tolist(), rng.integers(0, 10**4, 300).tolist()
    merged = counted(one)
    merged.merge(counted(other))
    assert merged.to_json() == counted(one + other).to_json()


def test_json_and_back_is_the_same() -> None:
    histogram = counted([3, 3, 5_000, 10**7])
    again = Histogram.from_json(json.loads(json.dumps(histogram.to_json())))
    assert again.summary_ms() == histogram.summary_ms()
    assert again.count == 4


def test_at_least_counts_the_slow_ones() -> None:
    histogram = counted([100, 200, 2_000, 900_000])
    assert [histogram.at_least(value) for value in (0, 101, 2_000, 10**7)] == [4, 3, 2, 0]

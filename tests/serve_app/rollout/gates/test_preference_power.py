"""The test of preferences on simulated listeners, with the product's draft: seldom wrong, and sooner than a split."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.interleaving import World, interleaved, split


def test_equal_versions_are_seldom_called_worse_and_soon_as_good() -> None:
    found = interleaved(World(drop=0.0), 100, 3_000, seed=11)
    # Of 100 runs at 5 %, 12 or more come with a probability of 0.004; the seed is fixed.
    assert np.count_nonzero(found.worse) < 12
    assert np.mean(found.as_good > 0) > 0.8


def test_a_worse_version_is_found_with_fewer_listeners_than_a_split_needs() -> None:
    world = World(drop=0.2)
    alone, both = split(world, 20, 3_000, seed=12), interleaved(world, 20, 3_000, seed=13)
    assert (both.worse > 0).all()
    assert (alone.worse > 0).mean() > 0.8
    assert 2 * np.median(both.worse) < np.median(alone.worse[alone.worse > 0])
    assert not both.as_good[both.as_good < both.worse].any()

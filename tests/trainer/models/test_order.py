"""The order in which an epoch visits stored triplets."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from spotify_buddies.trainer.models import order
from spotify_buddies.trainer.models.kernels import shuffled
from spotify_buddies.trainer.models.model import TrainingError
from spotify_buddies.trainer.models.order import EpochPart, TripletFile, ahead, part_of


def places(total: int, seed: int, first: int = 0, count: int | None = None) -> np.ndarray:
    out = np.empty(total if count is None else count, np.int64)
    shuffled(first, total, np.uint64(seed), out)
    return out


def visited(source: TripletFile, seed: int, epoch: int) -> np.ndarray:
    return np.concatenate(list(source.blocks(seed, epoch)))


def numbered(count: int, users: int = 10) -> TripletFile:
    """Triplet i is (i % users, i, i), so that its positive tells which it is."""
    at = np.arange(count, dtype=np.int32)
    return TripletFile(np.stack([at % users, at, at], axis=1), users, count)


@pytest.mark.parametrize("block", [7, 40, 64])
def test_an_epoch_visits_every_triplet_once_and_each_epoch_in_another_order(monkeypatch, block):
    monkeypatch.setattr(order, "BLOCK", block)
    source = numbered(40)
    first = visited(source, 1, 1)
    assert sorted(first[:, 1].tolist()) == list(range(40))
    assert (first[:, 0] == first[:, 1] % 10).all()
    assert np.array_equal(first, visited(source, 1, 1))
    assert not np.array_equal(first, visited(source, 1, 2))
    assert not np.array_equal(first, visited(source, 2, 1))


def test_an_epoch_is_cut_into_sixteen_runs_each_by_user_and_a_random_part():
    source = numbered(16_000)
    users = visited(source, 1, 1)[:, 0]
    starts = np.flatnonzero(np.diff(users) < 0) + 1
    assert len(starts) == 15  # user numbers fall only where a run begins
    sizes = np.diff([0, *starts, 16_000])
    assert sizes.sum() == 16_000
    assert (np.abs(sizes - 1_000) < 150).all()  # 1,000 each, give or take five standard deviations of 31


def test_a_file_of_many_blocks_has_one_run_in_each(monkeypatch):
    monkeypatch.setattr(order, "BLOCK", 100)
    for block in numbered(3_200).blocks(1, 1):
        assert (np.diff(block[:, 0]) >= 0).all()


@pytest.mark.parametrize("total", [1, 2, 3, 31, 32, 33, 1_000])
def test_shuffled_places_are_a_permutation_in_whatever_parts_they_are_asked_for(total):
    whole = places(total, 5)
    assert sorted(whole.tolist()) == list(range(total))
    cut = total // 3
    assert np.array_equal(whole, np.concatenate([places(total, 5, 0, cut), places(total, 5, cut, total - cut)]))


def test_every_number_comes_to_every_place_equally_often():
    """Chi-square of 1,000 shuffles of 5,000 numbers, tenths of the numbers by tenths of the places: 81 degrees."""
    counts = np.zeros((10, 10))
    for seed in range(1_000):
        np.add.at(counts, (np.arange(5_000) // 500, places(5_000, seed) // 500), 1)
    assert (np.square(counts - 50_000) / 50_000).sum() < 126.1  # exceeded by chance once in a thousand


def test_neighbouring_places_are_far_apart():
    """Of two random numbers below n the distance is n / 3 in the mean."""
    whole = places(100_000, 9)
    assert np.abs(np.diff(whole)).mean() == pytest.approx(100_000 / 3, rel=0.01)


def test_blocks_made_ahead_are_the_same_blocks():
    blocks = [np.full((n, 3), n, np.int32) for n in range(1, 5)]
    assert [block.tolist() for block in ahead(iter(blocks))] == [block.tolist() for block in blocks]
    assert list(ahead(iter([]))) == []


def test_an_error_in_a_block_made_ahead_is_raised():
    def broken():
        yield np.zeros((1, 3), np.int32)
        raise TrainingError("the second")

    found = ahead(broken())
    assert next(found).shape == (1, 3)
    with pytest.raises(TrainingError, match="the second"):
        next(found)


def test_seen_are_the_rows_that_occur():
    users, playlists = TripletFile(np.array([[1, 0, 3], [1, 4, 3]], np.int32), 3, 6).seen()
    assert users.tolist() == [False, True, False]
    assert np.flatnonzero(playlists).tolist() == [0, 3, 4]


def test_a_pass_is_the_fewest_epochs_of_the_same_size_that_stay_below_the_most():
    parts = [part_of(10, 4, epoch) for epoch in range(1, 5)]
    assert parts == [EpochPart(1, 0, 3), EpochPart(1, 3, 6), EpochPart(1, 6, 10), EpochPart(2, 0, 3)]
    assert [len(part) for part in parts] == [3, 3, 4, 3]


@pytest.mark.parametrize("most", [None, 10, 11])
def test_an_epoch_of_no_more_than_the_most_is_a_pass(most):
    assert [part_of(10, most, epoch) for epoch in (1, 2)] == [EpochPart(1, 0, 10), EpochPart(2, 0, 10)]


def test_the_least_epoch_has_one_triplet_and_none_has_none():
    assert [part_of(3, 1, epoch) for epoch in (1, 2, 3, 4)] == [
        EpochPart(1, 0, 1),
        EpochPart(1, 1, 2),
        EpochPart(1, 2, 3),
        EpochPart(2, 0, 1),
    ]
    assert part_of(0, 5, 1) == EpochPart(1, 0, 0)


@pytest.mark.parametrize("block", [7, 40])
@pytest.mark.parametrize("most", [1, 6, 15, 39])
def test_the_epochs_of_a_pass_visit_every_triplet_of_the_file_once(monkeypatch, block, most):
    monkeypatch.setattr(order, "BLOCK", block)
    source = replace(numbered(40), most=most)
    epochs = -(-40 // most)
    for number in (0, 1):
        seen = [visited(source, 1, 1 + number * epochs + at)[:, 1].tolist() for at in range(epochs)]
        assert all(0 < len(part) <= most for part in seen)
        assert sorted(chain.from_iterable(seen)) == list(range(40))


def test_an_epoch_within_a_pass_depends_on_seed_and_number_alone():
    source = replace(numbered(40), most=15)
    assert np.array_equal(visited(source, 1, 2), visited(source, 1, 2))
    assert visited(source, 1, 2).tolist() != visited(source, 1, 5).tolist()


def test_a_bound_that_does_not_bind_changes_nothing():
    assert np.array_equal(visited(numbered(40), 1, 2), visited(replace(numbered(40), most=40), 1, 2))

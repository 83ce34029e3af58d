"""Metrics of ranked lists, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.metrics import lists


def ranked(*rows):
    return np.array(rows, np.int32)


def wanted(*rows, playlists=10):
    return Csr.from_rows([list(row) for row in rows], playlists)


def test_a_place_counts_from_one_and_zero_is_nowhere():
    found = lists.places(ranked([7, 3, -1], [4, 5, 6]), wanted([3, 9], [4]))
    assert found.tolist() == [2, 0, 1]


def test_depths_are_places_in_rows_of_any_length():
    offered = Csr.from_rows([[5, 2, 8], [], [1]], 10)
    assert lists.depths(offered, wanted([2, 8], [5], [1, 5])).tolist() == [2, 3, 0, 1, 0]
    assert lists.depths(Csr.from_rows([[], []], 10), wanted([1], [2])).tolist() == [0, 0]


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_depths_agree_with_places_where_rows_are_full(seed):
    rng = np.random.default_rng(seed)
    rows = np.array([rng.permutation(12)[:5] for _ in range(6)], np.int32)
    asked = wanted(*(np.sort(rng.permutation(12)[: rng.integers(1, 4)]) for _ in range(6)), playlists=12)
    assert np.array_equal(lists.places(rows, asked), lists.depths(Csr.from_rows(list(rows), 12), asked))


def test_a_hit_is_any_wanted_playlist_within_k():
    found, asked = np.array([0, 2, 6, 0]), wanted([1, 2], [3], [4])
    assert lists.hits(found, asked, 1).tolist() == [0, 0, 0]
    assert lists.hits(found, asked, 5).tolist() == [1, 0, 0]
    assert lists.hits(found, asked, 20).tolist() == [1, 1, 0]


def test_two_wanted_playlists_within_k_are_one_hit():
    assert lists.hits(np.array([1, 2]), wanted([1, 2]), 5).tolist() == [1]


def test_ndcg_with_several_wanted_playlists_by_hand():
    # Of the first person's two one is second; the second person's single one is third; the third's is beyond ten.
    found, asked = np.array([2, 0, 3, 11]), wanted([1, 2], [3], [4])
    both = 1 + 1 / math.log2(3)
    assert lists.ndcg(found, asked, 10) == pytest.approx([(1 / math.log2(3)) / both, 1 / 2, 0])


def test_the_best_list_there_could_be_has_ndcg_one():
    twelve = wanted(range(12), playlists=20)
    assert lists.ndcg(np.arange(1, 13), twelve, 10) == pytest.approx([1])


def test_coverage_and_gini_by_hand():
    exposure = lists.shown(ranked([0, 1], [0, -1], [0, 2]), 4)
    assert exposure.tolist() == [3, 1, 1, 0]
    assert lists.coverage(exposure) == 0.75
    # Ordered 0, 1, 1, 3: (2 * (1*0 + 2*1 + 3*1 + 4*3) / (4 * 5)) - 5 / 4.
    assert lists.inequality(exposure) == pytest.approx(2 * 17 / 20 - 5 / 4)
    assert lists.inequality(np.array([2, 2, 2])) == 0
    assert lists.inequality(np.array([0, 0, 0, 9])) == 0.75
    assert (lists.coverage(np.zeros(0)), lists.inequality(np.zeros(3))) == (0, 0)


def test_an_owner_repeats_from_the_second_place_on_and_nobody_is_no_owner():
    owner = np.array([5, 5, 5, 7, -1, -1])
    assert lists.same_owner(ranked([0, 1, 3, -1], [4, 5, 3, 0], [0, 1, 2, 3]), owner).tolist() == [1 / 3, 0, 0.5]
    assert lists.same_owner(ranked([-1, -1]), owner).tolist() == [0]


def test_near_duplicates_share_half_of_all_their_songs():
    songs = Csr.from_rows([[0, 1, 2], [0, 1, 2, 3], [3, 4, 5], [0, 1, 9], []], 10)
    # 0 and 1: 3 of 4. 0 and 3: 2 of 4. 1 and 3: 2 of 5. 4 has no song.
    found = lists.near_duplicates(ranked([0, 1, 2], [1, 3, -1], [0, 3, 4]), songs, 0.5)
    assert found.tolist() == [pytest.approx(1 / 3), 0, pytest.approx(1 / 3)]


def test_equal_amounts_fall_into_one_tenth():
    assert lists.deciles(np.arange(10)).tolist() == list(range(10))
    assert lists.deciles(np.arange(20)[::-1]).tolist() == np.repeat(np.arange(10), 2)[::-1].tolist()
    # Eight without a like share one tenth, the middle of the first eight: (0 + 8) / 2 of 10.
    assert lists.deciles(np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 2])).tolist() == [4] * 8 + [8, 9]
    assert lists.deciles(np.zeros(0)).size == 0

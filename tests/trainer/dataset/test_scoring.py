"""Scores and likes, against a reading of the formula in plain Python."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotify_buddies.trainer.dataset.kernels import part_of, select

many = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def reference_likes(dataset, share):
    """Per user: [(score, playlist)] of the top ceil(share * n), best first, and n."""
    result = []
    for user in range(dataset.user_songs.rows):
        library = set(dataset.user_songs.row(user).tolist())
        e, scored = dataset.beta[user], []
        for playlist in range(dataset.playlist_songs.rows):
            tracks = set(dataset.playlist_songs.row(playlist).tolist())
            m = len(library & tracks)
            if m and dataset.named_owner[playlist] != user:
                value = ((1 - e) * math.log(1 + m) + e) / (math.sqrt(len(library)) * math.sqrt(len(tracks)))
                scored.append((-float(np.float32(value)), playlist))
        count = math.ceil(Fraction(str(share)) * len(scored))
        result.append((sorted(scored)[:count], len(scored)))
    return result


@many
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.015, 0.2, 0.5, 1.0]))
def test_likes_are_those_of_the_formula(random_dataset, seed, share):
    dataset = random_dataset(seed, liked_share=share)
    expected = reference_likes(dataset, share)
    assert np.load(dataset.directories["4-score"] / "scored.npy").tolist() == [n for _, n in expected]
    for user, (best, _) in enumerate(expected):
        first, last = dataset.liked.indptr[user], dataset.liked.indptr[user + 1]
        assert dataset.liked.indices[first:last].tolist() == [playlist for _, playlist in best]
        assert dataset.liked.values[first:last] == pytest.approx([-score for score, _ in best], rel=1e-6)


@many
@given(seed=st.integers(0, 10_000))
def test_who_shares_a_song_with_any_playlist_likes_at_least_one(random_dataset, seed):
    dataset = random_dataset(seed, liked_share=0.015)
    scored = np.load(dataset.directories["4-score"] / "scored.npy")
    assert (dataset.liked.counts == np.ceil(scored * 0.015)).all()
    assert ((scored > 0) == (dataset.liked.counts > 0)).all()


def test_one_shared_song_of_four_and_nine_scores_a_sixth_of_its_mix(make_dataset):
    made = make_dataset([[0, 1, 2, 3]], [[0, 4, 5, 6, 7, 8, 9, 10, 11]], 12)
    e = made.beta[0]
    assert made.liked.values[0] == pytest.approx(((1 - e) * math.log(2) + e) / 6)
    assert made.statistics["4-score"]["pairs"] == 1


def test_equal_scores_are_taken_in_the_order_of_playlists(make_dataset):
    made = make_dataset([[0]], [[0], [0], [0], [0]], 1, liked_share=0.5)
    assert made.liked.indices.tolist() == [0, 1]


def test_a_user_without_a_match_likes_nothing_and_is_counted(make_dataset):
    made = make_dataset([[0], [1]], [[0]], 2)
    assert made.liked.counts.tolist() == [1, 0]
    assert made.statistics["4-score"]["users_without_a_scored_playlist"] == 1


def test_nobody_and_nothing_makes_an_empty_result(make_dataset):
    made = make_dataset([[]], [[]], 1)
    assert made.liked.nnz == 0
    assert made.triplets.shape == (0, 3)
    assert all(len(rows) == 0 for rows in made.batches.values())


def test_a_named_owner_does_not_like_the_own_playlist(make_dataset):
    made = make_dataset([[0, 1], [0]], [[0, 1], [0]], 2, named=[0, -1], liked_share=1.0)
    assert made.liked.row(0).tolist() == [1]
    assert sorted(made.liked.row(1).tolist()) == [0, 1]


def test_a_user_keeps_the_mix_when_others_come_behind(make_dataset):
    assert make_dataset([[0]], [[0]], 1).beta[0] == make_dataset([[0], [0]], [[0]], 1).beta[0]


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [(0.015, 1, 1), (0.015, 200, 3), (0.015, 201, 4), (0.2, 15, 3), (1e-12, 7, 1), (1.0, 7, 7)],
)
def test_a_share_is_rounded_up_and_only_where_something_is_left(share, count, expected):
    assert part_of(share, count) == expected


def test_a_share_of_nothing_is_nothing():
    assert part_of(0.015, 0) == 0


@many
@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.data())
def test_selection_brings_the_smallest_to_the_front(numbers, data):
    count = data.draw(st.integers(1, len(numbers)))
    keys = np.array(numbers, np.uint64)
    select(keys, 0, keys.size, count)
    assert sorted(keys[:count].tolist()) == sorted(numbers)[:count]
    assert sorted(keys.tolist()) == sorted(numbers)


@pytest.mark.parametrize("block_users", [1, 7, 4096])
def test_block_size_changes_no_file(random_dataset, block_users):
    assert random_dataset(5, block_users=block_users).files() == random_dataset(5, block_users=16).files()


def test_another_seed_draws_other_numbers(make_dataset):
    assert make_dataset([[0]], [[0]], 1, seed=1).beta[0] != make_dataset([[0]], [[0]], 1, seed=2).beta[0]

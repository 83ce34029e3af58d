"""The split and the owners."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.labels.nearest import held
from spotify_buddies.trainer.dataset.labels.split import user_kinds
from spotify_buddies.trainer.dataset.table import COLD, IN_TEST, IN_TRAIN, IN_VALIDATION, NOT_SAMPLED, UNUSED, WARM
from spotify_buddies.trainer.settings import DataSettings

many = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("liked", "train", "validation", "test"),
    [(1, 1, 0, 0), (4, 4, 0, 0), (5, 3, 1, 1), (6, 4, 1, 1), (7, 4, 2, 1), (10, 7, 2, 1), (20, 14, 4, 2)],
)
def test_likes_are_split_seven_two_one_rounded_down_at_the_bounds(make_dataset, liked, train, validation, test):
    made = make_dataset([[0]], [[0]] * liked, 1, liked_share=1.0, cold_users=0.0)
    counts = [int((made.split == part).sum()) for part in (IN_TRAIN, IN_VALIDATION, IN_TEST)]
    assert counts == [train, validation, test]


@many
@given(seed=seeds)
def test_each_like_of_a_warm_user_is_in_one_part_and_no_other_like_is(random_dataset, seed):
    dataset = random_dataset(seed, sample_users=0.8)
    for user in range(dataset.liked.rows):
        likes = set(dataset.liked.row(user).tolist())
        parts = [dataset.likes(user, part) for part in (IN_TRAIN, IN_VALIDATION, IN_TEST)]
        if dataset.kind[user] == WARM:
            assert set.union(*parts) == likes
            assert sum(map(len, parts)) == len(likes)
            assert len(likes) >= 5 or parts[0] == likes
        else:
            assert dataset.likes(user, UNUSED) == likes


@many
@given(seed=seeds)
def test_a_playlist_is_kept_where_a_warm_user_likes_it(random_dataset, seed):
    dataset = random_dataset(seed)
    liked = {j for user in np.flatnonzero(dataset.kind == WARM) for j in dataset.liked.row(user).tolist()}
    assert set(np.flatnonzero(dataset.kept)) == liked


def test_kinds_are_exact_shares():
    kinds = user_kinds(1000, DataSettings(sample_users=0.4, cold_users=0.05))
    assert [(kinds == kind).sum() for kind in (NOT_SAMPLED, WARM, COLD)] == [600, 380, 20]


def test_all_users_may_be_warm():
    assert (user_kinds(10, DataSettings(cold_users=0.0)) == WARM).all()


def reference_owners(dataset, most):
    """Walk all pairs from the highest priority down: what is free goes to who still has room."""
    pairs = []
    for user in range(dataset.liked.rows):
        first, last = dataset.liked.indptr[user], dataset.liked.indptr[user + 1]
        rows = zip(
            dataset.liked.indices[first:last], dataset.liked.values[first:last], dataset.split[first:last], strict=True
        )
        for playlist, score, part in rows:
            if part in (IN_TRAIN, IN_TEST) and dataset.named_owner[playlist] < 0:
                priority = float(score) / math.sqrt(dataset.user_songs.counts[user])
                pairs.append((-priority, int(playlist), user))
    owner = dataset.named_owner.tolist()
    held = [0] * dataset.liked.rows
    for _, playlist, user in sorted(pairs):
        if owner[playlist] < 0 and held[user] < most:
            owner[playlist] = user
            held[user] += 1
    return owner


@many
@given(seed=seeds, most=st.sampled_from([1, 2, 3, 100]))
def test_owners_are_those_of_a_walk_down_the_priorities(random_dataset, seed, most):
    dataset = random_dataset(seed, owned_max=most, liked_share=0.5, ownership="reference")
    assert dataset.owner.tolist() == reference_owners(dataset, most)


@many
@given(seed=seeds)
def test_a_playlist_has_one_owner_who_likes_it_and_no_user_owns_too_many(random_dataset, seed):
    dataset = random_dataset(seed, owned_max=2, ownership="reference")
    owned = [dataset.owned.row(user).tolist() for user in range(dataset.owned.rows)]
    flat = [playlist for playlists in owned for playlist in playlists]
    assert len(flat) == len(set(flat)) == (dataset.owner >= 0).sum()
    assert all(len(playlists) <= 2 for playlists in owned)
    for user, playlists in enumerate(owned):
        assert (dataset.owner[playlists] == user).all()
        assert not playlists or dataset.kind[user] == WARM
        assert set(playlists) <= dataset.likes(user, IN_TRAIN, IN_TEST)


def test_a_full_user_leaves_the_worse_playlist_to_the_next(make_dataset):
    # Both users like both playlists; user 0 has the smaller library and so the higher priority for both.
    rule = {"liked_share": 1.0, "cold_users": 0.0, "owned_max": 1, "ownership": "reference"}
    made = make_dataset([[0], [0, 1]], [[0], [0, 2, 3]], 4, **rule)
    assert made.owner.tolist() == [0, 1]
    assert made.statistics["7-own"]["users_at_the_limit"] == 1


def test_a_named_owner_keeps_playlists_beyond_the_limit(make_dataset):
    made = make_dataset([[0], [0]], [[0]] * 4, 1, named=[1, 1, 1, -1], liked_share=1.0, cold_users=0.0, owned_max=1)
    assert made.owner.tolist()[:3] == [1, 1, 1]
    assert made.kept.all()


@many
@given(seed=seeds)
def test_no_validation_positive_counts_for_ownership(random_dataset, seed):
    dataset = random_dataset(seed, ownership="reference")
    for user in range(dataset.owned.rows):
        assert not dataset.likes(user, IN_VALIDATION) & set(dataset.owned.row(user).tolist())


def nearest_owners(dataset, most):
    """As reference_owners, by the cosine of user and playlist among warm users, without their held-out positives."""
    pairs = []
    for user in np.flatnonzero(dataset.kind == WARM).tolist():
        mine = set(dataset.user_songs.row(user).tolist())
        for playlist in range(dataset.playlist_songs.rows):
            theirs = set(dataset.playlist_songs.row(playlist).tolist())
            if mine & theirs and playlist not in dataset.likes(user, IN_VALIDATION, IN_TEST):
                cosine = float(np.float32(math.sqrt(len(mine & theirs) ** 2 / len(mine) / len(theirs))))
                pairs.append((-cosine, playlist, user))
    owner, held = dataset.named_owner.tolist(), [0] * dataset.user_songs.rows
    for _, playlist, user in sorted(pairs):
        if owner[playlist] < 0 and held[user] < most:
            owner[playlist] = user
            held[user] += 1
    return owner


@many
@given(seed=seeds, most=st.sampled_from([1, 2, 100]))
def test_the_nearest_by_songs_own_what_names_nobody(random_dataset, seed, most):
    dataset = random_dataset(seed, owned_max=most, liked_share=0.5)
    assert dataset.owner.tolist() == nearest_owners(dataset, most)


def test_a_long_playlist_that_nobody_likes_has_an_owner_who_shares_its_songs(make_dataset):
    # Likes go to the short one; the long one shares a song with user 1 alone.
    songs = [[0, 1], [0, 2], [1]]
    made = make_dataset(songs, [[0], [2, 3, 4, 5, 6, 7]], 8, liked_share=0.01, cold_users=0.0)
    assert made.owner.tolist() == [0, 1]
    assert made.statistics["7-own"]["share_owned_by_length"] == [1.0, 1.0, 0.0, 0.0]


def test_a_playlist_without_a_song_of_anybody_has_no_owner(make_dataset):
    assert make_dataset([[0]], [[0], [1]], 2, cold_users=0.0).owner.tolist() == [0, -1]


def test_a_pair_is_held_where_the_same_row_has_it_marked():
    pairs = Csr.from_rows([[0, 2], [], [1, 2, 3], [0]], 4)
    among = Csr.from_rows([[2, 0, 3], [1], [3, 1], []], 4)
    #                                row 0: 2 and 3      1     3
    marked = np.array([True, False, True, True, True, False])
    assert held(pairs, among, marked).tolist() == [False, True, False, False, True, False]

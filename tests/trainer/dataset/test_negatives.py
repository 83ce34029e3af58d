"""Triplets and batches."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotify_buddies.trainer.dataset.negatives import triplets as triplets_module
from spotify_buddies.trainer.dataset.table import IN_TEST, IN_TRAIN, IN_VALIDATION

many = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 10_000)


def shared(dataset, user, playlist):
    return set(dataset.user_songs.row(user).tolist()) & set(dataset.playlist_songs.row(playlist).tolist())


@many
@given(seed=seeds)
def test_no_negative_is_liked_or_owned_by_the_user(random_dataset, seed):
    dataset = random_dataset(seed)
    for user, positive, negative in dataset.triplets.tolist():
        assert positive in dataset.likes(user, IN_TRAIN)
        assert negative not in set(dataset.liked.row(user).tolist())
        assert dataset.owner[negative] != user
        assert shared(dataset, user, negative)
        assert dataset.kept[negative]


@many
@given(seed=seeds)
def test_every_train_positive_has_four_negatives_or_none(random_dataset, seed):
    dataset = random_dataset(seed)
    counts = Counter((user, positive) for user, positive, _ in dataset.triplets.tolist())
    assert set(counts.values()) <= {4}
    positives = {(u, j) for u in range(dataset.liked.rows) for j in dataset.likes(u, IN_TRAIN)}
    missing = dataset.statistics["8-triplets"]["positives_without_negatives"]
    assert len(positives - set(counts)) == missing


@many
@given(seed=seeds)
def test_batches_hold_distinct_negatives_that_are_neither_liked_nor_owned(random_dataset, seed):
    dataset = random_dataset(seed)
    for name, rows in dataset.batches.items():
        part = IN_TEST if name.startswith("test") else IN_VALIDATION
        for user, positive, *negatives in rows.tolist():
            assert positive in dataset.likes(user, part)
            assert len(set(negatives)) == len(negatives) == 5
            assert not set(negatives) & set(dataset.liked.row(user).tolist())
            assert (dataset.owner[negatives] != user).all()
            assert dataset.kept[negatives].all()
            assert dataset.owner[positive] != user
            assert "hard" not in name or all(shared(dataset, user, j) for j in negatives)


@many
@given(seed=seeds)
def test_no_positive_stands_in_two_parts(random_dataset, seed):
    dataset = random_dataset(seed)
    train = {(user, positive) for user, positive, _ in dataset.triplets.tolist()}
    validation = {(row[0], row[1]) for row in dataset.batches["random"].tolist()}
    test = {(row[0], row[1]) for row in dataset.batches["test-random"].tolist()}
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_half_of_the_negatives_come_from_the_top_fifth(make_dataset):
    # One user likes the best of 11 playlists; ten are left, of falling score: two are hard, eight are easy.
    playlists = [list(range(size)) for size in range(1, 12)]
    made = make_dataset([[0], []], playlists, 20, named=[1] * 11, liked_share=0.05, cold_users=0.0)
    negatives = [negative for _, _, negative in made.triplets.tolist()]
    assert len(negatives) == 4
    assert sum(negative in (1, 2) for negative in negatives) == 2
    assert len(set(negatives)) == 4


@pytest.mark.parametrize(("pool", "distinct"), [(1, 1), (2, 2)])
def test_a_pool_that_is_too_small_repeats_itself(make_dataset, pool, distinct):
    made = make_dataset([[0], []], [[0]] * (1 + pool), 1, named=[1] * (1 + pool), liked_share=0.1, cold_users=0.0)
    assert made.triplets.shape == (4, 3)
    assert len(set(made.triplets[:, 2].tolist())) == distinct


def test_a_positive_without_any_negative_is_counted(make_dataset):
    made = make_dataset([[0]], [[0]], 1, cold_users=0.0)
    assert made.triplets.shape == (0, 3)
    assert made.statistics["8-triplets"]["positives_without_negatives"] == 1


def test_users_with_a_small_hard_pool_are_left_out_of_the_hard_batches(make_dataset):
    # Ten likes of 20 scored playlists: two for validation, ten negatives, a hard pool of two.
    arguments = {"named": [1] * 20, "liked_share": 0.5, "cold_users": 0.0}
    made = make_dataset([[0], []], [[0]] * 20, 1, validation_negatives=3, **arguments)
    assert len(made.batches["random"]) == 2
    assert len(made.batches["hard"]) == 0
    assert made.statistics["9-validation"]["hard_left_out_with_too_few_negatives"] == 2
    assert len(make_dataset([[0], []], [[0]] * 20, 1, validation_negatives=2, **arguments).batches["hard"]) == 2


def test_a_positive_with_too_few_random_negatives_is_left_out(make_dataset):
    made = make_dataset(
        [[0], []], [[0]] * 20, 1, named=[1] * 20, liked_share=0.5, cold_users=0.0, validation_negatives=11
    )
    assert len(made.batches["random"]) == 0
    assert made.statistics["9-validation"]["random_left_out_with_too_few_negatives"] == 2


def test_all_of_the_pool_can_be_drawn(make_dataset):
    made = make_dataset(
        [[0], []], [[0]] * 20, 1, named=[1] * 20, liked_share=0.5, cold_users=0.0, validation_negatives=10
    )
    for row in made.batches["random"]:
        assert set(row[2:].tolist()) == set(range(20)) - set(made.liked.row(0).tolist())


def test_the_toy_set_is_all_triplets_of_a_few_users(random_dataset):
    dataset = random_dataset(3, toy_users=0.2)
    users = set(dataset.toy[:, 0].tolist())
    assert 0 < len(users) <= dataset.statistics["8-triplets"]["toy_users"]
    expected = [row for row in dataset.triplets.tolist() if row[0] in users]
    assert dataset.toy.tolist() == expected


def test_a_shuffle_over_several_piles_loses_nothing(random_dataset, monkeypatch):
    whole = random_dataset(4)
    monkeypatch.setattr(triplets_module, "PILE_ROWS", 50)
    parts = random_dataset(4)
    assert len(parts.triplets) > 100
    assert np.array_equal(
        np.sort(whole.triplets.view("i4,i4,i4").ravel()), np.sort(parts.triplets.view("i4,i4,i4").ravel())
    )
    assert not list(parts.directories["8-triplets"].glob("*.bin"))


def test_triplets_do_not_stand_in_the_order_of_users(random_dataset):
    users = random_dataset(4).triplets[:, 0]
    assert (np.diff(users) < 0).any()


def test_files_of_batches_are_bounded_and_spread_over_the_users(random_dataset):
    arguments = {"liked_share": 0.5, "hard_pool": 1.0, "validation_negatives": 1, "cold_users": 0.0}
    whole, some = (random_dataset(6, users=60, **arguments, **limit) for limit in ({}, {"validation_rows": 20}))
    for prefix, part in {"": IN_VALIDATION, "test-": IN_TEST}.items():
        held_out = [(u, j) for u in range(60) for j in whole.liked.row(u).tolist() if j in whole.likes(u, part)]
        asked = {held_out[-(-k * len(held_out) // 20) - 1] for k in range(1, 21)}
        left_out = prefix.replace("-", "_") + "left_out_past_the_limit"
        assert some.statistics["9-validation"][left_out] == len(held_out) - 20 > 0
        assert whole.statistics["9-validation"][left_out] == 0
        for name in ("random", "hard"):
            positives = {(row[0], row[1]) for row in some.batches[prefix + name].tolist()}
            assert positives == asked & {(row[0], row[1]) for row in whole.batches[prefix + name].tolist()}
    again = random_dataset(6, users=60, **arguments, validation_rows=20, block_users=7)
    assert all(np.array_equal(again.batches[name], rows) for name, rows in some.batches.items())


def test_a_limit_that_is_not_reached_changes_no_file(random_dataset):
    assert random_dataset(7, validation_rows=10_000).files() == random_dataset(7).files()

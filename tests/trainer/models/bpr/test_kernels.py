"""The update of a triplet against the derivative of its loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.trainer.metrics.kernels import count_shared, mark_top, mid_ranks, score_pairs
from spotify_buddies.trainer.models.bpr.kernels import update

TRIPLET = np.array([[0, 0, 1]], np.int32)


def step(users, playlists, squares=1.0, rate=0.1, decay=0.0, triplets=TRIPLET):
    """One call of the kernel on copies; returns loss, users, playlists and both sums of squares."""
    users, playlists = np.array(users, np.float32), np.array(playlists, np.float32)
    left = np.full(len(users), squares, np.float32)
    right = np.full(len(playlists), squares, np.float32)
    loss = update(triplets, users, playlists, left, right, rate, decay)
    return loss, users, playlists, left, right


def test_one_step_worked_by_hand():
    """u = (1, 0), p = (0, 0), n = (0, 0): margin 0, sigmoid 1/2, so du = 0, dp = -u/2, dn = u/2.

    Mean squared gradient of p: (0.25 + 0) / 2 = 0.125; from 0.875 the sum becomes 1, so p moves by 0.1 * 0.5.
    """
    loss, users, playlists, left, right = step([[1, 0]], [[0, 0], [0, 0]], squares=0.875)
    assert loss == pytest.approx(math.log(2))
    assert users.tolist() == [[1, 0]]
    assert np.allclose(playlists, [[0.05, 0], [-0.05, 0]])
    assert left[0] == np.float32(0.875)
    assert right.tolist() == [1, 1]


def test_regularisation_alone_pulls_towards_zero():
    """A margin so wide that the loss is flat: only decay * value is left of the gradient."""
    _, users, playlists, _, _ = step([[10]], [[10], [-10]], squares=1e6, rate=1e3, decay=0.01)
    assert users[0, 0] == pytest.approx(10 - 0.1, abs=1e-3)
    assert playlists.ravel().tolist() == pytest.approx([10 - 0.1, -10 + 0.1], abs=1e-3)


@settings(deadline=None)  # the first call may compile
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0, 0.2))
def test_the_step_follows_the_numerical_derivative(seed, dimension, decay):
    rng = np.random.default_rng(seed)
    rows = rng.normal(scale=0.7, size=(3, dimension)).astype(np.float32).astype(np.float64)

    def objective(values: np.ndarray) -> float:
        user, positive, negative = values
        margin = user @ (positive - negative)
        return float(np.logaddexp(0, -margin) + decay / 2 * np.square(values).sum())

    gradient = np.empty_like(rows)
    for at in np.ndindex(rows.shape):
        nudge = np.zeros_like(rows)
        nudge[at] = 1e-5
        gradient[at] = (objective(rows + nudge) - objective(rows - nudge)) / 2e-5
    # Large sums and rate: each row moves by rate / sqrt(squares) = 1 times its gradient, as in plain descent.
    loss, users, playlists, _, _ = step(rows[:1], rows[1:], squares=1e8, rate=1e4, decay=decay)
    moved = rows - np.concatenate([users, playlists])
    assert np.allclose(moved, gradient, atol=2e-5)
    assert loss == pytest.approx(objective(rows) - decay / 2 * np.square(rows).sum(), abs=1e-5)


def test_squares_sum_the_mean_squared_gradient_of_the_row():
    rng = np.random.default_rng(0)
    users, playlists = rng.normal(size=(1, 5)), rng.normal(size=(2, 5))
    _, _, _, left, right = step(users, playlists, squares=0.5)
    user, (positive, negative) = users[0], playlists
    push = 1 / (1 + math.exp(user @ (positive - negative)))
    assert left[0] == pytest.approx(0.5 + np.mean(np.square(push * (positive - negative))), rel=1e-5)
    assert right.tolist() == pytest.approx([0.5 + np.mean(np.square(push * user))] * 2, rel=1e-5)


def test_many_triplets_are_visited_in_the_order_given():
    rng = np.random.default_rng(1)
    users, playlists = rng.normal(size=(3, 4)), rng.normal(size=(5, 4))
    triplets = np.array([[0, 1, 2], [0, 2, 3], [2, 4, 1]], np.int32)
    together = step(users, playlists, triplets=triplets[[2, 0, 1]])
    left, right = np.full(3, 1.0, np.float32), np.full(5, 1.0, np.float32)
    u, p = users.astype(np.float32), playlists.astype(np.float32)
    for at in (2, 0, 1):
        update(triplets[at : at + 1], u, p, left, right, 0.1, 0.0)
    assert np.array_equal(together[1], u)
    assert np.array_equal(together[2], p)


@pytest.mark.parametrize("margin", [1e4, -1e4])
def test_wide_margins_neither_overflow_nor_turn_into_nan(margin):
    loss, users, playlists, _, _ = step([[100.0]], [[margin / 100], [0.0]])
    assert loss == pytest.approx(max(-margin, 0))
    assert np.isfinite(users).all()
    assert np.isfinite(playlists).all()


def test_nan_shows_up_in_the_loss():
    loss, *_ = step([[math.nan]], [[1.0], [0.0]])
    assert math.isnan(loss)


def test_no_triplets_change_nothing():
    loss, users, _, _, _ = step([[1.0]], [[1.0], [0.0]], triplets=TRIPLET[:0])
    assert (loss, users.tolist()) == (0.0, [[1.0]])


def test_scores_are_dot_products():
    rng = np.random.default_rng(2)
    users = rng.normal(size=(4, 9)).astype(np.float32)
    playlists = rng.normal(size=(3, 9)).astype(np.float32)
    u, p = np.array([0, 3, 1], np.int32), np.array([2, 2, 0], np.int32)
    out = np.empty(3, np.float32)
    score_pairs(users, playlists, u, p, out)
    assert np.allclose(out, np.einsum("ij,ij->i", users[u], playlists[p]), atol=1e-5)


@settings(deadline=None)  # the first call may compile
@given(st.lists(st.sets(st.integers(0, 12)), min_size=2, max_size=2))
def test_shared_songs_are_the_intersection(sets):
    left, right = (np.array(sorted(s), np.int32) for s in sets)
    out = np.empty(1, np.int32)
    zero = np.zeros(1, np.int32)
    count_shared(np.array([0, left.size]), left, np.array([0, right.size]), right, zero, zero, out)
    assert out[0] == len(sets[0] & sets[1])


def test_ties_take_the_middle_rank_and_nan_the_last():
    scores = np.array([[3, 1, 2, 0], [2, 2, 2, 2], [1, 2, 1, 0], [math.nan, 1, 2, 3], [0, 1, 2, 3]])
    out = np.empty(5)
    mid_ranks(scores, out)
    assert out.tolist() == [1, 2.5, 2.5, 4, 4]


def test_the_top_of_each_row_is_marked_and_short_rows_whole():
    marked = np.zeros(6, np.bool_)
    indptr, indices = np.array([0, 3, 3, 4]), np.array([0, 1, 2, 5], np.int32)
    mark_top(indptr, indices, np.array([1.0, 3.0, 1.0, -7.0]), 2, marked)
    assert np.flatnonzero(marked).tolist() == [0, 1, 5]

"""Folding, weights and calibration of a blend, on cases that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.blend.calibrate import calibrate
from spotify_buddies.trainer.models.blend.fit import offsets_of
from spotify_buddies.trainer.models.blend.fold import Weighing, fold
from spotify_buddies.trainer.models.blend.parts import Part, pair_scores, scale_of, scales_of
from spotify_buddies.trainer.models.blend.rows import rows_of
from spotify_buddies.trainer.models.blend.weights import bagged_weights, cross_fitted, fit_weights
from spotify_buddies.trainer.models.items.item_model import Weighted
from spotify_buddies.trainer.models.model import Model

USERS, PLAYLISTS = 6, 9


def table(rows: int, dimension: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)


def parts() -> list[Part]:
    taste = Model(table(USERS, 3, 1), table(PLAYLISTS, 3, 2))
    owner = Model(taste.user_factors, table(PLAYLISTS, 3, 3))
    return [
        Part("taste", taste),
        Part("likes", Model(table(USERS, 2, 4), table(PLAYLISTS, 2, 5))),
        Part("owner", owner, shared="taste"),
        Part("popularity", bias=np.log1p(np.arange(PLAYLISTS)).astype(np.float32)),
    ]


def standardised(part: Part, scale) -> np.ndarray:
    users, playlists = np.repeat(np.arange(USERS), PLAYLISTS), np.tile(np.arange(PLAYLISTS), USERS)
    return scale(users, pair_scores(part, users, playlists)).reshape(USERS, PLAYLISTS)


def weighings(weights: list[float]) -> list[Weighing]:
    these = parts()
    return [Weighing(*one) for one in zip(these, scales_of(these, USERS), weights, strict=True)]


@pytest.mark.parametrize("weights", [[1, 0.5, 0.25, 2], [1, 0, 0, 0.5], [0, 1, 0.75, 0], [0, 0, 0, 1]])
def test_the_folded_product_is_the_weighted_sum_of_the_standardised_parts(weights: list[float]) -> None:
    these = weighings(weights)
    folded = fold(these, USERS, PLAYLISTS, keep=("taste",))
    expected = sum(one.weight * standardised(one.part, one.scale) for one in these)
    np.testing.assert_allclose(folded.model.user_factors @ folded.model.playlist_factors.T, expected, atol=1e-4)


def test_popularity_is_a_dimension_that_is_one_for_every_user() -> None:
    folded = fold(weighings([1, 1, 0, 2]), USERS, PLAYLISTS)
    bias = folded.model.playlist_factors[:, folded.blocks["bias"]].ravel()
    assert (folded.model.user_factors[:, folded.blocks["bias"]] == 1).all()
    popularity = np.log1p(np.arange(PLAYLISTS))
    np.testing.assert_allclose(bias, 2 * (popularity - popularity.mean()) / popularity.std(), atol=1e-5)


def test_owner_affinity_costs_no_dimension_and_taste_stays_first() -> None:
    with_owner, without = (
        fold(weighings([1, 1, 1, 1]), USERS, PLAYLISTS),
        fold(weighings([1, 1, 0, 1]), USERS, PLAYLISTS),
    )
    assert with_owner.model.user_factors.shape == without.model.user_factors.shape == (USERS, 7)
    assert with_owner.blocks["taste"] == slice(0, 3)


def test_a_taste_of_weight_zero_keeps_its_playlists_for_tastes_given_at_run_time() -> None:
    folded = fold(weighings([0, 1, 0, 1]), USERS, PLAYLISTS, keep=("taste",))
    assert not folded.model.user_factors[:, :3].any()
    np.testing.assert_array_equal(folded.model.playlist_factors[:, :3], table(PLAYLISTS, 3, 2))


def test_standardised_scores_have_mean_zero_and_spread_one_for_every_user() -> None:
    matrix = Weighted(Csr.from_rows([[0, 1], [2], [], [3], [4], [0]], PLAYLISTS), table(PLAYLISTS, PLAYLISTS, 7))
    for part in (*parts()[:2], Part("items", items=matrix)):
        scores = standardised(part, scale_of(part, USERS))
        known = [0, 1, 3, 4, 5] if part.items else list(range(USERS))
        np.testing.assert_allclose(scores[known].mean(axis=1), 0, atol=1e-5)
        np.testing.assert_allclose(scores[known].std(axis=1), 1, atol=1e-4)


def test_a_user_of_whom_an_item_model_knows_nothing_gets_zero() -> None:
    matrix = Weighted(Csr.from_rows([[], [2]], 3), table(3, 3, 7))
    part = Part("items", items=matrix)
    stored = [Weighing(part, scale_of(part, 2), 1.5)]
    offsets = offsets_of(stored, Csr.from_rows([[2, 0], [1]], 3))
    assert offsets[:2].tolist() == [0, 0]
    scores = matrix.scores(np.array([1]))[0]
    np.testing.assert_allclose(offsets[2], 1.5 * (scores[1] - scores.mean()) / scores.std(), rtol=1e-4)


def test_ndcg_counts_a_like_that_is_no_candidate_as_lost() -> None:
    # Users 0 and 2 have held-out likes; 0 finds one of two, in place 2; 2 has no candidates.
    rows = rows_of(Csr.from_rows([[0, 1], [1], []], 4), Csr.from_rows([[1, 3], [], [2]], 4))
    assert rows.held_out.tolist() == [2, 1]
    np.testing.assert_allclose(
        rows.ndcg(np.array([0.9, 0.1], np.float32)), [(1 / np.log2(3)) / (1 + 1 / np.log2(3)), 0]
    )


def test_of_equal_scores_the_like_comes_last() -> None:
    rows = rows_of(Csr.from_rows([[0, 1, 2]], 3), Csr.from_rows([[0]], 3))
    np.testing.assert_allclose(rows.ndcg(np.zeros(3, np.float32)), [1 / np.log2(4)])


def rankable(users: int = 60) -> tuple[np.ndarray, object]:
    """Features of which the first tells the held-out like, the second nothing, the third the opposite."""
    chance = np.random.default_rng(1)
    rows = rows_of(Csr.from_rows([list(range(40))] * users, 40), Csr.from_rows([[u % 40] for u in range(users)], 40))
    noise = chance.standard_normal((rows.users.size, 3)).astype(np.float32)
    noise[:, 0] += 2 * rows.positive
    noise[:, 2] -= 2 * rows.positive
    return noise, rows


def test_weights_go_to_the_part_that_tells_and_are_never_negative() -> None:
    features, rows = rankable()
    weights = fit_weights(features, rows, [1, 1, 1])
    assert weights[0] > 1
    assert weights[2] == 0
    assert fit_weights(features, rows, [1, 1, 1]).tolist() == weights.tolist()


def test_a_fixed_weight_stays() -> None:
    features, rows = rankable()
    assert fit_weights(features, rows, [0.5, 1, 1], free=[False, True, True])[0] == 0.5


def test_bagged_weights_are_shares_that_a_seed_repeats_and_a_fixed_zero_stays() -> None:
    features, rows = rankable()
    weights = bagged_weights(features, rows, [1, 1, 1], seed=3)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 0.5
    assert weights.tolist() == bagged_weights(features, rows, [1, 1, 1], seed=3).tolist()
    assert bagged_weights(features, rows, [0, 1, 1], seed=3, free=[False, True, True])[0] == 0


def test_a_user_is_scored_with_weights_of_others() -> None:
    features, rows = rankable()
    sizes = []

    def fit(some: np.ndarray, of: object) -> np.ndarray:
        sizes.append(of.held_out.size)
        return np.array([float(len(sizes)), 0, 0])

    ndcg, scores = cross_fitted(features, rows, fit, seed=4)
    assert sizes == [30, 30]
    np.testing.assert_allclose(rows.ndcg(scores), ndcg)


def test_calibrated_scores_are_the_shares_that_they_promise() -> None:
    chance = np.random.default_rng(0)
    scores = chance.uniform(-3, 3, 20_000)
    positive = chance.random(20_000) < 1 / (1 + np.exp(-(1.5 * scores - 1)))
    found = calibrate(scores.astype(np.float32), positive)
    assert found is not None
    assert (round(found.slope, 1), round(found.intercept, 1)) == (1.5, -1.0)
    assert found.error < 0.02


def test_nothing_can_be_calibrated_on_likes_alone() -> None:
    assert calibrate(np.ones(3, np.float32), np.ones(3, bool)) is None

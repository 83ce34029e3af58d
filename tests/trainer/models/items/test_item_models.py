"""Item models on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.items.als import fit_als
from spotify_buddies.trainer.models.items.ease import fit_ease, song_cosines
from spotify_buddies.trainer.models.items.elsa import fit_elsa
from spotify_buddies.trainer.models.items.knn import fit_knn
from spotify_buddies.trainer.models.items.similar import similar, with_songs
from spotify_buddies.trainer.models.items.uniform import fit_uniform_bpr
from spotify_buddies.trainer.models.items.walks import fit_walks
from spotify_buddies.trainer.models.model import Model, TrainingError

# Everybody follows two of three playlists.
RING = Csr.from_rows([[0, 1], [0, 2], [1, 2]], 3)
CHAIN = Csr.from_rows([[0, 1], [1, 2]], 3)


def groups(users: int = 40) -> Csr:
    """Two groups of five playlists; each user follows three of one group."""
    chance = np.random.default_rng(5)
    rows = [np.sort(chance.choice(5, 3, replace=False) + 5 * (user % 2)) for user in range(users)]
    return Csr.from_rows(rows, 10)


def test_ease_has_the_closed_form() -> None:
    # G = X'X + 1 I = 2 I + J, its inverse (I - J / 5) / 2: 0.4 on the diagonal, -0.1 beside it; -(-0.1) / 0.4 = 0.25.
    fitted = fit_ease(RING, regularisation=1, dropout=0)
    expected = 0.25 * (np.ones((3, 3)) - np.eye(3))
    np.testing.assert_allclose(fitted.weights, expected, atol=1e-6)
    np.testing.assert_allclose(fitted.scores(np.array([0])), [[0.25, 0.25, 0.5]], atol=1e-6)


def test_dropout_of_ease_holds_back_by_what_occurs() -> None:
    # Every playlist occurs twice: dropout 0.5 adds 1 to the diagonal, as a regularisation higher by 1 does.
    dropped, plain = fit_ease(RING, regularisation=1, dropout=0.5), fit_ease(RING, regularisation=2, dropout=0)
    np.testing.assert_allclose(dropped.weights, plain.weights, atol=1e-6)


def test_a_balance_scales_entries_and_then_the_weights_back() -> None:
    # |u| = (2, 1), |p| = (1, 2): an entry counts 1 / sqrt(|u| |p|).
    rows = Csr.from_rows([[0, 1], [1]], 2)
    counted = np.array([[1 / 2**0.5, 1 / 4**0.5], [0, 1 / 2**0.5]])
    inverse = np.linalg.inv(counted.T @ counted + np.eye(2))
    plain = -inverse[0, 1] / np.diag(inverse)
    weights = fit_ease(rows, regularisation=1, dropout=0, balance=0.5).weights
    np.testing.assert_allclose([weights[1, 0], weights[0, 1]], plain * [2**-0.5, 2**0.5], rtol=1e-5)


def test_songs_tell_ease_of_playlists_that_nobody_follows_together() -> None:
    follows = Csr.from_rows([[0], [1], [2]], 3)
    songs = Csr.from_rows([[0, 1], [0, 1], [2]], 3)
    assert not fit_ease(follows, songs=None).weights.any()
    weights = fit_ease(follows, songs=songs).weights
    assert weights[0, 1] > 0
    assert weights[0, 2] == 0


def test_cosines_of_songs_are_those_of_rare_songs() -> None:
    # Song 0 is in all playlists and weighs log(3 / 3) = 0.
    cosines = song_cosines(Csr.from_rows([[0, 1], [0, 1], [0, 2]], 3))
    np.testing.assert_allclose(cosines, [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-6)


def test_ease_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(TrainingError, match="up to 20,000 playlists"):
        fit_ease(Csr.from_rows([[0]], 20_001))
    with pytest.raises(TrainingError, match="above 0"):
        fit_ease(RING, regularisation=0)


@pytest.mark.parametrize(("beta", "divisor"), [(0.0, [1, 1, 1]), (1.0, [1, 2, 1])])
def test_walks_by_hand(beta: float, divisor: list[int]) -> None:
    # From 0: its one user, then half each. From 1: half each user, then half.
    steps = np.array([[0, 0.5, 0], [0.25, 0, 0.25], [0, 0.5, 0]])
    fitted = fit_walks(CHAIN, alpha=1, beta=beta)
    np.testing.assert_allclose(np.asarray(fitted.weights.todense()), steps / divisor, atol=1e-6)
    np.testing.assert_allclose(fitted.scores(np.array([0]))[0, 2], 0.25 / divisor[2], atol=1e-6)


def test_walks_keep_the_largest_weights_alone() -> None:
    weights = np.asarray(fit_walks(CHAIN, alpha=1, beta=0, keep=1).weights.todense())
    assert weights[1].tolist() == [0.25, 0, 0]


def test_neighbours_of_playlists_by_hand() -> None:
    weights = np.asarray(fit_knn(CHAIN, shrink=0).weights.todense())
    np.testing.assert_allclose(weights[1], [2**-0.5, 0, 2**-0.5], atol=1e-6)


def test_als_solves_the_users_exactly() -> None:
    fitted = fit_als(RING, dimension=2, alpha=3, regularisation=0.5, iterations=4, seed=1).factors()
    table = fitted.playlist_factors.astype(np.float64)
    for user in range(3):
        own = table[RING.row(user)]
        left = table.T @ table + 3 * own.T @ own + 0.5 * np.eye(2)
        np.testing.assert_allclose(fitted.user_factors[user], np.linalg.solve(left, 4 * own.sum(0)), rtol=1e-3)


def test_als_gives_zeros_where_nothing_is_known() -> None:
    fitted = fit_als(Csr.from_rows([[0], []], 2), dimension=3, seed=1).factors()
    assert not fitted.user_factors[1].any()
    assert not fitted.playlist_factors[1].any()


def other_group_is_lower(scores: np.ndarray, rows: Csr) -> bool:
    own = np.arange(10) // 5 == np.arange(rows.rows)[:, None] % 2
    unknown = np.ones_like(own)
    unknown[np.repeat(np.arange(rows.rows), rows.counts), rows.indices] = False
    return all(line[mine & new].min() > line[~mine].max() for line, mine, new in zip(scores, own, unknown, strict=True))


def test_the_low_rank_model_orders_as_the_exact_one_does() -> None:
    rows = groups()
    everybody = np.arange(rows.rows)
    low = fit_elsa(rows, dimension=4, epochs=60, batch=8, rate=0.05, seed=3)
    assert other_group_is_lower(fit_ease(rows, regularisation=1).scores(everybody), rows)
    assert other_group_is_lower(low.scores(everybody), rows)
    np.testing.assert_allclose(np.linalg.norm(low.factors().playlist_factors, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "fit",
    [
        lambda rows: fit_elsa(rows, dimension=4, epochs=2, seed=3),
        lambda rows: fit_als(rows, dimension=4, seed=3),
        lambda rows: fit_uniform_bpr(rows, dimension=4, epochs=2, seed=3)[0],
    ],
)
def test_the_same_seed_gives_the_same_bytes(fit) -> None:
    first, second = fit(groups()).factors(), fit(groups()).factors()
    assert first.user_factors.tobytes() == second.user_factors.tobytes()
    assert first.playlist_factors.tobytes() == second.playlist_factors.tobytes()


def test_bpr_stops_when_held_out_pairs_rank_worse_and_keeps_the_better_model() -> None:
    worths = iter([0.1, 0.3, 0.2, 0.9])
    seen: list[Model] = []

    def worth(model: Model) -> float:
        seen.append(Model(model.user_factors.copy(), model.playlist_factors.copy()))
        return next(worths)

    fitted, epochs = fit_uniform_bpr(groups(), dimension=4, epochs=80, seed=3, worth=worth)
    assert (epochs, len(seen)) == (40, 3)
    np.testing.assert_array_equal(fitted.factors().playlist_factors, seen[1].playlist_factors)


def test_bpr_with_uniform_negatives_finds_the_groups() -> None:
    rows = groups()
    fitted, epochs = fit_uniform_bpr(rows, dimension=8, epochs=60, seed=3)
    assert epochs == 60
    scores = fitted.scores(np.arange(rows.rows))
    own = np.arange(10) // 5 == np.arange(rows.rows)[:, None] % 2
    assert scores[own].mean() > scores[~own].mean() + 1


def test_a_playlist_follows_itself_and_those_with_its_songs() -> None:
    songs = Csr.from_rows([[0, 1], [0, 1], [1, 2], [3], []], 4)
    rows = similar(songs, nearest=1)
    # 0 and 1 are each other's nearest; of these 2 takes the lower one; 3 and 4 share no song with anybody.
    assert [rows.row(p).tolist() for p in range(5)] == [[0, 1], [0, 1], [0, 2], [], []]


def test_songs_bring_als_playlists_that_nobody_follows_together() -> None:
    follows, songs = groups(), Csr.from_rows([*([p] for p in range(10)), [0]], 10)
    wider = Csr(follows.indptr, follows.indices, 11)  # playlist 10 has no follower, and the songs of playlist 0
    with_them = with_songs(lambda rows: fit_als(rows, dimension=8, regularisation=20), wider, songs)
    assert with_them.model.user_factors.shape == (40, 8)
    scores = with_them.scores(np.arange(40))[:, 10]
    assert scores[::2].min() > scores[1::2].max()
    assert not fit_als(wider, dimension=8, regularisation=20).scores(np.arange(40))[:, 10].any()

"""Weights of taste and likes: chosen for what is right about each, and folded into the factors of users."""

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import SongFactors
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.models.hybrid.weights import (
    RANKING_GRID,
    RETRIEVAL_GRID,
    choose_weights,
    fold,
    fold_songs,
)
from spotify_buddies.trainer.models.model import Model

GENRES = 6


@pytest.fixture(scope="module")
def data(planted):
    return open_dataset(planted.dataset)


def _parts(data, taste_says, likes_say, seed=1):
    """A model and its songs whose taste and whose likes are the planted genre, or noise."""
    rng = np.random.default_rng(seed)

    def part(rows, says):
        genre = np.eye(GENRES, dtype=np.float32)[np.arange(rows) % GENRES]
        return genre if says else rng.standard_normal((rows, GENRES)).astype(np.float32)

    users, playlists = (
        np.hstack([part(rows, taste_says), part(rows, likes_say)]) for rows in (data.users, data.playlists)
    )
    playlist = np.zeros((data.songs, 2 * GENRES), np.float32)
    np.add.at(playlist, data.playlist_songs.indices, np.repeat(playlists, data.playlist_songs.counts, axis=0))
    if not taste_says:
        playlist[:, :GENRES] = rng.standard_normal((data.songs, GENRES))
    if not likes_say:
        playlist[:, GENRES:] = rng.standard_normal((data.songs, GENRES))

    def songs(sets: Csr):
        return np.asarray(sets.to_scipy() @ playlist, np.float32)

    return Model(users, playlists), songs


def test_a_taste_that_knows_the_likes_is_as_heavy_as_can_be(data):
    found = choose_weights(data, *_parts(data, True, False), GENRES, 1)
    assert found.ranking_scale.tolist() == [max(RANKING_GRID)] * GENRES + [1] * GENRES


def test_a_taste_that_says_nothing_is_as_heavy_as_costs_three_hundredths_of_the_likes(data):
    found = choose_weights(data, *_parts(data, False, True), GENRES, 1)
    table = found.report["ranking"]
    best = np.max(list(table.values()), axis=0)
    beside = {weight: np.mean(np.array(values) / best) for weight, values in table.items()}
    chosen = float(found.ranking_scale[0])
    assert chosen < max(RANKING_GRID)
    assert beside[round(chosen, 6)] >= 0.97 * max(beside.values())
    assert all(value < 0.97 * max(beside.values()) for weight, value in beside.items() if weight > chosen + 1e-6)


def test_playlists_are_found_by_taste_alone_where_likes_say_nothing(data):
    found = choose_weights(data, *_parts(data, True, False), GENRES, 1)
    assert found.retrieval_scale[GENRES] < 0.5 * found.ranking_scale[0]
    assert set(found.report) == {"ranking", "retrieval"}
    assert tuple(found.report["retrieval"]) == RETRIEVAL_GRID


def test_the_same_seed_chooses_the_same(data):
    model, songs = _parts(data, True, True)
    first, second = (choose_weights(data, model, songs, GENRES, 1) for _ in range(2))
    assert first.report == second.report
    assert first.ranking_scale.tobytes() == second.ranking_scale.tobytes()


@pytest.mark.parametrize("taste", [0, 12])
def test_a_model_of_one_part_is_left_as_it_is(data, taste):
    model, songs = _parts(data, True, True)
    found = choose_weights(data, model, songs, taste, 1)
    assert (found.ranking_scale == 1).all()
    assert (found.retrieval_scale == 1).all()


def test_folded_songs_add_up_to_folded_users(data):
    songs = SongFactors(
        np.eye(4, 2, dtype=np.float16), np.ones((4, 3), np.float16), np.ones(4, np.float32), np.ones(1, np.float32)
    )
    rows = Csr.from_rows([[0, 1], [1, 3]], 4)
    model = Model(songs(rows), np.ones((2, 5), np.float32))
    weights = choose_weights(data, *_parts(data, True, False), GENRES, 1)
    weights = type(weights)(np.array([3, 3, 1, 1, 1], np.float32), np.ones(5, np.float32), weights.report)
    assert fold_songs(songs, weights)(rows) == pytest.approx(fold(model, weights).user_factors)
    assert fold(model, weights).playlist_factors.tolist() == model.playlist_factors.tolist()

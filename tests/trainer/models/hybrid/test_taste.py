"""The SVD of song sets: against numpy's, and on people who keep to their genre."""

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.evaluation.organic.halves import cut
from spotify_buddies.trainer.evaluation.organic.questions import ask
from spotify_buddies.trainer.metrics.ranking import FactorScorer, ranks, summarise
from spotify_buddies.trainer.models.hybrid.songs import SongSets, feature
from spotify_buddies.trainer.models.hybrid.taste import fit_taste, unit
from spotify_buddies.trainer.models.model import Model


def _matrix(rows, sets):
    """The rows over songs and artists, dense."""
    blocks = []
    for part, scale in zip(sets.parts, rows.scales, strict=True):
        binary = part.to_scipy().toarray()
        artists = np.zeros((part.rows, rows.artist_weights.size))
        for song in np.flatnonzero(sets.artist >= 0):
            artists[:, sets.artist[song]] += binary[:, song]
        blocks.append(scale[:, None] * np.hstack([binary * rows.song_weights, artists * rows.artist_weights]))
    return np.vstack(blocks)


@pytest.mark.parametrize("artist_weight", [0.0, 0.5])
def test_the_basis_is_that_of_a_dense_svd(artist_weight):
    rng = np.random.default_rng(1)
    # Three genres of different sizes, so that three singular values stand out.
    likely = np.where(np.arange(30) // 10 == (np.arange(65) ** 2 % 7 % 3)[:, None], 0.7, 0.03)
    drawn = [np.flatnonzero(rng.random(30) < chance) for chance in likely]
    users, playlists = Csr.from_rows(drawn[:40], 30), Csr.from_rows(drawn[40:], 30)
    sets = SongSets(users, playlists, (np.arange(30) % 7).astype(np.int32))
    rows = feature(sets, artist_weight)
    found = fit_taste(rows, 3, seed=1)
    dense = _matrix(rows, sets)
    _, values, right = np.linalg.svd(dense)
    basis = np.concatenate([found.songs, found.artists])
    # As much of the matrix as the best basis holds.
    assert np.linalg.norm(dense @ basis, axis=0) == pytest.approx(values[:3], rel=2e-3)
    assert abs(right[0] @ basis[:, 0]) == pytest.approx(1, abs=1e-3)


def test_more_dimensions_than_the_rows_have_are_zeros():
    sets = SongSets(Csr.from_rows([[0, 1], [0, 1]], 2), Csr.from_rows([], 2), np.array([-1, -1], np.int32))
    found = fit_taste(feature(sets, 1), 4, seed=1)
    assert found.songs.shape == (2, 4)
    assert found.artists.shape == (0, 4)
    assert np.abs(found.songs[:, 0]) == pytest.approx([np.sqrt(0.5)] * 2, abs=1e-5)
    assert not found.songs[:, 2:].any()


@pytest.mark.parametrize(
    ("songs", "artist", "artist_weight"),
    [([[0], [1]], [-1, -1], 1.0), ([[0], [1]], [0, 1], 0.0), ([], [], 1.0)],
)
def test_sets_that_nothing_joins_have_no_taste(songs, artist, artist_weight):
    sets = SongSets(
        Csr.from_rows(songs, len(artist)), Csr.from_rows([], len(artist)), np.array(artist, np.int32).reshape(-1)
    )
    rows = feature(sets, artist_weight)
    found = fit_taste(rows, 4, seed=1)
    assert found.songs.shape == (len(artist), 4)
    assert not found.songs.any()
    assert not rows.rows(0, rows.vectors(found.songs, found.artists)).any()


def test_it_finds_the_other_half_where_people_keep_to_their_genre():
    rng = np.random.default_rng(3)
    playlists = [np.sort(g * 40 + rng.choice(40, 24, replace=False)) for g in np.arange(120) % 12]
    halves = cut(Csr.from_rows(playlists, 480), least=20, seed=1)
    rows = feature(SongSets(halves.library, halves.playlist, np.full(480, -1, np.int32)), 0)
    basis = fit_taste(rows, 12, seed=1)
    vectors = rows.vectors(basis.songs, basis.artists)
    model = Model(unit(rows.rows(0, vectors)), unit(rows.rows(1, vectors)))
    asked = ask(np.arange(120), np.arange(120), negatives=50, seed=1)
    # 50 of 119 others, 9 of them of the own genre: about 3.8 in a question. They share songs with the library, the own
    # half does not: at worst it comes behind them, at 1 / 4.8.
    found = summarise(ranks(asked, FactorScorer(model)))
    assert found["hit@10"] > 0.99
    assert found["mrr"] > 1 / 4.8


def test_rows_without_length_stay_zeros():
    assert unit(np.array([[3, 4], [0, 0]], np.float32)).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0]]

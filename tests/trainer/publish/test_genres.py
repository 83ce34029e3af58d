"""Genres on planted clusters, worked by hand, and where there is nothing to cluster."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.publish.genres import FEWEST, POPULAR_A_GENRE, Genres, Tastes, find_genres

SONGS = FEWEST * 10


def _planted(playlists: int = 400, seed: int = 3) -> tuple[Tastes, Tastes, np.ndarray]:
    """Playlist p lies near axis p % FEWEST and holds that axis's ten songs but the last, which user FEWEST.. hear."""
    rng = np.random.default_rng(seed)
    home = np.arange(playlists) % FEWEST
    vectors = (np.eye(FEWEST)[home] * 3 + rng.normal(0, 0.05, (playlists, FEWEST))).astype(np.float32)
    lists = Csr.from_rows([list(range(h * 10, h * 10 + 9)) for h in home.tolist()], SONGS)
    users = Csr.from_rows([[h * 10 + 9] for h in range(FEWEST - 1)], SONGS)
    return Tastes(lists, vectors), Tastes(users, np.eye(FEWEST, dtype=np.float32)[: FEWEST - 1]), home


def test_planted_clusters_become_genres_of_their_songs():
    playlists, users, _ = _planted()
    genres = find_genres(playlists, users, np.ones(400, np.int64), 1)
    assert genres.popular.rows == FEWEST
    by_axis = genres.songs.reshape(FEWEST, 10)
    assert (by_axis[:, :9] == by_axis[:, :1]).all()
    assert sorted(by_axis[:, 0].tolist()) == list(range(FEWEST))
    # The tenth song is on no playlist: its listener's genre is taken; that of the last axis nobody has.
    assert (by_axis[:-1, 9] == by_axis[:-1, 0]).all()
    assert by_axis[-1, 9] == -1


def test_a_genre_lists_its_most_liked_playlists_first_and_those_that_nobody_likes_not_at_all():
    playlists, users, home = _planted()
    likes = np.zeros(400, np.int64)
    likes[[5, 13, 21]] = 2, 9, 2
    genres = find_genres(playlists, users, likes, 1)
    genre = int(genres.songs[5 * 10])
    assert genres.popular.row(genre).tolist() == [13, 5, 21]
    assert genres.popular.values is not None
    assert genres.popular.values.tolist() == [9, 2, 2]
    assert genres.popular.counts.sum() == 3
    assert home[13] == 5


def test_a_genre_lists_at_most_200():
    playlists, users, _ = _planted(FEWEST * (POPULAR_A_GENRE + 5))
    genres = find_genres(playlists, users, np.ones(playlists.songs.rows, np.int64), 1)
    assert genres.popular.counts.max() == POPULAR_A_GENRE


def _same(left: Genres, right: Genres) -> bool:
    return np.array_equal(left.songs, right.songs) and np.array_equal(left.popular.indices, right.popular.indices)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_nothing(threads):
    rng = np.random.default_rng(5)
    lists = Csr.from_rows([np.sort(rng.choice(300, 12, replace=False)) for _ in range(3_000)], 300)
    playlists = Tastes(lists, rng.normal(size=(3_000, 16)).astype(np.float32))
    users = Tastes(Csr.from_rows([], 300), np.empty((0, 16), np.float32))
    likes = rng.integers(0, 9, 3_000)
    first = find_genres(playlists, users, likes, 1)
    with threadpool_limits(threads):
        assert _same(find_genres(playlists, users, likes, 1), first)


@pytest.mark.parametrize("playlists", [0, 3])
def test_without_a_playlist_that_has_a_place_there_are_no_genres(playlists):
    sets = Tastes(Csr.from_rows([[0]] * playlists, 2), np.zeros((playlists, 4), np.float32))
    genres = find_genres(sets, Tastes(Csr.from_rows([], 2), np.empty((0, 4), np.float32)), np.ones(playlists), 1)
    assert genres.songs.tolist() == [-1, -1]
    assert (genres.popular.rows, genres.popular.columns) == (0, playlists)


def test_one_playlist_is_one_genre():
    sets = Tastes(Csr.from_rows([[1], []], 2), np.array([[0, 2], [0, 0]], np.float32))
    genres = find_genres(sets, Tastes(Csr.from_rows([], 2), np.empty((0, 2), np.float32)), np.array([4, 7]), 1)
    assert genres.songs.tolist() == [-1, 0]
    assert genres.popular.row(0).tolist() == [0]

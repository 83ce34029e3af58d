"""Lists of the cold path: genre, neighbours, popular ones, by all rules, and the factors they are scored with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.search import build_index
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.serve_app.ranking import cold
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.gathering import CANDIDATES
from spotify_buddies.serve_app.ranking.query import Source, Taste
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import Bundle, SongFactors, write_bundle
from tests.serve_app.bundles import DIMENSION, PLAYLISTS, SONGS, USERS, parts
from tests.serve_app.ranking.cold_path import NONE, ROCK, near


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Engine]:
    """An engine over the generated bundle with other parts."""

    def make(**changes: Any) -> Engine:
        folder = tmp_path_factory.mktemp("changed")
        index = folder / "index"
        index.mkdir()
        made = replace(parts(index), **changes)
        build_index(made.user_songs, index, PairingSettings(dimension=16))
        return Engine(write_bundle(folder / "bundle", made), "1")

    return make


def test_a_genre_is_that_of_most_songs_and_rare_songs_count_more(changed: Callable[..., Engine]) -> None:
    # Songs 0 and 1 (genre 0) are heard by 59 users, song 30 (genre 1) by nobody: 2 * 1.0165 < 5.1.
    songs = Csr.from_rows([[0, 1]] * 59 + [[2]], SONGS)
    bundle = changed(user_songs=songs).bundle
    tastes = Csr.from_rows([[0, 1], [0, 1, 30], [], [85]], SONGS)
    assert cold.genres_of(bundle, tastes).tolist() == [0, 1, -1, -1]


def test_playlists_popular_in_the_genre_come_most_liked_first_by_all_rules(engine: Engine, bundle: Bundle) -> None:
    songs = engine.find_songs([ROCK])
    everything = engine.rank_tastes([ROCK], songs, near(), 100, NONE)
    assert list(everything.rows[0, :40]) == list(range(40))
    assert list(everything.scores[0, :2]) == [40.0, 39.0]
    excluded = np.array([0, 2], np.int32)
    own = Taste("user-1", ROCK.songs)  # owns playlists 1, 41, 81
    blocked = Csr.from_rows([[3]], PLAYLISTS)
    lists = engine.rank_tastes([own], engine.find_songs([own]), near(), 2, excluded, Rules(blocked))
    assert lists.rows.tolist() == [[4, 5]]
    assert lists.sources == (Source.POPULAR_IN_GENRE,)


def test_the_cap_per_owner_holds_in_a_genre(changed: Callable[..., Engine]) -> None:
    owner = np.where(np.arange(PLAYLISTS) < 30, 0, 1).astype(np.int32)
    owned = Csr.from_rows([np.flatnonzero(owner == user) for user in range(USERS)], PLAYLISTS)
    engine = changed(owner=owner, owned=owned)
    lists = engine.rank_tastes([ROCK], engine.find_songs([ROCK]), near(), 5, NONE, Rules(max_per_owner=2))
    assert lists.rows.tolist() == [[0, 1, 30, 31, -1]]


def test_when_the_genre_is_used_up_the_popular_ones_follow(engine: Engine, bundle: Bundle) -> None:
    lists = engine.rank_tastes([ROCK], engine.find_songs([ROCK]), near(), 3, np.arange(40, dtype=np.int32))
    assert lists.sources == (Source.POPULAR,)
    assert list(lists.rows[0]) == [row for row in bundle.popular if row >= 40][:3]


def test_when_everything_is_excluded_the_list_is_empty(engine: Engine) -> None:
    everything = np.arange(PLAYLISTS, dtype=np.int32)
    lists = engine.rank_tastes([ROCK], engine.find_songs([ROCK]), near(6), 3, everything)
    assert (lists.counts.tolist(), lists.rows.tolist()) == ([0], [[-1, -1, -1]])


def test_fewer_than_the_limit_are_left_of_the_neighbours_and_no_others_are_mixed_in(
    engine: Engine, bundle: Bundle
) -> None:
    own = bundle.owned.row(6)
    lists = engine.rank_tastes([ROCK], engine.find_songs([ROCK]), near(6, 50), 5, own[:1])
    assert lists.counts.tolist() == [own.size - 1]
    assert set(lists.rows[0, : own.size - 1]) == set(own[1:])
    assert lists.sources == (Source.COLD_NEIGHBOURS,)


def test_a_neighbour_who_owns_many_does_not_leave_a_list_short(changed: Callable[..., Engine]) -> None:
    # User 0 owns 100 playlists, users 1 and 2 ten each: of the 75 candidates the nearest alone could give all.
    owner = np.repeat([0, 1, 2], [100, 10, 10]).astype(np.int32)
    owned = Csr.from_rows([np.flatnonzero(owner == user) for user in range(USERS)], PLAYLISTS)
    engine = changed(owner=owner, owned=owned)
    songs = engine.find_songs([ROCK])
    lists = engine.rank_tastes([ROCK], songs, near(0, 1, 2), 5, NONE, Rules(max_per_owner=2))
    assert lists.counts.tolist() == [5]
    assert sorted(np.bincount(owner[lists.rows[0]]).tolist()) == [1, 2, 2]
    alone = engine.rank_tastes([ROCK], songs, near(0), 100, NONE, Rules(max_per_owner=50))
    assert alone.counts.tolist() == [50]
    unbounded = engine.rank_tastes([ROCK], songs, near(0), 100, NONE)
    assert unbounded.counts.tolist() == [CANDIDATES]


def test_a_large_library_is_searched_with_a_thousand_of_its_songs(changed: Callable[..., Engine]) -> None:
    count = 2_500
    names = [f"s{song}" for song in range(count)]
    engine = changed(
        user_songs=Csr.from_rows([list(range(count))] + [[song] for song in range(USERS - 1)], count),
        song_titles=names, song_artists=names, song_genres=np.full(count, -1, np.int16),
    )  # fmt: skip
    picked = cold.libraries(engine.bundle, np.array([0, 1]))
    assert picked.row(0).tolist() == list(range(0, count, 3))
    assert picked.row(1).tolist() == [0]


def test_a_factor_is_summed_from_the_songs_where_the_model_can_and_folded_in_where_not(
    changed: Callable[..., Engine], bundle: Bundle
) -> None:
    taste_part = np.zeros((SONGS, 2), np.float16)
    taste_part[4], taste_part[10] = (3, 0), (0, 4)
    likes = np.zeros((SONGS, DIMENSION - 2), np.float16)
    likes[4, 0] = likes[10, 0] = 5
    songs = SongFactors(taste_part, likes, np.full(SONGS, 2, np.float32), np.array([10], np.float32))
    engine = changed(song_factors=songs)
    tastes = Csr.from_rows([[4, 10], [5], [], [4]], SONGS)
    neighbours = Csr(np.array([0, 0, 1, 1, 1]), np.array([6], np.int32), USERS, np.ones(1, np.float32))
    factors = cold.factors_of(engine.bundle, tastes, neighbours)
    # Taste (3, 4) at length 10; likes 10 divided by the length of the weights, sqrt(4 + 4).
    assert factors[0].tolist() == pytest.approx([6, 8, 10 / 8**0.5, *[0] * (DIMENSION - 3)])
    assert factors[1].tolist() == bundle.user_factors[6].tolist()
    assert factors[2].tolist() == [0] * DIMENSION
    assert factors[3].tolist() == pytest.approx([10, 0, 2.5, *[0] * (DIMENSION - 3)])


def test_no_score_is_nan_whatever_the_cosines_are(engine: Engine) -> None:
    weightless = Csr(np.array([0, 2]), np.array([5, 6], np.int32), USERS, np.zeros(2, np.float32))
    lists = engine.rank_tastes([ROCK], engine.find_songs([ROCK]), weightless, 5, NONE)
    assert lists.sources == (Source.COLD_NEIGHBOURS,)
    assert np.isfinite(lists.scores).all()

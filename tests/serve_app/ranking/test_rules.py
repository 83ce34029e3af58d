"""What may stand in one list: caps per owner, near copies, and what one listener must not get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Source, Taste
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import Bundle, BundleParts, open_bundle, write_bundle
from tests.serve_app.bundles import PLAYLISTS, SONGS, USERS, make_bundle, parts
from tests.serve_app.reference import overlap, pick, ranked

NONE = np.empty(0, np.int32)
Maker = Callable[[list[int], list[float], dict[int, int]], Engine]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> BundleParts:
    directory = tmp_path_factory.mktemp("whole")
    make_bundle(directory)
    return parts(directory / "index")


@pytest.fixture
def small(whole: BundleParts, tmp_path: Path) -> Maker:
    """An engine where user-59 has playlists 0, 1, 2.. as candidates, with these owners, scores and equal bytes to 0."""

    def make(owners: list[int], scores: list[float], equal: dict[int, int]) -> Engine:
        count = len(owners)
        owner = np.full(PLAYLISTS, -1, np.int32)
        owner[:count] = owners
        playlist_factors = np.zeros_like(whole.playlist_factors)
        playlist_factors[:count, 0] = scores
        user_factors = np.zeros_like(whole.user_factors)
        user_factors[:, 0] = 1.0
        sketches = np.repeat(np.arange(PLAYLISTS, dtype=np.uint8)[:, None], 64, axis=1)
        for playlist, bytes_ in equal.items():
            sketches[playlist, :bytes_] = sketches[0, :bytes_]
        candidates: list[list[int]] = [[] for _ in range(USERS)]
        candidates[59] = list(range(count))
        made = replace(
            whole,
            owner=owner,
            playlist_factors=playlist_factors,
            user_factors=user_factors,
            sketches=sketches,
            candidates=Csr.from_rows(candidates, PLAYLISTS),
            owned=Csr.from_rows([np.flatnonzero(owner == user) for user in range(USERS)], PLAYLISTS),
            popular=np.arange(count, dtype=np.int32),
            popular_scores=np.arange(count, 0, -1).astype(np.float32),
        )
        return Engine(write_bundle(tmp_path / "bundle", made), "1")

    return make


def listed(engine: Engine, limit: int = 5, user: str = "user-59", **rules: object) -> list[int]:
    lists = engine.rank_known([user], limit, NONE, Rules(**rules))  # type: ignore[arg-type]
    return [int(row) for row in lists.rows[0, : lists.counts[0]]]


def test_the_third_playlist_of_an_owner_gives_way_to_the_next_best_of_another(small: Maker) -> None:
    engine = small([7, 7, 7, 8, 7, 9], [6, 5, 4, 3, 2, 1], {})
    assert listed(engine, 4, max_per_owner=2) == [0, 1, 3, 5]
    assert listed(engine, 4, max_per_owner=1) == [0, 3, 5]
    assert listed(engine, 4, max_per_owner=3) == [0, 1, 2, 3]
    assert listed(engine, 6, max_per_owner=100) == [0, 1, 2, 3, 4, 5]


def test_playlists_without_an_owner_are_not_counted(small: Maker) -> None:
    assert listed(small([-1, -1, -1, 7], [4, 3, 2, 1], {}), 4, max_per_owner=1) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("equal", "most", "kept"),
    [
        # 64 bytes: 52 equal ones are 0.812 of the songs, 51 are 0.796.
        (52, 0.8, [0, 2]),
        (51, 0.8, [0, 1, 2]),
        (64, 1.0, [0, 1, 2]),
        (64, 0.99, [0, 2]),
        (1, 1e-6, [0, 2]),
        (0, 1e-6, [0, 1, 2]),
    ],
)
def test_a_playlist_with_too_many_songs_of_a_better_one_is_left_out(
    small: Maker, equal: int, most: float, kept: list[int]
) -> None:
    assert listed(small([7, 8, 9], [3, 2, 1], {1: equal}), max_song_overlap=most) == kept


def test_a_copy_of_what_was_left_out_itself_may_stay(small: Maker) -> None:
    engine = small([7, 7, 8], [3, 2, 1], {})
    sketches = np.asarray(engine.bundle.sketches).copy()
    sketches[2] = sketches[1]
    engine = Engine(replace(engine.bundle, sketches=sketches), "1")
    assert listed(engine, max_per_owner=1, max_song_overlap=0.8) == [0, 2]
    assert listed(engine, max_per_owner=2, max_song_overlap=0.8) == [0, 1]


def test_of_equal_scores_the_first_candidate_comes_first(small: Maker) -> None:
    assert listed(small([1, 2, 3, 4, 5, 6], [1, 2, 1, 2, 1, 2], {}), 6) == [1, 3, 5, 0, 2, 4]


def test_what_one_listener_must_not_get_another_may(small: Maker) -> None:
    engine = small([1, 2, 3], [3, 2, 1], {})
    blocked = engine.block(2, {1: ["list-0", "list-1", "nope"]}, {1: ["list-0"]})
    lists = engine.rank_known(["user-59", "user-59"], 3, NONE, Rules(blocked))
    assert [list(row[row >= 0]) for row in lists.rows] == [[0, 1, 2], [2]]


def test_nothing_blocked_costs_nothing(engine: Engine) -> None:
    assert engine.block(3) is None
    assert engine.block(3, {}, {}) is None


def test_a_list_blocked_to_the_last_one_is_popular_under_the_same_rules(small: Maker) -> None:
    engine = small([7, 7, 7, 8], [4, 3, 2, 1], {3: 64})
    user = Rules(engine.block(1, {0: ["list-0"]}), 1, 0.8)
    lists = engine.rank_known(["nobody"], 5, NONE, user)
    assert lists.sources == (Source.POPULAR,)
    assert list(lists.rows[0]) == [1, 3, -1, -1, -1]
    assert listed(engine, user="nobody", max_per_owner=1, max_song_overlap=0.8) == [0]
    everything = Rules(engine.block(1, {0: [f"list-{p}" for p in range(4)]}))
    assert list(engine.rank_known(["user-59"], 5, NONE, everything).counts) == [0]


def test_blocked_playlists_take_no_place_among_the_candidates_of_a_taste(bundle: Bundle, engine: Engine) -> None:
    order = np.arange(40, dtype=np.int32)
    near = Csr(np.array([0, 40]), order, USERS, np.linspace(1, 0.1, 40).astype(np.float32))
    taste = Taste("x", ("SO0004",))
    owned = [int(p) for user in order for p in bundle.owned.row(user)]
    rules = Rules(engine.block(1, {0: [f"list-{p}" for p in owned[:30]]}))
    lists = engine.rank_tastes([taste], engine.find_songs([taste]), near, 100, NONE, rules)
    assert set(lists.rows[0, : lists.counts[0]]) == set(owned[30:105])


@pytest.fixture(scope="module")
def clumped(whole: BundleParts, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Sketches in clumps of four, a few bytes changed in each, so that copies of every degree meet."""
    rng = np.random.default_rng(3)
    sketches = whole.sketches[np.arange(PLAYLISTS) // 4 * 4].copy()
    for playlist in range(PLAYLISTS):
        places = rng.permutation(64)[: rng.integers(0, 40)]
        sketches[playlist, places] = rng.integers(0, 256, places.size)
    directory = tmp_path_factory.mktemp("clumped") / "bundle"
    write_bundle(directory, replace(whole, sketches=sketches))
    return open_bundle(directory)


@settings(max_examples=150, deadline=None)
@given(
    users=st.lists(st.integers(-1, 59), min_size=1, max_size=6),
    limit=st.integers(1, 100),
    excluded=st.sets(st.integers(0, PLAYLISTS - 1), max_size=60),
    blocked=st.dictionaries(st.integers(0, 5), st.sets(st.integers(0, PLAYLISTS - 1), max_size=120), max_size=6),
    per_owner=st.integers(1, 4),
    most=st.sampled_from([0.01, 0.3, 0.5, 0.8, 0.99, 1.0]),
)
def test_lists_equal_a_slow_ranking_by_the_same_rules(
    clumped: Bundle,
    users: list[int],
    limit: int,
    excluded: set[int],
    blocked: dict[int, set[int]],
    per_owner: int,
    most: float,
) -> None:
    engine = Engine(clumped, "1")
    ids = {place: [f"list-{p}" for p in rows] for place, rows in blocked.items() if place < len(users)}
    rules = Rules(engine.block(len(users), ids), per_owner, most)
    lists = engine.rank_known([f"user-{u}" for u in users], limit, np.array(sorted(excluded), np.int32), rules)
    for i, user in enumerate(users):
        banned = excluded | blocked.get(i, set())
        order = ranked(clumped, clumped.candidates.row(user), clumped.user_factors[user]) if user >= 0 else []
        live = pick(clumped, order, user, limit, banned, per_owner, most)
        popular = pick(clumped, map(int, clumped.popular), user, limit, banned, per_owner, most)
        assert list(lists.rows[i, : lists.counts[i]]) == (live or popular)
        assert lists.sources[i] is (Source.LIVE if live else Source.POPULAR)
        assert set(lists.rows[i, lists.counts[i] :]) <= {-1}


def test_the_overlap_of_the_clumps_reaches_from_none_to_all(clumped: Bundle) -> None:
    overlaps = [overlap(clumped, p, p + 1) for p in range(0, PLAYLISTS, 4)]
    assert min(overlaps) < 0.5 < 0.8 < max(overlaps)


def test_a_taste_falls_back_to_its_genre_before_everybodys_popular_ones(engine: Engine, bundle: Bundle) -> None:
    assert bundle.manifest.songs == SONGS
    rows = np.array([-1, -1], np.int32)
    lists = engine._rank(
        rows, engine.bundle.user_factors, rows, engine.bundle.candidates, rows, 3, NONE, Rules(max_per_owner=1),
        np.array([1, 2], np.int32),
    )  # fmt: skip
    # Genre 1 likes 80, 79, 78.. best; genre 2 likes nothing. Playlist 79 has no owner, 80 and 40 have the same one.
    assert list(lists.rows[0]) == [80, 79, 78]
    assert list(lists.scores[0]) == [40.0, 39.0, 38.0]
    assert list(lists.rows[1]) == pick(bundle, map(int, bundle.popular), -1, 3, set(), 1, 1.0)
    assert lists.sources == (Source.POPULAR_IN_GENRE, Source.POPULAR)

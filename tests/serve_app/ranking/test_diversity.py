"""Parts of better playlists, novelty, and genres in the proportions of the user's songs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking.catalogue import Library, genre_of, novelty_of, shares_of
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.kernels.rules import MARKS, is_contained, may_be_contained
from spotify_buddies.serve_app.ranking.kernels.weighing import divergence
from spotify_buddies.serve_app.ranking.query import Taste
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import BundleParts, write_bundle
from spotify_buddies.trainer.bundle.derived import WORDS, song_bits_of
from tests.serve_app.bundles import PLAYLISTS, SONGS, USERS, make_bundle, parts

NONE = np.empty(0, np.int32)
Maker = Callable[..., Engine]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> BundleParts:
    directory = tmp_path_factory.mktemp("whole")
    make_bundle(directory)
    return parts(directory / "index")


@pytest.fixture
def small(whole: BundleParts, tmp_path: Path) -> Maker:
    """An engine where user-59 has playlists 0, 1, 2.. with these scores and songs; the user's library is given too."""

    def make(scores: list[float], songs: list[list[int]], library: list[int] = [], genres: Any = None) -> Engine:  # noqa: B006
        playlist_factors = np.zeros_like(whole.playlist_factors)
        playlist_factors[: len(scores), 0] = scores
        user_factors = np.zeros_like(whole.user_factors)
        user_factors[:, 0] = 1.0
        candidates: list[list[int]] = [[] for _ in range(USERS)]
        candidates[59] = list(range(len(scores)))
        libraries = [list(whole.user_songs.row(user)) for user in range(USERS)]
        libraries[59] = library
        made = replace(
            whole,
            owner=np.full(PLAYLISTS, -1, np.int32),
            owned=Csr.from_rows([[]] * USERS, PLAYLISTS),
            playlist_factors=playlist_factors,
            user_factors=user_factors,
            candidates=Csr.from_rows(candidates, PLAYLISTS),
            user_songs=Csr.from_rows(libraries, SONGS),
            playlist_songs=Csr.from_rows([*songs, *([[]] * (PLAYLISTS - len(songs)))], SONGS),
            song_genres=whole.song_genres if genres is None else genres,
        )
        return Engine(write_bundle(tmp_path / "bundle", made), "1")

    return make


def listed(engine: Engine, limit: int = 5, **rules: object) -> list[int]:
    lists = engine.rank_known(["user-59"], limit, NONE, Rules(**rules))  # type: ignore[arg-type]
    return [int(row) for row in lists.rows[0, : lists.counts[0]]]


def contained(one: Any, other: Any, most: float) -> bool:
    marks = np.zeros(MARKS, np.uint8)
    marks[one % MARKS] = 1
    return bool(is_contained(one, marks, other, most))


@settings(max_examples=300, deadline=None)
@given(
    one=st.sets(st.integers(0, 30), max_size=20),
    other=st.sets(st.integers(0, 30), max_size=20),
    most=st.sampled_from([0.01, 0.25, 0.5, 0.75, 0.99, 1.0]),
)
def test_containment_is_the_share_of_the_smaller_in_the_larger(one: set[int], other: set[int], most: float) -> None:
    smaller = min(len(one), len(other))
    expected = smaller > 0 and len(one & other) > most * smaller
    # Six songs each that leave their mark at the same place.
    arrays = [np.array(sorted(song % 5 * MARKS + song // 5 for song in songs), np.int32) for songs in (one, other)]
    assert contained(*arrays, most) == contained(*reversed(arrays), most) == expected


@settings(max_examples=300, deadline=None)
@given(
    one=st.sets(st.integers(0, 3_000), max_size=60),
    shared=st.floats(0, 1),
    others=st.sets(st.integers(0, 3_000), max_size=400),
    most=st.sampled_from([0.01, 0.25, 0.5, 0.75, 0.99]),
)
def test_bits_refuse_no_part(one: set[int], shared: float, others: set[int], most: float) -> None:
    other = others | set(sorted(one)[: round(shared * len(one))])
    smaller = min(len(one), len(other))
    bits = song_bits_of(Csr.from_rows([sorted(one), sorted(other)], 3_001))
    if smaller > 0 and len(one & other) > most * smaller:
        assert may_be_contained(bits, 0, len(one), 1, len(other), most)
        assert may_be_contained(bits, 1, len(other), 0, len(one), most)
    if not smaller:
        assert not may_be_contained(bits, 0, len(one), 1, len(other), most)


def test_bits_decide_what_shares_little() -> None:
    drawn = [np.unique(np.random.default_rng(row).integers(0, 50_000, 60)).astype(np.int32) for row in range(40)]
    bits = song_bits_of(Csr.from_rows(drawn, 50_000))
    assert bits.shape == (40, WORDS)
    pairs = [(a, b) for a in range(40) for b in range(a)]
    assert not any(may_be_contained(bits, a, drawn[a].size, b, drawn[b].size, 0.75) for a, b in pairs)
    assert all(may_be_contained(bits, a, drawn[a].size, a, drawn[a].size, 0.75) for a in range(40))


def test_a_short_list_that_is_a_part_of_a_long_one_is_left_out(small: Maker) -> None:
    # 4 of the 6 songs of playlist 1 are among the 40 of playlist 0: of both together 10 %.
    engine = small([3, 2, 1], [list(range(40)), [0, 1, 2, 3, 50, 51], [60, 61]])
    assert listed(engine, max_song_containment=0.5) == [0, 2]
    assert listed(engine, max_song_containment=0.7) == [0, 1, 2]
    assert listed(engine, max_song_containment=1.0) == [0, 1, 2]
    # Exactly half is not more than half.
    engine = small([3, 2, 1], [list(range(40)), [0, 1, 50, 51], [60, 61]])
    assert listed(engine, max_song_containment=0.5) == [0, 1, 2]


def test_a_playlist_without_songs_is_part_of_nothing(small: Maker) -> None:
    assert listed(small([3, 2], [[1, 2], []]), max_song_containment=0.01) == [0, 1]


def test_a_bundle_without_songs_of_playlists_answers_as_it_did(whole: BundleParts, tmp_path: Path) -> None:
    engine = Engine(write_bundle(tmp_path / "bundle", replace(whole, playlist_songs=None)), "1")
    plain = engine.rank_known(["user-3"], 10, NONE, Rules())
    asked = engine.rank_known(["user-3"], 10, NONE, Rules(None, 100, 1.0, 0.01, 1.0, 1.0))
    assert asked.rows.tolist() == plain.rows.tolist()


def test_novelty_is_the_rank_of_the_mean_self_information() -> None:
    songs = Csr.from_rows([[0, 1], [0], [2], [1, 2], [], [2]], 3)
    # Of 7 users 7, 3 and 0 listen: 0, 1 and 3 bits a song; means 0.5, 0, 3, 2, none, 3.
    novelty = novelty_of(songs, np.array([7, 3, 0]), 7)
    assert novelty.tolist() == pytest.approx([1 / 3, 0, 1, 2 / 3, 0, 1])
    assert novelty_of(Csr.from_rows([], 3), np.zeros(3), 0).tolist() == []


def test_a_playlist_has_the_genre_of_most_of_its_songs() -> None:
    songs = Csr.from_rows([[0, 1, 2], [1, 2], [3], []], 4)
    assert genre_of(songs, np.array([1, 0, 1, -1], np.int16), 2).tolist() == [1, 0, -1, -1]
    assert genre_of(songs, np.full(4, -1, np.int16), 0).tolist() == [-1] * 4


def test_shares_of_genres_sum_to_one_where_a_song_has_one() -> None:
    songs = Csr.from_rows([[0, 1, 2, 3], [3]], 4)
    shares = shares_of(songs, np.array([0, 1, -1]), np.array([1, 0, 1, -1], np.int16), 2)
    assert shares.tolist() == [[pytest.approx(1 / 3), pytest.approx(2 / 3)], [0, 0], [0, 0]]


def test_more_adventurous_lists_are_never_better_known(small: Maker) -> None:
    rng = np.random.default_rng(7)
    songs = [sorted(rng.choice(SONGS, 6, replace=False).tolist()) for _ in range(40)]
    engine = small(rng.random(40).tolist(), songs)
    novelty = engine.catalogue.novelty
    means = [round(float(np.sort(novelty[listed(engine, adventurous=a)]).mean()), 5) for a in np.linspace(0, 1, 11)]
    assert means == sorted(means)
    assert means[0] < means[-1]
    assert listed(engine, adventurous=0.0) == listed(engine)
    assert sorted(novelty[listed(engine, adventurous=1.0)]) == sorted(np.sort(novelty[:40])[-5:])


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """60 users, whose playlists hold 3 to 12 songs, common ones in many playlists and libraries."""
    directory = tmp_path_factory.mktemp("crowd")
    make_bundle(directory)
    rng = np.random.default_rng(11)
    common = 1.0 / np.arange(1, SONGS + 1)
    sets = [
        np.sort(rng.choice(SONGS, rng.integers(3, 13), replace=False, p=common / common.sum()))
        for _ in range(PLAYLISTS)
    ]
    made = replace(parts(directory / "index"), playlist_songs=Csr.from_rows(sets, SONGS))
    return Engine(write_bundle(directory / "crowd", made), "1")


@settings(max_examples=60, deadline=None)
@given(
    users=st.lists(st.integers(0, USERS - 2), min_size=1, max_size=30),
    steps=st.lists(st.floats(0, 1), min_size=2, max_size=6),
    limit=st.integers(1, 20),
)
def test_without_rules_no_listener_gets_better_known_lists_by_asking_for_adventure(
    crowd: Engine, users: list[int], steps: list[float], limit: int
) -> None:
    # The list is the one with the largest sum of (1 - a) * score + a * novelty, so its novelty cannot fall with a.
    means = novelties(crowd, users, sorted(steps), limit, Rules())
    assert (np.diff(means, axis=0) >= -1e-5).all()


@pytest.mark.parametrize("limit", [3, 5, 8])
@pytest.mark.parametrize("owners", [2, 100])
@pytest.mark.parametrize("containment", [0.5, 0.75, 1.0])
def test_with_rules_the_mean_novelty_of_many_listeners_rises(
    crowd: Engine, containment: float, owners: int, limit: int
) -> None:
    rules = Rules(None, owners, 0.8, containment)
    means = novelties(crowd, list(range(USERS - 1)), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], limit, rules).mean(axis=1)
    assert (np.diff(means) >= 0).all()
    assert means[-1] > means[0] + 0.1


def novelties(engine: Engine, users: list[int], steps: list[float], limit: int, rules: Rules) -> Any:
    """The mean novelty of each user's list at each step, float64 (steps, users)."""
    ids = [f"user-{user}" for user in users]
    found = []
    for step in steps:
        lists = engine.rank_known(ids, limit, NONE, replace(rules, adventurous=step))
        filled = np.arange(limit) < lists.counts[:, None]
        found.append(np.where(filled, engine.catalogue.novelty[lists.rows], 0.0).sum(axis=1) / lists.counts)
    return np.array(found)


def test_a_calibrated_list_has_the_genres_of_the_library(small: Maker) -> None:
    genres = np.zeros(SONGS, np.int16)
    genres[SONGS // 2 :] = 1
    first, second = list(range(10)), list(range(SONGS // 2, SONGS // 2 + 10))
    # The user listens to both alike; by the scores alone all four are of the first genre.
    engine = small([9, 8, 7, 6, 3, 2], [[s] for s in (0, 1, 2, 3)] + [[s] for s in second[:2]], first + second, genres)
    assert listed(engine, 4) == [0, 1, 2, 3]
    assert sorted(listed(engine, 4, calibration=0.9)) == [0, 1, 4, 5]
    assert listed(engine, 4, calibration=1e-6) == [0, 1, 2, 3]


def test_a_taste_is_calibrated_to_its_own_songs(small: Maker) -> None:
    genres = np.zeros(SONGS, np.int16)
    genres[SONGS // 2 :] = 1
    engine = small([9, 8, 3], [[0], [1], [SONGS // 2]], [], genres)
    songs = Csr.from_rows([[SONGS // 2, SONGS // 2 + 1]], SONGS)
    lists = engine._rank(
        np.array([-1], np.int32), engine.bundle.user_factors, np.array([59], np.int32), engine.bundle.candidates,
        np.array([59], np.int32), 1, NONE, Rules(calibration=0.9), library=Library(songs, np.zeros(1, np.int32)),
    )  # fmt: skip
    assert lists.rows[0].tolist() == [2]
    assert (lists.songs, lists.song_rows.tolist()) == (songs, [0])


def test_a_user_of_unknown_genre_gets_the_models_order(small: Maker) -> None:
    engine = small([1, 3, 2], [[0], [1], [2]], [], np.full(SONGS, -1, np.int16))
    assert listed(engine, calibration=1.0) == [1, 2, 0]


def test_the_scores_of_a_weighed_list_are_the_models(small: Maker) -> None:
    engine = small([1, 3, 2], [[0], [1], [2]])
    lists = engine.rank_known(["user-59"], 3, NONE, Rules(adventurous=1.0))
    assert {int(p): float(s) for p, s in zip(lists.rows[0], lists.scores[0], strict=True)} == {0: 1.0, 1: 3.0, 2: 2.0}


def test_rules_hold_in_weighed_lists_too(small: Maker) -> None:
    engine = small([3, 2, 1], [list(range(40)), [0, 1, 2], [60, 61]])
    assert 1 not in listed(engine, adventurous=0.1, max_song_containment=0.5)
    blocked = engine.block(1, {0: ["list-2"]})
    assert listed(engine, blocked=blocked, adventurous=1.0, max_song_containment=0.5) in ([0], [1])


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_the_divergence_of_a_genre_falls_with_its_share(share: float) -> None:
    assert divergence(0.0, share) == 0.0
    assert divergence(0.5, 0.5) == pytest.approx(0.0)
    assert divergence(0.5, share / 2) >= divergence(0.5, share)


def test_a_taste_answered_by_the_engine_keeps_its_own_songs(whole: BundleParts, tmp_path: Path) -> None:
    engine = Engine(write_bundle(tmp_path / "bundle", whole), "1")
    taste = Taste("x", ("SO0004",))
    songs = engine.find_songs([taste])
    lists = engine.rank_tastes([taste], songs, None, 3, NONE, Rules(calibration=0.5))
    assert lists.songs is songs.songs

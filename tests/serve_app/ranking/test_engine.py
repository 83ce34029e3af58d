from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.errors import NonFiniteScores
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.gathering import CANDIDATES
from spotify_buddies.serve_app.ranking.query import Skipped, SongName, Source, Taste
from spotify_buddies.trainer.bundle import Bundle, write_bundle
from tests.serve_app.bundles import PLAYLISTS, SONGS, USERS, make_bundle, parts

NONE = np.empty(0, np.int32)
NO_PAIRING, COLD = "user-59", 59


def brute_force(bundle: Bundle, user: int, limit: int, excluded: set[int]) -> list[int]:
    kept = [p for p in bundle.candidates.row(user) if p not in excluded and bundle.owner[p] != user]
    scores = {p: float(bundle.user_factors[user].astype(np.float64) @ bundle.playlist_factors[p]) for p in kept}
    return sorted(kept, key=lambda p: -scores[p])[:limit]


def popular(bundle: Bundle, user: int, limit: int, excluded: set[int]) -> list[int]:
    return [p for p in bundle.popular if p not in excluded and (user < 0 or bundle.owner[p] != user)][:limit]


@settings(max_examples=60, deadline=None)
@given(
    users=st.lists(st.integers(0, 59), min_size=1, max_size=8),
    limit=st.integers(1, 100),
    excluded=st.sets(st.integers(0, 119), max_size=120),
)
def test_lists_equal_a_brute_force_ranking(
    engine: Engine, bundle: Bundle, users: list[int], limit: int, excluded: set[int]
) -> None:
    lists = engine.rank_known([f"user-{u}" for u in users], limit, np.array(sorted(excluded), np.int32))
    assert lists.user_ids == tuple(f"user-{u}" for u in users)
    for i, user in enumerate(users):
        given = list(lists.rows[i, : lists.counts[i]])
        ranked = brute_force(bundle, user, limit, excluded)
        assert given == (ranked or popular(bundle, user, limit, excluded))
        assert lists.sources[i] is (Source.LIVE if ranked else Source.POPULAR)
        assert not any(bundle.owner[p] == user for p in given)


def test_scores_are_inner_products_of_the_factors(engine: Engine, bundle: Bundle) -> None:
    lists = engine.rank_known(["user-3"], 5, NONE)
    expected = bundle.playlist_factors[lists.rows[0]] @ bundle.user_factors[3]
    np.testing.assert_allclose(lists.scores[0], expected, rtol=1e-5)
    assert all(np.diff(lists.scores[0]) <= 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_an_error_not_a_list(bundle: Bundle, value: float) -> None:
    scores = np.array(bundle.candidates.values)
    first, last = bundle.candidates.indptr[3:5]
    scores[first:last] = value
    factors = np.array(bundle.user_factors)
    factors[[3, COLD]] = value
    spoiled = replace(bundle, candidates=replace(bundle.candidates, values=scores), user_factors=factors)
    engine = Engine(spoiled, "7")
    near = Csr(np.array([0, 2]), np.array([5, 6], np.int32), USERS, np.ones(2, np.float32))
    with pytest.raises(NonFiniteScores, match="version 7 has scores that are not finite"):
        engine.rank_known(["user-2", "user-3"], 5, NONE)
    with pytest.raises(NonFiniteScores):
        engine.rank_candidates(np.array([3], np.int32), Csr.from_rows([[1, 2]], PLAYLISTS), 5, NONE)
    with pytest.raises(NonFiniteScores):
        engine.rank_cold(np.array([COLD], np.int32), near, 5, NONE)
    assert engine.rank_known(["user-4"], 5, NONE).counts.tolist() == [5]


def test_a_limit_beyond_the_candidates_gives_all_of_them_and_no_popular_ones(engine: Engine, bundle: Bundle) -> None:
    lists = engine.rank_known(["user-3"], 100, NONE)
    assert lists.counts[0] == len(bundle.candidates.row(3))
    assert set(lists.rows[0, : lists.counts[0]]) == set(bundle.candidates.row(3))
    assert set(lists.rows[0, lists.counts[0] :]) == {-1}


def test_an_unknown_listener_gets_the_popular_playlists_with_their_likes_as_scores(
    engine: Engine, bundle: Bundle
) -> None:
    lists = engine.rank_known(["nobody"], 3, NONE)
    assert list(lists.rows[0]) == list(bundle.popular[:3])
    assert list(lists.scores[0]) == [50.0, 49.0, 48.0]
    assert lists.sources == (Source.POPULAR,)
    assert lists.song_rows[0] == -1


def test_a_known_listener_without_candidates_gets_popular_playlists_but_never_the_own_ones(engine: Engine) -> None:
    assert engine.rank_known([NO_PAIRING], 3, NONE).sources == (Source.POPULAR,)
    everything = engine.find_playlists([f"list-{p}" for p in range(1, 120)])
    # list-0 belongs to user-0 and all others are excluded: nothing is left for user-0, something for anybody else.
    lists = engine.rank_known(["user-0", NO_PAIRING], 5, everything)
    assert list(lists.counts) == [0, 1]


def test_no_listeners_give_no_lists(engine: Engine) -> None:
    assert len(engine.rank_known([], 5, NONE)) == 0


def test_duplicates_are_answered_each_time_in_the_order_asked(engine: Engine) -> None:
    lists = engine.rank_known(["user-1", "nobody", "user-1"], 5, NONE)
    assert lists.user_ids == ("user-1", "nobody", "user-1")
    assert list(lists.rows[0]) == list(lists.rows[2])


def test_unknown_playlists_are_left_out_of_exclusions(engine: Engine) -> None:
    assert list(engine.find_playlists(["list-9", "nope", "list-2", "list-9"])) == [2, 9]
    assert engine.find_playlists([]).size == 0


def test_songs_are_found_by_id_and_by_name_in_any_case(engine: Engine) -> None:
    taste = Taste("x", ("SO0004", SongName(" SONG 7 ", "artist 7"), "nope", SongName("Song 7", "nobody"), "SO0004"))
    resolved = engine.find_songs([taste, Taste("y", ("nope",))])
    assert list(resolved.songs.row(0)) == [4, 7]
    assert list(resolved.songs.row(1)) == []
    assert resolved.unknown == (2, 1)


def test_a_taste_gets_the_playlists_of_its_neighbours_ranked_by_their_mean_factor(
    engine: Engine, bundle: Bundle
) -> None:
    taste = Taste("x", ("SO0004",))
    near = Csr(np.array([0, 2]), np.array([5, 6], np.int32), 60, np.array([0.75, 0.25], np.float32))
    lists = engine.rank_tastes([taste], engine.find_songs([taste]), near, 100, NONE)
    owned = [*bundle.owned.row(5), *bundle.owned.row(6)]
    factor = 0.75 * bundle.user_factors[5] + 0.25 * bundle.user_factors[6]
    assert list(lists.rows[0, : lists.counts[0]]) == sorted(
        owned, key=lambda p: -float(bundle.playlist_factors[p] @ factor)
    )
    assert lists.sources == (Source.COLD_NEIGHBOURS,)
    assert lists.skipped == ((),)


def test_a_taste_takes_at_most_75_playlists_from_its_best_neighbours(engine: Engine, bundle: Bundle) -> None:
    order = np.arange(40, dtype=np.int32)[::-1]
    near = Csr(np.array([0, 40]), np.ascontiguousarray(order), 60, np.linspace(1, 0.1, 40).astype(np.float32))
    taste = Taste("x", ("SO0004",))
    lists = engine.rank_tastes([taste], engine.find_songs([taste]), near, 100, NONE)
    best = [int(p) for user in order for p in bundle.owned.row(user)][:CANDIDATES]
    assert set(lists.rows[0, : lists.counts[0]]) == set(best)
    assert lists.counts[0] == CANDIDATES


def test_a_taste_of_a_known_listener_never_brings_back_the_own_playlists(engine: Engine, bundle: Bundle) -> None:
    taste = Taste("user-5", ("SO0004",))
    near = Csr(np.array([0, 2]), np.array([5, 6], np.int32), 60, np.ones(2, np.float32))
    lists = engine.rank_tastes([taste], engine.find_songs([taste]), near, 100, NONE)
    assert set(lists.rows[0, : lists.counts[0]]) == set(bundle.owned.row(6))


def test_own_and_excluded_playlists_take_no_place_among_the_candidates(tmp_path: Path) -> None:
    make_bundle(tmp_path / "whole")
    # user-0 owns 80 playlists and is its own nearest neighbour; user-1 owns the other 40.
    owner = np.where(np.arange(PLAYLISTS) < 80, 0, 1).astype(np.int32)
    owned = Csr.from_rows([np.flatnonzero(owner == user) for user in range(USERS)], PLAYLISTS)
    engine = Engine(
        write_bundle(tmp_path / "bundle", replace(parts(tmp_path / "whole" / "index"), owner=owner, owned=owned)),
        "1",
    )
    near = Csr(np.array([0, 2]), np.array([0, 1], np.int32), USERS, np.array([1.0, 0.5], np.float32))
    own, other = Taste("user-0", ("SO0004",)), Taste("x", ("SO0004",))
    lists = engine.rank_tastes([own], engine.find_songs([own]), near, 100, NONE)
    assert lists.sources == (Source.COLD_NEIGHBOURS,)
    assert set(lists.rows[0, : lists.counts[0]]) == set(range(80, 120))
    excluded = np.arange(80, dtype=np.int32)
    lists = engine.rank_tastes([other], engine.find_songs([other]), near, 100, excluded)
    assert lists.sources == (Source.COLD_NEIGHBOURS,)
    assert set(lists.rows[0, : lists.counts[0]]) == set(range(80, 120))


def test_a_taste_without_neighbours_is_popular_and_a_skipped_search_says_so(engine: Engine, bundle: Bundle) -> None:
    tastes = [Taste("x", ("nope",))]
    resolved = engine.find_songs(tastes)
    near = Csr(np.zeros(2, np.int64), NONE, 60, np.empty(0, np.float32))
    nobody = engine.rank_tastes(tastes, resolved, near, 2, NONE)
    skipped = engine.rank_tastes(tastes, resolved, None, 2, NONE)
    for lists in (nobody, skipped):
        assert lists.sources == (Source.POPULAR,)
        assert list(lists.rows[0]) == list(bundle.popular[:2])
        assert lists.unknown_songs == (1,)
    assert nobody.skipped == ((),)
    assert skipped.skipped == ((Skipped.NEIGHBOUR_SEARCH,),)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_every_taste_gets_one_list(engine: Engine, count: int) -> None:
    tastes = [Taste(str(i), ("SO0004",)) for i in range(count)]
    assert len(engine.rank_tastes(tastes, engine.find_songs(tastes), None, 2, NONE)) == count


def test_a_name_of_spaces_matches_no_nameless_song(tmp_path: Path) -> None:
    make_bundle(tmp_path / "whole")
    nameless = replace(parts(tmp_path / "whole" / "index"), song_titles=[""] * SONGS, song_artists=[""] * SONGS)
    engine = Engine(write_bundle(tmp_path / "bundle", nameless), "1")
    resolved = engine.find_songs([Taste("x", (SongName(" ", "\t"), SongName("a", " "), "SO0004"))])
    assert (resolved.songs.row(0).tolist(), resolved.unknown) == ([4], (2,))


def test_names_of_a_taste_are_found_as_full_matching_matched_them(tmp_path: Path) -> None:
    make_bundle(tmp_path / "whole")
    names = {2: ("Doors", "Nora Quill"), 3: ("Suns", "X"), 5: ("Suns (feat. B)", "X"), 7: ("Roads (Live)", "The Larks")}
    whole = parts(tmp_path / "whole" / "index")
    titles = [names[song][0] if song in names else title for song, title in enumerate(whole.song_titles)]
    artists = [names[song][1] if song in names else artist for song, artist in enumerate(whole.song_artists)]
    full = replace(whole, song_titles=titles, song_artists=artists, matching="full")
    aliases = ["dors\x1fnoraquill", "suns\x1fx\x1fc"]
    full = replace(full, song_aliases=aliases, song_alias_rows=np.array([2, 5]))
    engine = Engine(write_bundle(tmp_path / "bundle", full), "1")

    def found(title: str, artist: str) -> list[int]:
        resolved = engine.find_songs([Taste("x", (SongName(title, artist),))])
        return [int(row) for row in resolved.songs.row(0)]

    assert found("Doors - 2011 - Remaster", "Quill, Nora") == [2]
    assert found("doors", "Nora Quill x Tom Vale") == [2]
    assert found("Suns (feat. A)", "X") == [3]
    assert found("Suns ft B", "X") == [5]
    assert found("Roads - En Vivo", "Larks, The") == [7]
    assert found("Dors (2011 Remaster)", "Nora Quill") == [2]
    assert found("Suns (feat. C)", "X") == [5]
    assert found("Roads", "The Larks") == []
    assert found("Doors", "Tom Vale") == []

"""Listeners without candidates: every step of the cold path, and what must hold at each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.search import NeighbourSearch, build_index
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.errors import NeighboursUnavailable
from spotify_buddies.serve_app.neighbours.client import Local
from spotify_buddies.serve_app.ranking import cold
from spotify_buddies.serve_app.ranking.engine import CANDIDATES, Engine
from spotify_buddies.serve_app.ranking.query import Rules, Skipped, Source, Taste
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Budgets
from spotify_buddies.trainer.bundle import Bundle, SongFactors, write_bundle
from tests.serve_app.bundles import DIMENSION, PLAYLISTS, SONGS, USERS, parts

NONE = np.empty(0, np.int32)
ROCK = Taste("x", ("SO0004", "SO0010"))  # songs 4 and 10, of genre 0
NO_PAIRING = USERS - 1


class Steps(Silent):
    def __init__(self) -> None:
        self.steps: dict[str, int] = {}

    def count_cold(self, step: str, count: int) -> None:
        self.steps[step] = self.steps.get(step, 0) + count


class Answering:
    def __init__(self, answer: Callable[[Csr, int], Awaitable[Csr]]) -> None:
        self.search = answer


def near(*users: int) -> Csr:
    cosines = np.linspace(1, 0.5, len(users)).astype(np.float32)
    return Csr(np.array([0, len(users)]), np.array(users, np.int32), USERS, cosines)


def answering(found: Csr) -> Answering:
    async def answer(tastes: Csr, k: int) -> Csr:
        return found

    return Answering(answer)


async def never(tastes: Csr, k: int) -> Csr:
    await asyncio.Event().wait()
    raise AssertionError


async def fail(tastes: Csr, k: int) -> Csr:
    raise NeighboursUnavailable("down")


def ask(
    engine: Engine, neighbours: Any, *, budget_s: float = 60.0, **fields: Any
) -> tuple[pb.RecommendResponse, dict[str, int]]:
    telemetry = Steps()
    service = Service(
        engine, model="m", budgets=Budgets(budget_s, 0.05), feedback=None, daily=None, telemetry=telemetry
    )
    if neighbours is not None:
        service.use_neighbours(neighbours)
    encoded = asyncio.run(service.recommend(pb.RecommendRequest(**fields)))
    return pb.RecommendResponse.FromString(encoded.SerializeToString()), telemetry.steps


def taste(*songs: str, user_id: str = "x") -> pb.Taste:
    return pb.Taste(user_id=user_id, songs=[pb.Song(song_id=song) for song in songs])


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


@pytest.mark.parametrize(
    ("neighbours", "source", "steps"),
    [
        (answering(near(6)), pb.SOURCE_COLD_NEIGHBOURS, {"found by neighbours": 1}),
        (answering(near(50)), pb.SOURCE_POPULAR_IN_GENRE, {"neighbours own nothing": 1, "genre": 1}),
        (answering(near()), pb.SOURCE_POPULAR_IN_GENRE, {"no neighbours": 1, "genre": 1}),
        (Answering(never), pb.SOURCE_POPULAR_IN_GENRE, {"search timed out": 1, "genre": 1}),
        (Answering(fail), pb.SOURCE_POPULAR_IN_GENRE, {"search unavailable": 1, "genre": 1}),
        (None, pb.SOURCE_POPULAR_IN_GENRE, {"search unavailable": 1, "genre": 1}),
    ],
)
def test_every_step_is_labelled_and_counted(
    engine: Engine, neighbours: Any, source: int, steps: dict[str, int]
) -> None:
    budget_s = 0.05 if "search timed out" in steps else 60.0
    answered, counted = ask(engine, neighbours, budget_s=budget_s, tastes=[taste("SO0004")])
    assert answered.recommendations[0].source == source
    assert counted == steps
    failed = any("search" in step for step in steps)
    assert list(answered.recommendations[0].skipped) == ([pb.SKIPPED_NEIGHBOUR_SEARCH] if failed else [])


def test_songs_without_a_genre_or_of_one_that_nobody_likes_get_what_is_popular(engine: Engine, bundle: Bundle) -> None:
    for song in ("SO0088", "SO0070"):  # without a genre; of genre 2, which is empty
        answered, counted = ask(engine, answering(near()), tastes=[taste(song)], limit=3, max_song_overlap=1.0)
        assert answered.recommendations[0].source == pb.SOURCE_POPULAR
        expected = [f"list-{row}" for row in bundle.popular[:3]]
        assert [p.playlist_id for p in answered.recommendations[0].playlists] == expected
        assert counted == {"no neighbours": 1, "global": 1}


def test_a_genre_is_that_of_most_songs_and_rare_songs_count_more(changed: Callable[..., Engine]) -> None:
    # Songs 0 and 1 (genre 0) are heard by 59 users, song 30 (genre 1) by nobody: 2 * 1.0165 < 5.1.
    songs = Csr.from_rows([[0, 1]] * 59 + [[2]], SONGS)
    bundle = changed(user_songs=songs).bundle
    tastes = Csr.from_rows([[0, 1], [0, 1, 30], [], [85]], SONGS)
    assert cold.genres_of(bundle, tastes).tolist() == [0, 1, -1, -1]


def test_playlists_popular_in_the_genre_come_most_liked_first_by_all_rules(engine: Engine, bundle: Bundle) -> None:
    found = engine.find_songs([ROCK])
    everything = engine.rank_tastes([ROCK], found, near(), 100, NONE)
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
    found = engine.find_songs([ROCK])
    lists = engine.rank_tastes([ROCK], found, near(0, 1, 2), 5, NONE, Rules(max_per_owner=2))
    assert lists.counts.tolist() == [5]
    assert sorted(np.bincount(owner[lists.rows[0]]).tolist()) == [1, 2, 2]
    alone = engine.rank_tastes([ROCK], found, near(0), 100, NONE, Rules(max_per_owner=50))
    assert alone.counts.tolist() == [50]
    unbounded = engine.rank_tastes([ROCK], found, near(0), 100, NONE)
    assert unbounded.counts.tolist() == [CANDIDATES]


def test_a_taste_of_unknown_songs_alone_asks_no_index_and_gets_what_is_popular(engine: Engine) -> None:
    asked: list[Csr] = []

    async def watched(tastes: Csr, k: int) -> Csr:
        asked.append(tastes)
        return near()

    answered, counted = ask(engine, Answering(watched), tastes=[taste("nope", "neither")])
    recommendation = answered.recommendations[0]
    assert (recommendation.source, list(recommendation.skipped)) == (pb.SOURCE_POPULAR, [])
    assert (recommendation.unknown_songs, asked) == (2, [])
    assert counted == {"no neighbours": 1, "global": 1}


def test_a_song_given_twice_counts_once(engine: Engine, bundle: Bundle) -> None:
    search = NeighbourSearch.open(bundle.index, bundle.user_songs)
    once, _ = ask(engine, Local(search), tastes=[taste("SO0004", "SO0010")])
    twice, _ = ask(engine, Local(search), tastes=[taste("SO0004", "SO0010", "SO0004", "SO0004")])
    places = [[(p.playlist_id, p.score) for p in r.recommendations[0].playlists] for r in (once, twice)]
    assert places[0] == places[1] != []


def test_the_taste_of_a_known_listener_never_brings_back_the_own_playlists(engine: Engine, bundle: Bundle) -> None:
    search = NeighbourSearch.open(bundle.index, bundle.user_songs)
    songs = [bundle.song_ids.table[at] for at in np.flatnonzero(np.isin(bundle.song_id_rows, bundle.user_songs.row(5)))]
    answered, _ = ask(engine, Local(search), tastes=[taste(*songs, user_id="user-5")], limit=100)
    owners = {p.owner_id for p in answered.recommendations[0].playlists}
    assert owners
    assert "user-5" not in owners


def test_a_known_listener_without_a_pairing_is_treated_as_the_taste_of_the_library(
    engine: Engine, bundle: Bundle
) -> None:
    asked: list[list[int]] = []

    async def watched(tastes: Csr, k: int) -> Csr:
        asked.extend(tastes.row(i).tolist() for i in range(tastes.rows))
        return near(6, 7)

    answered, counted = ask(engine, Answering(watched), user_ids=["user-1", f"user-{NO_PAIRING}", "nobody"], limit=100)
    assert asked == [bundle.user_songs.row(NO_PAIRING).tolist()]
    sources = [r.source for r in answered.recommendations]
    assert sources == [pb.SOURCE_LIVE, pb.SOURCE_COLD_NEIGHBOURS, pb.SOURCE_POPULAR]
    owned = [*bundle.owned.row(6), *bundle.owned.row(7)]
    ranked = sorted(owned, key=lambda p: -float(bundle.user_factors[NO_PAIRING] @ bundle.playlist_factors[p]))
    playlists = [p.playlist_id for p in answered.recommendations[1].playlists]
    assert playlists == [f"list-{row}" for row in ranked if f"list-{row}" in playlists]
    assert len(playlists) >= 3
    assert answered.recommendations[1].playlists[0].reason.text
    assert counted == {"found by neighbours": 1}


def test_a_known_listener_without_a_pairing_and_without_the_index_gets_the_genre_and_the_label(engine: Engine) -> None:
    answered, _ = ask(engine, Answering(fail), user_ids=[f"user-{NO_PAIRING}", "user-1"], mode=pb.MODE_DAILY)
    cold_one, warm = answered.recommendations
    assert cold_one.source == pb.SOURCE_POPULAR_IN_GENRE
    assert list(cold_one.skipped) == [pb.SKIPPED_NEIGHBOUR_SEARCH, pb.SKIPPED_DAILY_LIST]
    assert list(warm.skipped) == [pb.SKIPPED_DAILY_LIST]


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
    found = Csr(np.array([0, 0, 1, 1, 1]), np.array([6], np.int32), USERS, np.ones(1, np.float32))
    factors = cold.factors_of(engine.bundle, tastes, found)
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


@pytest.mark.parametrize("users", [0, 1])
def test_an_index_of_nobody_or_of_one_answers(users: int, tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    whole = parts(index)
    few = replace(
        whole,
        user_factors=whole.user_factors[:users], user_ids=whole.user_ids[:users],
        candidates=Csr.from_rows([[]] * users, PLAYLISTS), user_songs=Csr.from_rows([[4, 10]] * users, SONGS),
        owned=Csr.from_rows([[0, 1]] * users, PLAYLISTS),
        owner=np.where(np.arange(PLAYLISTS) < 2 * users, 0, -1).astype(np.int32),
    )  # fmt: skip
    build_index(few.user_songs, index, PairingSettings(dimension=16))
    engine = Engine(write_bundle(tmp_path / "bundle", few), "1")
    search = Local(NeighbourSearch.open(engine.bundle.index, engine.bundle.user_songs))
    answered, _ = ask(engine, search, tastes=[taste("SO0004"), taste("SO0004", user_id="user-0")], user_ids=["user-0"])
    expected = [pb.SOURCE_COLD_NEIGHBOURS if users else pb.SOURCE_POPULAR_IN_GENRE, pb.SOURCE_POPULAR_IN_GENRE]
    # The one user is no neighbour of herself; unknown she has no songs.
    first = pb.SOURCE_POPULAR_IN_GENRE if users else pb.SOURCE_POPULAR
    assert [r.source for r in answered.recommendations] == [first, *expected]


def test_skipped_is_said_of_the_search_alone(engine: Engine) -> None:
    lists = engine.rank_tastes([ROCK], engine.find_songs([ROCK]), None, 2, NONE)
    assert lists.skipped == ((Skipped.NEIGHBOUR_SEARCH,),)
    assert lists.sources == (Source.POPULAR_IN_GENRE,)

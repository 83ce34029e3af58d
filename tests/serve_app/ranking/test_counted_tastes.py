"""Tastes that a replica counts by itself: the answers are the index's, and do not depend on it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.counted import CountedSearch
from spotify_buddies.pairing.neighbours.search import NeighbourSearch
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.neighbours import nearest
from spotify_buddies.serve_app.neighbours.client import Local
from spotify_buddies.serve_app.neighbours.nearest import SEARCHED, UNAVAILABLE, Searches
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.trainer.bundle import Bundle
from tests.serve_app.bundles import NO_PAIRING, SONGS, USERS
from tests.serve_app.ranking.cold_path import Answering, ask_counting, fail, never, taste

EVERYTHING = 10**6
LARGE = tuple(f"SO{song:04}" for song in range(0, SONGS, 2))


@pytest.fixture
def index(bundle: Bundle) -> Local:
    return Local(NeighbourSearch.open(bundle.index, bundle.user_songs))


def without_ids(answered: pb.RecommendResponse) -> list[pb.Recommendation]:
    for recommendation in answered.recommendations:
        recommendation.recommendation_id = ""
    return list(answered.recommendations)


def listeners(bundle: Bundle, *songs: int) -> int:
    return int(bundle.song_listeners[list(songs)].sum())


@pytest.mark.parametrize(
    "fields",
    [
        {"tastes": [taste("SO0004", "SO0010", "SO0004")]},
        {"tastes": [taste(*LARGE)], "limit": 50, "explain": False},
        {"tastes": [taste("nothing")]},
        {"tastes": [taste("SO0004", user_id="user-5")], "max_per_owner": 1, "adventurous": 0.4},
        {"tastes": [taste("SO0004", "SO0010")], "exclude_playlist_ids": ["list-3", "list-6"]},
        {"tastes": [taste("SO0004")], "mode": pb.MODE_DAILY},
        {"tastes": [taste("SO0004")], "calibration": 0.5},
        {"tastes": [taste("SO0004"), taste("nothing"), taste(*LARGE), taste("SO0010", "SO0012")]},
        {"tastes": [taste("SO0004"), taste(*LARGE)], "user_ids": ["user-1", f"user-{NO_PAIRING}", "nobody"]},
    ],
)
@pytest.mark.parametrize("most", [60, EVERYTHING])
def test_the_answer_is_that_of_the_index(engine: Engine, index: Local, fields: dict[str, Any], most: int) -> None:
    asked, by_index = ask_counting(engine, index, 0, **fields)
    counted, by_both = ask_counting(engine, index, most, **fields)
    assert without_ids(counted) == without_ids(asked)
    assert by_both.steps == by_index.steps
    assert sum(by_both.searches.values()) == sum(by_index.searches.values()) == by_index.searches.get("index", 0)
    if most == EVERYTHING:
        assert "index" not in by_both.searches


@pytest.mark.parametrize("away", [None, Answering(fail), Answering(never)])
@pytest.mark.parametrize("mode", [pb.MODE_LIVE, pb.MODE_DAILY])
def test_a_counted_taste_does_not_need_the_index(engine: Engine, index: Local, away: Any, mode: int) -> None:
    fields: dict[str, Any] = {"tastes": [taste("SO0004", "SO0010")], "mode": mode}
    wanted, _ = ask_counting(engine, index, 0, **fields)
    answered, told = ask_counting(engine, away, EVERYTHING, budget_s=0.05, **fields)
    assert without_ids(answered) == without_ids(wanted)
    assert answered.recommendations[0].source == pb.SOURCE_COLD_NEIGHBOURS
    assert list(answered.recommendations[0].skipped) == ([pb.SKIPPED_DAILY_LIST] if mode == pb.MODE_DAILY else [])
    assert (told.steps, told.searches) == ({"found by neighbours": 1}, {"local": 1})


def test_a_known_user_without_a_pairing_is_counted_as_well(engine: Engine) -> None:
    answered, told = ask_counting(engine, Answering(fail), EVERYTHING, user_ids=[f"user-{NO_PAIRING}"])
    assert answered.recommendations[0].source == pb.SOURCE_COLD_NEIGHBOURS
    assert not answered.recommendations[0].skipped
    assert told.searches == {"local": 1}


def test_where_the_index_is_away_only_what_is_too_large_is_left_out(
    engine: Engine, bundle: Bundle, index: Local
) -> None:
    most = listeners(bundle, 4, 10)
    asked = [taste(*LARGE), taste("SO0004", "SO0010"), taste("nothing"), taste(*LARGE, user_id="y"), taste("SO0004")]
    wanted, _ = ask_counting(engine, index, 0, tastes=asked)
    answered, told = ask_counting(engine, Answering(fail), most, tastes=asked)
    skipped = [list(recommendation.skipped) for recommendation in answered.recommendations]
    assert skipped == [[pb.SKIPPED_NEIGHBOUR_SEARCH], [], [], [pb.SKIPPED_NEIGHBOUR_SEARCH], []]
    sources = [recommendation.source for recommendation in answered.recommendations]
    assert sources[1] == sources[4] == pb.SOURCE_COLD_NEIGHBOURS
    assert sources[0] == sources[3] == pb.SOURCE_POPULAR_IN_GENRE
    got, expected = without_ids(answered), without_ids(wanted)
    assert [got[place] for place in (1, 2, 4)] == [expected[place] for place in (1, 2, 4)]
    assert told.searches == {"local": 2, "index": 2}
    assert told.steps == {
        "found by neighbours": 2, "no neighbours": 1, "global": 1, "search unavailable": 2, "genre": 2
    }  # fmt: skip


@pytest.mark.parametrize("more", [0, 1])
def test_the_bound_counts_listeners_of_all_songs(engine: Engine, bundle: Bundle, index: Local, more: int) -> None:
    asked = {"tastes": [taste("SO0004", "SO0010")]}
    _, told = ask_counting(engine, index, listeners(bundle, 4, 10) - more, **asked)
    assert told.searches == {"index" if more else "local": 1}


def test_without_a_bound_every_taste_is_asked_of_the_index(engine: Engine) -> None:
    answered, told = ask_counting(engine, Answering(fail), 0, tastes=[taste("SO0004")])
    assert list(answered.recommendations[0].skipped) == [pb.SKIPPED_NEIGHBOUR_SEARCH]
    assert told.searches == {"index": 1}


@pytest.mark.parametrize("at_once", [0, EVERYTHING])
def test_long_counts_leave_the_event_loop(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(nearest, "COUNT_AT_ONCE", at_once)
    counted = CountedSearch.open(bundle.index, bundle.user_songs, EVERYTHING)
    search, threads = counted.search, []

    def watched(tastes: Csr, k: int) -> Csr:
        threads.append(threading.get_ident())
        return search(tastes, k)

    monkeypatch.setattr(counted, "search", watched)
    tastes = Csr.from_rows([[4, 10], [], [5]], SONGS)
    found = asyncio.run(Searches(None, counted, 60.0).find(tastes, 9, USERS))
    assert (found.outcome, found.local, found.index, found.failed.any()) == (SEARCHED, 2, 0, False)
    assert found.users.counts.tolist() == [9, 0, 9]
    assert (threads[0] == threading.get_ident()) == bool(at_once)


def test_a_long_count_of_one_taste_leaves_the_event_loop_too(
    engine: Engine, index: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, threads = CountedSearch.search, []

    def watched(self: CountedSearch, tastes: Csr, k: int) -> Csr:
        threads.append(threading.get_ident())
        return search(self, tastes, k)

    monkeypatch.setattr(CountedSearch, "search", watched)
    wanted, _ = ask_counting(engine, index, 0, tastes=[taste("SO0004")])
    for at_once, counted in ((EVERYTHING, []), (1, [False])):
        monkeypatch.setattr(nearest, "COUNT_AT_ONCE", at_once)
        answered, told = ask_counting(engine, Answering(fail), EVERYTHING, tastes=[taste("SO0004")])
        assert without_ids(answered) == without_ids(wanted)
        assert told.searches == {"local": 1}
        assert [thread == threading.get_ident() for thread in threads] == counted


def test_no_tastes_are_answered_without_anything() -> None:
    found = asyncio.run(Searches(None, None, 60.0).find(Csr.from_rows([], SONGS), 9, USERS))
    assert (found.users.rows, found.failed.size, found.outcome) == (0, 0, SEARCHED)
    found = asyncio.run(Searches(None, None, 60.0).find(Csr.from_rows([[1], []], SONGS), 9, USERS))
    assert (found.users.counts.tolist(), found.failed.tolist(), found.outcome) == ([0, 0], [True, False], UNAVAILABLE)
    assert found.users.values is not None
    assert found.users.values.dtype == np.float32

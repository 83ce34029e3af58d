"""Users without candidates: every step of the cold path, its label, and what is asked of the index."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.search import NeighbourSearch, build_index
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.neighbours.client import Local
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Skipped, Source
from spotify_buddies.trainer.bundle import Bundle, write_bundle
from tests.serve_app.bundles import NO_PAIRING, PLAYLISTS, SONGS, parts
from tests.serve_app.ranking.cold_path import NONE, ROCK, Answering, answering, ask, fail, near, never, taste


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


def test_the_taste_of_a_known_user_never_brings_back_their_own_playlists(engine: Engine, bundle: Bundle) -> None:
    search = NeighbourSearch.open(bundle.index, bundle.user_songs)
    heard = np.isin(bundle.song_id_rows, bundle.user_songs.row(5))
    songs = [bundle.song_ids.table[row] for row in np.flatnonzero(heard)]
    answered, _ = ask(engine, Local(search), tastes=[taste(*songs, user_id="user-5")], limit=100)
    owners = {p.owner_id for p in answered.recommendations[0].playlists}
    assert owners
    assert "user-5" not in owners


def test_a_known_user_without_a_pairing_is_treated_as_the_taste_of_the_library(engine: Engine, bundle: Bundle) -> None:
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


def test_a_known_user_without_a_pairing_and_without_the_index_gets_the_genre_and_the_label(engine: Engine) -> None:
    answered, _ = ask(engine, Answering(fail), user_ids=[f"user-{NO_PAIRING}", "user-1"], mode=pb.MODE_DAILY)
    cold_one, warm = answered.recommendations
    assert cold_one.source == pb.SOURCE_POPULAR_IN_GENRE
    assert list(cold_one.skipped) == [pb.SKIPPED_NEIGHBOUR_SEARCH, pb.SKIPPED_DAILY_LIST]
    assert list(warm.skipped) == [pb.SKIPPED_DAILY_LIST]


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

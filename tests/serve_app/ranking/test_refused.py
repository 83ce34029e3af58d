"""What a bundle refuses a user comes back from no source: candidates, neighbours, a genre, what is popular."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Source
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import write_bundle
from tests.serve_app.bundles import NO_PAIRING, PLAYLISTS, USERS, parts
from tests.serve_app.ranking.cold_path import NONE, Answering, answering, ask, fail, near, taste

# Every user is refused the playlists of their own remainder, popular ones and those of every genre among them.
REFUSED = [np.arange(user % 3, PLAYLISTS, 3) for user in range(USERS)]
IDS = [f"user-{user}" for user in range(USERS)]


@pytest.fixture(scope="module")
def refusing(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    made = replace(parts(bundle_dir / "index"), refused=Csr.from_rows(REFUSED, PLAYLISTS))
    return Engine(write_bundle(tmp_path_factory.mktemp("refusing") / "bundle", made), "7")


def rows_of(lists: object, i: int) -> set[int]:
    return set(lists.rows[i, : lists.counts[i]].tolist())  # type: ignore[attr-defined]


@pytest.mark.parametrize("rules", [Rules(), Rules(adventurous=0.5), Rules(max_per_owner=1)])
def test_no_candidate_that_is_refused_comes_back(refusing: Engine, engine: Engine, rules: Rules) -> None:
    lists, free = (ranker.rank_known(IDS[:NO_PAIRING], 100, NONE, rules) for ranker in (refusing, engine))
    for user in range(NO_PAIRING):
        assert not rows_of(lists, user) & set(REFUSED[user].tolist())
    assert any(rows_of(free, user) & set(REFUSED[user].tolist()) for user in range(NO_PAIRING))


def test_nor_does_what_is_popular_where_no_candidate_is_left(refusing: Engine, engine: Engine) -> None:
    """Everything that is not popular is excluded, so that most lists are what is popular."""
    excluded = np.setdiff1d(np.arange(PLAYLISTS), engine.bundle.popular).astype(np.int32)
    blocked = Rules(Csr.from_rows([np.sort(engine.bundle.candidates.row(user)) for user in range(USERS)], PLAYLISTS))
    lists, free = (ranker.rank_known(IDS, 50, excluded, blocked) for ranker in (refusing, engine))
    popular = [user for user in range(USERS) if lists.sources[user] is Source.POPULAR]
    assert len(popular) == USERS
    for user in popular:
        assert not rows_of(lists, user) & set(REFUSED[user].tolist())
        assert rows_of(lists, user) == rows_of(free, user) - set(REFUSED[user].tolist())


def test_an_unknown_user_is_refused_nothing(refusing: Engine, engine: Engine) -> None:
    lists, free = (ranker.rank_known(["nobody"], 50, NONE) for ranker in (refusing, engine))
    assert rows_of(lists, 0) == rows_of(free, 0)


@pytest.mark.parametrize(
    ("neighbours", "source"),
    [
        (answering(near(6, 7, 8)), pb.SOURCE_COLD_NEIGHBOURS),
        (Answering(fail), pb.SOURCE_POPULAR_IN_GENRE),
        (None, pb.SOURCE_POPULAR_IN_GENRE),
    ],
)
def test_nor_do_playlists_of_neighbours_or_of_a_genre(refusing: Engine, neighbours: object, source: int) -> None:
    never = {f"list-{row}" for row in REFUSED[NO_PAIRING].tolist()}
    asked = {"user_ids": [IDS[NO_PAIRING]], "limit": 100, "max_per_owner": 100, "max_song_overlap": 1.0}
    answered, _ = ask(refusing, neighbours, **asked)  # type: ignore[arg-type]
    (cold,) = answered.recommendations
    assert cold.source == source
    assert cold.playlists
    assert not never & {p.playlist_id for p in cold.playlists}


def test_the_taste_of_a_known_user_is_refused_the_same(refusing: Engine) -> None:
    tastes = [taste("SO0004", user_id=IDS[3]), taste("SO0004", user_id="stranger")]
    answered, _ = ask(refusing, answering(_both()), tastes=tastes, limit=100, max_per_owner=100)
    known, stranger = ({p.playlist_id for p in r.playlists} for r in answered.recommendations)
    never = {f"list-{row}" for row in REFUSED[3].tolist()}
    assert known
    assert not known & never
    assert stranger & never


def test_all_refused_leave_nothing(bundle_dir: Path, tmp_path: Path) -> None:
    everything = Csr.from_rows([np.arange(PLAYLISTS)] * USERS, PLAYLISTS)
    engine = Engine(write_bundle(tmp_path / "b", replace(parts(bundle_dir / "index"), refused=everything)), "7")
    lists = engine.rank_known(["user-1", "nobody"], 5, NONE)
    assert lists.counts.tolist() == [0, 5]


def _both() -> Csr:
    return Csr(np.array([0, 3, 6]), np.array([6, 7, 8] * 2, np.int32), USERS, np.full(6, 0.5, np.float32))

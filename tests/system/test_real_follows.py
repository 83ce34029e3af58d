"""Listens, follows, dislikes and times in; recommendations out, for users with follows alone and with listens alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spotify_buddies.clients.simulate.audience import open_audience
from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Source
from spotify_buddies.trainer.bundle import open_bundle
from spotify_buddies.trainer.dataset.table import IN_TRAIN, Dataset, open_dataset
from spotify_buddies.trainer.publish.release import Release, train_and_release
from spotify_buddies.trainer.settings import DataSettings, TrainSettings
from tests.trainer.dataset.builds import build
from tests.trainer.dataset.follow_data import GENRES, write_follow_data

NONE = np.empty(0, np.int32)


@dataclass(frozen=True)
class Way:
    raw: Path
    data: Dataset
    release: Release
    engine: Engine


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Way:
    root = tmp_path_factory.mktemp("way")
    raw = write_follow_data(root / "raw")
    build(raw, root / "dataset", DataSettings(validation_negatives=20, hard_pool=0.5))
    build_pairing(root / "dataset", root / "pairing", PairingSettings(dimension=16, nearest=30))
    settings = TrainSettings(dimension=16, epochs=20)
    release = train_and_release(root / "dataset", root / "pairing", root / "state", settings)
    engine = Engine(open_bundle(release.bundle_dir), release.version)
    return Way(raw, open_dataset(root / "dataset"), release, engine)


def said(way: Way, name: str) -> set[tuple[str, str]]:
    path = way.raw / name
    table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    return set(table.select("user_id", "playlist_id").rows())


@pytest.mark.parametrize("user", ["follower-45", "listener-5", "listener-30"])
def test_a_user_with_follows_with_listens_or_with_both_gets_playlists_of_the_genre(way: Way, user: str) -> None:
    lists = way.engine.rank_known([user], 5, NONE)
    rows = lists.rows[0, : lists.counts[0]].tolist()
    assert lists.sources[0] is Source.LIVE
    assert len(rows) == 5
    genre = int(user.split("-")[1]) % GENRES
    names = way.data.playlist_table["playlist_id"].to_list()
    assert sum(int(names[row].split("-")[1]) % GENRES == genre for row in rows) >= 4


def test_nobody_is_offered_what_they_dislike_or_follow_already(way: Way) -> None:
    users, names = way.data.user_table["user_id"].to_list(), way.data.playlist_table["playlist_id"].to_list()
    bundle = way.engine.bundle
    rows = np.repeat(np.arange(way.data.users), way.data.liked.counts)
    trained = np.asarray(way.data.split) == IN_TRAIN
    known = {(users[u], names[p]) for u, p in zip(rows[trained], way.data.liked.indices[trained], strict=True)}
    offered = {
        (users[u], names[p]) for u in range(way.data.users) for p in np.asarray(bundle.candidates.row(u)).tolist()
    }
    assert offered
    assert not offered & (known | said(way, "dislikes.csv"))
    # Nor where there is no candidate and a list is what is popular.
    nothing = Csr.from_rows([[]] * way.data.users, way.data.playlists)
    lists = way.engine.rank_candidates(np.arange(way.data.users, dtype=np.int32), nothing, 100, NONE)
    popular = {(users[u], names[p]) for u in range(way.data.users) for p in lists.rows[u, : lists.counts[u]].tolist()}
    assert Source.LIVE not in lists.sources
    assert popular
    assert not popular & (known | said(way, "dislikes.csv"))


def test_the_bundle_tells_artists_and_who_follows_with_whom(way: Way) -> None:
    bundle = way.engine.bundle
    assert bundle.artist_rows is not None
    assert len(set(bundle.artist_rows.tolist())) == 20
    assert bundle.followed is not None
    assert bundle.co_followers is not None
    follower = way.data.user_table["user_id"].to_list().index("follower-45")
    mine = set(bundle.followed.row(follower).tolist())
    beside = bundle.co_followers.row(follower).tolist()
    assert mine
    assert beside
    assert all(mine & set(bundle.followed.row(other).tolist()) for other in beside)


def test_the_model_ranks_later_follows_far_above_popularity(way: Way) -> None:
    model, popularity = way.release.evaluation.metrics("model"), way.release.evaluation.metrics("popularity")
    assert model["test-random/mrr"] > popularity["test-random/mrr"] + 0.2


def test_simulated_users_like_what_they_followed_last(way: Way) -> None:
    audience = open_audience(way.data.directory)
    user = audience.draw(np.random.default_rng(1))
    assert user.likes
    assert {(user.user_id, name) for name in user.likes} <= said(way, "follows.parquet")
    assert not user.likes & set(user.known)

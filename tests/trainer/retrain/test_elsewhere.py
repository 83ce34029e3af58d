"""A bundle asked about another data set's rows: the same people and playlists, wherever they stand in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.offline.cli import open_ranker
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.bundle.songs import SongFactors
from spotify_buddies.trainer.dataset.table import Dataset, open_dataset
from spotify_buddies.trainer.evaluation.served.questions import nothing
from spotify_buddies.trainer.retrain.elsewhere import Elsewhere
from tests.trainer.hand_made import hand_made
from tests.trainer.planted import PLAYLISTS, SONGS, USERS, Planted

D, LIMIT = 6, 10


@pytest.fixture(scope="module")
def data(planted: Planted) -> Dataset:
    return open_dataset(planted.dataset)


def songs() -> SongFactors:
    rng = np.random.default_rng(1)
    taste, likes = (rng.normal(size=(SONGS, D // 2)).astype(np.float16) for _ in range(2))
    return SongFactors(taste, likes, np.ones(SONGS, np.float32), np.ones(1, np.float32))


def made(directory: Path, data: Dataset, users: np.ndarray, playlists: np.ndarray) -> Bundle:
    """Every row has its own factor, in whichever order the rows stand; everybody may get everything."""
    rng = np.random.default_rng(2)
    of_users, of_lists = rng.normal(size=(USERS, D)), rng.normal(size=(PLAYLISTS, D))
    offered = Csr.from_rows([np.arange(len(playlists))] * len(users), len(playlists))
    return hand_made(
        directory,
        data,
        of_users[users],
        of_lists[playlists],
        users=users.tolist(),
        playlists=playlists.tolist(),
        offered=offered,
        song_factors=songs(),
    )


def some_seen(rng: np.random.Generator, rows: int) -> Csr:
    picked = [np.sort(rng.choice(PLAYLISTS, int(rng.integers(0, 30)), replace=False)) for _ in range(rows)]
    return Csr.from_rows(picked, PLAYLISTS)


def test_over_its_own_data_set_it_answers_as_the_version_does(data: Dataset, tmp_path: Path) -> None:
    bundle = made(tmp_path / "own", data, np.arange(USERS), np.arange(PLAYLISTS))
    ranker = open_ranker(bundle.directory)
    users = np.array([5, 2, 17, 2], np.int32)
    seen = some_seen(np.random.default_rng(3), users.size)
    elsewhere = Elsewhere(bundle, ranker, data)
    lists = elsewhere.rank_known(users, seen, LIMIT)
    np.testing.assert_array_equal(lists, ranker.rank_known(users, seen, LIMIT))
    assert (lists >= 0).all()
    strangers = data.user_songs.take(users)
    found = elsewhere.rank_strangers(strangers, seen, LIMIT)
    np.testing.assert_array_equal(found, ranker.rank_strangers(strangers, seen, LIMIT))


def test_the_order_of_the_rows_in_a_bundle_changes_nothing(data: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    one = made(tmp_path / "one", data, np.arange(USERS), np.arange(PLAYLISTS))
    two = made(tmp_path / "two", data, rng.permutation(USERS), rng.permutation(PLAYLISTS))
    users = rng.permutation(USERS)[:40].astype(np.int32)
    seen = some_seen(rng, users.size)
    lists = [
        Elsewhere(bundle, open_ranker(bundle.directory), data).rank_known(users, seen, LIMIT) for bundle in (one, two)
    ]
    np.testing.assert_array_equal(*lists)
    # And what was seen does not come back.
    assert not any(np.isin(row, seen.row(place)).any() for place, row in enumerate(lists[1]))


def test_whom_a_bundle_does_not_know_it_answers_by_their_songs(data: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    bundle = made(tmp_path / "half", data, np.arange(0, USERS, 2), np.arange(PLAYLISTS))
    ranker = open_ranker(bundle.directory)
    elsewhere = Elsewhere(bundle, ranker, data)
    users = np.arange(10, dtype=np.int32)
    seen = some_seen(rng, users.size)
    lists = elsewhere.rank_known(users, seen, LIMIT)
    new, known = users[users % 2 == 1], users[users % 2 == 0]
    by_songs = ranker.rank_strangers(data.user_songs.take(new), seen.take(new), LIMIT)
    np.testing.assert_array_equal(lists[new], by_songs)
    by_row = ranker.rank_known((known // 2).astype(np.int32), seen.take(known), LIMIT)
    np.testing.assert_array_equal(lists[known], by_row)
    assert (lists >= 0).all()


def test_playlists_that_a_bundle_does_not_know_are_never_in_its_lists(data: Dataset, tmp_path: Path) -> None:
    known = np.arange(1, PLAYLISTS, 3)
    bundle = made(tmp_path / "few", data, np.arange(USERS), known)
    elsewhere = Elsewhere(bundle, open_ranker(bundle.directory), data)
    users = np.arange(20, dtype=np.int32)
    lists = elsewhere.rank_known(users, nothing(users.size, PLAYLISTS), LIMIT)
    assert np.isin(lists, known).all()
    # What was seen and is unknown bars nothing.
    unknown = Csr.from_rows([np.arange(0, PLAYLISTS, 3)] * users.size, PLAYLISTS)
    np.testing.assert_array_equal(elsewhere.rank_known(users, unknown, LIMIT), lists)

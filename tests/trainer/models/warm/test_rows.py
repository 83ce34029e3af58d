"""Rows of an earlier data set or bundle in a new one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import Dataset, open_dataset
from spotify_buddies.trainer.models.warm.rows import remapped, rows_of_ids, songs_of
from tests.trainer.hand_made import hand_made
from tests.trainer.planted import PLAYLISTS, SONGS, USERS, Planted


@pytest.fixture(scope="module")
def data(planted: Planted) -> Dataset:
    return open_dataset(planted.dataset)


def test_ids_are_found_where_they_are_now() -> None:
    found = rows_of_ids(["c", "x", "a"], ["a", "b", "c"])
    assert (found.tolist(), found.dtype) == ([2, -1, 0], np.int32)
    assert rows_of_ids([], ["a"]).size == 0
    assert rows_of_ids(["a"], []).tolist() == [-1]


@pytest.mark.parametrize("with_ids", [True, False])
def test_songs_are_found_by_id_and_without_one_by_name(data: Dataset, tmp_path: Path, with_ids: bool) -> None:
    songs = np.random.default_rng(1).permutation(SONGS)[:300]
    tables = np.ones((USERS, 2)), np.ones((PLAYLISTS, 2))
    rows = {"users": range(USERS), "playlists": range(PLAYLISTS)}
    bundle = hand_made(tmp_path / "bundle", data, *tables, songs=songs.tolist(), with_ids=with_ids, **rows)
    wanted = np.full(SONGS, -1)
    wanted[songs] = np.arange(songs.size)
    np.testing.assert_array_equal(songs_of(bundle, data), wanted)
    # A song that was given another name since is known by its id, and a nameless one by nothing else.
    one, other = songs[:2].tolist()
    titles = pl.int_range(SONGS)
    renamed = replace(data)
    vars(renamed)["song_table"] = data.song_table.with_columns(
        title=pl.when(titles == one).then(pl.lit("Other")).when(titles == other).then(None).otherwise("title")
    )
    if not with_ids:
        wanted[[one, other]] = -1
    np.testing.assert_array_equal(songs_of(bundle, renamed), wanted)


def test_pairs_keep_their_people_and_playlists_where_both_are_still_there() -> None:
    rng = np.random.default_rng(2)
    table = rng.random((30, 20)) < 0.3
    pairs = Csr.from_rows([rng.permutation(np.flatnonzero(row)) for row in table], 20)
    # Of thirty people ten are gone, of twenty playlists five; there are more of both now.
    users, lists = rng.permutation(45)[:30].astype(np.int32), rng.permutation(33)[:20].astype(np.int32)
    users[::3] = -1
    lists[::4] = -1
    wanted = np.zeros((45, 33), bool)
    for user, playlist in zip(*np.nonzero(table), strict=True):
        if users[user] >= 0 and lists[playlist] >= 0:
            wanted[users[user], lists[playlist]] = True
    found = remapped(pairs, users, lists, (45, 33))
    assert (found.rows, found.columns) == (45, 33)
    for row in range(45):
        assert found.row(row).tolist() == np.flatnonzero(wanted[row]).tolist()

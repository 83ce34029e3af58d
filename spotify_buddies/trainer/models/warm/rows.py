"""Rows of an earlier data set or bundle in a new data set: people, playlists and songs by what names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.text.song_keys import Matching, row_keys
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.dataset.kernels import group
from spotify_buddies.trainer.dataset.table import Dataset

Array = npt.NDArray[Any]


def rows_of_ids(earlier: Sequence[str], now: Sequence[str]) -> Array:
    """Where each earlier id is now, int32 (earlier,); -1 where it is no longer there."""
    places = {name: row for row, name in enumerate(now)}
    return np.fromiter((places.get(name, -1) for name in earlier), np.int32, len(earlier))


def songs_of(bundle: Bundle, data: Dataset) -> Array:
    """The bundle's row of each song of a data set, int32 (S,); -1 for a song that it does not know.

    By the ids of the listening data; a song without one by its name, as the bundle compares names.
    """
    found = np.full(data.songs, -1, np.int32)
    table = data.song_id_table
    rows = bundle.song_ids.find(table["song_id"].to_list())
    known = rows >= 0
    found[table["song_row"].to_numpy()[known]] = np.asarray(bundle.song_id_rows)[rows[known]]
    rest = np.flatnonzero(found < 0)
    names = data.song_table[rest]
    matching: Matching = "full" if data.matching == "full" else "plain"
    titles, artists = (names[name].fill_null("").to_list() for name in ("title", "artist"))
    keys = row_keys(titles, artists, matching, taken=data.song_alias_table["key"].to_list())
    named = np.array([bool(title) for title in titles], np.bool_)
    found[rest[named]] = bundle.song_keys.find(keys)[named]
    return found


def remapped(pairs: Csr, users: Array, playlists: Array, shape: tuple[int, int]) -> Csr:
    """Pairs (U, P) of earlier rows as pairs of rows now, ascending; those that are no longer there are left out.

    users, playlists: as rows_of_ids. shape: users and playlists now.
    """
    row = users[np.repeat(np.arange(pairs.rows), pairs.counts)]
    column = playlists[np.asarray(pairs.indices)]
    kept = (row >= 0) & (column >= 0)
    order = np.lexsort((column[kept], row[kept]))
    indptr, indices = group(row[kept][order], column[kept][order], shape[0])
    return Csr(indptr, indices, shape[1])

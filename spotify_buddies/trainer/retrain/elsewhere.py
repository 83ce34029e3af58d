"""A bundle of one data set, asked about people and playlists of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.evaluation.served.ranker import Lists
from spotify_buddies.trainer.models.warm.rows import songs_of

Array = npt.NDArray[Any]


class Elsewhere:
    """Lists of rows of `data`, from a bundle of another data set. Whom it does not know it answers by their songs."""

    def __init__(self, bundle: Bundle, ranker: Lists, data: Dataset) -> None:
        self._ranker, self._data = ranker, data
        self._users = bundle.user_ids.find(data.user_table["user_id"].to_list())
        self._songs = songs_of(bundle, data)
        self._song_count = bundle.user_songs.columns
        ids = data.playlist_table["playlist_id"].to_list()
        self._there = bundle.playlist_ids.find(ids)
        self._here = np.full(len(bundle.playlist_ids.table) + 1, -1, np.int32)  # the last one: of -1
        known = np.flatnonzero(self._there >= 0)
        self._here[self._there[known]] = known

    def rank_known(self, users: Array, seen: Csr, limit: int) -> Array:
        """As Lists.rank_known."""
        out = np.full((users.size, limit), -1, np.int32)
        there = self._users[users]
        known, new = np.flatnonzero(there >= 0), np.flatnonzero(there < 0)
        if known.size:
            lists = self._ranker.rank_known(there[known].astype(np.int32), self._seen(seen.take(known)), limit)
            out[known] = self._here[lists]
        if new.size:
            out[new] = self.rank_strangers(self._data.user_songs.take(users[new]), seen.take(new), limit)
        return out

    def rank_strangers(self, songs: Csr, seen: Csr, limit: int) -> Array:
        """As Lists.rank_strangers."""
        named = _renamed(songs, self._songs, self._song_count)
        found: Array = self._here[self._ranker.rank_strangers(named, self._seen(seen), limit)]
        return found

    def _seen(self, seen: Csr) -> Csr:
        return _renamed(seen, self._there, self._here.size - 1)


def _renamed(rows: Csr, names: Array, columns: int) -> Csr:
    """The rows over other columns; names int32 (columns of rows,), -1 for what is not there. Ascending."""
    found = [np.unique(named[named >= 0]) for named in (names[rows.row(row)] for row in range(rows.rows))]
    return Csr.from_rows(found, columns)

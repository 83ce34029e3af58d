"""Owners by songs: the users whose libraries are nearest to a playlist.

The reference rule gives a playlist to somebody who likes it, and likes come from a score that falls with a playlist's
length: most long playlists are liked by nobody and stay without an owner. Here every playlist that shares a song with
anybody has users to choose from, whatever its length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import over_blocks
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.pairing.neighbours.nearest import lists_of, nearest_of
from spotify_buddies.trainer.dataset.labels.kernels import marked_among

Array = npt.NDArray[Any]

# Users that a playlist chooses from: enough for those whose nearest have all they may own.
CHOICE = 32
_BLOCK = 4_096


def nearest_listeners(user_songs: Csr, playlist_songs: Csr, allowed: Array, progress: Progress, k: int = CHOICE) -> Csr:
    """The playlists that each user is near to, (U, P), ascending, values the cosines: every playlist's k nearest users.

    cosine = shared songs / sqrt(songs of the user * songs of the playlist). allowed bool (U,): the others are nobody's.
    Of users who are equally near the lower rows come first. A playlist that shares no song with anybody is in no row.
    """
    lists = lists_of(user_songs, sets=playlist_songs, listed=allowed)
    playlists = playlist_songs.rows
    counts = np.zeros(playlists, np.int64)
    users, cosines = np.full((playlists, k), -1, np.int32), np.zeros((playlists, k), np.float32)

    def work(first: int, last: int) -> None:
        span = slice(first, last)
        counts[span], users[span], cosines[span] = nearest_of(lists, np.arange(first, last), k)

    for _ in over_blocks(playlists, _BLOCK, "nearest listeners", progress, work, unit="playlists"):
        pass
    filled = np.arange(k) < counts[:, None]
    by_playlist = np.repeat(np.arange(playlists, dtype=np.int32), counts)
    order = np.argsort(users[filled], kind="stable")
    indptr = np.zeros(user_songs.rows + 1, np.int64)
    np.cumsum(np.bincount(users[filled], minlength=user_songs.rows), out=indptr[1:])
    return Csr(indptr, by_playlist[order], playlists, cosines[filled][order])


def held(pairs: Csr, among: Csr, marked: Array) -> Array:
    """Which entries of `pairs` (U, P) are marked entries of `among` (U, P), bool (nnz of pairs,).

    marked bool, one per entry of `among`.
    """
    stamps = np.full(pairs.columns, -1, np.int32)
    rows = (pairs.indptr, pairs.indices, among.indptr, among.indices)
    found: Array = marked_among(*map(np.asarray, rows), marked, stamps)
    return found

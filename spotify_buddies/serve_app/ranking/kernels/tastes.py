"""One taste, from the names of its songs to its nearest users, its factor and its genre, in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.pairing.neighbours.kernels import emit, nearest_row, weighted_means
from spotify_buddies.serve_app.ranking.kernels.keys import match_keys
from spotify_buddies.serve_app.ranking.kernels.scoring import fetch_row
from spotify_buddies.serve_app.ranking.kernels.songs import vote
from spotify_buddies.trainer.bundle.kernels import sum_songs

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def find_rows(names: tuple[Any, ...], ids: tuple[Any, ...], tables: tuple[Any, ...], rows: Array) -> None:
    """The row of each song of a taste into rows, -1 where it is not known.

    names, ids: hashes, offsets and bytes of keys, and int32 which song of the taste each is for; of several keys for
    one song the first counts that a row has. tables: hashes, rows, offsets and bytes of the songs' keys, of their other
    spellings and of their ids, and the song row of each entry of the last two, empty where there are none.
    """
    keys, aliases, alias_songs, song_ids, id_songs = tables
    hashes, offsets, data, owner = names
    rows[:] = -1
    found, other = np.empty(hashes.size, np.int32), np.empty(hashes.size, np.int32)
    match_keys(hashes, offsets, data, keys[0], keys[1], keys[2], keys[3], found)
    if alias_songs.size > 0:
        # No key is in both.
        match_keys(hashes, offsets, data, aliases[0], aliases[1], aliases[2], aliases[3], other)
        for i in range(found.size):
            if other[i] >= 0:
                found[i] = alias_songs[other[i]]
    for i in range(found.size - 1, -1, -1):
        if found[i] >= 0:
            rows[owner[i]] = found[i]
    hashes, offsets, data, owner = ids
    found = np.empty(hashes.size, np.int32)
    match_keys(hashes, offsets, data, song_ids[0], song_ids[1], song_ids[2], song_ids[3], found)
    for i in range(found.size):
        if found[i] >= 0:
            rows[owner[i]] = id_songs[found[i]]


@njit(cache=True, nogil=True)
def distinct(rows: Array) -> tuple[Array, int]:
    """The rows that are not -1, ascending, each once; and how many are -1."""
    ordered = np.sort(rows)
    count, unknown = 0, 0
    for i in range(ordered.size):
        unknown += ordered[i] < 0
        if ordered[i] >= 0 and (count == 0 or ordered[count - 1] != ordered[i]):
            ordered[count] = ordered[i]
            count += 1
    return ordered[:count], unknown


@njit(cache=True, nogil=True)
def count_taste(
    songs: int,
    names: tuple[Any, ...],
    ids: tuple[Any, ...],
    tables: tuple[Any, ...],
    lists: tuple[Any, ...],
    scratch: tuple[Any, ...],
    most: int,
    k: int,
    factors: tuple[Any, ...],
    summed: tuple[Any, ...],
    genres: tuple[Any, ...],
) -> tuple[Any, ...]:
    """Find the songs of a taste and count its neighbours, if the songs have at most `most` listeners in total.

    songs: how many are named. lists: where each song's users start, and those users. scratch: counters, sizes and a
    list of users, see nearest_row. factors: of users, and how many users there are. summed: as SongFactors.arrays, or
    factors of no songs. genres: genre and listeners of each song, and the number of genres.

    Returns the songs, ascending, how many are not known, their listeners, and of those within the bound the k nearest
    users, their cosines float32, the factor float32 (1, d), zeros where nothing says anything, and the genre int32
    (1,), -1 for none.
    """
    user_factors, users = factors
    rows = np.empty(songs, np.int32)
    find_rows(names, ids, tables, rows)
    found, unknown = distinct(rows)
    posting_starts, postings = lists
    work = 0
    for song in found:
        work += posting_starts[song + 1] - posting_starts[song]
    near, cosines = np.empty((1, k), np.int32), np.empty((1, k), np.float32)
    factor, genre, size = np.zeros((1, user_factors.shape[1]), np.float32), np.full(1, -1, np.int32), 0
    if work <= most:
        counts, sizes, met = scratch
        keys, best, found_near = np.empty(2 * k + 33), np.empty(2 * k + 33, np.int64), np.empty(1, np.int64)
        if work > 0 and k > 0:
            size = nearest_row(found, posting_starts, postings, k, counts, sizes, met, keys, best)
            emit(keys, best, size, found.size, 0, found_near, near, cosines)
        ends = np.zeros(2, np.int64)
        if summed[0].shape[0] > 0:
            ends[1] = found.size
            sum_songs(ends, found, summed[0], summed[1], summed[2], summed[3], summed[4], factor)
        if not factor.any():
            ends[1] = size
            # All of them at once, so that they wait together.
            for j in range(size):
                fetch_row(user_factors, near[0, j])
            weighted_means(ends, near[0], cosines[0], user_factors, factor)
        ends[1] = found.size
        vote(ends, found, genres[0], genres[1], users, genres[2], genre)
    return found, unknown, work, near[0, :size], cosines[0, :size], factor, genre

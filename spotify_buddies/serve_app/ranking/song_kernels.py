"""Hot loops over songs and ids beside the ranking: what two listeners share, what a taste's genre is, rows of ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels import holds, offer
from spotify_buddies.serve_app.ranking.prefetch import LINE_BYTES, prefetch

Array = npt.NDArray[Any]

# Places of marks, one less than a power of two: a listener's songs leave most of them empty.
PLACES = (1 << 14) - 1
# Listeners whose songs, and their owners', are asked for ahead of the one that is compared; songs of each, of 4 bytes.
AHEAD = 4
FETCHED = 128
SONGS_A_LINE = LINE_BYTES // 4
# Ids that are looked up together.
TOGETHER = 16


@njit(cache=True, nogil=True)
def share_one(mine: Array, marks: Array, theirs: Array, listeners: Array, examples: Array, known: Array) -> int:
    """Count what two ascending rows of songs share, and keep the best known of it, best first; ties by song row.

    marks: not 0 at the place of each of mine, so that nearly all that is not shared costs one look and no comparison.
    known: room for as many numbers as there are examples. Examples that are not filled are left as they are.
    """
    shared, count = 0, 0
    for song in theirs:
        if marks[song & PLACES] and holds(mine, song):
            count = offer(examples, known, count, song, listeners[song])
            shared += 1
    return shared


@njit(cache=True, nogil=True)
def fetch_songs(indptr: Array, indices: Array, row: int) -> None:
    """Ask for the first songs of a row, to be read soon; -1: there is none."""
    if row >= 0:
        for place in range(indptr[row], min(indptr[row + 1], indptr[row] + FETCHED), SONGS_A_LINE):
            prefetch(indices, place, 0)


@njit(cache=True, nogil=True)
def share(
    song_rows: Array,
    song_indptr: Array,
    song_indices: Array,
    rows: Array,
    counts: Array,
    personal: Array,
    owner: Array,
    indptr: Array,
    indices: Array,
    listeners: Array,
    shared: Array,
    examples: Array,
) -> None:
    """The songs that each listener shares with the owner of each playlist of the list.

    Listener i has row song_rows[i] (-1: none) of (song_indptr, song_indices), counts[i] of rows (listeners, limit)
    filled, and a list that is personal or not; owners have rows of (indptr, indices). Writes shared (listeners, limit)
    and examples (listeners, limit, most), best known first, -1 padded; nothing is shared where anything is missing.
    """
    known = np.empty(examples.shape[2], np.float64)
    marks = np.zeros(PLACES + 1, np.uint8)
    shared[:] = 0
    examples[:] = -1
    for i in range(song_rows.size):
        if i + AHEAD < song_rows.size:
            fetch_songs(song_indptr, song_indices, song_rows[i + AHEAD])
            for j in range(counts[i + AHEAD]):
                fetch_songs(indptr, indices, owner[rows[i + AHEAD, j]])
        at = song_rows[i]
        if at < 0 or not personal[i]:
            continue
        mine = song_indices[song_indptr[at] : song_indptr[at + 1]]
        for song in mine:
            marks[song & PLACES] = 1
        for j in range(counts[i]):
            theirs = owner[rows[i, j]]
            if theirs >= 0:
                shared[i, j] = share_one(
                    mine, marks, indices[indptr[theirs] : indptr[theirs + 1]], listeners, examples[i, j], known
                )
        for song in mine:
            marks[song & PLACES] = 0


@njit(cache=True, nogil=True)
def match_key(
    wanted: int,
    first: int,
    last: int,
    data: Array,
    at: int,
    hashes: Array,
    hash_rows: Array,
    table_offsets: Array,
    table_data: Array,
) -> int:
    """The row whose hash is `wanted`, from place `at` of them on, and whose bytes are data[first:last]; -1: none."""
    while at < hashes.size and hashes[at] == wanted:
        row = hash_rows[at]
        start = table_offsets[row]
        same = table_offsets[row + 1] - start == last - first
        k = 0
        while same and k < last - first:
            same = table_data[start + k] == data[first + k]
            k += 1
        if same:
            return row
        at += 1
    return -1


@njit(cache=True, nogil=True)
def match_keys(
    wanted: Array,
    offsets: Array,
    data: Array,
    hashes: Array,
    hash_rows: Array,
    table_offsets: Array,
    table_data: Array,
    rows: Array,
) -> None:
    """Find the row of each key by its hash among ascending ones; a hit counts when the bytes are the same.

    Key i has the hash wanted[i] and the bytes data[offsets[i]:offsets[i + 1]]; the table's rows likewise. Writes rows,
    -1 where there is none.
    """
    found = np.empty(TOGETHER, np.int64)
    for start in range(0, wanted.size, TOGETHER):
        count = min(TOGETHER, wanted.size - start)
        # Each look needs what the one before found: a step for all of them, so that they wait together.
        for k in range(count):
            found[k] = np.searchsorted(hashes, wanted[start + k])
            if found[k] < hashes.size:
                prefetch(hash_rows, found[k], 0)
        for k in range(count):
            if found[k] < hashes.size:
                prefetch(table_offsets, hash_rows[found[k]], 0)
        for k in range(count):
            if found[k] < hashes.size:
                prefetch(table_data, table_offsets[hash_rows[found[k]]], 0)
        for k in range(count):
            rows[start + k] = match_key(
                wanted[start + k], offsets[start + k], offsets[start + k + 1], data, found[k], hashes, hash_rows,
                table_offsets, table_data,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def vote(indptr: Array, songs: Array, genre_of: Array, listeners: Array, users: int, genres: int, out: Array) -> None:
    """The genre with the largest weight of songs per row, -1 for none; of two with the same weight the lower one.

    genre_of int16 (all songs,), -1 unknown. A song weighs log((1 + users) / (1 + its listeners)) + 1.
    """
    votes = np.zeros(genres, np.float64)
    for row in range(indptr.size - 1):
        votes[:] = 0.0
        for i in range(indptr[row], indptr[row + 1]):
            genre = genre_of[songs[i]]
            if genre >= 0:
                votes[genre] += np.log((1.0 + users) / (1.0 + listeners[songs[i]])) + 1.0
        out[row] = -1
        best = 0.0
        for genre in range(genres):
            if votes[genre] > best:
                best = votes[genre]
                out[row] = genre

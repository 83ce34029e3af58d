"""Hot loops over songs and ids beside the ranking: what two listeners share, what a taste's genre is, rows of ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from serve_app.kernels import offer

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def share_one(mine: Array, theirs: Array, listeners: Array, examples: Array, known: Array) -> int:
    """Count what two ascending rows of songs share, and keep the best known of it, best first; ties by song row.

    known: room for as many numbers as there are examples. Examples that are not filled are left as they are.
    """
    a, b, shared, count = 0, 0, 0, 0
    while a < mine.size and b < theirs.size:
        if mine[a] < theirs[b]:
            a += 1
        elif mine[a] > theirs[b]:
            b += 1
        else:
            count = offer(examples, known, count, mine[a], listeners[mine[a]])
            shared += 1
            a += 1
            b += 1
    return shared


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
    shared[:] = 0
    examples[:] = -1
    for i in range(song_rows.size):
        at = song_rows[i]
        if at < 0 or not personal[i]:
            continue
        mine = song_indices[song_indptr[at] : song_indptr[at + 1]]
        for j in range(counts[i]):
            theirs = owner[rows[i, j]]
            if theirs >= 0:
                shared[i, j] = share_one(
                    mine, indices[indptr[theirs] : indptr[theirs + 1]], listeners, examples[i, j], known
                )


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
    for i in range(wanted.size):
        first, last = offsets[i], offsets[i + 1]
        rows[i] = -1
        at = np.searchsorted(hashes, wanted[i])
        while at < hashes.size and hashes[at] == wanted[i]:
            start = table_offsets[hash_rows[at]]
            same = table_offsets[hash_rows[at] + 1] - start == last - first
            k = 0
            while same and k < last - first:
                same = table_data[start + k] == data[first + k]
                k += 1
            if same:
                rows[i] = hash_rows[at]
                break
            at += 1


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

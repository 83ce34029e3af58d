"""Hot loops over likes: dealing them to the parts of the split, and the rounds of ownership."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.streams import hashed

Array = npt.NDArray[Any]


@numba.njit(cache=True, nogil=True)
def split_likes(seed: np.uint64, ptr: Array, liked: Array, warm: Array, least: int, split: Array) -> None:
    """Deal every warm user's likes to train (0), validation (1) and test (2) in the order of a hash; others get 3."""
    for user in range(ptr.size - 1):
        first, n = ptr[user], ptr[user + 1] - ptr[user]
        if not warm[user]:
            split[first : first + n] = 3
            continue
        split[first : first + n] = 0
        if n < least:
            continue
        own = hashed(seed, user)
        order = np.empty(n, np.uint64)
        # By hash and not by score: a split in the order of scores would train on the easy likes and test on the hard.
        for i in range(n):
            order[i] = hashed(own, liked[first + i])
        places = np.argsort(order)
        split[first + places[7 * n // 10 : 9 * n // 10]] = 1
        split[first + places[9 * n // 10 :]] = 2


@numba.njit(cache=True, nogil=True)
def propose(
    first: int,
    last: int,
    ptr: Array,
    liked: Array,
    scores: Array,
    counts: Array,
    root_songs: Array,
    floors: Array,
    floor_rows: Array,
    best: Array,
    owner: Array,
) -> None:
    """One pass over the likes of users first..last: every playlist keeps the user of the highest priority.

    counts bool, per like: whether it counts. floors float64, floor_rows int32 (U): a user takes a playlist whose
    priority lies above the floor, or on it with a row up to floor_rows. best float64, owner int32 (P) are updated.
    """
    for user in range(first, last):
        for i in range(ptr[user], ptr[user + 1]):
            if not counts[i]:
                continue
            playlist = liked[i]
            priority = np.float64(scores[i]) / root_songs[user]
            if priority < floors[user] or (priority == floors[user] and playlist > floor_rows[user]):
                continue
            # Users come in ascending order: of equal priorities the lower row is there first and stays.
            if priority > best[playlist]:
                best[playlist] = priority
                owner[playlist] = user


@numba.njit(cache=True, nogil=True)
def marked_among(ptr: Array, columns: Array, among_ptr: Array, among: Array, marked: Array, stamps: Array) -> Array:
    """Which entries of CSR (ptr, columns) are marked ones of the same row of CSR (among_ptr, among), bool (entries,).

    marked bool, one per entry of among; stamps int32 (columns of the matrix,), all -1.
    """
    found = np.zeros(columns.size, np.bool_)
    for row in range(ptr.size - 1):
        for i in range(among_ptr[row], among_ptr[row + 1]):
            if marked[i]:
                stamps[among[i]] = row
        for i in range(ptr[row], ptr[row + 1]):
            found[i] = stamps[columns[i]] == row
    return found

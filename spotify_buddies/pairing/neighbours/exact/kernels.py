"""The k nearest users of song sets with many listeners: all users' keys are bounded in one pass, few are looked at.

Shared songs are counted as everywhere: one counter a user. What took nine tenths of the time was the walk back through
the song lists to find out who has which count. Here the counters of all users are read once, in order, which compilers
turn into vector code, and the best key of every group of users is kept. A group whose best key is below the k-th best
of the groups cannot hold one of the k nearest: about k groups are left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.pairing.neighbours.kernels import emit, floor_of, offer, settle

Array = npt.NDArray[Any]

# A group is every LANES-th of a span of users: the groups of a span are lanes of vectors, and no maximum is taken
# across a vector. Fewer lanes cost more (measured: twice as much with 32).
LANES = 128
MEMBERS = 32
SPAN = LANES * MEMBERS
# Keys of groups are rounded three times in 24 bits of precision (two products, one inverse).
_ROUNDING = 1e-6


@njit(cache=True, nogil=True)
def nearest_by_groups(
    rows: Array,
    starts: Array,
    songs: Array,
    user_starts: Array,
    inverses: Array,
    posting_starts: Array,
    postings: Array,
    k: int,
    counts: Array,
    tops: Array,
    out_counts: Array,
    out_rows: Array,
    out_cosines: Array,
) -> None:
    """The k nearest users of the song sets `rows` of (starts, songs), into out_*, as `kernels.nearest_rows` has them.

    inverses float32: 1 / songs of every user, 0 for users without songs and up to whole spans of users. counts uint16
    or int32, of that many users, all zero before and after, and tops float32, of as many groups, are scratch.
    """
    keys, best = np.empty(2 * k + 33, np.float64), np.empty(2 * k + 33, np.int64)
    for i in range(rows.size):
        first, last = starts[rows[i]], starts[rows[i] + 1]
        # Unsigned numbers throughout: signed ones are asked each time whether they count from the end.
        for song in songs[first:last]:
            for q in range(np.uint64(posting_starts[song]), np.uint64(posting_starts[song + 1])):
                counts[np.uint64(postings[q])] += 1
        _top_keys(counts, inverses, tops)
        least = _kth_best(tops, k, keys, best)
        size = _look(counts, tops, least, user_starts, k, keys, best)
        counts[:] = 0
        emit(keys, best, size, last - first, i, out_counts, out_rows, out_cosines)


# Without not-a-numbers a maximum is one instruction; there are none.
@njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "ninf"})
def _top_keys(counts: Array, inverses: Array, tops: Array) -> None:
    """The best key of every group, m * m / n of m shared songs and n of the user, rounded."""
    lanes, members = np.uint64(LANES), np.uint64(MEMBERS)
    for span in range(np.uint64(tops.size) // lanes):
        top = tops[span * lanes : (span + np.uint64(1)) * lanes]
        for lane in range(lanes):
            top[lane] = np.float32(0.0)
        for member in range(members):
            row = (span * members + member) * lanes
            for lane in range(lanes):
                shared = np.float32(counts[row + lane])
                top[lane] = max(top[lane], shared * shared * inverses[row + lane])


@njit(cache=True, nogil=True)
def _kth_best(tops: Array, k: int, keys: Array, best: Array) -> Any:
    """What the key of the k-th nearest is at least: k groups have one as good. 0 where fewer than k have any."""
    keys[-1] = -1.0
    size = 0
    for group in range(np.uint64(tops.size)):
        key = np.float64(tops[group])
        if key > 0.0 and key > keys[-1]:
            size = offer(keys, best, size, k, key, np.int64(group))
    size = settle(keys, best, size, k)
    return floor_of(keys) * (1.0 - _ROUNDING) if size == k else 0.0


@njit(cache=True, nogil=True)
def _look(counts: Array, tops: Array, least: float, user_starts: Array, k: int, keys: Array, best: Array) -> Any:
    """Offer the users of the groups that reach `least`; how many are held. Keys are exact here."""
    keys[-1] = -1.0
    size = 0
    for group in range(tops.size):
        if tops[group] <= 0.0 or np.float64(tops[group]) < least:
            continue
        first = group // LANES * SPAN + group % LANES
        for row in range(first, first + SPAN, LANES):
            shared = np.float64(counts[row])
            if shared > 0.0:
                size = offer(keys, best, size, k, shared * shared / (user_starts[row + 1] - user_starts[row]), row)
        least = max(least, floor_of(keys) * (1.0 - _ROUNDING))
    return settle(keys, best, size, k)

"""Compiled loops of the neighbour search: counting shared songs, re-ranking, projections, weighted means."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def _worse(keys: Array, rows: Array, a: int, b: int) -> Any:
    """Whether heap entry a ranks behind entry b: smaller key, or the same key and a higher row."""
    return keys[a] < keys[b] or (keys[a] == keys[b] and rows[a] > rows[b])


@njit(cache=True, nogil=True)
def _swap(keys: Array, rows: Array, a: int, b: int) -> None:
    keys[a], keys[b] = keys[b], keys[a]
    rows[a], rows[b] = rows[b], rows[a]


@njit(cache=True, nogil=True)
def _sink(keys: Array, rows: Array, size: int, top: int) -> None:
    """Restore the heap (worst entry on top) below position `top`."""
    while True:
        child = 2 * top + 1
        if child >= size:
            return
        if child + 1 < size and _worse(keys, rows, child + 1, child):
            child += 1
        if not _worse(keys, rows, child, top):
            return
        _swap(keys, rows, child, top)
        top = child


@njit(cache=True, nogil=True)
def _offer(keys: Array, rows: Array, size: int, k: int, key: float, row: int) -> Any:
    """Offer an entry to a heap of the k best; returns the new size."""
    if size < k:
        keys[size] = key
        rows[size] = row
        place = size
        # Sift up: worse entries belong nearer to the top.
        while place > 0 and _worse(keys, rows, place, (place - 1) // 2):
            _swap(keys, rows, place, (place - 1) // 2)
            place = (place - 1) // 2
        return size + 1
    if key > keys[0] or (key == keys[0] and row < rows[0]):
        keys[0] = key
        rows[0] = row
        _sink(keys, rows, size, 0)
    return size


@njit(cache=True, nogil=True)
def _drain(keys: Array, rows: Array, size: int) -> None:
    """Sort a heap in place, best first."""
    for end in range(size - 1, 0, -1):
        _swap(keys, rows, 0, end)
        _sink(keys, rows, end, 0)


_MANY = 64  # song sets for which it pays to look for the shortest


@njit(cache=True, nogil=True)
def _shortest(starts: Array) -> Any:
    """The length of the shortest row that is not empty; 1 where all are."""
    shortest = 0
    for row in range(starts.size - 1):
        length = starts[row + 1] - starts[row]
        if length > 0 and (shortest == 0 or length < shortest):
            shortest = length
    return max(shortest, 1)


@njit(cache=True, nogil=True)
def nearest_rows(
    rows: Array,
    starts: Array,
    songs: Array,
    exclude_self: bool,
    user_starts: Array,
    posting_starts: Array,
    postings: Array,
    k: int,
    counts: Array,
    out_counts: Array,
    out_rows: Array,
    out_cosines: Array,
) -> None:
    """The k nearest users of song sets `rows` of (starts, songs), into out_*: k places a set, out_counts used.

    user_starts gives the sizes of the users' own sets, postings the users of each song. exclude_self: the sets are the
    users' own, and user rows[i] is left out of answer i. counts uint16 or int32 (users,), all zero before and after,
    is scratch. Entries are ranked by m * m / n of the other user (m shared songs, n their
    songs), which orders like the cosine and which float64 holds without two different fractions meeting, so that ties
    are true ties and go to the lower row.
    """
    keys = np.empty(k, np.float64)
    best = np.empty(k, np.int64)
    shortest = np.float64(_shortest(user_starts) if rows.size >= _MANY else 1)
    for i in range(rows.size):
        row = rows[i]
        for p in range(starts[row], starts[row + 1]):
            song = songs[p]
            for q in range(posting_starts[song], posting_starts[song + 1]):
                counts[postings[q]] += 1
        if exclude_self:
            counts[row] = 0  # as if nothing were shared with oneself
        size = 0
        least = 1
        # Walked twice instead of listing the users met: asking each time whether one is new costs more.
        for p in range(starts[row], starts[row + 1]):
            song = songs[p]
            for q in range(posting_starts[song], posting_starts[song + 1]):
                other = postings[q]
                shared = counts[other]
                counts[other] = 0
                # Most share too little for any n, and are dropped without looking theirs up.
                if shared < least:
                    continue
                square = np.float64(shared) * np.float64(shared)
                size = _offer(keys, best, size, k, square / (user_starts[other + 1] - user_starts[other]), other)
                # What shares fewer songs than `least` could not enter the heap even with the shortest of all lists.
                while size == k and np.float64(least) * np.float64(least) / shortest < keys[0]:
                    least += 1
        _emit(keys, best, size, starts[row + 1] - starts[row], i, out_counts, out_rows, out_cosines)


@njit(cache=True, nogil=True)
def _emit(
    keys: Array, best: Array, size: int, length: int, i: int, out_counts: Array, out_rows: Array, out_cosines: Array
) -> None:
    """Write a heap of keys out as row i, best first; length is the size of the asking set."""
    _drain(keys, best, size)
    out_counts[i] = size
    for j in range(size):
        out_rows[i, j] = best[j]
        out_cosines[i, j] = np.sqrt(keys[j] / length)


@njit(cache=True, nogil=True)
def rerank_rows(
    rows: Array,
    starts: Array,
    songs: Array,
    user_starts: Array,
    user_songs: Array,
    proposed: Array,
    k: int,
    out_counts: Array,
    out_rows: Array,
    out_cosines: Array,
) -> None:
    """The k nearest of the proposed users, int64 (rows, breadth), -1 where there is none, by exact cosine.

    Song sets are ascending on both sides. The answer has the form and the order of `nearest_rows`.
    """
    keys = np.empty(k, np.float64)
    best = np.empty(k, np.int64)
    for i in range(rows.size):
        first, last = starts[rows[i]], starts[rows[i] + 1]
        size = 0
        for j in range(proposed.shape[1]):
            other = proposed[i, j]
            if other < 0:
                continue
            p, q, end = first, user_starts[other], user_starts[other + 1]
            length = end - q
            shared = 0
            # A merge of two ascending lists: breadth is small, and no counter per user is touched.
            while p < last and q < end:
                if songs[p] == user_songs[q]:
                    shared += 1
                    p += 1
                    q += 1
                elif songs[p] < user_songs[q]:
                    p += 1
                else:
                    q += 1
            if shared > 0:
                size = _offer(keys, best, size, k, np.float64(shared) * shared / length, other)
        _emit(keys, best, size, last - first, i, out_counts, out_rows, out_cosines)


@njit(cache=True, nogil=True)
def project_rows(starts: Array, songs: Array, place: Array, projection: Array, out: Array) -> None:
    """out[r] = the sum of the projection's rows over the songs of row r, at length 1; zeros where no song has a place.

    place int32 (songs,): row of the projection, -1 for a song that has none.
    """
    width = projection.shape[1]
    for r in range(starts.size - 1):
        # float32 is enough: the index keeps eight bits of a dimension.
        total = np.zeros(width, np.float32)
        for p in range(starts[r], starts[r + 1]):
            row = place[songs[p]]
            if row >= 0:
                for d in range(width):
                    total[d] += projection[row, d]
        square = 0.0
        for d in range(width):
            square += np.float64(total[d]) * total[d]
        if square > 0.0:
            for d in range(width):
                out[r, d] = total[d] / np.sqrt(square)


@njit(cache=True, nogil=True)
def compact(counts: Array, width: int, indices: Array, values: Array) -> Any:
    """Close the gaps between rows of `width` of which only the first counts[r] entries are used, in place."""
    # Reads run ahead of writes, so that no second array of that size is needed.
    filled = 0
    for r in range(counts.size):
        for j in range(counts[r]):
            indices[filled] = indices[r * width + j]
            values[filled] = values[r * width + j]
            filled += 1
    return filled


@njit(cache=True, nogil=True)
def weighted_means(starts: Array, rows: Array, weights: Array, factors: Array, out: Array) -> None:
    """out[r] = sum(weights * factors[rows]) / sum(weights) over the entries of row r; zeros without a weight."""
    for r in range(starts.size - 1):
        total = 0.0
        sums = np.zeros(factors.shape[1], np.float64)
        for p in range(starts[r], starts[r + 1]):
            total += weights[p]
            for d in range(sums.size):
                sums[d] += weights[p] * factors[rows[p], d]
        if total > 0.0:
            for d in range(sums.size):
                out[r, d] = sums[d] / total

"""Compiled loops of the neighbour search: counting shared songs, re-ranking, projections, weighted means."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def floor_of(keys: Array) -> Any:
    """The key that an entry must reach to be among the k best so far; below 0 before there are k."""
    return keys[-1]


@njit(cache=True, nogil=True)
def offer(keys: Array, rows: Array, size: int, k: int, key: float, row: int) -> Any:
    """Offer an entry to the k best; returns how many are held. A larger key is better, then a lower row.

    keys float64 and rows int64 have room for more than k entries and, in the last place, the worst of the k best when
    they were last counted out, at first a key below 0. Most entries are worse and are passed over by one comparison;
    the others are only gathered until the room is full, which costs a fraction of keeping them in order.
    """
    if key < keys[-1] or (key == keys[-1] and row > rows[-1]):
        return size
    keys[size], rows[size] = key, row
    size += 1
    if size < keys.size - 1:
        return size
    _select(keys, rows, size, k)
    return _floor(keys, rows, k)


@njit(cache=True, nogil=True)
def settle(keys: Array, rows: Array, size: int, k: int) -> Any:
    """Leave the k best of what is held, in no order; returns how many that are."""
    if size > k:
        _select(keys, rows, size, k)
    return _floor(keys, rows, k) if size >= k else size


@njit(cache=True, nogil=True)
def _floor(keys: Array, rows: Array, k: int) -> Any:
    worst = 0
    for i in range(1, k):
        if keys[i] < keys[worst] or (keys[i] == keys[worst] and rows[i] > rows[worst]):
            worst = i
    keys[-1], rows[-1] = keys[worst], rows[worst]
    return k


@njit(cache=True, nogil=True)
def _select(keys: Array, rows: Array, size: int, k: int) -> None:
    """Bring the k best of `size` entries to the front (Hoare's selection); rows differ, so that no two are equal."""
    first, last = 0, size - 1
    while first < last:
        middle = (first + last) >> 1
        key, row = keys[middle], rows[middle]
        low, high = first, last
        # Neither inner loop checks a bound: the pivot is one of the entries, and stops both.
        while low <= high:
            while keys[low] > key or (keys[low] == key and rows[low] < row):
                low += 1
            while keys[high] < key or (keys[high] == key and rows[high] > row):
                high -= 1
            if low <= high:
                keys[low], keys[high] = keys[high], keys[low]
                rows[low], rows[high] = rows[high], rows[low]
                low += 1
                high -= 1
        if k - 1 <= high:
            last = high
        elif k - 1 >= low:
            first = low
        else:
            return


@njit(cache=True, nogil=True)
def _sort(keys: Array, rows: Array, size: int) -> None:
    """Sort entries in place, best first (Shell's method, Knuth's gaps)."""
    gap = 1
    while gap < size // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, size):
            key, row, place = keys[i], rows[i], i
            while place >= gap and (keys[place - gap] < key or (keys[place - gap] == key and rows[place - gap] > row)):
                keys[place], rows[place] = keys[place - gap], rows[place - gap]
                place -= gap
            keys[place], rows[place] = key, row
        gap //= 3


# Users who share at least so many songs are looked at first: they are few, and raise the bound for all others.
_MANY = 3
# Below the bound by more than rounding: no division is needed to see it.
_BELOW = 1.0 - 1e-9


@njit(cache=True, nogil=True)
def nearest_row(
    songs: Array,
    posting_starts: Array,
    postings: Array,
    k: int,
    counts: Array,
    sizes: Array,
    met: Array,
    keys: Array,
    best: Array,
) -> Any:
    """The k users nearest to a set of songs, settled in (keys, best) as `offer` has them; returns how many they are.

    postings: the users of each song. counts uint16 or int32 (users,), all zero before and after, and met uint32, with
    one place more than users are met, are scratch. sizes: of the users' own sets, as narrow as counts, since what is
    read at random should stay in the cache. Entries are ranked by m * m / n of the other user (m shared songs, n their
    songs), which orders like the cosine and which float64 holds without two different fractions meeting, so that ties
    are true ties and go to the lower row.
    """
    # Places without a sign: of others numba asks every time whether they count from the end, a quarter of the time.
    users, left, size = np.uint64(0), np.uint64(0), 0
    for song in songs:
        for q in range(np.uint64(posting_starts[song]), np.uint64(posting_starts[song + 1])):
            other = np.uint64(postings[q])
            # Written always and counted if new: a branch that cannot be foreseen would cost more than the store.
            met[users] = other
            users += np.uint64(counts[other] == 0)
            counts[other] += 1
    keys[-1] = -1.0
    for i in range(users):
        other = np.uint64(met[i])
        shared = np.float64(counts[other])
        met[left] = other
        left += np.uint64(shared < _MANY)
        if shared >= _MANY:
            counts[other] = 0
            size = offer(keys, best, size, k, shared * shared / np.float64(sizes[other]), np.int64(other))
    for i in range(left):
        other = np.uint64(met[i])
        shared = np.float64(counts[other])
        counts[other] = 0
        length = np.float64(sizes[other])
        if shared * shared >= floor_of(keys) * length * _BELOW:
            size = offer(keys, best, size, k, shared * shared / length, np.int64(other))
    return settle(keys, best, size, k)


@njit(cache=True, nogil=True)
def nearest_rows(
    rows: Array,
    starts: Array,
    songs: Array,
    posting_starts: Array,
    postings: Array,
    k: int,
    counts: Array,
    sizes: Array,
    met: Array,
    out_counts: Array,
    out_rows: Array,
    out_cosines: Array,
) -> None:
    """The k nearest users of song sets `rows` of (starts, songs), into out_*: k places a set, out_counts used.

    The other arguments, and the order: as of `nearest_row`.
    """
    keys, best = np.empty(2 * k + 33, np.float64), np.empty(2 * k + 33, np.int64)
    for i in range(rows.size):
        first, last = starts[rows[i]], starts[rows[i] + 1]
        size = nearest_row(songs[first:last], posting_starts, postings, k, counts, sizes, met, keys, best)
        emit(keys, best, size, last - first, i, out_counts, out_rows, out_cosines)


@njit(cache=True, nogil=True)
def emit(
    keys: Array, best: Array, size: int, length: int, i: int, out_counts: Array, out_rows: Array, out_cosines: Array
) -> None:
    """Write settled entries out as row i, best first; length is the size of the asking set."""
    _sort(keys, best, size)
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
    keys, best = np.empty(2 * k + 33, np.float64), np.empty(2 * k + 33, np.int64)
    for i in range(rows.size):
        first, last = starts[rows[i]], starts[rows[i] + 1]
        size = 0
        keys[-1] = -1.0
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
                size = offer(keys, best, size, k, np.float64(shared) * shared / length, other)
        size = settle(keys, best, size, k)
        emit(keys, best, size, last - first, i, out_counts, out_rows, out_cosines)


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
def _add_weighted(weight: float, row: Array, sums: Array) -> None:
    # By itself, of two plain arrays, the loop becomes vector instructions.
    for d in range(sums.size):
        sums[d] += weight * row[d]


@njit(cache=True, nogil=True)
def weighted_means(starts: Array, rows: Array, weights: Array, factors: Array, out: Array) -> None:
    """out[r] = sum(weights * factors[rows]) / sum(weights) over the entries of row r; zeros without a weight."""
    for r in range(starts.size - 1):
        total = 0.0
        sums = np.zeros(factors.shape[1], np.float64)
        for p in range(starts[r], starts[r + 1]):
            total += weights[p]
            _add_weighted(weights[p], factors[rows[p]], sums)
        if total > 0.0:
            for d in range(sums.size):
                out[r, d] = sums[d] / total

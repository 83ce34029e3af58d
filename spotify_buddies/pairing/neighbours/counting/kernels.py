"""The k nearest users of many song sets: shared songs are counted for all users, and what counts enough is looked at.

Users are numbered by the size of their libraries here. What a user must share to be among the nearest grows with that
size, so that along the counters one bound rises, and words of eight counters that are all below it are passed over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.pairing.neighbours.kernels import emit, floor_of, offer, settle

Array = npt.NDArray[Any]

# Counters that are looked at together; arrays of counters are filled up to a multiple of them.
BLOCK = 64
# First the users who share at least so many songs: they are few, and raise the bound for all others.
_MANY = 3
# Where the listeners of a set's songs are fewer than one in so many users, they are walked through by song instead.
_FEW = 128


@njit(cache=True, nogil=True)
def listeners_by_place(indptr: Array, indices: Array, columns: int, order: Array) -> tuple[Array, Array]:
    """The users of every song as CSR, int64 (columns + 1,) and int32 (nnz,): places in `order`, ascending."""
    starts = np.zeros(columns + 1, np.int64)
    for i in range(indices.size):
        starts[indices[i] + 1] += 1
    for column in range(columns):
        starts[column + 1] += starts[column]
    cursors = starts[:-1].copy()
    places = np.empty(indices.size, np.int32)
    for place in range(order.size):
        row = order[place]
        for i in range(indptr[row], indptr[row + 1]):
            places[cursors[indices[i]]] = place
            cursors[indices[i]] += 1
    return starts, places


@njit(cache=True, nogil=True)
def nearest_sets(
    rows: Array,
    starts: Array,
    songs: Array,
    left_out: Array,
    order: Array,
    sizes: Array,
    firsts: Array,
    posting_starts: Array,
    postings: Array,
    k: int,
    narrow: Array,
    wide: Array,
    out_counts: Array,
    out_rows: Array,
    out_cosines: Array,
) -> None:
    """The k nearest users of the song sets `rows` of (starts, songs), into out_*, as `kernels.nearest_rows` has them.

    order int32 (users,): the users by ascending size; sizes int32: theirs, filled up as the counters are; firsts int32:
    the first of every BLOCK of them, and one more. postings hold places in `order`. left_out int32 (sets,): the place
    of the user who is in no answer to a set, or an empty array. narrow uint8, wide uint16 or uint32: counters of every
    place, all zero before and after; the wide ones are for sets that the narrow ones cannot count.
    """
    keys, best = np.empty(2 * k + 33, np.float64), np.empty(2 * k + 33, np.int64)
    for i in range(rows.size):
        first, last = starts[rows[i]], starts[rows[i] + 1]
        work = 0
        for p in range(first, last):
            work += posting_starts[songs[p] + 1] - posting_starts[songs[p]]
        hidden = left_out[rows[i]] if left_out.size else -1
        few = work * _FEW < order.size
        chosen = songs[first:last]
        if last - first < 256:
            size = _nearest(
                chosen, hidden, few, order, sizes, firsts, posting_starts, postings, k, narrow, narrow.view(np.uint64),
                np.uint64(8), np.uint64(0x0101010101010101), np.uint64(0x0001020304050607), keys, best,
            )  # fmt: skip
        elif wide.itemsize == 2:
            size = _nearest(
                chosen, hidden, few, order, sizes, firsts, posting_starts, postings, k, wide, wide.view(np.uint64),
                np.uint64(16), np.uint64(0x0001000100010001), np.uint64(0x0000000100020003), keys, best,
            )  # fmt: skip
        else:
            size = _nearest(
                chosen, hidden, few, order, sizes, firsts, posting_starts, postings, k, wide, wide.view(np.uint64),
                np.uint64(32), np.uint64(0x0000000100000001), np.uint64(0x0000000000000001), keys, best,
            )  # fmt: skip
        emit(keys, best, size, last - first, i, out_counts, out_rows, out_cosines)


@njit(cache=True, nogil=True)
def _nearest(
    songs: Array,
    hidden: int,
    few: bool,
    order: Array,
    sizes: Array,
    firsts: Array,
    posting_starts: Array,
    postings: Array,
    k: int,
    counts: Array,
    words: Array,
    bits: np.uint64,
    ones: np.uint64,
    lanes: np.uint64,
    keys: Array,
    best: Array,
) -> Any:
    """One set: how many of its k nearest are at the front of keys and best. bits: of a counter; ones: 1 in every one.

    lanes: the number of a counter in each, the last one's lowest.
    """
    # Unsigned numbers throughout: signed ones are asked each time whether they count from the end.
    for song in songs:
        for q in range(np.uint64(posting_starts[song]), np.uint64(posting_starts[song + 1])):
            counts[np.uint64(postings[q])] += 1
    if hidden >= 0:
        counts[hidden] = 0  # as if nothing were shared with oneself
    keys[-1] = -1.0
    if not few:
        size = _read(order, sizes, firsts, k, _MANY, 0, counts, words, bits, ones, lanes, keys, best)
        size = settle(keys, best, size, k)
        size = _read(order, sizes, firsts, k, 1, size, counts, words, bits, ones, lanes, keys, best)
        counts[:] = 0
        return settle(keys, best, size, k)
    size = 0
    for song in songs:
        for q in range(np.uint64(posting_starts[song]), np.uint64(posting_starts[song + 1])):
            place = np.uint64(postings[q])
            shared = np.float64(counts[place])
            counts[place] = 0
            if shared > 0.0:
                size = offer(keys, best, size, k, shared * shared / np.float64(sizes[place]), np.int64(order[place]))
    return settle(keys, best, size, k)


@njit(cache=True, nogil=True)
def _read(
    order: Array,
    sizes: Array,
    firsts: Array,
    k: int,
    least: int,
    size: int,
    counts: Array,
    words: Array,
    bits: np.uint64,
    ones: np.uint64,
    lanes: np.uint64,
    keys: Array,
    best: Array,
) -> Any:
    """Offer the users who share at least `least` songs, and as many as the worst of k asks for; their counters go to 0.

    The number of entries in keys and best, which hold `size` before.
    """
    top = bits - np.uint64(1)
    high = ones << top
    low = ~high
    half: Any = np.int64(1) << np.int64(top)
    in_word = np.uint64(64) // bits
    in_block = np.uint64(BLOCK) // in_word
    bound, floor, enough = least, -1.0, np.float64(np.inf)
    add = np.uint64(half - min(bound, half)) * ones
    for block in range(np.uint64(firsts.size - 1)):
        if floor != floor_of(keys):
            floor = floor_of(keys)
            enough = _enough(bound, floor)
        smallest = np.float64(firsts[block])
        if smallest > enough:
            while smallest > enough:
                bound += 1
                enough = _enough(bound, floor)
            add = np.uint64(half - min(bound, half)) * ones
        any_of = np.uint64(0)
        for w in range(block * in_block, (block + np.uint64(1)) * in_block):
            # A counter's high bit: it is at least `bound`. No sum reaches into the next counter.
            any_of |= ((words[w] & low) + add) | words[w]
        if any_of & high == np.uint64(0):
            continue
        alike = firsts[block] == firsts[block + np.uint64(1)]
        for w in range(block * in_block, (block + np.uint64(1)) * in_block):
            marks = (((words[w] & low) + add) | words[w]) & high
            while marks != np.uint64(0):
                lowest = marks & (np.uint64(0) - marks)
                marks ^= lowest
                # Times a power of two, the lane's number moves to the top.
                place = w * in_word + (((lowest >> top) * lanes) >> (np.uint64(64) - bits))
                shared = np.float64(counts[place])
                if shared < bound:
                    continue
                counts[place] = 0
                key = shared * shared / (smallest if alike else np.float64(sizes[place]))
                if key >= floor_of(keys):
                    size = offer(keys, best, size, k, key, np.int64(order[place]))
    return size


@njit(cache=True, nogil=True)
def _enough(bound: int, floor: float) -> Any:
    """The largest library of which `bound` shared songs may reach the floor."""
    # The part that is added is more than all rounding.
    return np.float64(bound) * np.float64(bound) / floor * (1.0 + 1e-9) if floor > 0.0 else np.float64(np.inf)

"""Hot loops of the data set: rows of pairs, scores of a user's playlists, the best of them.

A user's scores are counted in one array over all playlists, which is cleared through the list of playlists that were
touched, so that the cost of a user is the number of shared songs and not the number of playlists. No pair is stored.
Rows are indices without a sign where the loops are hot: for others numba adds a look at the sign to every access.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@numba.njit(cache=True, nogil=True)
def group(rows: Array, columns: Array, count: int) -> tuple[Array, Array]:
    """Pairs as CSR by counting: indptr int64 (count + 1,), indices int32, in the order of the pairs within a row."""
    indptr = np.zeros(count + 1, np.int64)
    for row in rows:
        indptr[row + 1] += 1
    for row in range(count):
        indptr[row + 1] += indptr[row]
    # Counting instead of sorting: linear, and pairs of a row keep their order without being compared.
    cursor = indptr[:-1].copy()
    indices = np.empty(rows.size, np.int32)
    for i in range(rows.size):
        row = rows[i]
        indices[cursor[row]] = columns[i]
        cursor[row] += 1
    return indptr, indices


@numba.njit(cache=True, nogil=True)
def distinct(indptr: Array, indices: Array, rename: Array) -> tuple[Array, Array]:
    """Rows with their columns renamed, sorted and each once: indptr int64, indices int32."""
    kept = np.zeros(indptr.size, np.int64)
    result = np.empty(indices.size, np.int32)
    end = 0
    for row in range(indptr.size - 1):
        songs = np.empty(indptr[row + 1] - indptr[row], np.int32)
        for i in range(songs.size):
            songs[i] = rename[indices[indptr[row] + i]]
        # Renaming may merge songs: after sorting, equal ones are neighbours.
        songs.sort()
        for i in range(songs.size):
            if i == 0 or songs[i] != songs[i - 1]:
                result[end] = songs[i]
                end += 1
        kept[row + 1] = end
    return kept, result[:end].copy()


class Tastes(NamedTuple):
    """What scores are made of. CSR user -> songs and song -> playlists; the rest as named in the formula of `score`.

    root_songs float64 (U): square root of s. tracks (P): p, as narrow as it fits, because a user's playlists lie all
    over it and a cache is small; roots float64: square root by p. beta float64 (U). logs float64: log(1 + m) by m.
    named_owner int32 (P): a playlist is not scored for the user whom it names as its owner, -1 for none.
    """

    user_ptr: Array
    user_songs: Array
    song_ptr: Array
    song_playlists: Array
    root_songs: Array
    tracks: Array
    roots: Array
    beta: Array
    logs: Array
    named_owner: Array


class Space(NamedTuple):
    """Working memory of one thread: counts int32 (P) all zero between calls, rows int32 (P + 1), keys uint64 (P)."""

    counts: Array
    rows: Array
    keys: Array


SCORE_BINS = 16_384
OVERLAP_BINS = 1_024


@numba.njit(cache=True, nogil=True)
def pack(score: float, row: int, bits: Array) -> np.uint64:  # noqa: ARG001  the scratch of `unpack`, in its place
    """Score and row as one number: ascending numbers are falling scores, and rising rows within a score."""
    # Through `bits`, as `unpack` does it, the same takes twice the time: making the view is most of it.
    pattern: np.uint32 = np.float32(score).view(np.uint32)
    return (np.uint64(np.uint32(~pattern)) << np.uint64(32)) | np.uint64(row)


@numba.njit(cache=True, nogil=True)
def unpack(key: np.uint64, bits: Array) -> float:
    """The score in a packed number, float32."""
    bits[0] = ~np.uint32(key >> np.uint64(32))
    value: float = bits.view(np.float32)[0]
    return value


@numba.njit(cache=True, nogil=True)
def row_of(key: np.uint64) -> int:
    """The row in a packed number."""
    row: int = np.int64(key & np.uint64(0xFFFFFFFF))  # type: ignore[assignment]
    return row


@numba.njit(cache=True, nogil=True)
def overlaps(tastes: Tastes, user: int, space: Space) -> int:
    """Count the user's songs in every playlist: space.counts by playlist, the first n of space.rows hold them."""
    counts, rows, playlists = space.counts, space.rows, tastes.song_playlists
    touched = np.uint64(0)
    for i in range(tastes.user_ptr[user], tastes.user_ptr[user + 1]):
        song = tastes.user_songs[i]
        for k in range(tastes.song_ptr[song], tastes.song_ptr[song + 1]):
            playlist = np.uint64(playlists[np.uint64(k)])
            count = counts[playlist]
            # A count of 0 means a new playlist, so that no set of those met is needed. A row that is not new is
            # written behind the others and overwritten by the next one: cheaper than a branch.
            rows[touched] = playlist
            touched += np.uint64(count == 0)
            counts[playlist] = count + 1
    met: int = np.int64(touched)  # type: ignore[assignment]
    return met


@numba.njit(cache=True, nogil=True)
def score(tastes: Tastes, user: int, playlist: int, shared: int) -> float:
    """((1 - e) log(1 + m) + e) / (sqrt(s) sqrt(p)), in double precision."""
    e = tastes.beta[user]
    root = tastes.roots[np.uint64(tastes.tracks[np.uint64(playlist)])]
    value: float = ((1.0 - e) * tastes.logs[np.uint64(shared)] + e) / (tastes.root_songs[user] * root)
    return value


@numba.njit(cache=True, nogil=True)
def part_of(share: float, count: int) -> int:
    """ceil(share * count), where a product like 3.0000000000000004 is 3; at least 1 of anything."""
    return min(max(int(np.ceil(share * count - 1e-9)), 1), count)


_SAMPLE = 64
_BESIDE = 2  # places in the sample


@numba.njit(cache=True, nogil=True)
def pivot(keys: Array, first: int, end: int, target: int, beside: int, sample: Array) -> np.uint64:
    """A key of keys[first : end + 1] that belongs near place `target`, estimated from a sorted sample; keys stay."""
    size = end - first + 1
    # Of a short range a sample costs more than a better pivot saves.
    if size < 16 * sample.size:
        key: np.uint64 = keys[np.uint64(first + size // 2)]
        return key
    step = size // sample.size
    for i in range(sample.size):
        sample[i] = keys[np.uint64(first + i * step)]
    sample.sort()
    place = (target - first) * sample.size // size + beside
    near: np.uint64 = sample[min(max(place, 0), sample.size - 1)]
    return near


@numba.njit(cache=True, nogil=True)
def select(keys: Array, first: int, last: int, count: int) -> None:
    """Bring the `count` smallest of keys[first:last] to the front, in no order.

    Hoare's selection with pivots now above, now below the place that is sought, after Floyd and Rivest (1975): the
    first pass then meets few keys that move, which processors foresee, and leaves few to look at again.
    """
    end = last - 1
    target = first + count - 1
    sample = np.empty(_SAMPLE, np.uint64)
    beside = -_BESIDE
    while first < end:
        beside = -beside
        middle = pivot(keys, first, end, target, beside, sample)
        low, high = first, end
        # Neither inner loop checks a bound: the pivot is one of the keys, and stops both.
        while low <= high:
            lower, upper = keys[np.uint64(low)], keys[np.uint64(high)]
            while lower < middle:
                low += 1
                lower = keys[np.uint64(low)]
            while upper > middle:
                high -= 1
                upper = keys[np.uint64(high)]
            if low <= high:
                keys[np.uint64(low)], keys[np.uint64(high)] = upper, lower
                low += 1
                high -= 1
        if target <= high:
            end = high
        elif target >= low:
            first = low
        else:
            return


@numba.njit(cache=True, nogil=True)
def score_all(
    tastes: Tastes, user: int, space: Space, totals: Array, tallies: Array, bits: Array, names_owners: bool
) -> int:
    """Score a user's playlists into space.keys[:n], packed; n. totals (3,) and tallies as in best_of_block.

    names_owners: whether any playlist names its owner, else that is not looked up.
    """
    counts, rows, keys = space.counts, space.rows, space.keys
    n = 0
    ones = 0
    total, least, most = 0.0, np.inf, 0.0
    for i in range(overlaps(tastes, user, space)):
        playlist = np.uint64(rows[np.uint64(i)])
        shared: Any = np.int64(counts[playlist])
        counts[playlist] = 0  # clean for the next user, without a pass over all playlists
        if names_owners and tastes.named_owner[playlist] == user:
            continue
        value = score(tastes, user, playlist, shared)
        keys[np.uint64(n)] = pack(value, playlist, bits)
        n += 1
        total += value
        if value < least:
            least = value
        if value > most:
            most = value
        tallies[np.uint64(min(int(value * SCORE_BINS), SCORE_BINS - 1))] += 1
        if shared == 1:  # most pairs: counting them in memory would make each wait for the one before
            ones += 1
        else:
            tallies[np.uint64(SCORE_BINS + min(shared, OVERLAP_BINS - 1))] += 1
    tallies[SCORE_BINS + 1] += ones
    totals[0], totals[1], totals[2] = total, least, most
    return n


@numba.njit(cache=True, nogil=True)
def best_of_block(
    tastes: Tastes, first: int, last: int, share: float, space: Space, scored: Array, totals: Array, tallies: Array
) -> tuple[Array, Array]:
    """The best ceil(share * scored) playlists of users first..last: counts per user, and packed numbers, best first.

    Written on the way, by user of the block: scored int64, totals float64 (users, 3) sum, least and most score;
    tallies int64 (SCORE_BINS + OVERLAP_BINS): pairs by score, then pairs by shared songs.
    """
    liked = np.zeros(last - first, np.int64)
    out = np.empty(1_024, np.uint64)
    end = 0
    bits = np.zeros(1, np.uint32)
    names_owners = bool(np.any(tastes.named_owner >= 0))
    for user in range(first, last):
        n = score_all(tastes, user, space, totals[user - first], tallies, bits, names_owners)
        count = part_of(share, n)
        scored[user - first], liked[user - first] = n, count
        if count == 0:
            continue
        select(space.keys, 0, n, count)
        best = space.keys[:count]
        best.sort()
        # Doubled, so that a few copies serve a block of any size.
        if end + count > out.size:
            grown = np.empty(2 * (end + count), np.uint64)
            grown[:end] = out[:end]
            out = grown
        out[end : end + count] = best
        end += count
    return liked, out[:end].copy()


@numba.njit(cache=True, nogil=True)
def unpack_all(keys: Array) -> tuple[Array, Array]:
    """Rows int32 and scores float32 of packed numbers."""
    rows = np.empty(keys.size, np.int32)
    scores = np.empty(keys.size, np.float32)
    bits = np.zeros(1, np.uint32)
    for i in range(keys.size):
        rows[i] = row_of(keys[i])
        scores[i] = unpack(keys[i], bits)
    return rows, scores

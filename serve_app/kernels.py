"""Hot loops of serving: one call per request, nothing allocated per pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

LIVE = 0
POPULAR = 1
NONE = 2


@njit(cache=True, nogil=True)
def holds(ascending: Array, value: int) -> bool:
    """Whether an ascending array holds a value."""
    low, high = 0, ascending.size
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low < ascending.size and ascending[low] == value


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dot(a: Array, b: Array) -> np.float32:
    """Inner product of two float32 vectors. Reassociation lets the compiler use vector instructions."""
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True)
def offer(rows: Array, scores: Array, count: int, row: int, score: float) -> int:
    """Put one playlist into a list kept best first, and return the list's new length. Ties: who came first stays."""
    limit = rows.size
    if count == limit and not score > scores[limit - 1]:
        return count
    at = count if count < limit else limit - 1
    while at > 0 and score > scores[at - 1]:
        rows[at] = rows[at - 1]
        scores[at] = scores[at - 1]
        at -= 1
    rows[at] = row
    scores[at] = score
    return min(count + 1, limit)


@njit(cache=True, nogil=True)
def fill_popular(
    user: int, popular: Array, popular_scores: Array, owner: Array, excluded: Array, rows: Array, scores: Array
) -> int:
    """Fill a list with popular playlists, best first, and return its length."""
    count = 0
    for j in range(popular.size):
        if count == rows.size:
            break
        playlist = popular[j]
        if holds(excluded, playlist) or (user >= 0 and owner[playlist] == user):
            continue
        rows[count] = playlist
        scores[count] = popular_scores[j]
        count += 1
    return count


@njit(cache=True, nogil=True)
def rank(
    users: Array,
    vectors: Array,
    vector_rows: Array,
    indptr: Array,
    indices: Array,
    candidate_rows: Array,
    playlist_factors: Array,
    owner: Array,
    popular: Array,
    popular_scores: Array,
    excluded: Array,
    rows: Array,
    scores: Array,
    counts: Array,
    sources: Array,
) -> None:
    """Score the candidates of every listener, keep the best, and fall back to what is popular where there are none.

    For listener i: users[i] is the user row or -1, vectors[vector_rows[i]] the factor, and row candidate_rows[i] of
    (indptr, indices) the candidates; a row of -1 means there are none. Writes rows, scores (listeners, limit) best
    first, counts and sources (listeners,).
    """
    for i in range(users.size):
        user = users[i]
        at = candidate_rows[i]
        count = 0
        if at >= 0:
            factor = vectors[vector_rows[i]]
            for j in range(indptr[at], indptr[at + 1]):
                playlist = indices[j]
                if holds(excluded, playlist) or (user >= 0 and owner[playlist] == user):
                    continue
                count = offer(rows[i], scores[i], count, playlist, dot(factor, playlist_factors[playlist]))
        sources[i] = LIVE
        if count == 0:
            count = fill_popular(user, popular, popular_scores, owner, excluded, rows[i], scores[i])
            sources[i] = POPULAR
        counts[i] = count


@njit(cache=True, nogil=True)
def gather_owned(
    indptr: Array,
    indices: Array,
    owned_indptr: Array,
    owned_indices: Array,
    users: Array,
    excluded: Array,
    most: int,
) -> Array:
    """The playlists of each row's neighbours, best neighbour first, at most `most`, int32 (rows, most), -1 padded.

    Row i belongs to user row users[i] or to nobody (-1), whose own playlists are left out, as are the excluded ones,
    playlist rows, ascending: neither may use up a place.
    """
    found = np.full((indptr.size - 1, most), -1, np.int32)
    for i in range(indptr.size - 1):
        count = 0
        for j in range(indptr[i], indptr[i + 1]):
            neighbour = indices[j]
            if neighbour == users[i]:
                continue
            for k in range(owned_indptr[neighbour], owned_indptr[neighbour + 1]):
                if count == most:
                    break
                if holds(excluded, owned_indices[k]):
                    continue
                found[i, count] = owned_indices[k]
                count += 1
    return found


@njit(cache=True, nogil=True)
def share(
    left_rows: Array,
    left_indptr: Array,
    left_indices: Array,
    owners: Array,
    indptr: Array,
    indices: Array,
    listeners: Array,
    shared: Array,
    examples: Array,
) -> None:
    """Count the songs that listener and owner share and keep the best known of them, by merging two ascending rows.

    Pair i: row left_rows[i] of the left matrix against row owners[i] of the right; -1 on either side shares nothing.
    Writes shared (pairs,) and examples (pairs, most), best known first, -1 padded; ties by song row.
    """
    most = examples.shape[1]
    known = np.empty(most, np.float64)
    for i in range(left_rows.size):
        shared[i] = 0
        examples[i, :] = -1
        if left_rows[i] < 0 or owners[i] < 0:
            continue
        a, a_end = left_indptr[left_rows[i]], left_indptr[left_rows[i] + 1]
        b, b_end = indptr[owners[i]], indptr[owners[i] + 1]
        count = 0
        while a < a_end and b < b_end:
            if left_indices[a] < indices[b]:
                a += 1
            elif left_indices[a] > indices[b]:
                b += 1
            else:
                song = indices[b]
                count = offer(examples[i], known, count, song, listeners[song])
                shared[i] += 1
                a += 1
                b += 1

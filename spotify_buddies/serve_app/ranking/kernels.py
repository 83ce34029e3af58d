"""Hot loops of serving: one call per request, nothing allocated per pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.prefetch import LINE_BYTES, prefetch

Array = npt.NDArray[Any]

LIVE = 0
POPULAR = 1
POPULAR_IN_GENRE = 2
# Factors asked for ahead of the one that is read.
AHEAD = 4


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
def before(scores: Array, a: int, b: int) -> bool:
    """Whether entry a comes before entry b: the higher score, or of equal ones who came first."""
    return scores[a] > scores[b] or (scores[a] == scores[b] and a < b)


@njit(cache=True, nogil=True)
def sift_down(heap: Array, scores: Array, at: int, size: int) -> None:
    """Restore a heap of entry numbers, best on top, below a place whose entry may have become worse."""
    entry = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and before(scores, heap[child + 1], heap[child]):
            child += 1
        if not before(scores, heap[child], entry):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = entry


@njit(cache=True, nogil=True)
def is_allowed(user: int, playlist: int, owner: Array, excluded: Array, blocked: Array) -> bool:
    """Whether a listener may get a playlist at all: not the own, not excluded for everybody, not for this listener."""
    if user >= 0 and owner[playlist] == user:
        return False
    if excluded.size > 0 and holds(excluded, playlist):
        return False
    return not (blocked.size > 0 and holds(blocked, playlist))


@njit(cache=True, nogil=True)
def fits(
    playlist: int, rows: Array, count: int, owner: Array, sketches: Array, max_per_owner: int, most_equal: int
) -> bool:
    """Whether a playlist may follow the first `count` of a list: its owner's share is not used up, and it is no copy.

    sketches: uint8 (playlists, width), (0, 0) where there are none; a pair with more than most_equal equal bytes is too
    near.
    """
    if owner[playlist] >= 0 and max_per_owner <= count:
        same = 0
        for k in range(count):
            same += owner[rows[k]] == owner[playlist]
        if same >= max_per_owner:
            return False
    if most_equal < sketches.shape[1]:
        for k in range(count):
            equal = 0
            for b in range(sketches.shape[1]):
                equal += sketches[playlist, b] == sketches[rows[k], b]
            if equal > most_equal:
                return False
    return True


@njit(cache=True, nogil=True)
def drop(playlists: Array, size: int, ascending: Array) -> int:
    """Take what an ascending array holds out of the first `size` playlists, in place; how many are left."""
    if ascending.size == 0:
        return size
    left = 0
    for j in range(size):
        playlists[left] = playlists[j]
        left += not holds(ascending, playlists[j])
    return left


@njit(cache=True, nogil=True)
def pick(
    playlists: Array,
    values: Array,
    user: int,
    owner: Array,
    sketches: Array,
    excluded: Array,
    blocked: Array,
    max_per_owner: int,
    most_equal: int,
    rows: Array,
    scores: Array,
) -> int:
    """Fill a list from playlists that stand best first, by the rules of `rank`, and return its length."""
    count = 0
    for j in range(playlists.size):
        if count == rows.size:
            break
        playlist = playlists[j]
        if is_allowed(user, playlist, owner, excluded, blocked) and fits(
            playlist, rows, count, owner, sketches, max_per_owner, most_equal
        ):
            rows[count] = playlist
            scores[count] = values[j]
            count += 1
    return count


@njit(cache=True, nogil=True)
def fetch_row(matrix: Array, row: int) -> None:
    """Ask for a row of a matrix, to be read soon."""
    for byte in range(0, matrix.shape[1] * matrix.itemsize, LINE_BYTES):
        prefetch(matrix, row, byte)


@njit(cache=True, nogil=True)
def rank_one(
    factor: Array,
    candidates: Array,
    user: int,
    playlist_factors: Array,
    owner: Array,
    sketches: Array,
    excluded: Array,
    blocked: Array,
    max_per_owner: int,
    most_equal: int,
    found: Array,
    values: Array,
    heap: Array,
    rows: Array,
    scores: Array,
) -> int:
    """Score one listener's candidates, take the best by the rules of `rank`, and return how many.

    found, values, heap: room for as many entries as there are candidates.
    """
    size = 0
    for j in range(candidates.size):
        found[size] = candidates[j]
        size += user < 0 or owner[candidates[j]] != user
    size = drop(found, drop(found, size, excluded), blocked)
    # Nothing is compared before all is scored: what branches on a score would wait for it before asking for the next.
    for j in range(min(size, AHEAD)):
        fetch_row(playlist_factors, found[j])
    for j in range(size):
        if j + AHEAD < size:
            fetch_row(playlist_factors, found[j + AHEAD])
        values[j] = dot(factor, playlist_factors[found[j]])
        heap[j] = j
    for at in range(size // 2 - 1, -1, -1):
        sift_down(heap, values, at, size)
    count = 0
    while size > 0 and count < rows.size:
        best = heap[0]
        size -= 1
        heap[0] = heap[size]
        sift_down(heap, values, 0, size)
        if fits(found[best], rows, count, owner, sketches, max_per_owner, most_equal):
            rows[count] = found[best]
            scores[count] = values[best]
            count += 1
    return count


@njit(cache=True, nogil=True)
def longest(indptr: Array, chosen: Array) -> int:
    """Entries of the longest of the chosen rows; -1 chooses none."""
    most = 0
    for row in chosen:
        if row >= 0:
            most = max(most, indptr[row + 1] - indptr[row])
    return most


@njit(cache=True, nogil=True)
def rank(
    users: Array,
    vectors: Array,
    vector_rows: Array,
    indptr: Array,
    indices: Array,
    candidate_scores: Array,
    candidate_rows: Array,
    playlist_factors: Array,
    owner: Array,
    sketches: Array,
    popular: Array,
    popular_scores: Array,
    genre_indptr: Array,
    genre_indices: Array,
    genre_scores: Array,
    genre_rows: Array,
    excluded: Array,
    blocked_indptr: Array,
    blocked_indices: Array,
    max_per_owner: int,
    most_equal: int,
    rows: Array,
    scores: Array,
    counts: Array,
    sources: Array,
) -> None:
    """Score the candidates of every listener, keep the best, and fall back to what is popular where there are none.

    For listener i: users[i] is the user row or -1, vectors[vector_rows[i]] the factor, row candidate_rows[i] of
    (indptr, indices) the candidates, best first where candidate_scores, else empty, holds their scores, and row
    genre_rows[i] of (genre_indptr, genre_indices, genre_scores) what is popular in the genre, best first; -1: there are
    none. Row i of (blocked_indptr, blocked_indices) must not come back,
    nor may `excluded` for anybody; both ascending. The rules, applied best first: never the listener's own playlists;
    at most max_per_owner of one owner; none with more than most_equal equal bytes in its sketch to a better one.
    Writes rows, scores (listeners, limit) best first, counts and sources (listeners,).
    """
    most = longest(indptr, candidate_rows) if candidate_scores.size == 0 else 0
    found = np.empty(most, np.int32)
    values = np.empty(most, np.float32)
    heap = np.empty(most, np.int32)
    for i in range(users.size):
        user, at, genre = users[i], candidate_rows[i], genre_rows[i]
        blocked = blocked_indices[blocked_indptr[i] : blocked_indptr[i + 1]]
        count = 0
        if at >= 0 and candidate_scores.size > 0:
            first, last = indptr[at], indptr[at + 1]
            count = pick(
                indices[first:last], candidate_scores[first:last], user, owner, sketches, excluded, blocked,
                max_per_owner, most_equal, rows[i], scores[i],
            )  # fmt: skip
        elif at >= 0:
            count = rank_one(
                vectors[vector_rows[i]], indices[indptr[at] : indptr[at + 1]], user, playlist_factors, owner, sketches,
                excluded, blocked, max_per_owner, most_equal, found, values, heap, rows[i], scores[i],
            )  # fmt: skip
        sources[i] = LIVE
        if count == 0 and genre >= 0:
            first, last = genre_indptr[genre], genre_indptr[genre + 1]
            count = pick(
                genre_indices[first:last], genre_scores[first:last], user, owner, sketches, excluded, blocked,
                max_per_owner, most_equal, rows[i], scores[i],
            )  # fmt: skip
            sources[i] = POPULAR_IN_GENRE
        if count == 0:
            count = pick(
                popular, popular_scores, user, owner, sketches, excluded, blocked, max_per_owner, most_equal, rows[i],
                scores[i],
            )  # fmt: skip
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
    blocked_indptr: Array,
    blocked_indices: Array,
    most: int,
    share: int,
) -> Array:
    """The playlists of each row's neighbours, best neighbour first, at most `most`, int32 (rows, most), -1 padded.

    At most `share` of one neighbour, so that one who owns many does not leave a list with too few owners; more of them
    only in places that all neighbours together leave empty.

    Row i belongs to user row users[i] or to nobody (-1), whose own playlists are left out, as are the excluded ones,
    playlist rows, ascending, and row i of the blocked ones: none of them may use up a place.
    """
    found = np.full((indptr.size - 1, most), -1, np.int32)
    for i in range(indptr.size - 1):
        count = 0
        blocked = blocked_indices[blocked_indptr[i] : blocked_indptr[i + 1]]
        for again in range(2):
            for j in range(indptr[i], indptr[i + 1]):
                neighbour = indices[j]
                if neighbour == users[i]:
                    continue
                taken = 0
                for k in range(owned_indptr[neighbour], owned_indptr[neighbour + 1]):
                    if count == most or (again == 0 and taken == share):
                        break
                    if holds(excluded, owned_indices[k]) or holds(blocked, owned_indices[k]):
                        continue
                    taken += 1
                    if again == 0 or taken > share:
                        found[i, count] = owned_indices[k]
                        count += 1
    return found

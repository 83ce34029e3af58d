"""Scores of candidates and the best of them, for all users of a request in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.columns import Asked, Catalogue, Limits, ListColumns, ListRules
from spotify_buddies.serve_app.ranking.kernels.order import drop, heapify, sift_down
from spotify_buddies.serve_app.ranking.kernels.rules import MARKS, fits, is_allowed, pick, refused_to
from spotify_buddies.serve_app.ranking.kernels.weighing import weigh
from spotify_buddies.serve_app.ranking.prefetch import LINE_BYTES, borrowed, prefetch

Array = npt.NDArray[Any]

LIVE = 0
POPULAR = 1
POPULAR_IN_GENRE = 2
# Factors, and users, requested from memory ahead of the one that is read; candidates of each user.
AHEAD = 4
FETCHED = 16


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dot(a: Array, b: Array) -> np.float32:
    """Inner product of two float32 vectors. Reassociation lets the compiler use vector instructions."""
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True)
def fetch_row(matrix: Array, row: int) -> None:
    """Request a row of a matrix from memory, to be read soon."""
    for byte in range(0, matrix.shape[1] * matrix.itemsize, LINE_BYTES):
        prefetch(matrix, row, byte)


@njit(cache=True, nogil=True)
def score_all(factor: Array, playlists: Array, size: int, factors: Array, values: Array) -> None:
    """The score of each of the first `size` playlists.

    Nothing is compared here: code that branches on a score would wait for it before the next row is requested.
    """
    for j in range(min(size, AHEAD)):
        fetch_row(factors, playlists[j])
    for j in range(size):
        if j + AHEAD < size:
            fetch_row(factors, playlists[j + AHEAD])
        values[j] = dot(factor, factors[playlists[j]])


@njit(cache=True, nogil=True)
def keep(
    candidates: Array, user: int, owner: Array, refused: Array, excluded: Array, blocked: Array, playlists: Array
) -> int:
    """Write the candidates that a user may get to the front of playlists, and return how many they are."""
    size = 0
    for j in range(candidates.size):
        playlists[size] = candidates[j]
        size += user < 0 or owner[candidates[j]] != user
    return drop(playlists, drop(playlists, drop(playlists, size, refused), excluded), blocked)


@njit(cache=True, nogil=True)
def keep_scored(
    candidates: Array,
    given: Array,
    user: int,
    owner: Array,
    refused: Array,
    excluded: Array,
    blocked: Array,
    playlists: Array,
    values: Array,
) -> int:
    """As keep, of candidates that have scores, which go to the front of values."""
    size = 0
    for j in range(candidates.size):
        playlists[size], values[size] = candidates[j], given[j]
        size += is_allowed(user, candidates[j], owner, refused, excluded, blocked)
    return size


@njit(cache=True, nogil=True)
def take_best(
    playlists: Array,
    values: Array,
    heap: Array,
    size: int,
    owner: Array,
    sketches: Array,
    song_bits: Array,
    song_indptr: Array,
    songs: Array,
    limits: Limits,
    rows: Array,
    scores: Array,
) -> int:
    """Fill a list with the best of the first `size` playlists, by the rules, and return its length.

    A heap, and no sorting: few of the candidates come into the list, and how many the rules refuse is not known before.
    """
    for j in range(size):
        heap[j] = j
    heapify(heap, values, size)
    count = 0
    while size > 0 and count < rows.size:
        best = heap[0]
        size -= 1
        heap[0] = heap[size]
        sift_down(heap, values, 0, size)
        if fits(playlists[best], rows, count, owner, sketches, song_bits, song_indptr, songs, limits):
            rows[count] = playlists[best]
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
def first_places(chosen: Array, indptr: Array) -> Array:
    """Where each of the chosen rows begins, int64; -1 where it is empty, or -1 chooses none."""
    starts = np.empty(chosen.size, np.int64)
    for i in range(chosen.size):
        if i + AHEAD < chosen.size and chosen[i + AHEAD] >= 0:
            prefetch(indptr, chosen[i + AHEAD], 0)
        row = chosen[i]
        starts[i] = indptr[row] if row >= 0 and indptr[row] < indptr[row + 1] else -1
    return starts


@njit(cache=True, nogil=True)
def fetch_ahead(
    i: int, users: Array, starts: Array, lists: Array, values: Array, refused_indptr: Array, refused: Array,
    owner: Array, sketches: Array, song_bits: Array, most: int,
) -> None:  # fmt: skip
    """Request what the lists of users soon after user i are picked from, which lies all over the bundle.

    starts: the first candidates of each user, -1 where there are none. Step by step, since a step's places are in the
    lines of the step before: candidates, scores and what is refused; then what the rules read of the first `most`.
    """
    k = i + 2 * AHEAD
    if k < users.size:
        if starts[k] >= 0:
            prefetch(lists, starts[k], 0)
            prefetch(values, starts[k], 0)
        if users[k] >= 0 and refused_indptr.size > 0 and refused_indptr[users[k]] < refused.size:
            prefetch(refused, refused_indptr[users[k]], 0)
    k = i + AHEAD
    if k < users.size and starts[k] >= 0:
        for j in range(starts[k], min(starts[k] + most, lists.size)):
            prefetch(owner, lists[j], 0)
            prefetch(sketches, lists[j], 0)
            if song_bits.shape[0] > 0:
                prefetch(song_bits, lists[j], 0)


def rank(asked: Asked, catalogue: Catalogue, rules: ListRules, lists: ListColumns) -> None:
    """Score the candidates of every user, keep the best by the rules, and fall back to what is popular.

    Candidates that have scores are not scored again. A list without any is filled with what is popular in the user's
    genre, and one that is empty still with what is popular with everybody. Writes `lists`; sources: LIVE, POPULAR or
    POPULAR_IN_GENRE.
    """
    rank_columns(tuple(asked), tuple(catalogue), tuple(rules), tuple(lists))


@njit(cache=True, nogil=True)
def rank_columns(
    asked: tuple[Any, ...], catalogue: tuple[Any, ...], rules: tuple[Any, ...], lists: tuple[Any, ...]
) -> None:
    """As rank, with the fields of its arguments."""
    # Taken apart once: numba counts a reference whenever an array is read from a tuple, unless it is borrowed.
    asked, catalogue = borrowed(asked), borrowed(catalogue)
    users, vectors, vector_rows, indptr, candidates, candidate_scores, candidate_rows, genre_rows, shares = asked
    factors, owner, sketches, popular, popular_scores, genre_indptr, genre_popular, genre_scores = catalogue[:8]
    song_indptr, songs, song_bits, novelty, genre_of, refused_indptr, all_refused = catalogue[8:]
    rules, lists = borrowed(rules), borrowed(lists)
    excluded, blocked_indptr, all_blocked, max_per_owner, most_equal, most_contained, adventurous, calibration = rules
    all_rows, all_scores, counts, sources = lists
    limits = Limits(max_per_owner, most_equal, most_contained, np.zeros(MARKS, np.uint8))
    scored = candidate_scores.size > 0
    # By the score alone a list is read in order; by more than that every candidate is weighed at every place.
    weighed = (adventurous > 0.0 and novelty.size > 0) or (calibration > 0.0 and shares.shape[0] > 0)
    most = 0 if scored and not weighed else longest(indptr, candidate_rows)
    nobody = np.empty(0, np.float32)
    playlists, values, heap = np.empty(most, np.int32), np.empty(most, np.float32), np.empty(most, np.int32)
    picked = scored and not weighed
    starts = first_places(candidate_rows, indptr) if picked else np.empty(0, np.int64)
    for i in range(users.size):
        user, row = users[i], candidate_rows[i]
        if picked:
            fetch_ahead(
                i, users, starts, candidates, candidate_scores, refused_indptr, all_refused, owner, sketches, song_bits,
                min(all_rows.shape[1] + 1, FETCHED),
            )  # fmt: skip
        genre = genre_rows[i] if genre_rows.size > 0 else -1
        blocked, rows, scores = all_blocked[blocked_indptr[i] : blocked_indptr[i + 1]], all_rows[i], all_scores[i]
        refused = refused_to(user, refused_indptr, all_refused)
        count = 0
        sources[i] = LIVE
        if row >= 0 and weighed:
            mine = candidates[indptr[row] : indptr[row + 1]]
            if scored:
                given = candidate_scores[indptr[row] : indptr[row + 1]]
                size = keep_scored(mine, given, user, owner, refused, excluded, blocked, playlists, values)
            else:
                size = keep(mine, user, owner, refused, excluded, blocked, playlists)
                score_all(vectors[vector_rows[i]], playlists, size, factors, values)
            wanted = shares[i] if calibration > 0.0 and shares.shape[0] > 0 else nobody
            count = weigh(
                playlists[:size], values[:size], novelty, adventurous, genre_of, wanted, calibration,
                owner, sketches, song_bits, song_indptr, songs, limits, rows, scores,
            )  # fmt: skip
        elif row >= 0 and scored:
            mine, given = candidates[indptr[row] : indptr[row + 1]], candidate_scores[indptr[row] : indptr[row + 1]]
            count = pick(
                mine,
                given,
                user,
                owner,
                sketches,
                song_bits,
                song_indptr,
                songs,
                refused,
                excluded,
                blocked,
                limits,
                rows,
                scores,
            )
        elif row >= 0:
            size = keep(candidates[indptr[row] : indptr[row + 1]], user, owner, refused, excluded, blocked, playlists)
            score_all(vectors[vector_rows[i]], playlists, size, factors, values)
            count = take_best(
                playlists, values, heap, size, owner, sketches, song_bits, song_indptr, songs, limits, rows, scores
            )
        if count == 0 and genre >= 0:
            first, last = genre_indptr[genre], genre_indptr[genre + 1]
            liked, likes = genre_popular[first:last], genre_scores[first:last]
            count = pick(
                liked, likes, user, owner, sketches, song_bits, song_indptr, songs, refused, excluded, blocked, limits,
                rows, scores,
            )  # fmt: skip
            sources[i] = POPULAR_IN_GENRE
        if count == 0:
            count = pick(
                popular, popular_scores, user, owner, sketches, song_bits, song_indptr, songs, refused, excluded,
                blocked, limits, rows, scores,
            )  # fmt: skip
            sources[i] = POPULAR
        counts[i] = count

"""Scores of candidates and the best of them, for all users of a request in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.columns import Asked, Catalogue, Limits, ListColumns, ListRules
from spotify_buddies.serve_app.ranking.kernels.order import drop, heapify, sift_down
from spotify_buddies.serve_app.ranking.kernels.rules import fits, is_allowed, pick, refused_to
from spotify_buddies.serve_app.ranking.kernels.weighing import weigh
from spotify_buddies.serve_app.ranking.prefetch import LINE_BYTES, prefetch

Array = npt.NDArray[Any]

LIVE = 0
POPULAR = 1
POPULAR_IN_GENRE = 2
# Factors requested from memory ahead of the one that is read.
AHEAD = 4


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
        if fits(playlists[best], rows, count, owner, sketches, song_indptr, songs, limits):
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
    # Taken apart once: numba counts a reference whenever an array is read from a tuple.
    users, vectors, vector_rows, indptr, candidates, candidate_scores, candidate_rows, genre_rows, shares = asked
    factors, owner, sketches, popular, popular_scores, genre_indptr, genre_popular, genre_scores = catalogue[:8]
    song_indptr, songs, novelty, genre_of, refused_indptr, all_refused = catalogue[8:]
    excluded, blocked_indptr, all_blocked, max_per_owner, most_equal, most_contained, adventurous, calibration = rules
    all_rows, all_scores, counts, sources = lists
    limits = Limits(max_per_owner, most_equal, most_contained)
    scored = candidate_scores.size > 0
    # By the score alone a list is read in order; by more than that every candidate is weighed at every place.
    weighed = (adventurous > 0.0 and novelty.size > 0) or (calibration > 0.0 and shares.shape[0] > 0)
    most = 0 if scored and not weighed else longest(indptr, candidate_rows)
    nobody = np.empty(0, np.float32)
    playlists, values, heap = np.empty(most, np.int32), np.empty(most, np.float32), np.empty(most, np.int32)
    for i in range(users.size):
        user, row = users[i], candidate_rows[i]
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
                owner, sketches, song_indptr, songs, limits, rows, scores,
            )  # fmt: skip
        elif row >= 0 and scored:
            mine, given = candidates[indptr[row] : indptr[row + 1]], candidate_scores[indptr[row] : indptr[row + 1]]
            count = pick(
                mine, given, user, owner, sketches, song_indptr, songs, refused, excluded, blocked, limits, rows, scores
            )
        elif row >= 0:
            size = keep(candidates[indptr[row] : indptr[row + 1]], user, owner, refused, excluded, blocked, playlists)
            score_all(vectors[vector_rows[i]], playlists, size, factors, values)
            count = take_best(playlists, values, heap, size, owner, sketches, song_indptr, songs, limits, rows, scores)
        if count == 0 and genre >= 0:
            first, last = genre_indptr[genre], genre_indptr[genre + 1]
            liked, likes = genre_popular[first:last], genre_scores[first:last]
            count = pick(
                liked, likes, user, owner, sketches, song_indptr, songs, refused, excluded, blocked, limits, rows,
                scores,
            )  # fmt: skip
            sources[i] = POPULAR_IN_GENRE
        if count == 0:
            count = pick(
                popular, popular_scores, user, owner, sketches, song_indptr, songs, refused, excluded, blocked, limits,
                rows, scores,
            )  # fmt: skip
            sources[i] = POPULAR
        counts[i] = count

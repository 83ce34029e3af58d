"""Compiled loops of scoring and ranking: scores of pairs, shared songs, ranks, top lists.

fastmath is limited to reordering and fusing sums, so that NaN and infinity still show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.foundation.arrays.streams import fraction, hashed

Array = npt.NDArray[Any]

_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True, fastmath=_FAST)
def score_pairs(users: Array, playlists: Array, user_rows: Array, playlist_rows: Array, out: Array) -> None:
    """out[i] = users[user_rows[i]] . playlists[playlist_rows[i]], float32."""
    for i in range(user_rows.size):
        user, playlist = users[user_rows[i]], playlists[playlist_rows[i]]
        total = np.float32(0.0)
        for k in range(user.size):
            total += user[k] * playlist[k]
        out[i] = total


@njit(cache=True, nogil=True)
def count_shared(
    user_indptr: Array,
    user_songs: Array,
    playlist_indptr: Array,
    playlist_songs: Array,
    user_rows: Array,
    playlist_rows: Array,
    out: Array,
) -> None:
    """out[i] = number of songs that user_rows[i] and playlist_rows[i] share; song lists ascending."""
    for i in range(user_rows.size):
        a, a_end = user_indptr[user_rows[i]], user_indptr[user_rows[i] + 1]
        b, b_end = playlist_indptr[playlist_rows[i]], playlist_indptr[playlist_rows[i] + 1]
        shared = 0
        # A merge without branches: which list goes on is as good as random, and a wrong guess costs more than the sums.
        while a < a_end and b < b_end:
            left, right = user_songs[a], playlist_songs[b]
            shared += left == right
            a += left <= right
            b += right <= left
        out[i] = shared


@njit(cache=True, nogil=True)
def random_scores(seed: Any, user_rows: Array, playlist_rows: Array, out: Array) -> None:
    """out[i] = a number in [0, 1) that depends on the seed and on the pair alone."""
    for i in range(user_rows.size):
        out[i] = fraction(hashed(seed, (np.int64(user_rows[i]) << 32) + playlist_rows[i]))


@njit(cache=True, nogil=True)
def mid_ranks(scores: Array, out: Array) -> None:
    """out[i] = rank of scores[i, 0] in row i, from 1, ties in the middle. Scores that do not compare rank it last."""
    for i in range(scores.shape[0]):
        lower, equal = 0, 0
        for k in range(1, scores.shape[1]):
            lower += scores[i, 0] > scores[i, k]
            equal += scores[i, 0] == scores[i, k]
        out[i] = 1.0 + (scores.shape[1] - 1 - lower - equal) + 0.5 * equal


@njit(cache=True, nogil=True)
def mark_top(indptr: Array, indices: Array, scores: Array, count: int, marked: Array) -> None:
    """marked[p] = True for each p that is among the `count` best scored of any row; ties go to the first in the row."""
    for row in range(indptr.size - 1):
        begin, end = indptr[row], indptr[row + 1]
        # Rows are short, some 75 candidates: counting what is better needs no memory and no sort.
        for i in range(begin, end):
            better = 0
            for j in range(begin, end):
                better += scores[j] > scores[i] or (scores[j] == scores[i] and j < i)
            if better < count:
                marked[indices[i]] = True

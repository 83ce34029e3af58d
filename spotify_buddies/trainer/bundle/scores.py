"""Scores of a pairing's candidates, computed once when the bundle is written.

Within a version neither factors nor candidates change, so a user's candidates are stored best first in the bundle, and
serving reads them in order: 0.6 KB in a row instead of 75 factors of 0.5 KB from all over the memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import over_blocks
from spotify_buddies.foundation.stages.progress import silent

Array = npt.NDArray[Any]

BLOCK = 4_096


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _score(
    first: int, last: int, users: Array, playlists: Array, indptr: Array, indices: Array, ordered: Array, scores: Array
) -> None:
    for user in range(first, last):
        start, end = indptr[user], indptr[user + 1]
        unordered = np.empty(end - start, np.float32)
        for j in range(start, end):
            total = np.float32(0.0)
            for k in range(users.shape[1]):
                total += users[user, k] * playlists[indices[j], k]
            unordered[j - start] = total
        # Stable: of equal ones the one that came first stays in front.
        order = np.argsort(-unordered, kind="mergesort")
        for place in range(order.size):
            ordered[start + place] = indices[start + order[place]]
            scores[start + place] = unordered[order[place]]


def best_first(candidates: Csr, user_factors: Array, playlist_factors: Array) -> Csr:
    """The same candidates, each row best first, with their scores u . p as values, float32.

    user_factors (users, d), playlist_factors (playlists, d). Ties keep the order they came in. ValueError: the shapes
    do not fit together.
    """
    users, playlists = (np.ascontiguousarray(factors, np.float32) for factors in (user_factors, playlist_factors))
    if (candidates.rows, candidates.columns) != (users.shape[0], playlists.shape[0]) or users.shape[
        1:
    ] != playlists.shape[1:]:
        raise ValueError(
            f"candidates ({candidates.rows}, {candidates.columns}), user factors {users.shape} and playlist factors "
            f"{playlists.shape} do not fit together"
        )
    ordered = np.empty(candidates.nnz, np.int32)
    scores = np.empty(candidates.nnz, np.float32)
    indptr, indices = np.asarray(candidates.indptr), np.asarray(candidates.indices)

    def score(first: int, last: int) -> None:
        _score(first, last, users, playlists, indptr, indices, ordered, scores)

    for _ in over_blocks(candidates.rows, BLOCK, "scores", silent, score):
        pass
    return Csr(candidates.indptr, ordered, candidates.columns, scores)

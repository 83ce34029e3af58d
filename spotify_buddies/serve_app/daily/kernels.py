"""The hot loop of the lists of the day."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels import dot, offer

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def best(
    first: int,
    user_factors: Array,
    indptr: Array,
    indices: Array,
    playlist_factors: Array,
    owner: Array,
    values: Array,
    rows: Array,
    scores: Array,
) -> int:
    """Write the best candidates of the users first, first + 1, .. into rows and scores (users, length).

    values: the whole score of each of indices; empty: the product of the factors is. rows come filled with -1. Returns
    how many users have any candidate.
    """
    users_with_list = 0
    most = 0
    for i in range(rows.shape[0]):
        most = max(most, indptr[first + i + 1] - indptr[first + i])
    # All scores of a user before the first comparison: its branches keep the processor from prefetching the next
    # factors, and long lists take 1.7 times as long when both are mixed.
    computed = np.empty(most, np.float32)
    for i in range(rows.shape[0]):
        user = first + i
        start, end = indptr[user], indptr[user + 1]
        factor = user_factors[user]
        for j in range(start, end):
            computed[j - start] = values[j] if values.size else dot(factor, playlist_factors[indices[j]])
        count = 0
        for j in range(start, end):
            if owner[indices[j]] != user:
                count = offer(rows[i], scores[i], count, indices[j], computed[j - start])
        users_with_list += count > 0
    return users_with_list

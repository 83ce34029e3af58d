"""The compiled loops of the blend: places of held-out likes among candidates, and inner products of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def places_of(indptr: Array, scores: Array, positive: Array) -> Array:
    """The place of every positive within its segment, int64, from 0; others that score the same come before it."""
    out = np.empty(positive.sum(), np.int64)
    found = 0
    for segment in range(indptr.size - 1):
        for entry in range(indptr[segment], indptr[segment + 1]):
            if positive[entry]:
                place = 0
                for other in range(indptr[segment], indptr[segment + 1]):
                    place += not positive[other] and scores[other] >= scores[entry]
                    place += positive[other] and (
                        scores[other] > scores[entry] or (scores[other] == scores[entry] and other < entry)
                    )
                out[found] = place
                found += 1
    return out


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def pair_products(users: Array, playlists: Array, user_factors: Array, playlist_factors: Array, out: Array) -> None:
    """out[i] = user_factors[users[i]] . playlist_factors[playlists[i]], float32."""
    for i in range(users.size):
        u, p = user_factors[users[i]], playlist_factors[playlists[i]]
        total = np.float32(0)
        for k in range(u.size):
            total += u[k] * p[k]
        out[i] = total

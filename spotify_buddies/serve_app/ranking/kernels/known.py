"""Reasons that the bundle holds for its candidates, found again by user and playlist."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.columns import ExplainedLists, KnownReasons
from spotify_buddies.serve_app.ranking.kernels.kinds import TASTE
from spotify_buddies.serve_app.ranking.prefetch import borrowed, prefetch
from spotify_buddies.trainer.bundle.reasons.codes import NOT_SAID

Array = npt.NDArray[Any]

# Users whose candidates are requested from memory ahead of the one that is looked at, and where these are before that.
AHEAD = 4


def look_up(lists: ExplainedLists, known: KnownReasons, codes: Array) -> None:
    """Write the code of each playlist of the lists, uint8 (users, limit): NOT_SAID where the bundle does not say.

    song_rows of the lists are the rows of the bundle's users.
    """
    look_up_columns(tuple(lists), tuple(known), codes)


@njit(cache=True, nogil=True)
def look_up_columns(lists: tuple[Any, ...], known: tuple[Any, ...], codes: Array) -> None:
    """As look_up, with the fields of its arguments."""
    rows, counts, unshared, users = borrowed(lists)[:4]
    indptr, candidates, reasons = borrowed(known)
    codes[:] = NOT_SAID
    if reasons.size == 0:
        return
    for i in range(users.size):
        if i + 2 * AHEAD < users.size and users[i + 2 * AHEAD] >= 0:
            prefetch(indptr, users[i + 2 * AHEAD], 0)
        if i + AHEAD < users.size and users[i + AHEAD] >= 0:
            first = indptr[users[i + AHEAD]]
            if first < candidates.size:
                # Lists hold the best, which come first: most are in these lines.
                prefetch(candidates, first, 0)
                prefetch(reasons, first, 0)
        user = users[i]
        if user < 0 or unshared[i] != TASTE:
            continue
        for j in range(counts[i]):
            for k in range(indptr[user], indptr[user + 1]):
                if candidates[k] == rows[i, j]:
                    codes[i, j] = reasons[k]
                    break

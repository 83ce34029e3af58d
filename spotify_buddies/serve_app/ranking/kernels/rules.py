"""The rules of a list: who may get a playlist at all, and which may follow those that are in the list.

They take arrays one by one: read from a tuple, each would be counted as a reference for every playlist.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.columns import Limits
from spotify_buddies.serve_app.ranking.kernels.order import holds

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def is_allowed(user: int, playlist: int, owner: Array, excluded: Array, blocked: Array) -> bool:
    """Whether a user may get a playlist at all: not their own, not excluded for everybody, and not blocked."""
    if user >= 0 and owner[playlist] == user:
        return False
    if excluded.size > 0 and holds(excluded, playlist):
        return False
    return not (blocked.size > 0 and holds(blocked, playlist))


@njit(cache=True, nogil=True)
def fits(playlist: int, rows: Array, count: int, owner: Array, sketches: Array, limits: Limits) -> bool:
    """Whether a playlist may follow the first `count` of a list: its owner's share is free, and it is no copy."""
    if owner[playlist] >= 0 and limits.max_per_owner <= count:
        same = 0
        for k in range(count):
            same += owner[rows[k]] == owner[playlist]
        if same >= limits.max_per_owner:
            return False
    if limits.most_equal < sketches.shape[1]:
        for k in range(count):
            equal = 0
            # Not left early: without a branch the compiler compares many bytes with one instruction.
            for b in range(sketches.shape[1]):
                equal += sketches[playlist, b] == sketches[rows[k], b]
            if equal > limits.most_equal:
                return False
    return True


@njit(cache=True, nogil=True)
def pick(
    playlists: Array,
    values: Array,
    user: int,
    owner: Array,
    sketches: Array,
    excluded: Array,
    blocked: Array,
    limits: Limits,
    rows: Array,
    scores: Array,
) -> int:
    """Fill a list from playlists that are sorted best first, by the rules, and return its length."""
    count = 0
    for j in range(playlists.size):
        if count == rows.size:
            break
        playlist = playlists[j]
        if is_allowed(user, playlist, owner, excluded, blocked) and fits(
            playlist, rows, count, owner, sketches, limits
        ):
            rows[count] = playlist
            scores[count] = values[j]
            count += 1
    return count

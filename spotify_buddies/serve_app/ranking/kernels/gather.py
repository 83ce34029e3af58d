"""The playlists of nearest users, as candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.columns import ListRules, Ragged
from spotify_buddies.serve_app.ranking.kernels.order import holds
from spotify_buddies.serve_app.ranking.kernels.rules import refused_to

Array = npt.NDArray[Any]

# FNV-1a of 64 bits (Fowler, Noll, Vo 1991).
_BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@njit(cache=True, nogil=True)
def fold(rows: Array) -> np.uint64:
    """A hash of rows in their order, uint64: FNV-1a with a row, not a byte, at each step; the basis where none are."""
    folded = _BASIS
    for row in rows:
        folded = (folded ^ np.uint64(row)) * _PRIME
    return folded


@njit(cache=True, nogil=True)
def fold_lists(indptr: Array, rows: Array) -> Array:
    """`fold` of each list, uint64 (lists,)."""
    folded = np.empty(indptr.size - 1, np.uint64)
    for i in range(folded.size):
        folded[i] = fold(rows[indptr[i] : indptr[i + 1]])
    return folded


@njit(cache=True, nogil=True)
def gather_owned(
    neighbours: Ragged, owned: Ragged, refused: Ragged, users: Array, rules: ListRules, most: int, share: int
) -> Array:
    """The playlists of each row's neighbours, best neighbour first, at most `most`, int32 (rows, most), -1 padded.

    At most `share` of one neighbour, so that one who owns many does not leave a list with too few owners; more of them
    only in places that all neighbours together leave empty.

    Row i belongs to user row users[i] or to nobody (-1), whose own playlists are left out, as are those that are
    refused to the user, and the excluded and the blocked ones of the rules: none of them may use up a place.
    """
    gathered = np.full((users.size, most), -1, np.int32)
    for i in range(users.size):
        count = 0
        blocked = rules.blocked[rules.blocked_indptr[i] : rules.blocked_indptr[i + 1]]
        never = refused_to(users[i], refused.indptr, refused.values)
        # Once for everybody's share, and once more for what is beyond it.
        for again in range(2):
            for j in range(neighbours.indptr[i], neighbours.indptr[i + 1]):
                neighbour = neighbours.values[j]
                if neighbour == users[i]:
                    continue
                taken = 0
                for k in range(owned.indptr[neighbour], owned.indptr[neighbour + 1]):
                    if count == most or (again == 0 and taken == share):
                        break
                    playlist = owned.values[k]
                    if holds(never, playlist) or holds(rules.excluded, playlist) or holds(blocked, playlist):
                        continue
                    taken += 1
                    if again == 0 or taken > share:
                        gathered[i, count] = playlist
                        count += 1
    return gathered

"""Kernels of the team draft."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.columns import Limits
from spotify_buddies.serve_app.ranking.kernels.rules import MARKS, fits

Array = npt.NDArray[Any]

PRODUCTION, CANARY = 0, 1


@njit(cache=True, nogil=True)
def mark_clashes(
    mine: Array,
    theirs: Array,
    owner: Array,
    sketches: Array,
    song_bits: Array,
    song_indptr: Array,
    songs: Array,
    most_equal: int,
    most_contained: float,
    out: Array,
) -> None:
    """Set out[i, a, b], bool, where playlists mine[i, a] and theirs[i, b] are too near to be in one list.

    Rows of one bundle, int32 (n, limit); places that hold -1 are skipped. Owners are not looked at.
    """
    limits = Limits(2, most_equal, most_contained, np.zeros(MARKS, np.uint8))
    for i in range(mine.shape[0]):
        for a in range(mine.shape[1]):
            if mine[i, a] < 0:
                continue
            for b in range(theirs.shape[1]):
                # The same playlist is no clash: only one team picks it.
                if (
                    theirs[i, b] >= 0
                    and theirs[i, b] != mine[i, a]
                    and not fits(
                        theirs[i, b], mine[i, a : a + 1], 1, owner, sketches, song_bits, song_indptr, songs, limits
                    )
                ):
                    out[i, a, b] = True


@njit(cache=True, nogil=True)
def may_pick(
    team: int, place: int, ids: Array, owners: Array, clash: Array, most: int, teams: Array, places: Array, count: int
) -> bool:
    """Whether a team may pick the playlist at a place of its list, after `count` picks. See draft for the arrays."""
    same = 0
    for k in range(count):
        if teams[k] == team:
            same += owners[team, place] >= 0 and owners[team, places[k]] == owners[team, place]
            continue
        other = 1 - team
        if ids[other, places[k]] == ids[team, place]:
            return False
        if clash[place, places[k]] if team == PRODUCTION else clash[places[k], place]:
            return False
        same += owners[team, place] >= 0 and owners[other, places[k]] == owners[team, place]
    return same < most


@njit(cache=True, nogil=True)
def draft(
    ids: Array,
    owners: Array,
    sizes: Array,
    clashes: Array,
    coins: Array,
    most: int,
    teams: Array,
    places: Array,
    counts: Array,
) -> None:
    """Draft a list of each listener from production's and the canary's.

    ids, owners int64 (2, n, limit): of the playlists in both lists, the same number for the same playlist or owner, an
    owner below 0 for nobody. sizes (2, n): how many are filled. clashes bool (n, limit, limit): see mark_clashes. coins
    uint64 (n,): bit k decides round k. most: playlists of one owner in a list. Writes teams int8, places int32
    (n, limit) and counts int32 (n,): the picks in their order, who made them, and where the playlist stood in the
    team's own list.
    """
    for i in range(counts.size):
        made, coin = np.zeros(2, np.int64), coins[i]
        following, count = np.zeros(2, np.int64), 0
        while count < teams.shape[1]:
            for team in range(2):
                # What a team may not pick now it may not pick later: picks are only added.
                while following[team] < sizes[team, i] and not may_pick(
                    team, following[team], ids[:, i], owners[:, i], clashes[i], most, teams[i], places[i], count
                ):
                    following[team] += 1
            left = following[PRODUCTION] < sizes[PRODUCTION, i], following[CANARY] < sizes[CANARY, i]
            if not left[0] and not left[1]:
                break
            if left[0] and left[1] and made[0] == made[1]:
                team = CANARY if coin & np.uint64(1) else PRODUCTION
                coin >>= np.uint64(1)
            elif left[0] and left[1]:
                team = PRODUCTION if made[0] < made[1] else CANARY
            else:
                team = PRODUCTION if left[0] else CANARY
            teams[i, count], places[i, count] = team, following[team]
            made[team] += 1
            following[team] += 1
            count += 1
        counts[i] = count

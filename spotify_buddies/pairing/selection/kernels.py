"""Compiled loops of the selection: which neighbours are kept, and whose playlists they bring."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.foundation.arrays.streams import below, hashed

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def _visit(order: Array, size: int, state: Array) -> None:
    """Shuffle 0..size-1 into `order` (Fisher and Yates)."""
    for i in range(size):
        order[i] = i
    for i in range(size - 1, 0, -1):
        j = below(state, i + 1)
        order[i], order[j] = order[j], order[i]


@njit(cache=True, nogil=True)
def keep_neighbours(
    seed: Any,
    users: Array,
    starts: Array,
    nearest: Array,
    owned_starts: Array,
    look: int,
    neighbours: int,
    min_playlists: int,
    few: int,
    kept: Array,
    kept_counts: Array,
    widened: Array,
) -> None:
    """Mark the kept entries of each user's nearest (kept bool, parallel to them) by the rule of `select`; count them.

    users int64: the row number of each. A user's visiting order depends on the seed and that number alone.
    """
    state = np.zeros(1, np.uint64)
    order = np.empty(max(look, 1), np.int64)
    for r in range(starts.size - 1):
        user = users[r]
        row = nearest[starts[r] : starts[r + 1]]
        marks = kept[starts[r] : starts[r + 1]]  # a view: marking keeps the entries in order of nearness
        size = min(look, row.size)
        state[0] = hashed(seed, user)
        _visit(order, size, state)
        count = 0
        playlists = 0
        for i in range(size):
            if count >= neighbours and playlists >= min_playlists:
                break
            other = row[order[i]]
            owns = owned_starts[other + 1] - owned_starts[other]
            if owns > 0 and other != user:
                marks[order[i]] = True
                count += 1
                playlists += owns
        kept_counts[r] = count
        if playlists >= few:
            continue
        # Past the visited ones in order of nearness: whoever has few playlists gets the nearest people who own some.
        for i in range(size, row.size):
            if playlists >= min_playlists and playlists >= few:
                break
            widened[r] = True
            owns = owned_starts[row[i] + 1] - owned_starts[row[i]]
            if owns > 0 and row[i] != user:
                marks[i] = True
                kept_counts[r] += 1
                playlists += owns


@njit(cache=True, nogil=True)
def gather_candidates(
    seed: Any, first: int, starts: Array, neighbours: Array, owned_starts: Array, owned: Array, most: int, out: Array
) -> None:
    """The playlists of each user's neighbours, at most `most`, sampled when more, ascending, into `out`.

    out holds min(most, playlists reachable) entries of every row, one row after the other.
    """
    state = np.zeros(1, np.uint64)
    pool = np.empty(1024, np.int32)
    filled = 0
    for r in range(starts.size - 1):
        total = 0
        for p in range(starts[r], starts[r + 1]):
            total += owned_starts[neighbours[p] + 1] - owned_starts[neighbours[p]]
        # Grown and never shrunk: one allocation serves nearly all users of a block.
        if total > pool.size:
            pool = np.empty(2 * total, np.int32)
        size = 0
        for p in range(starts[r], starts[r + 1]):
            for q in range(owned_starts[neighbours[p]], owned_starts[neighbours[p] + 1]):
                pool[size] = owned[q]
                size += 1
        state[0] = hashed(seed, first + r)
        if size > most:
            # Partial Fisher-Yates: as many draws as are kept, not as many as there are.
            for i in range(most):
                j = i + below(state, size - i)
                pool[i], pool[j] = pool[j], pool[i]
            size = most
        out[filled : filled + size] = np.sort(pool[:size])
        filled += size

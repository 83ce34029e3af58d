"""Candidates of a drawn bundle, reached as real ones are: by people who hear a song too, by songs, by co-followers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import spans
from spotify_buddies.foundation.stages.progress import Progress, silent

Array = npt.NDArray[Any]

_BLOCK = 4_096


@dataclass(frozen=True)
class Way:
    """A way from users to playlists: in each matrix in turn an entry of the row reached. share: of the draws."""

    share: float
    matrices: Sequence[Csr]


def draw_candidates(
    users: int, playlists: int, each: int, ways: Sequence[Way], rng: np.random.Generator, progress: Progress = silent
) -> Csr:
    """Users x playlists, ascending, `each` of every user. What no way takes a share of is drawn from all playlists.

    A way may end before a playlist, or lead to one again; those draws too are made good from all playlists.
    """
    chosen_rows = np.empty((users, each), np.int32)
    # Of all playlists one from each of as many equal stretches, so that none comes twice.
    edges = np.linspace(0, playlists, each + 1).astype(np.int64)
    bounds = np.cumsum([way.share for way in ways])
    for first, last in spans(users, _BLOCK):
        count = last - first
        drawn = rng.integers(0, playlists, (count, each + each // 2))
        chosen = np.searchsorted(bounds, rng.random(drawn.shape), side="right")
        for number, way in enumerate(ways):
            at = np.nonzero(chosen == number)
            drawn[at] = _walk(first + at[0], way.matrices, rng)
        anywhere = edges[:-1] + (rng.random((count, each)) * np.diff(edges)).astype(np.int64)
        chosen_rows[first:last] = _first_different(np.hstack([drawn, anywhere]), each)
        progress("draw candidates", last, users, "users")
    indptr = np.arange(users + 1, dtype=np.int64) * each
    return Csr(indptr, chosen_rows.reshape(-1), playlists)


def _walk(starts: Array, matrices: Sequence[Csr], rng: np.random.Generator) -> Array:
    """Where a way from each start ends; -1 where a row on it is empty."""
    at, ended = starts, np.zeros(starts.size, bool)
    for matrix in matrices:
        begin, counts = matrix.indptr[at], matrix.indptr[at + 1] - matrix.indptr[at]
        ended |= counts == 0
        place = begin + (rng.random(at.size) * counts).astype(np.int64)
        at = np.where(ended, 0, matrix.indices[np.where(ended, 0, place)] if matrix.nnz else 0)
    return np.where(ended, -1, at)


def _first_different(drawn: Array, each: int) -> Array:
    """The first `each` different entries of every row that are not -1, ascending; every row holds as many."""
    wide = int(drawn.max()) + 2
    keys = (drawn + 1) + np.arange(len(drawn))[:, None] * wide
    first = np.zeros(drawn.size, bool)
    first[np.unique(keys, return_index=True)[1]] = True
    first = first.reshape(drawn.shape) & (drawn >= 0)
    first &= np.cumsum(first, axis=1) <= each
    return np.sort(drawn[first].reshape(len(drawn), each), axis=1)

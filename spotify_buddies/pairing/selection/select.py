"""Selection of neighbours among the nearest users, and of candidates among their playlists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import derive
from spotify_buddies.foundation.stages.blocks import spans
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.selection.kernels import gather_candidates, keep_neighbours
from spotify_buddies.pairing.settings import PairingSettings

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Selection:
    """Neighbours (users x users, cosines, most similar first) and candidates (users x playlists, ascending).

    few: sampled users with fewer than settings.few_candidates candidates, cold for serving. widened: users for whom
    more than the settings.nearest first entries were looked at. Both are ascending rows, int64.
    """

    neighbours: Csr
    candidates: Csr
    few: Array
    widened: Array


def select(
    nearest: Csr,
    owned: Csr,
    settings: PairingSettings,
    *,
    sampled: Array | None = None,
    widen: Callable[[Array], Csr] | None = None,
    progress: Progress = silent,
) -> Selection:
    """Keep neighbours who own playlists, and take their playlists as candidates.

    The first settings.nearest entries of a user's row of `nearest` are visited in an order that is random, seeded and
    the user's own, so that being similar to many does not win; those who own playlists are kept, until there are
    settings.neighbours of them and they bring settings.min_playlists. A user who is then left with fewer than
    settings.few_candidates playlists (or than settings.candidates, where that is less) is widened: entries past the
    first settings.nearest, where `nearest` has any, are looked at, most similar first. widen: longer rows for such
    users, given their row numbers, which are asked for a block at a time and looked at in place of those of `nearest`.
    Candidates are all playlists of the kept, or settings.candidates of them at random. Never the user's own: ownership
    is one user's, and a user is not their own neighbour. nearest is square with users in the same rows as `owned`.
    sampled bool (users,): the others are not counted among the few; None: all are. Every block of users gives what all
    at once would.
    """
    if nearest.columns != owned.rows or nearest.values is None:
        raise ValueError(f"nearest names {nearest.columns} users with values, owned has {owned.rows} rows")
    counted = np.ones(nearest.rows, np.bool_) if sampled is None else sampled
    neighbours, widened = _keep(nearest, np.arange(nearest.rows), owned, settings, progress)
    few = _few(neighbours, owned, settings, counted)
    # Only these users: longer rows for everybody would multiply time and memory.
    if widen is not None and few.size:
        parts = []
        for first, last in spans(few.size, settings.block_users):
            part, past = _keep(widen(few[first:last]), few[first:last], owned, settings, silent)
            parts.append(part)
            # Or, not set: within the first rows some may have been widened already.
            widened[few[first:last]] |= past
            progress("widen", last, few.size, "users")
        neighbours = _replace_rows(neighbours, few, parts)
        few = _few(neighbours, owned, settings, counted)
    candidates = _candidates(neighbours, owned, settings, progress)
    return Selection(neighbours, candidates, few, np.flatnonzero(widened))


def _keep(nearest: Csr, users: Array, owned: Csr, settings: PairingSettings, progress: Progress) -> tuple[Csr, Array]:
    """The kept entries of rows of nearest users, and bool (rows,): whether a row was widened. users: whose rows."""
    kept = np.zeros(nearest.nnz, np.bool_)
    kept_counts = np.zeros(nearest.rows, np.int64)
    widened = np.zeros(nearest.rows, np.bool_)
    seed = np.uint64(derive(settings.seed, "pairing/visit"))
    for start, end in spans(nearest.rows, settings.block_users):
        low, high = int(nearest.indptr[start]), int(nearest.indptr[end])
        keep_neighbours(
            seed,
            users[start:end],
            nearest.indptr[start : end + 1] - low,
            nearest.indices[low:high],
            owned.indptr,
            settings.nearest,
            settings.neighbours,
            settings.min_playlists,
            _enough(settings),
            kept[low:high],
            kept_counts[start:end],
            widened[start:end],
        )
        progress("select neighbours", end, nearest.rows, "users")
    indptr = np.zeros(nearest.rows + 1, np.int64)
    np.cumsum(kept_counts, out=indptr[1:])
    values = None if nearest.values is None else nearest.values[kept]
    return Csr(indptr, nearest.indices[kept], nearest.columns, values), widened


def _enough(settings: PairingSettings) -> int:
    """The least number of candidates of a user who is not one of few; nobody gets more than settings.candidates."""
    return min(settings.few_candidates, settings.candidates)


def _few(neighbours: Csr, owned: Csr, settings: PairingSettings, counted: Array) -> Array:
    return np.flatnonzero(counted & (reachable(neighbours, owned) < _enough(settings)))


def _replace_rows(matrix: Csr, rows: Array, parts: list[Csr]) -> Csr:
    """`matrix` with its `rows` (ascending) replaced by the rows of `parts`, one part after the other."""
    if matrix.values is None:
        raise ValueError("the matrix needs values")
    counts = matrix.counts
    counts[rows] = np.concatenate([part.counts for part in parts])
    indptr = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    new = np.zeros(counts.size, np.bool_)
    new[rows] = True
    # Both masks are over entries; rows of both sides stay in the order of users, so a mask moves them at once.
    from_parts = np.repeat(new, counts)
    from_matrix = np.repeat(~new, matrix.counts)
    indices = np.empty(from_parts.size, np.int32)
    values = np.empty(from_parts.size, np.float32)
    indices[from_parts] = np.concatenate([part.indices for part in parts])
    values[from_parts] = np.concatenate([part.values for part in parts if part.values is not None])
    indices[~from_parts], values[~from_parts] = matrix.indices[from_matrix], matrix.values[from_matrix]
    return Csr(indptr, indices, matrix.columns, values)


def reachable(neighbours: Csr, owned: Csr) -> Array:
    """Playlists that the neighbours of each user own, before sampling, int64 (users,)."""
    running = np.zeros(neighbours.nnz + 1, np.int64)
    np.cumsum(owned.counts[neighbours.indices], out=running[1:])
    totals: Array = np.diff(running[neighbours.indptr])
    return totals


def _candidates(neighbours: Csr, owned: Csr, settings: PairingSettings, progress: Progress) -> Csr:
    # Known before anything is drawn: blocks write into their places of one array.
    room = np.minimum(reachable(neighbours, owned), settings.candidates)
    indptr = np.zeros(neighbours.rows + 1, np.int64)
    np.cumsum(room, out=indptr[1:])
    indices = np.empty(int(indptr[-1]), np.int32)
    seed = np.uint64(derive(settings.seed, "pairing/candidates"))
    for start, end in spans(neighbours.rows, settings.block_users):
        gather_candidates(
            seed,
            start,
            neighbours.indptr[start : end + 1],
            neighbours.indices,
            owned.indptr,
            owned.indices,
            settings.candidates,
            indices[indptr[start] : indptr[end]],
        )
        progress("gather candidates", end, neighbours.rows, "users")
    return Csr(indptr, indices, owned.columns)

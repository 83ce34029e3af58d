"""Which of the nearest users become neighbours, and whose playlists become candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pairing.csr import Csr
from pairing.kernels import gather_candidates, keep_neighbours
from pairing.progress import Progress, silent
from pairing.seeds import derive
from pairing.settings import PairingSettings

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Selection:
    """Neighbours (users x users, cosines, most similar first) and candidates (users x playlists, ascending).

    few: users with fewer than settings.few_candidates candidates, cold for serving. widened: users for whom more than
    the settings.nearest first entries were looked at. Both are ascending rows, int64.
    """

    neighbours: Csr
    candidates: Csr
    few: Array
    widened: Array


def select(nearest: Csr, owned: Csr, settings: PairingSettings, *, progress: Progress = silent) -> Selection:
    """Keep neighbours who own playlists, and take their playlists as candidates.

    The first settings.nearest entries of a user's row of `nearest` are visited in an order that is random, seeded and
    the user's own, so that being similar to many does not win; those who own playlists are kept, until there are
    settings.neighbours of them and they bring settings.min_playlists. A user who is then left with fewer than
    settings.few_candidates playlists is widened: entries past the first settings.nearest, where `nearest` has any, are
    looked at, most similar first. Candidates are all playlists of the kept, or settings.candidates of them at random.
    Never the user's own: ownership is one user's, and a user is not their own neighbour. nearest is square with users
    in the same rows as `owned`; every block of users gives what all at once would.
    """
    if nearest.columns != owned.rows or nearest.values is None:
        raise ValueError(f"nearest names {nearest.columns} users with values, owned has {owned.rows} rows")
    kept = np.zeros(nearest.nnz, np.bool_)
    kept_counts = np.zeros(nearest.rows, np.int64)
    widened = np.zeros(nearest.rows, np.bool_)
    seed = np.uint64(derive(settings.seed, "pairing/visit"))
    for start, end in _blocks(nearest.rows, settings.block_users):
        low, high = int(nearest.indptr[start]), int(nearest.indptr[end])
        keep_neighbours(
            seed,
            start,
            nearest.indptr[start : end + 1] - low,
            nearest.indices[low:high],
            owned.indptr,
            settings.nearest,
            settings.neighbours,
            settings.min_playlists,
            settings.few_candidates,
            kept[low:high],
            kept_counts[start:end],
            widened[start:end],
        )
        progress("select neighbours", end, nearest.rows, "users")
    indptr = np.zeros(nearest.rows + 1, np.int64)
    np.cumsum(kept_counts, out=indptr[1:])
    neighbours = Csr(indptr, nearest.indices[kept], nearest.columns, nearest.values[kept])
    candidates = _candidates(neighbours, owned, settings, progress)
    few = np.flatnonzero(candidates.counts < settings.few_candidates)
    return Selection(neighbours, candidates, few, np.flatnonzero(widened))


def reachable(neighbours: Csr, owned: Csr) -> Array:
    """Playlists that the neighbours of each user own, before sampling, int64 (users,)."""
    running = np.zeros(neighbours.nnz + 1, np.int64)
    np.cumsum(owned.counts[neighbours.indices], out=running[1:])
    totals: Array = np.diff(running[neighbours.indptr])
    return totals


def _candidates(neighbours: Csr, owned: Csr, settings: PairingSettings, progress: Progress) -> Csr:
    room = np.minimum(reachable(neighbours, owned), settings.candidates)
    indptr = np.zeros(neighbours.rows + 1, np.int64)
    np.cumsum(room, out=indptr[1:])
    indices = np.empty(int(indptr[-1]), np.int32)
    seed = np.uint64(derive(settings.seed, "pairing/candidates"))
    for start, end in _blocks(neighbours.rows, settings.block_users):
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


def _blocks(total: int, block: int) -> list[tuple[int, int]]:
    return [(start, min(start + block, total)) for start in range(0, total, block)]

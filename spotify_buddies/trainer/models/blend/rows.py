"""The rows that weights are fitted on: candidates of users with held-out likes, and how well they are ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr

Array = npt.NDArray[Any]

CUTOFF = 10


@dataclass(frozen=True)
class Rows:
    """Candidates of n users, user by user. indptr int64 (n + 1,); users, playlists int32 and positive bool per row.

    held_out int64 (n,): held-out likes of each user, among the candidates or not: what is no candidate counts as lost.
    """

    indptr: Array
    users: Array
    playlists: Array
    positive: Array
    held_out: Array

    def part(self, chosen: Array) -> tuple[Rows, Array]:
        """The rows of some users, bool (n,), and which rows those are, bool (rows,)."""
        kept = np.repeat(chosen, np.diff(self.indptr))
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(self.indptr)[chosen])])
        users, playlists, positive = self.users[kept], self.playlists[kept], self.positive[kept]
        return Rows(indptr, users, playlists, positive, self.held_out[chosen]), kept

    def ndcg(self, scores: Array, cutoff: int = CUTOFF) -> Array:
        """NDCG@cutoff of every user, float64 (n,): gain 1 / log2(place + 1), ideal: the first min(held_out, cutoff)."""
        return self.ndcgs(scores, (cutoff,))[0]

    def ndcgs(self, scores: Array, cutoffs: tuple[int, ...]) -> list[Array]:
        """The same for several cutoffs, of which the places are found once."""
        from spotify_buddies.trainer.models.blend.kernels import places_of  # numba takes half a second to import

        places = places_of(self.indptr, scores, self.positive)
        owner = np.repeat(np.arange(self.held_out.size), np.diff(self.indptr))[self.positive]
        return [self._ndcg(places, owner, cutoff) for cutoff in cutoffs]

    def _ndcg(self, places: Array, owner: Array, cutoff: int) -> Array:
        gains = np.where(places < cutoff, 1 / np.log2(places + 2), 0)
        ideal = np.concatenate([np.zeros(1), np.cumsum(1 / np.log2(np.arange(2, cutoff + 2)))])
        total = np.bincount(owner, gains, minlength=self.held_out.size)
        best = ideal[np.minimum(self.held_out, cutoff)]
        return np.asarray(np.divide(total, best, out=np.zeros_like(total), where=best > 0))


def stacked_rows(parts: Sequence[Rows]) -> Rows:
    """Rows of several splits below each other, users of one being others than those of the next."""
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.indptr) for part in parts)])
    users, playlists, positive, held_out = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("users", "playlists", "positive", "held_out")
    )
    return Rows(np.cumsum(sizes), users, playlists, positive, held_out)


def rows_of(candidates: Csr, held_out: Csr) -> Rows:
    """Candidates (U, P) of every user with held-out likes (U, P), those likes marked.

    Users who have no candidate stay, with no rows: their likes are lost.
    """
    users = np.flatnonzero(held_out.counts)
    some = candidates.take(users)
    owner = np.repeat(users, some.counts)
    keys = owner.astype(np.int64) * held_out.columns + some.indices
    wanted = np.repeat(np.arange(held_out.rows), held_out.counts) * held_out.columns + np.asarray(held_out.indices)
    return Rows(
        indptr=np.asarray(some.indptr, np.int64),
        users=owner.astype(np.int32),
        playlists=np.asarray(some.indices, np.int32),
        positive=np.isin(keys, wanted),
        held_out=held_out.counts[users],
    )

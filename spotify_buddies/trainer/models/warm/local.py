"""What people of the same taste do with a playlist when they see it: a like rate of one's own neighbourhood.

Likes alone say what was shown as much as what is liked. Here every like is held against the looks that it took
(positions and all, so the estimate is free of what the version that served preferred), and a listener's neighbours
count by how near their taste is: rate(u, p) = (sum over v of near(u, v) likes(v, p) + m g(p)) / (sum over v of
near(u, v) looks(v, p) + m), shrunk to the playlist's rate among all, g(p), and that to the rate of everything: the
kernel regression of Nadaraya (1964) and Watson (1964) with a Beta prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from spotify_buddies.foundation.arrays.csr import Csr

Array = npt.NDArray[Any]

NEIGHBOURS = 400
# Half the weight at a cosine lower by 0.7 times this.
WIDTH = 0.15
# What one's own looks count beside those of a person of the same taste.
OWN = 5.0
# Looks of neighbours at which they count as much as everybody; looks at which a playlist counts as much as all do.
LOCAL, GLOBAL = 1.0, 10.0


@dataclass(frozen=True)
class Looks:
    """What people looked at. looks: Csr (U, P), values float32, expected looks; likes: the same entries, float32, how
    often each was liked.
    """

    looks: Csr
    likes: Array


class LocalRates:
    """The logarithm of these rates, as an item model: stored, one number a candidate."""

    def __init__(self, taste: Array, seen: Looks) -> None:
        """Taste float32 (U, t): one vector for each user, of which the direction counts."""
        lengths = np.linalg.norm(taste, axis=1, keepdims=True)
        self._taste = np.divide(taste, lengths, out=np.zeros_like(taste), where=lengths > 0)
        self._people = np.flatnonzero(seen.looks.counts)
        shape = (seen.looks.rows, seen.looks.columns)
        entries = (np.asarray(seen.looks.indices), np.asarray(seen.looks.indptr))
        self._looks, self._likes = (
            sp.csr_array((np.asarray(values, np.float32), *entries), shape=shape)[self._people]
            for values in (seen.looks.values, seen.likes)
        )
        looks, likes = (np.asarray(one.sum(axis=0)).ravel() for one in (self._looks, self._likes))
        overall = likes.sum() / max(looks.sum(), 1e-9)
        self._rate = ((likes + GLOBAL * overall) / (looks + GLOBAL)).astype(np.float32)

    def scores(self, user_rows: Array) -> Array:
        """float32 (rows, P)."""
        near = self._near(np.asarray(user_rows, np.int64))
        likes, looks = ((near @ one).toarray() for one in (self._likes, self._looks))
        rates = (likes + LOCAL * self._rate) / (looks + LOCAL)
        logarithms: Array = np.log(np.maximum(rates, 1e-6)).astype(np.float32)
        return logarithms

    def factors(self) -> None:
        """None: it has no short factors."""

    def _near(self, rows: Array) -> sp.csr_array:
        """What each person with looks counts for each row, (rows, people)."""
        cosines = self._taste[rows] @ self._taste[self._people].T
        most = min(NEIGHBOURS, self._people.size)
        chosen = np.argpartition(-cosines, most - 1, axis=1)[:, :most] if most else np.empty((rows.size, 0), np.int64)
        found = np.take_along_axis(cosines, chosen, axis=1)
        # By the nearest other: what is near is a matter of how crowded a taste is.
        weights = np.exp((found - found.max(axis=1, keepdims=True, initial=-1.0)) / WIDTH)
        weights[self._people[chosen] == rows[:, None]] = OWN
        indptr = np.arange(rows.size + 1) * most
        return sp.csr_array((weights.ravel(), chosen.ravel(), indptr), shape=(rows.size, self._people.size))

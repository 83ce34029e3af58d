"""The seam of the item models: scores of some users, and, where there are any, factors that serve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

BLOCK = 1_024  # users whose dense scores are held at a time


class ItemModel(Protocol):
    """A fitted model of one set of interactions.

    scores: float32 (rows, P) of some users by row; what a user follows in training has a score too, of no meaning.
    factors: a Model with the same scores up to what is followed already, or None where there is no such thing.
    """

    def scores(self, user_rows: Array) -> Array: ...  # noqa: D102

    def factors(self) -> Model | None: ...  # noqa: D102


@dataclass(frozen=True)
class Weighted:
    """Playlist to playlist weights: score(u, p) = sum of weights[q, p] over q that u follows.

    interactions: Csr (U, P); weights: float32 (P, P), dense or sparse.
    """

    interactions: Csr
    weights: Array | sp.csr_array

    def scores(self, user_rows: Array) -> Array:
        """float32 (rows, P); a user without interactions has zeros."""
        block = self.interactions.take(np.asarray(user_rows, np.int64)).to_scipy() @ self.weights
        return np.asarray(block.toarray() if sp.issparse(block) else block, np.float32)

    def factors(self) -> None:
        """None: a full matrix has no short factors."""


@dataclass(frozen=True)
class Factored:
    """Factors: score(u, p) = u . p."""

    model: Model

    def scores(self, user_rows: Array) -> Array:
        """float32 (rows, P)."""
        return np.asarray(self.model.user_factors[user_rows] @ self.model.playlist_factors.T, np.float32)

    def factors(self) -> Model:
        """The factors themselves."""
        return self.model


def in_blocks(rows: Array, size: int = BLOCK) -> Iterator[Array]:
    """Consecutive pieces of an array of rows."""
    for first in range(0, rows.size, size):
        yield rows[first : first + size]

"""The blend of the contenders: weights from one split, scores on another, and what a list costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bench.quality.contenders import scores_of
from spotify_buddies.trainer.bench.quality.split import Split, top
from spotify_buddies.trainer.models.blend.fold import Weighing, fold
from spotify_buddies.trainer.models.blend.parts import Part, Scale, pair_scores, scales_of
from spotify_buddies.trainer.models.blend.rows import Rows, rows_of
from spotify_buddies.trainer.models.blend.weights import bagged_weights
from spotify_buddies.trainer.models.items.item_model import in_blocks

Array = npt.NDArray[Any]

BAG_SEED = 42
CANDIDATES = 200  # that weights are fitted on: the best of each user by equal weights


@dataclass(frozen=True)
class Parts:
    """Parts of one split, with their scales."""

    split: Split
    parts: Sequence[Part]
    scales: Sequence[Scale]

    @classmethod
    def of(cls, split: Split, parts: Mapping[str, Part], names: Sequence[str]) -> Parts:
        """The named ones, in that order, which is that of the weights."""
        chosen = [parts[name] for name in names]
        return cls(split, chosen, scales_of(chosen, split.known.rows))

    def scores(self, weights: Array) -> Callable[[Array], Array]:
        """The weighted sum of the standardised scores of some users, float32 (rows, P)."""

        def of(users: Array) -> Array:
            total = np.zeros((users.size, self.split.known.columns), np.float32)
            for part, scale, weight in zip(self.parts, self.scales, weights, strict=True):
                if weight:
                    shifted = scores_of(part, users) - scale.mean[users][:, None]
                    total += np.float32(weight) * scale.inverse[users][:, None] * shifted
            return total

        return of

    def candidates(self, weights: Array, count: int = CANDIDATES) -> Csr:
        """The best of every user with held-out rows, best first, without what is known; others have none."""
        scores = self.scores(weights)
        rows: list[Array] = [np.empty(0, np.int32)] * self.split.known.rows
        for users in in_blocks(self.split.users):
            best = top(self.split.hide_known(users, scores(users)), count)
            for user, line in zip(users, best, strict=True):
                rows[user] = line
        return Csr.from_rows(rows, self.split.known.columns)

    def table(self) -> tuple[Array, Rows]:
        """Features float32 (rows, parts) of the candidates by equal weights, and their rows."""
        rows = rows_of(self.candidates(np.ones(len(self.parts))), self.split.held_out)
        features = np.empty((rows.users.size, len(self.parts)), np.float32, order="F")
        for k, (part, scale) in enumerate(zip(self.parts, self.scales, strict=True)):
            features[:, k] = scale(rows.users, pair_scores(part, rows.users, rows.playlists))
        return features, rows


def tuned(features: Array, rows: Rows, without: int | None = None) -> Array:
    """Weights of the parts, of sum 1, from equal ones; `without` leaves one part at 0."""
    start = [float(k != without) for k in range(features.shape[1])]
    return bagged_weights(features, rows, start, seed=BAG_SEED, free=[bool(weight) for weight in start])


def microseconds_a_list(parts: Parts, weights: Array, clock: Callable[[], int], count: int = 100) -> float:
    """Processor time of the ranking of `count` candidates a user, as served: inner product plus offset, ten best.

    clock: nanoseconds of processor time. Item models and ALS are in the offset, both BPR and popularity in the factors.
    """
    from spotify_buddies.trainer.models.blend.kernels import pair_products  # numba takes half a second to import

    folded = fold(_served(parts, weights), parts.split.known.rows, parts.split.known.columns)
    candidates = parts.candidates(weights, count)
    users = np.repeat(np.arange(candidates.rows), candidates.counts)
    playlists = np.asarray(candidates.indices)
    offsets, scores = np.zeros(users.size, np.float32), np.empty(users.size, np.float32)
    factors = folded.model.user_factors, folded.model.playlist_factors
    pair_products(users[:1], playlists[:1], *factors, scores[:1])  # compiled before the clock starts
    started = clock()
    pair_products(users, playlists, *factors, scores)
    scores += offsets
    lists = scores.reshape(parts.split.users.size, -1)
    top(lists, 10)
    return (clock() - started) / 1_000 / max(len(lists), 1)


def _served(parts: Parts, weights: Array) -> list[Weighing]:
    in_factors = [k for k, part in enumerate(parts.parts) if part.name in ("bpr", "bpr_songs") or part.bias is not None]
    return [Weighing(parts.parts[k], parts.scales[k], float(weights[k])) for k in in_factors]

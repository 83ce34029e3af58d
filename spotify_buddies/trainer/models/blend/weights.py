"""Weights of the parts, by coordinate search of what the blend is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.models.blend.rows import CUTOFF, Rows

Array = npt.NDArray[Any]

# Finer and finer: of weights of about 1, a step of less than 0.06 changes nothing that held-out likes could tell.
STEPS = (0.5, 0.25, 0.125, 0.0625)
MOST = 4.0
# Places further down are asked about too, so that the search sees more than the luck of the first ten.
_CUTOFFS = (CUTOFF, 3 * CUTOFF)
WIDE = (10, 20, 50, 100)
BAGS, _HALF, _TINY = 8, 0.5, 1e-12


def fit_weights(
    features: Array,
    rows: Rows,
    start: Sequence[float],
    *,
    free: Sequence[bool] | None = None,
    cutoffs: tuple[int, ...] = _CUTOFFS,
) -> Array:
    """Weights from 0 to MOST, float64 (parts,), one per column of features, float32 (rows, parts).

    Coordinate search from `start` of the mean of NDCG@10 and NDCG@30 (or of other cutoffs): no draw, so the same rows
    give the same weights.
    free: which weights may move; the others keep their start. No rows: the start.
    """
    weights = np.array(start, np.float64)
    movable = [k for k in range(weights.size) if free is None or free[k]]
    scores = _scores(features, weights)
    best = _worth(rows, scores, cutoffs)
    for step in STEPS:
        for k in movable:
            for move in (-step, step):
                while 0 <= weights[k] + move <= MOST:
                    moved = scores + np.float32(move) * features[:, k]
                    worth = _worth(rows, moved, cutoffs)
                    if worth <= best:
                        break
                    weights[k] += move
                    scores, best = moved, worth
    return weights


def bagged_weights(
    features: Array,
    rows: Rows,
    start: Sequence[float],
    *,
    seed: int,
    free: Sequence[bool] | None = None,
    bags: int = BAGS,
    cutoffs: tuple[int, ...] = WIDE,
) -> Array:
    """The mean of the weights that random halves of the users want, each at sum 1: float64 (parts,), sum 1.

    A search of NDCG follows the luck of the rows that it sees, and the mean of several follows it less (bagging:
    Breiman 1996). Zeros only: a half that wants no part counts for nothing.
    """
    total = np.zeros(len(start))
    for bag in range(bags):
        chosen = generator(seed, f"blend/bag {bag}").random(rows.held_out.size) < _HALF
        some, kept = rows.part(chosen)
        weights = fit_weights(np.asfortranarray(features[kept]), some, start, free=free, cutoffs=cutoffs)
        total += weights / max(weights.sum(), _TINY)
    return np.asarray(total / max(total.sum(), _TINY))


def cross_fitted(features: Array, rows: Rows, fit: Callable[[Array, Rows], Array], seed: int) -> tuple[Array, Array]:
    """Each half of the users scored with the other half's weights: NDCG@10 (users,) and scores (rows,), both honest."""
    users = rows.held_out.size
    first = np.zeros(users, bool)
    first[generator(seed, "blend/halves").permutation(users)[: users // 2]] = True
    ndcg, scores = np.zeros(users), np.zeros(rows.users.size, np.float32)
    for half in (first, ~first):
        learned, of_learned = rows.part(~half)
        judged, of_judged = rows.part(half)
        weights = fit(features[of_learned], learned)
        scores[of_judged] = _scores(features[of_judged], weights)
        ndcg[half] = judged.ndcg(scores[of_judged])
    return ndcg, scores


def _scores(features: Array, weights: Array) -> Array:
    return np.asarray((features * weights.astype(np.float32)).sum(axis=1), np.float32)


def _worth(rows: Rows, scores: Array, cutoffs: tuple[int, ...]) -> float:
    if not rows.held_out.size:
        return 0.0
    return float(np.mean([ndcg.mean() for ndcg in rows.ndcgs(scores, cutoffs)]))

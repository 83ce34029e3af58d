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


def fit_weights(features: Array, rows: Rows, start: Sequence[float], *, free: Sequence[bool] | None = None) -> Array:
    """Weights from 0 to MOST, float64 (parts,), one per column of features, float32 (rows, parts).

    Coordinate search from `start` of the mean of NDCG@10 and NDCG@30: no draw, so the same rows give the same weights.
    free: which weights may move; the others keep their start. No rows: the start.
    """
    weights = np.array(start, np.float64)
    movable = [k for k in range(weights.size) if free is None or free[k]]
    scores = _scores(features, weights)
    best = _worth(rows, scores)
    for step in STEPS:
        for k in movable:
            for move in (-step, step):
                while 0 <= weights[k] + move <= MOST:
                    moved = scores + np.float32(move) * features[:, k]
                    worth = _worth(rows, moved)
                    if worth <= best:
                        break
                    weights[k] += move
                    scores, best = moved, worth
    return weights


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


def _worth(rows: Rows, scores: Array) -> float:
    if not rows.held_out.size:
        return 0.0
    return float(np.mean([ndcg.mean() for ndcg in rows.ndcgs(scores, _CUTOFFS)]))

"""Rank metrics of a held-out playlist among negatives, and the coverage of the catalogue."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.metrics.kernels import mark_top, mid_ranks, score_pairs

Array = npt.NDArray[Any]

HITS = (1, 5, 10)
NDCG = 5
TOP = 5
_BLOCK_PAIRS = 1 << 21


class Scorer(Protocol):
    """Scores pairs; higher is better."""

    def __call__(self, users: Array, playlists: Array) -> Array:
        """The score of each pair of rows, float (n,), from int32 (n,) and (n,)."""


class Factors(Protocol):
    """The two tables that score pairs: float32 (users, d) and (playlists, d)."""

    @property
    def user_factors(self) -> Array:
        """float32 (users, d)."""

    @property
    def playlist_factors(self) -> Array:
        """float32 (playlists, d)."""


class FactorScorer:
    """score(u, p) = u . p."""

    def __init__(self, model: Factors) -> None:
        self._model = model

    def __call__(self, users: Array, playlists: Array) -> Array:
        """float32 (n,)."""
        out = np.empty(users.size, np.float32)
        score_pairs(self._model.user_factors, self._model.playlist_factors, users, playlists, out)
        return out


def ranks(batch: Array, scorer: Scorer) -> Array:
    """Rank of each row's positive among itself and its negatives, float64 (rows,), from 1.

    batch: int32 (rows, 2 + negatives): user, positive, negatives. Ties count by mid-rank: a positive tied with all of
    50 negatives has rank 26, so a constant scorer is no better than chance. NaN ranks last.
    """
    out = np.empty(len(batch))
    width = max(batch.shape[1] - 1, 1)
    step = max(1, _BLOCK_PAIRS // width)  # the pairs of a block are in memory at once, those of the batch may not fit
    for begin in range(0, len(batch), step):
        part = np.asarray(batch[begin : begin + step])
        scores = scorer(np.repeat(part[:, 0], width), np.ascontiguousarray(part[:, 1:]).ravel())
        mid_ranks(scores.reshape(len(part), width), out[begin : begin + step])
    return out


def per_row(ranked: Array) -> dict[str, Array]:
    """The metrics of each row from its rank: mrr, hit@1, hit@5, hit@10, ndcg@5; each float64 (rows,).

    One relevant playlist per row: reciprocal rank 1 / r; hit r <= k; NDCG 1 / log2(1 + r) where r <= 5, else 0.
    """
    values: dict[str, Array] = {"mrr": 1.0 / ranked}
    values.update({f"hit@{k}": (ranked <= k).astype(np.float64) for k in HITS})
    values[f"ndcg@{NDCG}"] = np.where(ranked <= NDCG, 1.0 / np.log2(1.0 + ranked), 0.0)
    return values


def summarise(ranked: Array) -> dict[str, float]:
    """Means of per_row over the rows; empty without rows."""
    return {name: float(value.mean()) for name, value in per_row(ranked).items()} if ranked.size else {}


def coverage(candidates: Csr, scorer: Scorer, top: int = TOP) -> float:
    """Share of the playlists that are anybody's candidate which are in the top of anybody's candidates; 0 to 1.

    0 without candidates. Ties go to the candidate that comes first in its row.
    """
    shown = np.zeros(candidates.columns, np.bool_)
    for begin, end in _row_blocks(candidates):
        span = slice(int(candidates.indptr[begin]), int(candidates.indptr[end]))
        indptr = candidates.indptr[begin : end + 1] - candidates.indptr[begin]
        indices = np.ascontiguousarray(candidates.indices[span])
        scores = scorer(np.repeat(np.arange(begin, end, dtype=np.int32), np.diff(indptr)), indices)
        mark_top(indptr, indices, scores, top, shown)
    reachable = np.zeros(candidates.columns, np.bool_)
    reachable[candidates.indices] = True
    return float(shown.sum() / reachable.sum()) if candidates.nnz else 0.0


def _row_blocks(rows: Csr) -> list[tuple[int, int]]:
    step = max(1, _BLOCK_PAIRS // max(1, int(rows.counts.max(initial=1))))
    return [(begin, min(begin + step, rows.rows)) for begin in range(0, rows.rows, step)]

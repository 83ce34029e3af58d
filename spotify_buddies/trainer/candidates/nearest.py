"""Candidates by taste: the playlists nearest to a factor, exact where that is cheap, else with a FAISS index.

Nearest are those with the largest inner product of (u * scale) and their factor. The scale weighs dimensions: a model
that was fitted to likes which come from song overlap finds people's own playlists better with less of its likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.stages.blocks import spans
from spotify_buddies.trainer.bundle.nearest_index import QUERIES, NearestIndex, build_nearest, used_dimensions
from spotify_buddies.trainer.candidates.kernels import best_of_rows
from spotify_buddies.trainer.models.hybrid.state import likes_end, taste_dimensions
from spotify_buddies.trainer.settings import CandidateSettings, TrainSettings

Array = npt.NDArray[Any]

# Candidates of the pairing beside a model without a taste.
WITHOUT_TASTE = 75
# Users whose scores are in memory at once.
_TOGETHER = 64


def for_model(settings: CandidateSettings, train: TrainSettings) -> CandidateSettings:
    """The settings with every budget set, as they are unset for models of different kinds."""
    if settings.pairing is not None:
        return settings
    return settings.model_copy(update={"pairing": 0 if _taste(train) else WITHOUT_TASTE})


def _taste(train: TrainSettings) -> int:
    """The first dimensions, which hold the taste; 0 for a model that has none of its own."""
    return taste_dimensions(train) if train.model == "hybrid" else 0


def retrieval_scale(train: TrainSettings, settings: CandidateSettings) -> Array:
    """The weight of every dimension where the nearest playlists are looked for, float32 (d,).

    The hybrid model's taste and its hubs at 1, its likes at settings.likes_scale; all at 1 where a model has no taste
    of its own.
    """
    scale = np.ones(train.dimension, np.float32)
    if taste := _taste(train):
        scale[taste : likes_end(train)] = settings.likes_scale
    return scale


@dataclass(frozen=True)
class Nearest:
    """The nearest of some playlists. rows int32: which, ascending; factors float32 (rows, e): theirs, where a
    dimension counts; scale float32 (d,), used int64 (e,): its dimensions that are not 0. index: of these factors,
    None: all are looked at.
    """

    rows: Array
    factors: Array
    scale: Array
    used: Array
    index: NearestIndex | None = None

    @classmethod
    def of(cls, factors: Array, scale: Array, users: Array, *, rows: Array | None = None, exact_cells: int) -> Nearest:
        """Prepare for playlist factors (P, d); rows: of these only.

        users (U, d): what will be asked. exact_cells: as in CandidateSettings.
        """
        chosen = np.arange(len(factors), dtype=np.int32) if rows is None else rows.astype(np.int32)
        used = used_dimensions(scale)
        kept = np.ascontiguousarray(factors[chosen][:, used], np.float32)
        index = None
        if kept.size > exact_cells:
            some = users[:: max(1, -(-len(users) // QUERIES))]
            index = build_nearest(kept, np.ascontiguousarray((some * scale)[:, used], np.float32))
        return cls(chosen, kept, scale.astype(np.float32), used, index)

    def __call__(self, vectors: Array, k: int) -> Array:
        """The k nearest to each of vectors (n, d), int32 (n, k), best first, -1 padded; ties go to the lower row."""
        asked = np.ascontiguousarray((vectors * self.scale)[:, self.used], np.float32)
        width = min(k, self.rows.size)
        found = np.full((len(asked), k), -1, np.int32)
        if not width or not self.used.size:
            return found
        if self.index is not None:
            found[:, :width] = self.index.search(asked, width)
        else:
            # One thread: with more of them a sum may be made in another order.
            with threadpool_limits(1, "blas"):
                for first, last in spans(len(asked), _TOGETHER):
                    best_of_rows(asked[first:last] @ self.factors.T, width, found[first:last, :width])
        # A user without a factor is equally near to all.
        found[~asked.any(axis=1)] = -1
        return np.where(found >= 0, self.rows[found], -1)

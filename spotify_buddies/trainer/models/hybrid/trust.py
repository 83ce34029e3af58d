"""How far a user's likes are trusted beside the taste: the more of them, the further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.bundle import SongFactors
from spotify_buddies.trainer.dataset.table import IN_TRAIN, Dataset, likes_used
from spotify_buddies.trainer.metrics.ranking import Factors, FactorScorer, ranks, summarise
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

GRID = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 13.0, 21.0)
COST = 0.02
_LIKES = 20_000


@dataclass(frozen=True)
class Trust:
    """likes: how many likes of a user it takes until half of what they say counts; 0: all are trusted.

    by_likes: the MRR of validation likes, among random and among hard negatives where there are such, by `likes`.
    """

    likes: float
    by_likes: Mapping[float, tuple[float, ...]]

    def of(self, counts: Array) -> Array:
        """The weight n^2 / (n^2 + likes^2) of the likes of users with n of them, float32; 1 where all are trusted."""
        if self.likes == 0:
            return np.ones(len(counts), np.float32)
        squares = np.square(counts, dtype=np.float64)
        weights: Array = (squares / (squares + self.likes**2)).astype(np.float32)
        return weights


def choose_trust(data: Dataset, model: Factors, likes: slice) -> Trust:
    """The least trust in likes that costs COST of the MRR of the validation likes at most.

    The likes part of a factor is summed from songs, so it says something of everybody, and of a user with few likes
    mostly what others like: shrinkage towards the taste, as of James and Stein. By the square, since those with few are
    in no validation: below `likes` of them the taste decides, above they do. People's own playlists are found better by
    it (docs/adr/0019, 0024). The cost is the mean over random and hard negatives, each beside its best in the grid.
    Without validation likes, or without one of the parts, all are trusted. likes: the dimensions of that part.
    """
    if not 0 < likes.start < likes.stop or not len(data.validation):
        return Trust(0.0, {})
    counts = count_likes(data)
    found = {number: _judged(data, fold(model, likes, Trust(number, {}).of(counts))) for number in GRID}
    table = np.array(list(found.values()), np.float64)
    beside = (table / np.maximum(table.max(axis=0), 1e-9)).mean(axis=1)
    # No value may be the best by both measures.
    allowed = [number for number, value in zip(found, beside, strict=True) if value >= (1 - COST) * beside.max()]
    return Trust(max(allowed), found)


def count_likes(data: Dataset) -> Array:
    """Likes of each user in training, int64 (U,)."""
    return likes_used(data, IN_TRAIN).counts


def fold(model: Factors, likes: slice, weights: Array) -> Model:
    """The model with these dimensions of its users times weights (U,)."""
    users = np.array(model.user_factors, np.float32)
    users[:, likes] *= weights[:, None]
    return Model(users, np.asarray(model.playlist_factors))


def fold_songs(songs: SongFactors, trust: Trust) -> SongFactors:
    """Song factors whose sums are those of a user without likes."""
    return replace(songs, likes_scale=trust.of(np.zeros(1)))


def _judged(data: Dataset, model: Factors) -> tuple[float, ...]:
    scorer = FactorScorer(model)
    likes = [np.asarray(rows) for rows in (data.validation, data.hard_validation) if len(rows)]
    return tuple(summarise(ranks(rows[:: -(-len(rows) // _LIKES)], scorer))["mrr"] for rows in likes)

"""Inputs and results of training: factors, validation batches, and the report of an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.seeds import generator

Array = npt.NDArray[Any]


class TrainingError(Exception):
    """Training cannot start or continue; the message says why and what to change."""


@dataclass(frozen=True)
class Model:
    """Factors, float32: user_factors (users, d), playlist_factors (playlists, d). score(u, p) = u . p."""

    user_factors: Array
    playlist_factors: Array

    def __post_init__(self) -> None:
        """Check that the two tables go together. ValueError when they do not."""
        if self.user_factors.ndim != 2 or self.playlist_factors.ndim != 2:
            raise ValueError("factors must be two tables")
        if self.user_factors.shape[1] != self.playlist_factors.shape[1]:
            raise ValueError("user and playlist factors differ in dimension")


@dataclass(frozen=True)
class Validation:
    """Batches of docs/formats.md, `9-validation`: int32 (rows, 2 + negatives): user, positive, negatives. May be empty.

    random: negatives from all playlists. hard: from the user's own best-scored ones that are not liked.
    """

    random: Array
    hard: Array


@dataclass(frozen=True)
class EpochReport:
    """One finished epoch, counted from 1. loss: mean over its triplets, measured before each update.

    metrics: "random/mrr", "hard/hit@5" and so on, on at most `train.VALIDATION_ROWS` rows; empty without validation.
    best: whether no epoch so far is judged better. centring: the share of the mean user that was taken out of
    all users for these metrics, and is in the model that training returns (see trainer.models.centring).
    """

    epoch: int
    loss: float
    best: bool
    metrics: Mapping[str, float] = field(default_factory=dict)
    centring: float = 0.0

    @property
    def judged(self) -> float:
        """What epochs are compared by: the mean of random/mrr and, where there are such rows, hard/mrr; else -1.

        Among random negatives a model is soon as good as it gets; among hard ones it goes on learning.
        """
        found = [self.metrics[name] for name in ("random/mrr", "hard/mrr") if name in self.metrics]
        return sum(found) / len(found) if found else -1.0


def initial_model(users: int, playlists: int, dimension: int, seed: int) -> Model:
    """Xavier uniform (Glorot and Bengio 2010): each table in +-sqrt(6 / (rows + d)), float32."""
    return Model(
        _xavier(users, dimension, seed, "user factors"), _xavier(playlists, dimension, seed, "playlist factors")
    )


def _xavier(rows: int, dimension: int, seed: int, purpose: str) -> Array:
    bound = np.float32(np.sqrt(6.0 / (rows + dimension)))
    drawn = generator(seed, purpose).random((rows, dimension), dtype=np.float32)
    drawn *= 2 * bound
    drawn -= bound
    return drawn

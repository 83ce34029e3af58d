"""Negatives of real follows: uniform over all playlists that are kept, and as the hard pool what a user dislikes.

What a user follows in validation or the test may be drawn as a negative: a model that never met it as one would know
that it is held out. Only what is followed in training, owned or disliked is no uniform negative.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.blocks import read_only
from spotify_buddies.trainer.dataset.labels.follows import Follows
from spotify_buddies.trainer.dataset.negatives.kernels import Labels
from spotify_buddies.trainer.dataset.negatives.uniform.kernels import Sampled, uniform_pools, uniform_triplets
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]


# Numbers kept of the uniform pool: of each user, where that is not too many in all. Training overfits a small sample:
# on AttList plain BPR reached a NDCG@10 of 0.155 with 128 a user and 0.161 with 1,024.
_A_USER, _IN_ALL = 1_024, 1 << 26


class Uniform(NamedTuple):
    """What drawing reads: labels; dislikes in the time of training by user; everybody int32: playlists that are kept.

    refused_ptr, refused: CSR (U, P), ascending.
    """

    labels: Labels
    refused_ptr: Array
    refused: Array
    everybody: Array


def uniform_inputs(labels: Labels, follows: Follows) -> Uniform:
    """The arrays, read-only, for work on blocks of users."""
    refused = follows.early_dislikes()
    everybody = np.flatnonzero(labels.offered).astype(np.int32)
    return Uniform(labels, read_only(refused.indptr), read_only(refused.indices), read_only(everybody))


def kept_of_pools(users: int, settings: DataSettings) -> int:
    """Most playlists of a pool that are kept of each user: more than `pool_sample` where users are few."""
    return max(settings.pool_sample, min(_A_USER, _IN_ALL // max(users, 1)))


def draw_follows(
    inputs: Uniform,
    first: int,
    last: int,
    *,
    most: int,
    negatives: int,
    hard: int,
    sampling: np.uint64,
    drawing: np.uint64,
) -> tuple[Array, Array, Array, Array, Array]:
    """Positives, samples of the pools and triplets of users first..last, as `kernels.negatives_of_block` returns them.

    `hard` of the negatives are of what is disliked.
    """
    marks = np.zeros(inputs.labels.owner.size, np.int8)
    sampled: Sampled = uniform_pools(*inputs, first, last, most, sampling, marks)
    triplets: Array = np.empty((0, 3), np.int32)
    if negatives:
        triplets = uniform_triplets(*inputs, first, last, negatives, hard, drawing, marks)
    return *sampled, triplets

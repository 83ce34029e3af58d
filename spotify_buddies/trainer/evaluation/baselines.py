"""Scorers without learning, to compare models with: popularity, shared songs, chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import derive
from spotify_buddies.trainer.metrics.kernels import count_shared, random_scores

Array = npt.NDArray[Any]


class PopularityScorer:
    """The number of users who like a playlist in training, the same for everyone."""

    def __init__(self, likes: Array) -> None:
        self._likes = np.asarray(likes)

    def __call__(self, users: Array, playlists: Array) -> Array:
        """int64 (n,)."""
        del users
        return self._likes[playlists]


class OverlapScorer:
    """The number of songs that the user and the playlist share."""

    def __init__(self, user_songs: Csr, playlist_songs: Csr) -> None:
        self._users, self._playlists = user_songs, playlist_songs

    def __call__(self, users: Array, playlists: Array) -> Array:
        """int32 (n,)."""
        out = np.empty(users.size, np.int32)
        left, right = self._users, self._playlists
        count_shared(left.indptr, left.indices, right.indptr, right.indices, users, playlists, out)
        return out


class RandomScorer:
    """A number drawn for each pair, the same whenever it is asked: a hash of seed and pair."""

    def __init__(self, seed: int) -> None:
        self._seed = np.uint64(derive(seed, "random scores"))

    def __call__(self, users: Array, playlists: Array) -> Array:
        """float64 (n,) in [0, 1)."""
        out = np.empty(users.size)
        random_scores(self._seed, users, playlists, out)
        return out

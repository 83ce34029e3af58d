"""Candidates that are the same for everybody, or nearly: popular playlists, and new ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def most_popular(likes: Array, at_most: int = 1_000) -> Array:
    """Playlist rows with at least one like, most likes first, ties by row, int32."""
    order = np.argsort(-likes, kind="stable")[:at_most]
    return order[likes[order] > 0].astype(np.int32)


def newcomers(likes: Array, songs: Array, at_most: int) -> Array:
    """Playlist rows with songs and at most so many likes, int32, ascending: nobody can have found them by likes.

    likes, songs int64 (P,): those who like each, and its songs. A data set does not say when a playlist was made, and
    few likes are what being new means to everything that learns from likes.
    """
    return np.flatnonzero((likes <= at_most) & (songs > 0)).astype(np.int32)

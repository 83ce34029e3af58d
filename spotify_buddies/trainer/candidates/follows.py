"""Candidates by follows: what those like who like what a user likes.

Item to item, with cosines of the playlists' likers (Sarwar et al., WWW 2001): two playlists are near when many of those
who like one like the other too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import over_blocks
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.candidates.kernels import followed_next, liked_together

Array = npt.NDArray[Any]

# Playlists kept beside each one, and likes of a user beyond which their likes say nothing about each other.
NEIGHBOURS = 50
MOST_LIKES = 1_000
_BLOCK = 1_024


@dataclass(frozen=True)
class LikedTogether:
    """likes (U, P), ascending. near int32, cosines float32 (P, n): playlists liked together with each, best first."""

    likes: Csr
    near: Array
    cosines: Array

    def __call__(self, first: int, last: int, k: int) -> Array:
        """The k next playlists of the users first..last, without those they like, int32 (users, k), -1 padded."""
        out = np.empty((last - first, k), np.int32)
        followed_next(first, last, self.likes.indptr, self.likes.indices, self.near, self.cosines, k, out)
        return out


def find_together(likes: Csr, progress: Progress = silent) -> LikedTogether:
    """The playlists liked together with each, from likes (U, P), ascending. The same on any number of threads."""
    by_item = likes.transpose()
    counts = by_item.counts
    by_user = (np.asarray(likes.indptr), np.asarray(likes.indices))
    listed = (by_item.indptr, by_item.indices)
    near = np.empty((likes.columns, NEIGHBOURS), np.int32)
    cosines = np.empty((likes.columns, NEIGHBOURS), np.float32)

    def work(first: int, last: int) -> None:
        span = slice(first, last)
        liked_together(first, last, by_user, listed, counts, MOST_LIKES, NEIGHBOURS, near[span], cosines[span])

    for _ in over_blocks(likes.columns, _BLOCK, "liked together", progress, work, unit="playlists"):
        pass
    return LikedTogether(likes, near, cosines)

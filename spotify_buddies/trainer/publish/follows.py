"""What a bundle says of follows and dislikes: who follows what, with whom, and what nobody gets again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import over_blocks
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.candidates.kernels import liked_together
from spotify_buddies.trainer.dataset.table import FOLLOWS, Dataset, train_likes

Array = npt.NDArray[Any]

# People kept beside each one, and followers of a playlist beyond which following it too is nothing in common.
CO_FOLLOWERS = 50
MOST_FOLLOWERS = 1_000
_BLOCK = 1_024


@dataclass(frozen=True)
class Follows:
    """followed, co_followers, refused: as in Bundle."""

    followed: Csr | None = None
    co_followers: Csr | None = None
    refused: Csr | None = None


def follows_of(data: Dataset, progress: Progress = silent) -> Follows:
    """What a data set says. Likes that were made from shared songs are nobody's follows; held-out ones are not seen."""
    if data.labels != FOLLOWS:
        return Follows(refused=data.disliked if data.disliked.nnz else None)
    followed = train_likes(data)
    beside = find_co_followers(followed, progress=progress)
    if data.feedback_alone:
        return Follows(followed, beside, data.disliked if data.disliked.nnz else None)
    return Follows(followed, beside, _union(followed, data.disliked))


def find_co_followers(
    followed: Csr, most: int = CO_FOLLOWERS, at_most: int = MOST_FOLLOWERS, progress: Progress = silent
) -> Csr:
    """Those whose follows are nearest to each user's (U, U), at most `most`, nearest first by cosine, ties by row.

    followed (U, P), ascending. Playlists with more than at_most followers join nobody. Nobody is beside themselves, and
    who follows nothing has an empty row. The same on any number of threads. Memory: 8 bytes for each of `most` people
    of every user while they are found, 4 in the bundle.
    """
    users, listed = followed.rows, followed.transpose()
    near, cosines = np.empty((users, most), np.int32), np.empty((users, most), np.float32)
    # The kernel's playlists are people here, and its users are playlists.
    by_playlist, by_user = (listed.indptr, listed.indices), (np.asarray(followed.indptr), np.asarray(followed.indices))

    def work(first: int, last: int) -> None:
        span = slice(first, last)
        liked_together(first, last, by_playlist, by_user, followed.counts, at_most, most, near[span], cosines[span])

    for _ in over_blocks(users, _BLOCK, "followers in common", progress, work):
        pass
    filled = near >= 0
    indptr = np.zeros(users + 1, np.int64)
    np.cumsum(filled.sum(axis=1), out=indptr[1:])
    return Csr(indptr, near[filled], users)


def _union(one: Csr, other: Csr) -> Csr:
    """What either of two matrices of a shape holds, ascending; the first itself where the other is empty."""
    if not other.nnz:
        return one
    both = one.to_scipy() + other.to_scipy()
    both.sort_indices()
    return Csr(both.indptr.astype(np.int64), both.indices.astype(np.int32), one.columns)

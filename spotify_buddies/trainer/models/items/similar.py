"""Songs for models that know only who follows what: every playlist as one more user, who follows those most like it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.items.ease import song_cosines
from spotify_buddies.trainer.models.items.item_model import Factored, in_blocks
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

NEAREST, LEAST = 5, 0.05  # playlists, and the cosine below which two say nothing of each other


def with_songs(
    fit: Callable[[Csr], Factored], interactions: Csr, songs: Csr, *, nearest: int = NEAREST, least: float = LEAST
) -> Factored:
    """What `fit` makes of the interactions (U, P) and of P further users, without the factors of these.

    songs: Csr (P, S). Memory: (P, P) float32, as EASE takes.
    """
    model = fit(stacked_on(interactions, similar(songs, nearest, least))).model
    return Factored(Model(model.user_factors[: interactions.rows].copy(), model.playlist_factors))


def similar(songs: Csr, nearest: int = NEAREST, least: float = LEAST) -> Csr:
    """Row p: p and up to `nearest` others whose songs have a cosine above `least`, ascending; Csr (P, P).

    Of equal cosines the lower playlist comes first. Who is like no other has no entries.
    """
    cosines = song_cosines(songs)
    np.fill_diagonal(cosines, 2)  # itself first
    rows: list[Array] = []
    for playlists in in_blocks(np.arange(songs.rows)):
        block = cosines[playlists]
        best = np.argsort(-block, axis=1, kind="stable")[:, : nearest + 1]
        for row, line in zip(block, best, strict=True):
            near = np.sort(line[row[line] > least]).astype(np.int32)
            rows.append(near if near.size > 1 else near[:0])
    return Csr.from_rows(rows, songs.rows)


def stacked_on(above: Csr, below: Csr) -> Csr:
    """The rows of both, binary."""
    indptr = np.concatenate([np.asarray(above.indptr), np.asarray(below.indptr)[1:] + above.nnz])
    return Csr(indptr.astype(np.int64), np.concatenate([above.indices, below.indices]).astype(np.int32), above.columns)

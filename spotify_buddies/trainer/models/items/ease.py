"""EASE (Steck, WWW 2019): the linear item model in closed form, exactly; with songs as further rows (CEASE)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.items.item_model import Weighted
from spotify_buddies.trainer.models.model import TrainingError

Array = npt.NDArray[Any]

# What `balance` 0.25 goes with, entries being smaller than 1.
BALANCED: dict[str, float] = {"balance": 0.25, "regularisation": 5.0, "dropout": 0.0, "song_weight": 0.3}

# (P, P) float32 twice over: 3.2 GB at this size, and the time of the inverse grows with its cube.
MOST_PLAYLISTS = 20_000
REGULARISATION, DROPOUT, SONG_WEIGHT = 20.0, 0.3, 5.0  # the best on inner splits of AttList's train.txt


def fit_ease(
    interactions: Csr,
    *,
    regularisation: float = REGULARISATION,
    dropout: float = DROPOUT,
    balance: float = 0.0,
    songs: Csr | None = None,
    song_weight: float = SONG_WEIGHT,
) -> Weighted:
    """B = I - inv(G) / diag(inv(G)), G = X'X + regularisation * I + dropout * diag(X'X); score = X B, diag(B) is 0.

    dropout 0 is EASE; above 0 what often occurs is held back more, as if entries were dropped (EDLAE: Steck, NeurIPS
    2020; a probability p to drop is dropout = p / (1 - p)). balance: X counts an entry 1 / (|u| |p|)^balance, so that
    users and playlists with many interactions do not settle everything; weights are scaled back to entries of 1.

    X stacks the interactions (U, P) on the songs' rows (S, P), which come from songs, Csr (P, S): tf-idf, each playlist
    at length 1, times sqrt(song_weight) (CEASE: Jeunen, Van Balen and Goethals, RecSys 2020). Without interactions and
    songs all weights are 0. One BLAS thread, so that the bytes do not depend on the machine's number of them.
    TrainingError: more than MOST_PLAYLISTS playlists, or regularisation that is not above 0.
    """
    if interactions.columns > MOST_PLAYLISTS:
        raise TrainingError(
            f"EASE in closed form takes up to {MOST_PLAYLISTS:,} playlists, not {interactions.columns:,}; "
            "its low-rank relative does: item_model = elsa"
        )
    if regularisation <= 0:
        raise TrainingError(f"the regularisation of EASE must be above 0, not {regularisation}")
    rows = interactions.to_scipy()
    of_users = np.maximum(interactions.counts, 1).astype(np.float32) ** -balance
    of_playlists = np.maximum(interactions.column_counts(), 1).astype(np.float32) ** -balance
    rows = sp.csr_array(sp.diags_array(of_users) @ rows @ sp.diags_array(of_playlists))
    with threadpool_limits(1, "blas"):
        gram = np.asarray((rows.T @ rows).toarray(), np.float32, order="F")
        if songs is not None and song_weight > 0:
            gram += np.float32(song_weight) * song_cosines(songs)
        held_back = np.float32(dropout) * np.diag(gram) + np.float32(regularisation)
        gram[np.diag_indices_from(gram)] += held_back
        inverse = _inverse(gram)
        weights = inverse / -np.diag(inverse)
    weights *= of_playlists[:, None] / of_playlists
    weights[np.diag_indices_from(weights)] = 0
    return Weighted(interactions, np.ascontiguousarray(weights))


def song_cosines(songs: Csr) -> Array:
    """Cosines of playlists by their songs, float32 (P, P): a song weighs log(P / playlists that hold it)."""
    held = np.maximum(songs.column_counts(), 1)
    idf = np.log(np.float32(max(songs.rows, 1)) / held).astype(np.float32)
    rows = sp.csr_array(songs.to_scipy() * idf[None, :])
    lengths = np.sqrt(np.asarray((rows * rows).sum(axis=1), np.float32).ravel())
    unit = sp.csr_array(sp.diags_array(1 / np.maximum(lengths, np.float32(1e-9))) @ rows).astype(np.float32)
    return np.asarray((unit @ unit.T).toarray(), np.float32)


def _inverse(gram: Array) -> Array:
    """The inverse of a symmetric positive definite matrix, by Cholesky, in its place."""
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if not failed:
        factor, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise TrainingError("the matrix of EASE cannot be inverted; set a higher regularisation")
    lower = np.tril(factor)
    return np.asarray(lower + np.tril(lower, -1).T, np.float32)

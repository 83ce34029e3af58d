"""What needs no likes: the cosine of tf-idf weighted songs, reduced by a truncated SVD."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from pairing.csr import Csr
from pairing.seeds import generator
from trainer.bpr.model import Model

Array = npt.NDArray[Any]


def tf_idf(documents: sp.csr_array) -> Array:
    """Weight of each song, float64 (songs,): log((1 + n) / (1 + df)) + 1, the smoothed inverse document frequency."""
    frequency = np.bincount(documents.indices, minlength=documents.shape[1])
    weights: Array = np.log((1.0 + documents.shape[0]) / (1.0 + frequency)) + 1.0
    return weights


def taste_factors(
    user_songs: Csr, playlist_songs: Csr, *, others: tuple[Csr, ...] = (), dimension: int, seed: int
) -> Model:
    """Users and playlists as unit vectors whose product is the cosine of their reduced tf-idf vectors.

    The SVD is that of all libraries, playlists and `others` (more song sets over the same songs) together, each a
    document of length 1. dimension is cut to what the documents allow; a row without songs is zeros.
    """
    parts = [half.to_scipy() for half in (user_songs, playlist_songs, *others)]
    documents = sp.csr_array(sp.vstack(parts, format="csr", dtype=np.float64))
    weighted = _unit_rows(sp.csr_array(documents * tf_idf(documents)))
    width = min(dimension, min(weighted.shape) - 1)
    start = generator(seed, "organic/svd").standard_normal(min(weighted.shape))
    left, values, _ = svds(weighted, k=width, v0=start)
    asked = user_songs.rows + playlist_songs.rows
    reduced = left[:asked] * values
    lengths = np.linalg.norm(reduced, axis=1, keepdims=True)
    unit = np.divide(reduced, lengths, out=np.zeros_like(reduced), where=lengths > 1e-9).astype(np.float32)
    return Model(np.ascontiguousarray(unit[: user_songs.rows]), np.ascontiguousarray(unit[user_songs.rows :]))


def _unit_rows(matrix: sp.csr_array) -> sp.csr_array:
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return sp.csr_array(sp.diags_array(scale) @ matrix)

"""Taste without labels: a truncated SVD of song sets, songs and their artists together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.neighbours.reduce import SPARE, subspace
from spotify_buddies.trainer.models.hybrid.kernels import add_back, by_artist
from spotify_buddies.trainer.models.hybrid.songs import Feature, in_blocks

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TasteBasis:
    """The top right singular vectors: songs float32 (S, d), artists float32 (A, d), most important first."""

    songs: Array
    artists: Array

    def first(self, dimension: int) -> TasteBasis:
        """The first dimensions alone."""
        return TasteBasis(self.songs[:, :dimension].copy(), self.artists[:, :dimension].copy())


def fit_taste(rows: Feature, dimension: int, seed: int, progress: Progress = silent) -> TasteBasis:
    """The `dimension` top right singular vectors of the rows of all parts, no more than there are songs and artists.

    What is beyond the rank of the rows is zeros. The bytes depend on the seed alone, not on the number of threads.
    """
    songs, artists = rows.sets.songs, rows.artist_weights.size
    wide = min(dimension + SPARE, songs + artists)
    start = generator(seed, "hybrid/taste").standard_normal((songs + artists, wide), np.float32)
    # A song that joins nothing has no place in the basis.
    start[:songs][rows.song_weights == 0] = 0
    leading = subspace(lambda basis: _gram(rows, basis), start, dimension, "taste", progress)
    basis = np.zeros((songs + artists, dimension), np.float32)
    basis[:, : leading.shape[1]] = leading
    return TasteBasis(basis[:songs].copy(), basis[songs:].copy())


def unit(vectors: Array) -> Array:
    """Rows at length 1, float32; rows of no length stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Array = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-9)
    return scaled


def _gram(rows: Feature, basis: Array) -> Array:
    """X.T @ (X @ basis), X the rows of all parts over songs and artists: float32 (S + A, d)."""
    songs = rows.sets.songs
    vectors = rows.vectors(basis[:songs], basis[songs:])
    gradient = np.zeros_like(vectors)
    for part in range(len(rows.sets.parts)):
        give_back(rows, part, rows.rows(part, vectors), gradient)
    return np.concatenate([rows.song_weights[:, None] * gradient, artist_gradient(rows, gradient)])


def give_back(rows: Feature, part: int, vectors: Array, gradient: Array) -> None:
    """Add to every song's row of `gradient` (S, d) the scaled vectors (rows, d) of the sets of a part that hold it."""
    held, scale = rows.sets.postings[part], rows.scales[part]
    in_blocks(held.rows, lambda a, b: add_back(a, b, held.indptr, held.indices, scale, vectors, gradient))


def artist_gradient(rows: Feature, gradient: Array) -> Array:
    """The gradients of artists from those of their songs (S, d), float32 (A, d)."""
    out = np.empty((rows.artist_weights.size, gradient.shape[1]), np.float32)
    ptr, songs, weights = rows.artist_ptr, rows.artist_songs, rows.artist_weights
    in_blocks(len(out), lambda a, b: by_artist(a, b, ptr, songs, weights, gradient, out))
    return out

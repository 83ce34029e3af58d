"""Short dense vectors for song sets: a truncated SVD of the users' normalised song sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.pairing.neighbours.kernels import project_rows
from spotify_buddies.pairing.settings import PairingSettings

Array = npt.NDArray[Any]

_PASSES = 4
_CUT = 65_536  # users at a time; fixed, because the sum of float32 depends on the cut
SPARE = 10  # dimensions more than asked for while iterating (Halko, Martinsson and Tropp 2011)


@dataclass(frozen=True)
class Projection:
    """place int32 (songs,): row of each song in matrix, -1 without one. matrix float32 (placed songs, d)."""

    place: Array
    matrix: Array

    def __call__(self, song_sets: Csr) -> Array:
        """Vectors of length 1, float32 (rows, d); zeros for a set without a placed song."""
        out = np.zeros((song_sets.rows, self.matrix.shape[1]), np.float32)
        project_rows(song_sets.indptr, song_sets.indices, self.place, self.matrix, out)
        return out


def fit_projection(user_songs: Csr, settings: PairingSettings, progress: Progress) -> Projection:
    """The top right singular vectors of the rows at length 1, over the settings.index_songs most heard songs.

    Songs of a single user are left out. Subspace iteration on the songs' side (Halko, Martinsson and Tropp 2011),
    streaming over blocks of users, so that memory is that of songs x d. At most settings.dimension dimensions, no more
    than there are songs left, at least 1.
    """
    heard = user_songs.column_counts()
    order = np.argsort(-heard, kind="stable")[: settings.index_songs]
    # A song of one user makes nobody a neighbour; it is placed only where there are no others.
    chosen = np.sort(order[heard[order] > (1 if heard.max(initial=0) > 1 else 0)])
    place = np.full(user_songs.columns, -1, np.int32)
    place[chosen] = np.arange(chosen.size, dtype=np.int32)
    width = min(settings.dimension, chosen.size)
    if width == 0:
        return Projection(place, np.zeros((0, 1), np.float32))
    wide = min(width + SPARE, chosen.size)
    start = generator(settings.seed, "pairing/projection").standard_normal((chosen.size, wide), np.float32)
    basis = subspace(lambda basis: _gram(user_songs, place, basis), start, width, "fit the index", progress)
    return Projection(place, basis)


def subspace(image_of: Callable[[Array], Array], start: Array, width: int, what: str, progress: Progress) -> Array:
    """The top `width` eigenvectors of a symmetric matrix from random columns, by subspace iteration; float32.

    image_of: the matrix times columns (n, d). start (n, d): random; a few columns more than `width` make the last ones
    better (Halko, Martinsson and Tropp 2011). Fewer come back where the matrix has a lower rank. Runs on one BLAS
    thread: how a matrix product is split between threads changes its rounding, and so the bytes of the result.
    """
    with threadpool_limits(1, user_api="blas"):
        basis = _orthonormal(start)
        for step in range(_PASSES):
            image = image_of(basis)
            if step < _PASSES - 1:
                basis = _orthonormal(image)
            progress(what, step + 1, _PASSES, "passes")
        vectors = np.linalg.eigh(basis.T @ image).eigenvectors[:, ::-1][:, :width]
        return np.ascontiguousarray(basis @ vectors)


def _orthonormal(columns: Array) -> Array:
    """An orthonormal basis of the columns, float32; directions that are lost in rounding are left out.

    From the eigenvectors of columns.T @ columns in float64, which takes a quarter of the time of a QR decomposition.
    """
    products = np.zeros((columns.shape[1], columns.shape[1]))
    for start in range(0, columns.shape[0], _CUT):
        part = columns[start : start + _CUT].astype(np.float64)
        products += part.T @ part
    values, vectors = np.linalg.eigh(products)
    kept = values > values.max(initial=0.0) * 1e-10
    turned: Array = columns @ (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    return turned


def _gram(user_songs: Csr, place: Array, basis: Array) -> Array:
    """A.T @ (A @ basis), A the placed part of the rows at length 1, block by block in a fixed order."""
    import scipy.sparse as sp  # here: who only searches does without its memory

    out = np.zeros_like(basis)
    for start in range(0, user_songs.rows, _CUT):
        end = min(start + _CUT, user_songs.rows)
        low, high = int(user_songs.indptr[start]), int(user_songs.indptr[end])
        columns = place[user_songs.indices[low:high]]
        rows = np.repeat(np.arange(end - start), np.diff(user_songs.indptr[start : end + 1]))
        inside = columns >= 0
        weights = np.bincount(rows, minlength=end - start)[rows[inside]] ** -0.5
        block = sp.csr_array(
            (weights.astype(np.float32), (rows[inside], columns[inside])), shape=(end - start, basis.shape[0])
        )
        out += block.T @ (block @ basis)
    return out

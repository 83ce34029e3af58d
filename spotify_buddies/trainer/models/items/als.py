"""ALS of implicit feedback (Hu, Koren and Volinsky, ICDM 2008), own: forty lines against a library to keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.models.items.item_model import Factored
from spotify_buddies.trainer.models.model import Model, TrainingError

Array = npt.NDArray[Any]

DIMENSION, ALPHA, REGULARISATION, ITERATIONS, STEPS = 256, 80.0, 150.0, 10, 3


def fit_als(
    interactions: Csr,
    *,
    dimension: int = DIMENSION,
    alpha: float = ALPHA,
    regularisation: float = REGULARISATION,
    iterations: int = ITERATIONS,
    seed: int = 42,
    progress: Progress = silent,
) -> Factored:
    """Least squares with weight 1 + alpha on what is followed and 1 on all else; each side in turn.

    A side is solved by STEPS of conjugate gradients, the users at the end by three times as many. Interactions count as
    1, whatever their values. Users and playlists without any have zeros. One thread: a seed gives the same bytes.
    TrainingError: a regularisation that is not above 0.
    """
    if regularisation <= 0:
        raise TrainingError(f"the regularisation of ALS must be above 0, not {regularisation}")
    flipped = interactions.transpose()
    users = np.zeros((interactions.rows, dimension), np.float32)
    drawn = generator(seed, "als/playlists").standard_normal((interactions.columns, dimension), np.float32)
    playlists = drawn * np.float32(0.01)
    with threadpool_limits(1, "blas"):
        for done in range(iterations):
            _solve(interactions, playlists, alpha, regularisation, STEPS, users)
            _solve(flipped, users, alpha, regularisation, STEPS, playlists)
            progress("als", done + 1, iterations, "iterations")
        _solve(interactions, playlists, alpha, regularisation, 3 * STEPS, users)
    return Factored(Model(users, playlists))


def _solve(rows: Csr, other: Array, alpha: float, regularisation: float, steps: int, out: Array) -> None:
    from spotify_buddies.trainer.models.items.kernels import solve_rows  # numba takes half a second to import

    gram = other.T @ other + np.float32(regularisation) * np.eye(other.shape[1], dtype=np.float32)
    solve_rows(np.asarray(rows.indptr), np.asarray(rows.indices), other, gram, alpha, steps, out)

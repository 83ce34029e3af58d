"""Factors for users whom the model has not seen, from their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.kernels import weighted_means

Array = npt.NDArray[Any]


def fold_in(neighbours: Csr, user_factors: Array) -> Array:
    """Mean of the neighbours' factors weighted by cosine, float32 (rows of neighbours, d).

    neighbours: users in the columns, cosines as values. user_factors (users, d). A row without neighbours, or whose
    weights sum to nothing, is zeros. ValueError when there are no weights or the shapes do not meet.
    """
    if neighbours.values is None or user_factors.ndim != 2 or user_factors.shape[0] != neighbours.columns:
        raise ValueError(
            f"need cosines over {neighbours.columns} users and factors of as many, got {user_factors.shape}"
        )
    out = np.zeros((neighbours.rows, user_factors.shape[1]), np.float32)
    weighted_means(neighbours.indptr, neighbours.indices, neighbours.values, user_factors, out)
    return out

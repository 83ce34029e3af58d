"""Compiled loops over CSR arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def flip(indptr: Array, indices: Array, columns: int) -> tuple[Array, Array]:
    """Columns become rows, by counting: indptr int64 (columns + 1,), indices int32, ascending within a row."""
    starts = np.zeros(columns + 1, np.int64)
    for i in range(indices.size):
        starts[indices[i] + 1] += 1
    for column in range(columns):
        starts[column + 1] += starts[column]
    # Where the next entry of each column goes.
    cursors = starts[:-1].copy()
    rows = np.empty(indices.size, np.int32)
    for row in range(indptr.size - 1):
        for i in range(indptr[row], indptr[row + 1]):
            rows[cursors[indices[i]]] = row
            cursors[indices[i]] += 1
    return starts, rows

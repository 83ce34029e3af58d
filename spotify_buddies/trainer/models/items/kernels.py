"""The compiled loop of ALS: one side's factors, the other side's being fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def solve_rows(indptr: Array, indices: Array, other: Array, gram: Array, alpha: float, out: Array) -> None:
    """out[r] = inv(gram + alpha * sum of y y') (1 + alpha) sum of y, y = other[i] for i in row r; 0 for empty rows.

    gram: other' other plus the regularisation, float32 (d, d); only its lower half is read. By Cholesky.
    """
    d = other.shape[1]
    matrix = np.empty((d, d), np.float32)
    right = np.empty(d, np.float32)
    weight = np.float32(alpha)
    for row in range(indptr.size - 1):
        if indptr[row] == indptr[row + 1]:
            out[row] = 0
            continue
        matrix[:] = gram
        right[:] = 0
        for entry in range(indptr[row], indptr[row + 1]):
            y = other[indices[entry]]
            for i in range(d):
                right[i] += (np.float32(1) + weight) * y[i]
                scaled = weight * y[i]
                for j in range(i + 1):
                    matrix[i, j] += scaled * y[j]
        cholesky_solve(matrix, right)
        out[row] = right


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def cholesky_solve(matrix: Array, right: Array) -> None:
    """Replace `right` by the solution; the lower half of `matrix` is overwritten."""
    d = right.size
    for i in range(d):
        for j in range(i + 1):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = np.sqrt(value) if i == j else value / matrix[j, j]
    for i in range(d):
        value = right[i]
        for k in range(i):
            value -= matrix[i, k] * right[k]
        right[i] = value / matrix[i, i]
    for i in range(d - 1, -1, -1):
        value = right[i]
        for k in range(i + 1, d):
            value -= matrix[k, i] * right[k]
        right[i] = value / matrix[i, i]

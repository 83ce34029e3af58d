"""The compiled loop of ALS: one side's factors, the other side's being fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

_NOTHING_LEFT = 1e-20  # of a squared residual


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def solve_rows(indptr: Array, indices: Array, other: Array, gram: Array, alpha: float, steps: int, out: Array) -> None:
    """Take out[r] towards inv(gram + alpha * sum of y y') (1 + alpha) sum of y, y = other[i] for i in row r.

    gram: other' other plus the regularisation, float32 (d, d). By `steps` of conjugate gradients from what is in out
    (Takacs, Pilaszy and Tikk, RecSys 2011), each of d^2 + 2 d |row| products, where a Cholesky factor takes d^3 / 3. An
    empty row becomes 0.
    """
    d = other.shape[1]
    residual, direction, image = np.empty(d, np.float32), np.empty(d, np.float32), np.empty(d, np.float32)
    weight = np.float32(alpha)
    for row in range(indptr.size - 1):
        entries = indices[indptr[row] : indptr[row + 1]]
        x = out[row]
        if entries.size == 0:
            x[:] = 0
            continue
        _product(gram, other, entries, weight, x, image)
        residual[:] = -image
        for entry in entries:
            for k in range(d):
                residual[k] += (np.float32(1) + weight) * other[entry, k]
        direction[:] = residual
        length = _square(residual)
        for _ in range(steps):
            if length < _NOTHING_LEFT:
                break
            _product(gram, other, entries, weight, direction, image)
            pace = length / _inner(direction, image)
            for k in range(d):
                x[k] += pace * direction[k]
                residual[k] -= pace * image[k]
            before, length = length, _square(residual)
            share = length / before
            for k in range(d):
                direction[k] = residual[k] + share * direction[k]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _product(gram: Array, other: Array, entries: Array, weight: float, x: Array, out: Array) -> None:
    """To out: gram x + weight * sum over entries of (y . x) y."""
    for i in range(x.size):
        total = np.float32(0)
        for k in range(x.size):
            total += gram[i, k] * x[k]
        out[i] = total
    for entry in entries:
        total = np.float32(0)
        for k in range(x.size):
            total += other[entry, k] * x[k]
        total *= weight
        for k in range(x.size):
            out[k] += total * other[entry, k]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _inner(a: Array, b: Array) -> Any:
    total = np.float32(0)
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@njit(cache=True, nogil=True)
def _square(a: Array) -> Any:
    return _inner(a, a)

"""Random numbers by row, which do not depend on the order of the work or on the number of threads."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@numba.njit(cache=True, nogil=True)
def mix(value: np.uint64) -> np.uint64:
    """The finaliser of splitmix64: every bit of the result hangs on every bit of the value."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def hashed(seed: np.uint64, row: int) -> np.uint64:
    """A hash of a row under a seed; as a seed itself, the start of the row's own stream of numbers."""
    hash_of_row: np.uint64 = mix(seed + np.uint64(0x9E3779B97F4A7C15) * np.uint64(row + 1))
    return hash_of_row


@numba.njit(cache=True, nogil=True)
def below(state: Array, bound: int) -> int:
    """A number in [0, bound), bound at most 2^32; state uint64 (1,) moves on (splitmix64)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    # Multiply and shift: the bias is at most bound / 2^32.
    high = mix(state[0]) >> np.uint64(32)
    drawn: int = np.int64((high * np.uint64(bound)) >> np.uint64(32))  # type: ignore[assignment]
    return drawn


@numba.njit(cache=True, nogil=True)
def hash_rows(seed: np.uint64, count: int) -> Array:
    """Hashes of the rows 0..count, uint64."""
    result = np.empty(count, np.uint64)
    for row in range(count):
        result[row] = hashed(seed, row)
    return result

"""Random numbers by row, which do not depend on the order of the work or on the number of threads.

splitmix64 (Steele, Lea, Flood 2014): a counter that is mixed. A row's stream starts at the hash of its number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

_STEP = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def mix(value: np.uint64) -> np.uint64:
    """The finaliser of splitmix64: every bit of the result depends on every bit of the value."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def hashed(seed: np.uint64, row: int) -> np.uint64:
    """A hash of a row under a seed; as a state, the start of the row's own stream of numbers."""
    hash_of_row: np.uint64 = mix(np.uint64(seed) + _STEP * np.uint64(row + 1))
    return hash_of_row


@njit(cache=True, nogil=True)
def draw(state: Array) -> np.uint64:
    """The next 64 random bits; state uint64 (1,) moves on."""
    state[0] += _STEP
    bits: np.uint64 = mix(state[0])
    return bits


@njit(cache=True, nogil=True)
def below(state: Array, bound: int) -> int:
    """A number in [0, bound), bound at most 2^32; state uint64 (1,) moves on."""
    # Multiply and shift: the bias is at most bound / 2^32.
    drawn: int = np.int64(((draw(state) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))  # type: ignore[assignment]
    return drawn


@njit(cache=True, nogil=True)
def fraction(bits: np.uint64) -> float:
    """64 random bits as a number in [0, 1)."""
    number: float = np.float64(bits >> np.uint64(11)) * 2.0**-53
    return number


@njit(cache=True, nogil=True)
def hash_rows(seed: np.uint64, count: int) -> Array:
    """Hashes of the rows 0..count, uint64."""
    result = np.empty(count, np.uint64)
    for row in range(count):
        result[row] = hashed(seed, row)
    return result

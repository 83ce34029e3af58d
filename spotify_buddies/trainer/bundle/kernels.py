"""Compiled sums of songs' vectors. numba knows no float16 on a processor: halves come as their bits, uint16."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

_SIGN, _REST = np.uint32(0x8000), np.uint32(0x7FFF)
# Moved up by 13 places, the bits of a half are those of a float32 that is 2**112 times smaller.
_SMALLER = np.float32(2.0**112)
# From here on bits stand for infinity or for no number.
_BEYOND = np.float32(2.0**16)
_TINY = 1e-9


@njit(cache=True, nogil=True)
def add_halves(halves: Array, bits: Array, total: Array) -> None:
    """total[i] += halves[i], as float32. bits uint32, of the same size, is scratch."""
    for i in range(halves.size):
        half = np.uint32(halves[i])
        bits[i] = ((half & _SIGN) << np.uint32(16)) | ((half & _REST) << np.uint32(13))
    values = bits.view(np.float32)
    for i in range(halves.size):
        value = values[i] * _SMALLER
        total[i] += value if abs(value) < _BEYOND else np.float32(np.nan)


@njit(cache=True, nogil=True)
def sum_songs(
    starts: Array, songs: Array, taste: Array, likes: Array, weights: Array, lengths: Array, tail: Array, out: Array
) -> None:
    """The factor of every row of songs into out, float32 (rows, d), all zero before; see SongFactors.

    taste, likes: bits of halves. lengths float32 (2,): taste_length and likes_scale. tail may be empty.
    """
    width, end = taste.shape[1], taste.shape[1] + likes.shape[1]
    bits = np.empty(max(width, likes.shape[1]), np.uint32)
    for row in range(starts.size - 1):
        square = 0.0
        factor = out[row]
        for i in range(starts[row], starts[row + 1]):
            song = songs[i]
            add_halves(taste[song], bits[:width], factor[:width])
            add_halves(likes[song], bits[: end - width], factor[width:end])
            square += np.float64(weights[song]) * np.float64(weights[song])
        length = 0.0
        for d in range(width):
            length += np.float64(factor[d]) * np.float64(factor[d])
        length, scale = np.sqrt(length), np.sqrt(square)
        # Not `length > _TINY`: what is no number stays so, and is refused with the scores.
        by_length = np.float32(0.0 if length <= _TINY else lengths[0] / length)
        by_scale = np.float32(0.0 if scale <= _TINY else lengths[1] / scale)
        some = False
        for d in range(end):
            factor[d] *= by_length if d < width else by_scale
            some |= factor[d] != 0.0
        # A set of songs that say nothing stays without a factor.
        if some:
            factor[end:] = tail

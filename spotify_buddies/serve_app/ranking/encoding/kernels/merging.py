"""Fields of several messages in one order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.encoding.kernels.wire import copy

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def field_end(data: Array, first: int) -> int:
    """The place after a length-delimited field that begins at `first` with a tag of one byte."""
    last, shift, size = first + 1, 0, 0
    while data[last] > 127:
        size |= (int(data[last]) & 127) << shift
        shift += 7
        last += 1
    size |= int(data[last]) << shift
    return last + 1 + size


@njit(cache=True, nogil=True)
def merge(data: Array, starts: Array, chosen: Array) -> Array:
    """Fields of several messages in one order, uint8 (bytes,).

    data: length-delimited fields with tags of one byte, message after message; starts: where each message's begin.
    Place i takes the next field that is left of message chosen[i].
    """
    out = np.empty(data.size, np.uint8)
    firsts = starts.copy()
    place = 0
    for message in chosen:
        last = field_end(data, firsts[message])
        place = copy(out, place, data, firsts[message], last)
        firsts[message] = last
    return out[:place]

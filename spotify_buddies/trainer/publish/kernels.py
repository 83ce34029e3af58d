"""Hot loops of the computed parts: min-hashes, and votes of sets for their songs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def min_hashes(first: int, last: int, indptr: Array, songs: Array, hashes: Array, salts: Array, out: Array) -> None:
    """out[r, k] = the low byte of the smallest k-th hash among the songs of row r, for rows first..last.

    hashes uint32 (songs,): well mixed numbers of the songs; the k-th hash of a song is its number and salts[k], uint32
    (width,), through a finaliser of two multiplications, which the compiler does for eight k at a time. A row without
    songs keeps what `out` holds.
    """
    width = salts.size
    for r in range(first, last):
        if indptr[r] == indptr[r + 1]:
            continue
        # Songs outside, hashes inside: neighbouring numbers and no branch, which the compiler makes vector code of.
        least = np.full(width, 0xFFFFFFFF, np.uint32)
        for i in range(indptr[r], indptr[r + 1]):
            number = hashes[songs[i]]
            for k in range(width):
                value = np.uint32(number ^ salts[k])
                value = np.uint32(value * np.uint32(0x7FEB352D))
                value = np.uint32(value ^ np.uint32(value >> np.uint32(15)))
                value = np.uint32(value * np.uint32(0x846CA68B))
                value = np.uint32(value ^ np.uint32(value >> np.uint32(16)))
                least[k] = min(least[k], value)
        for k in range(width):
            out[r, k] = np.uint8(least[k] & np.uint32(0xFF))


@njit(cache=True, nogil=True)
def most_voted(indptr: Array, sets: Array, genre_of: Array, genres: int, out: Array) -> None:
    """out[s] = the genre of most of song s's sets, the lower one of two; kept where no set of it has a genre.

    genre_of int16 (sets,), -1 for none; only songs whose out is -1 are looked at.
    """
    votes = np.zeros(genres, np.int64)
    for s in range(indptr.size - 1):
        if out[s] >= 0:
            continue
        # There are few genres: clearing all is cheaper than a list of those voted for.
        votes[:] = 0
        for i in range(indptr[s], indptr[s + 1]):
            genre = genre_of[sets[i]]
            if genre >= 0:
                votes[genre] += 1
        best = 0
        # Strictly more, so that of two the lower genre stays.
        for genre in range(genres):
            if votes[genre] > best:
                best = votes[genre]
                out[s] = genre

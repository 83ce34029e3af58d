"""Compiled loops of the learned taste: random halves of song sets, without what a basis knows of the whole set."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

_FAST = {"reassoc", "contract", "nsz"}
_ODD = np.uint64(0x9E3779B97F4A7C15)


class Known(NamedTuple):
    """Song sets, and what a basis makes of their songs.

    indptr, songs: the sets. scales float32 (rows,): of each. vectors float32 (S, d): a song with its artist in the
    basis. squares float32 (S,), (A,): squared weights of songs and artists. artist int32 (S,), -1 for none. removed
    float32 (d,): how much of a set's own place is taken out, by dimension.
    """

    indptr: Array
    songs: Array
    scales: Array
    vectors: Array
    song_squares: Array
    artist_squares: Array
    artist: Array
    removed: Array


@njit(cache=True, nogil=True, inline="always")
def _mix(state: np.uint64) -> np.uint64:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@njit(cache=True, nogil=True, fastmath=_FAST)
def split_sums(first: int, last: int, picked: Array, known: Known, seed: np.uint64, a: Array, b: Array) -> None:
    """a[i], b[i] = the summed vectors of two random halves of set picked[i], less the set's own part in the basis.

    A basis that was fitted on a set x knows that its songs go together: song s has the summand x_s z / sigma^2 from
    it, z the place of x in the basis. A half h loses `removed` * (h . x) z, where removed is a multiple of
    1 / sigma^2: what is left is what the other sets say. The halves depend on seed and row alone.
    """
    width = known.vectors.shape[1]
    counts = np.zeros(known.artist_squares.size, np.int32)
    for i in range(first, last):
        row = picked[i]
        songs = known.songs[known.indptr[row] : known.indptr[row + 1]].copy()
        state = _mix(seed + _ODD * np.uint64(row + 1))
        for j in range(songs.size - 1, 0, -1):  # Fisher and Yates
            state += _ODD
            other = np.int64(_mix(state) % np.uint64(j + 1))
            songs[j], songs[other] = songs[other], songs[j]
        for song in songs:
            if known.artist[song] >= 0:
                counts[known.artist[song]] += 1
        half = (songs.size + 1) // 2
        near_a = _sum(songs[:half], known, counts, a[i])
        near_b = _sum(songs[half:], known, counts, b[i])
        scale = known.scales[row] * known.scales[row]
        for k in range(width):
            place = known.removed[k] * scale * (a[i, k] + b[i, k])
            a[i, k] -= near_a * place
            b[i, k] -= near_b * place
        for song in songs:
            if known.artist[song] >= 0:
                counts[known.artist[song]] = 0


@njit(cache=True, nogil=True, fastmath=_FAST)
def _sum(songs: Array, known: Known, counts: Array, out: Array) -> np.float32:
    """Write the summed vectors of some songs of a set to out; their product with the whole set, before scaling."""
    product = np.float32(0)
    out[:] = 0
    for song in songs:
        vector = known.vectors[song]
        for k in range(vector.size):
            out[k] += vector[k]
        product += known.song_squares[song]
        artist = known.artist[song]
        if artist >= 0:
            product += known.artist_squares[artist] * np.float32(counts[artist])
    return product

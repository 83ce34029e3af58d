"""Compiled loops of the hybrid model: sums over song sets and back, gradients of triplets, Adam.

Every loop writes rows of its own in a fixed order, so that the result does not depend on the number of threads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

_FAST = {"reassoc", "contract", "nsz"}
BETA1, BETA2, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)


@njit(cache=True, nogil=True, fastmath=_FAST)
def sum_rows(first: int, last: int, indptr: Array, songs: Array, vectors: Array, scale: Array, out: Array) -> None:
    """out[r] = scale[r] * the sum of the vectors of row r's songs, for rows first..last."""
    width = vectors.shape[1]
    for r in range(first, last):
        total = np.zeros(width, np.float32)  # summed here and written once: a row of out is not read again
        for i in range(indptr[r], indptr[r + 1]):
            vector = vectors[songs[i]]
            for k in range(width):
                total[k] += vector[k]
        for k in range(width):
            out[r, k] = scale[r] * total[k]


@njit(cache=True, nogil=True)
def weigh(
    first: int,
    last: int,
    songs: Array,
    song_weights: Array,
    artist: Array,
    artists: Array,
    artist_weights: Array,
    out: Array,
) -> None:
    """out[s] = song_weights[s] * songs[s], and the same of its artist where that is not -1, for songs first..last."""
    for s in range(first, last):
        weight, a = song_weights[s], artist[s]
        for k in range(songs.shape[1]):
            out[s, k] = weight * songs[s, k]
        if a >= 0:
            of_artist = artist_weights[a]
            for k in range(songs.shape[1]):
                out[s, k] += of_artist * artists[a, k]


@njit(cache=True, nogil=True)
def sum_squares(indptr: Array, songs: Array, weights: Array, out: Array) -> None:
    """out[r] = the sum of the squared weights of row r's songs."""
    for r in range(indptr.size - 1):
        total = 0.0
        for i in range(indptr[r], indptr[r + 1]):
            total += np.float64(weights[songs[i]]) * weights[songs[i]]
        out[r] = total


@njit(cache=True, nogil=True)
def count_artists(indptr: Array, songs: Array, artist: Array, seen: Array, out: Array) -> None:
    """out[a] += rows that hold a song of artist a. seen int64 (artists,), all -1, is scratch."""
    for r in range(indptr.size - 1):
        for i in range(indptr[r], indptr[r + 1]):
            a = artist[songs[i]]
            # The last row that counted the artist, so that nothing has to be cleared between rows.
            if a >= 0 and seen[a] != r:
                seen[a] = r
                out[a] += 1


@njit(cache=True, nogil=True, fastmath=_FAST)
def add_back(first: int, last: int, indptr: Array, rows: Array, scale: Array, vectors: Array, out: Array) -> None:
    """out[s] += sum of scale[r] * vectors[r] over the rows r that hold song s, for songs first..last."""
    width = vectors.shape[1]
    # By song, along the transposed sets: a thread then writes rows that no other one writes, and needs no lock.
    for s in range(first, last):
        total = out[s]
        for i in range(indptr[s], indptr[s + 1]):
            r = rows[i]
            weight = scale[r]
            vector = vectors[r]
            for k in range(width):
                total[k] += weight * vector[k]


@njit(cache=True, nogil=True, fastmath=_FAST)
def by_artist(first: int, last: int, ptr: Array, songs: Array, weights: Array, gradient: Array, out: Array) -> None:
    """out[a] = weights[a] * the sum of the gradients of the artist's songs, for artists first..last."""
    width = gradient.shape[1]
    for a in range(first, last):
        total = np.zeros(width, np.float32)
        for i in range(ptr[a], ptr[a + 1]):
            for k in range(width):
                total[k] += gradient[songs[i], k]
        for k in range(width):
            out[a, k] = weights[a] * total[k]


@njit(cache=True, nogil=True, fastmath=_FAST)
def push_triplets(triplets: Array, users: Array, playlists: Array, out: Array) -> float:
    """out[i] = sigmoid(-margin of triplet i), float32; returns the summed loss, -log sigmoid(margin).

    margin = u . (p - n) over all dimensions (Rendle et al. 2009).
    """
    total = 0.0
    width = users.shape[1]
    for i in range(triplets.shape[0]):
        user, positive, negative = users[triplets[i, 0]], playlists[triplets[i, 1]], playlists[triplets[i, 2]]
        margin = np.float32(0.0)
        for k in range(width):
            margin += user[k] * (positive[k] - negative[k])
        e = math.exp(-abs(margin))  # never overflows
        total += math.log1p(e) + max(-float(margin), 0.0)
        out[i] = np.float32(e / (1.0 + e)) if margin > 0 else np.float32(1.0 / (1.0 + e))
    return total


@njit(cache=True, nogil=True, fastmath=_FAST)
def user_gradients(triplets: Array, pushes: Array, playlists: Array, skip: int, out: Array) -> None:
    """out[u] -= push * (p - n) of every triplet, over the dimensions from `skip`."""
    width = out.shape[1]
    # In the order of the triplets and on one thread: sums of float32 differ with their order.
    for i in range(triplets.shape[0]):
        push = pushes[i]
        row, positive, negative = out[triplets[i, 0]], playlists[triplets[i, 1]], playlists[triplets[i, 2]]
        for k in range(width):
            row[k] -= push * (positive[skip + k] - negative[skip + k])


@njit(cache=True, nogil=True, fastmath=_FAST)
def playlist_gradients(triplets: Array, pushes: Array, users: Array, skip: int, out: Array) -> None:
    """out[p] -= push * u and out[n] += push * u of every triplet, over the dimensions from `skip`."""
    width = out.shape[1]
    for i in range(triplets.shape[0]):
        push = pushes[i]
        user, positive, negative = users[triplets[i, 0]], out[triplets[i, 1]], out[triplets[i, 2]]
        for k in range(width):
            change = push * user[skip + k]
            positive[k] -= change
            negative[k] += change


class Learned(NamedTuple):
    """A table that Adam learns, float32 (rows, d), and both moments of its gradient, of the same shape."""

    values: Array
    mean: Array
    square: Array


@njit(cache=True, nogil=True)
def adam(
    first: int, last: int, table: Learned, gradient: Array, weights: Array, decay: float, rate: float, steps: int
) -> None:
    """One step of Adam (Kingma and Ba 2015) on rows first..last, in place; steps counts from 1.

    The gradient of row r is weights[r] * gradient[r] + decay * values[r]. A row that never had a gradient stays where
    it is.
    """
    one = np.float32(1.0)
    step = np.float32(rate / (1.0 - float(BETA1) ** steps))
    correction = np.float32(1.0 / (1.0 - float(BETA2) ** steps))
    pull = np.float32(decay)
    values, mean, square = table
    # Moments and value of an entry in one walk: the arrays are larger than any cache.
    for r in range(first, last):
        weight = weights[r]
        for k in range(values.shape[1]):
            g = weight * gradient[r, k] + pull * values[r, k]
            mean[r, k] = BETA1 * mean[r, k] + (one - BETA1) * g
            square[r, k] = BETA2 * square[r, k] + (one - BETA2) * g * g
            values[r, k] -= step * mean[r, k] / (np.sqrt(correction * square[r, k]) + EPSILON)

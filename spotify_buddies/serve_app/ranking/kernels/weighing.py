"""Lists by more than the score: novelty, and genres in the proportions of the user's own songs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.columns import Limits
from spotify_buddies.serve_app.ranking.kernels.rules import fits

Array = npt.NDArray[Any]

# What a list has of a genre is mixed with this share of what the user has, so that no logarithm is infinite; as in the
# paper of calibrated recommendations.
SMOOTHING = 0.01


@njit(cache=True, nogil=True)
def divergence(wanted: float, share: float) -> float:
    """A genre's part of the Kullback-Leibler divergence of a list's genres from those that are wanted."""
    if wanted <= 0.0:
        return 0.0
    return wanted * np.log(wanted / ((1.0 - SMOOTHING) * share + SMOOTHING * wanted))


@njit(cache=True, nogil=True)
def grow(wanted: Array, taken: Array, count: int, gains: Array) -> None:
    """gains[g]: how much nearer a list of `count` playlists comes to `wanted` by one more of genre g, than by none.

    taken: playlists of each genre in the list. Of the divergences of all lists with one playlist more only differences
    matter, so that each genre costs two logarithms, whatever number of playlists there is to choose from.
    """
    for g in range(wanted.size):
        without, with_it = taken[g] / (count + 1), (taken[g] + 1) / (count + 1)
        gains[g] = divergence(wanted[g], without) - divergence(wanted[g], with_it)


@njit(cache=True, nogil=True)
def weigh(
    playlists: Array,
    values: Array,
    novelty: Array,
    adventurous: float,
    genre_of: Array,
    wanted: Array,
    calibration: float,
    owner: Array,
    sketches: Array,
    song_bits: Array,
    song_indptr: Array,
    songs: Array,
    limits: Limits,
    rows: Array,
    scores: Array,
) -> int:
    """Fill a list one place after the other, by the rules, and return its length.

    Each place goes to the playlist with the largest (1 - c) * ((1 - a) * score + a * novelty) + c * gain, the score
    scaled to 0..1 over the playlists, a = adventurous, c = calibration and gain the step towards the wanted genres:
    maximum marginal relevance with the calibration of Steck (RecSys 2018). Ties: who came first. wanted float32
    (genres,): shares that sum to 1; empty or zeros: nothing is calibrated. scores are those of the model.
    """
    weights = weights_of(playlists, values, novelty, adventurous)
    c = calibration if wanted.size > 0 and wanted.sum() > 0.0 else 0.0
    taken, gains = np.zeros(wanted.size, np.int64), np.zeros(wanted.size, np.float64)
    is_left = np.ones(playlists.size, np.bool_)
    count, left = 0, playlists.size
    while count < rows.size and left > 0:
        if c > 0.0:
            grow(wanted, taken, count, gains)
        best, most = -1, -np.inf
        for j in range(playlists.size):
            if is_left[j]:
                genre = genre_of[playlists[j]] if c > 0.0 else -1
                value = (1.0 - c) * weights[j] + (c * gains[genre] if genre >= 0 else 0.0)
                if value > most:
                    best, most = j, value
        # NaN is larger than nothing: the list takes what comes first, and is refused for its scores later.
        best = best if best >= 0 else int(np.argmax(is_left))
        is_left[best] = False
        left -= 1
        if fits(playlists[best], rows, count, owner, sketches, song_bits, song_indptr, songs, limits):
            rows[count], scores[count] = playlists[best], values[best]
            if c > 0.0 and genre_of[playlists[best]] >= 0:
                taken[genre_of[playlists[best]]] += 1
            count += 1
    return count


@njit(cache=True, nogil=True)
def weights_of(playlists: Array, values: Array, novelty: Array, adventurous: float) -> Array:
    """The score of each playlist, scaled to 0..1 over all of them, mixed with its novelty, float64 (playlists,)."""
    weights = np.empty(playlists.size, np.float64)
    if playlists.size == 0:
        return weights
    low, high = values.min(), values.max()
    width = high - low if high > low else np.float32(1.0)
    a = adventurous if novelty.size > 0 else 0.0
    for j in range(playlists.size):
        weights[j] = (1.0 - a) * ((values[j] - low) / width)
        if a > 0.0:
            weights[j] += a * novelty[playlists[j]]
    return weights


@njit(cache=True, nogil=True)
def genre_shares(indptr: Array, songs: Array, rows: Array, genre_of: Array, most: int, out: Array) -> None:
    """out[i, g] = the share of genre g among the songs of row rows[i] that have one, float32; zeros where none has.

    At most `most` songs of a row are looked at, evenly spread. rows: -1 stands for no songs.
    """
    out[:] = 0.0
    for i in range(rows.size):
        if rows[i] < 0:
            continue
        first, last = indptr[rows[i]], indptr[rows[i] + 1]
        step, total = max(1, (last - first + most - 1) // most), 0
        for place in range(first, last, step):
            genre = genre_of[songs[place]]
            if genre >= 0:
                out[i, genre] += 1.0
                total += 1
        for genre in range(out.shape[1] if total else 0):
            out[i, genre] /= total

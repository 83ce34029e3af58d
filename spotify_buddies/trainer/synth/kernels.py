"""Compiled draws: songs of users and playlists from mixtures of scenes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.foundation.arrays.streams import draw, fraction, hashed

Array = npt.NDArray[Any]

SLOTS = 12  # scenes that one taste mixes, at most


@njit(cache=True, nogil=True)
def uniform(state: Array) -> Any:
    """The next number in [0, 1) of a stream; state uint64 (1,) moves on."""
    return fraction(draw(state))


@njit(cache=True, nogil=True)
def _pick(cumulative: Array, start: int, end: int, u: float) -> Any:
    """The position in start..end-1 whose share of the cumulative weights holds u."""
    low, high = start, end - 1
    before = cumulative[start - 1] if start > 0 else 0.0
    wanted = before + u * (cumulative[end - 1] - before)
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > wanted:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True, nogil=True)
def _scene(state: Array, genres: Array, scenes: Array, starts: Array) -> Any:
    """A scene at random: a genre by its weight, then one of its scenes."""
    genre = _pick(genres, 0, genres.size, uniform(state))
    return _pick(scenes, starts[genre], starts[genre + 1], uniform(state))


@njit(cache=True, nogil=True)
def _taste(
    state: Array, concentration: float, genres: Array, scenes: Array, starts: Array, slots: Array, weights: Array
) -> None:
    """A row's scenes into `slots` and their cumulative weights into `weights`, by stick-breaking."""
    left = 1.0
    total = 0.0
    for t in range(SLOTS):
        slots[t] = _scene(state, genres, scenes, starts)
        # Beta(1, c) by its inverse: each stick takes a share of what the earlier ones left.
        piece = left * (1.0 - uniform(state) ** (1.0 / concentration))
        left -= piece
        total += piece
        weights[t] = total


@njit(cache=True, nogil=True)
def draw_rows(
    seed: int,
    first: int,
    sizes: Array,
    side: int,
    concentration: float,
    genres: Array,
    scenes: Array,
    genre_starts: Array,
    songs: Array,
    scene_starts: Array,
    sides: Array,
    artist_of: Array,
    artist_starts: Array,
    artist_songs: Array,
    stamp: Array,
) -> tuple[Array, Array]:
    """Draw sizes[r] distinct songs for each row; returns the row starts int64 (rows + 1,) and the songs int32.

    A taste is a Dirichlet process over scenes (stick-breaking, SLOTS sticks): a large concentration mixes many scenes.
    One song in five is another song of the last artist, one in ten comes from anywhere. Only songs with the bit `side`
    in `sides` are drawn. The draw of a row depends on the seed and the row number alone. stamp int64 (songs,), any
    values below `first` + 1, is scratch. A row that cannot be filled in 60 tries a song stays short.
    """
    indptr = np.zeros(sizes.size + 1, np.int64)
    out = np.empty(sizes.sum(), np.int32)
    state = np.zeros(1, np.uint64)
    slot_scene = np.empty(SLOTS, np.int64)
    slot_weight = np.empty(SLOTS, np.float64)
    filled = 0
    for r in range(sizes.size):
        state[0] = hashed(seed, first + r)
        _taste(state, concentration, genres, scenes, genre_starts, slot_scene, slot_weight)
        got = 0
        last = -1
        tries = 60 * sizes[r]
        while got < sizes[r] and tries > 0:
            tries -= 1
            u = uniform(state)
            if u < 0.2 and last >= 0:
                a = artist_of[last]
                width = artist_starts[a + 1] - artist_starts[a]
                song = int(artist_songs[artist_starts[a] + int(uniform(state) * width)])
            else:
                # The last third of the tries goes anywhere: a narrow taste may lack songs of this side.
                anywhere = u >= 0.9 or tries < 20 * sizes[r]
                if anywhere:
                    scene = _scene(state, genres, scenes, genre_starts)
                else:
                    scene = slot_scene[_pick(slot_weight, 0, SLOTS, uniform(state))]
                song = _pick(songs, scene_starts[scene], scene_starts[scene + 1], uniform(state))
            if sides[song] & side == 0 or stamp[song] == first + r + 1:
                continue
            # Marked with the row's number, so that nothing is cleared between rows.
            stamp[song] = first + r + 1
            out[filled] = song
            filled += 1
            got += 1
            last = song
        indptr[r + 1] = filled
    return indptr, out[:filled]

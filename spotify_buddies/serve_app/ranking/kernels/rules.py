"""The rules of a list: who may get a playlist at all, and which may follow those that are in the list.

They take arrays one by one: read from a tuple, each would be counted as a reference for every playlist.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.columns import Limits
from spotify_buddies.serve_app.ranking.kernels.order import holds
from spotify_buddies.serve_app.ranking.prefetch import ones, prefetch

Array = npt.NDArray[Any]

# Places of marks, a power of two, and their mask: the songs of a playlist leave nearly all of them empty.
MARKS = 2_048
MARKED = MARKS - 1


@njit(cache=True, nogil=True)
def refused_to(user: int, refused_indptr: Array, refused: Array) -> Array:
    """What the bundle refuses a user, ascending; -1 stands for nobody, who is refused nothing."""
    if user < 0 or refused_indptr.size == 0:
        return refused[:0]
    return refused[refused_indptr[user] : refused_indptr[user + 1]]


@njit(cache=True, nogil=True)
def is_allowed(user: int, playlist: int, owner: Array, refused: Array, excluded: Array, blocked: Array) -> bool:
    """Whether a user may get a playlist at all: not their own, not refused to them, not excluded for everybody, and not
    blocked.
    """
    if user >= 0 and owner[playlist] == user:
        return False
    if refused.size > 0 and holds(refused, playlist):
        return False
    if excluded.size > 0 and holds(excluded, playlist):
        return False
    return not (blocked.size > 0 and holds(blocked, playlist))


@njit(cache=True, nogil=True)
def is_contained(one: Array, marks: Array, other: Array, most: float) -> bool:
    """Whether more than the share `most` of the smaller of two ascending rows is in the larger; never of an empty one.

    The overlap coefficient (Szymkiewicz and Simpson), left as soon as it is decided. marks: not 0 at the place of each
    song of `one`, so that nearly all that is not in it costs one look and no search.
    """
    needed = int(most * min(one.size, other.size)) + 1
    if 2 * one.size < other.size:
        # Fewer searches than looks.
        spare = one.size - needed
        for song in one:
            if spare < 0:
                return False
            spare -= not holds(other, song)
        return spare >= 0
    spare = other.size - needed
    for song in other:
        if spare < 0:
            return False
        spare -= not (marks[song & MARKED] and holds(one, song))
    return spare >= 0


@njit(cache=True, nogil=True)
def fits(
    playlist: int,
    rows: Array,
    count: int,
    owner: Array,
    sketches: Array,
    song_bits: Array,
    song_indptr: Array,
    songs: Array,
    limits: Limits,
) -> bool:
    """Whether a playlist may follow the first `count` of a list: its owner's share is free, and it is no copy or part
    of another one.
    """
    if owner[playlist] >= 0 and limits.max_per_owner <= count:
        same = 0
        for k in range(count):
            same += owner[rows[k]] == owner[playlist]
        if same >= limits.max_per_owner:
            return False
    if limits.most_equal < sketches.shape[1]:
        for k in range(count):
            equal = 0
            # Not left early: without a branch the compiler compares many bytes with one instruction.
            for b in range(sketches.shape[1]):
                equal += sketches[playlist, b] == sketches[rows[k], b]
            if equal > limits.most_equal:
                return False
    if limits.most_contained < 1.0 and song_indptr.size > 1 and count > 0:
        return not is_part(playlist, rows, count, song_bits, song_indptr, songs, limits)
    return True


@njit(cache=True, nogil=True)
def is_part(
    playlist: int, rows: Array, count: int, song_bits: Array, song_indptr: Array, songs: Array, limits: Limits
) -> bool:
    """Whether a playlist and one of the first `count` of a list are, mostly, parts of each other."""
    mine, marks = songs[song_indptr[playlist] : song_indptr[playlist + 1]], limits.marks
    part, marked, k = False, False, 0
    while k < count and not part:
        first, last = song_indptr[rows[k]], song_indptr[rows[k] + 1]
        if may_be_contained(song_bits, playlist, mine.size, rows[k], last - first, limits.most_contained):
            if not marked:
                for song in mine:
                    marks[song & MARKED] = 1
                marked = True
            part = is_contained(mine, marks, songs[first:last], limits.most_contained)
        k += 1
    if marked:
        for song in mine:
            marks[song & MARKED] = 0
    return part


@njit(cache=True, nogil=True)
def may_be_contained(song_bits: Array, one: int, one_size: int, other: int, other_size: int, most: float) -> bool:
    """Whether is_contained may hold of two playlists with so many songs: False is certain.

    Every bit that only one of them has stands for a song at least that the other lacks.
    """
    needed = int(most * min(one_size, other_size)) + 1
    alone, apart = np.uint64(0), np.uint64(0)
    for w in range(song_bits.shape[1]):
        mine, theirs = song_bits[one, w], song_bits[other, w]
        alone += ones(mine & ~theirs)
        apart += ones(theirs & ~mine)
    return bool(one_size - np.int64(alone) >= needed and other_size - np.int64(apart) >= needed)


@njit(cache=True, nogil=True)
def fetch_bits(song_indptr: Array, song_bits: Array, playlists: Array, count: int) -> None:
    """Request what the first `count` playlists are compared by from memory."""
    for j in range(count):
        prefetch(song_indptr, playlists[j], 0)
        prefetch(song_bits, playlists[j], 0)


@njit(cache=True, nogil=True)
def pick(
    playlists: Array,
    values: Array,
    user: int,
    owner: Array,
    sketches: Array,
    song_bits: Array,
    song_indptr: Array,
    songs: Array,
    refused: Array,
    excluded: Array,
    blocked: Array,
    limits: Limits,
    rows: Array,
    scores: Array,
) -> int:
    """Fill a list from playlists that are sorted best first, by the rules, and return its length."""
    if limits.most_contained < 1.0 and song_indptr.size > 1:
        fetch_bits(song_indptr, song_bits, playlists, min(playlists.size, rows.size + 1))
    count = 0
    for j in range(playlists.size):
        if count == rows.size:
            break
        playlist = playlists[j]
        if is_allowed(user, playlist, owner, refused, excluded, blocked) and fits(
            playlist, rows, count, owner, sketches, song_bits, song_indptr, songs, limits
        ):
            rows[count] = playlist
            scores[count] = values[j]
            count += 1
    return count

"""Loops over songs: what two users share, and the genre of a taste."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.columns import ExplainedLists, Libraries
from spotify_buddies.serve_app.ranking.kernels.kinds import ARTISTS, FOLLOWERS, OPEN, OWNER, SONGS, TASTE
from spotify_buddies.serve_app.ranking.kernels.order import holds, offer
from spotify_buddies.serve_app.ranking.prefetch import LINE_BYTES, borrowed, prefetch
from spotify_buddies.trainer.bundle.reasons import codes

Array = npt.NDArray[Any]

# Places of marks, one less than a power of two: a user's songs leave most of them empty.
PLACES = (1 << 14) - 1
# Users whose songs, and their owners', are requested ahead of the one that is compared; songs of each, of 4 bytes.
AHEAD = 4
FETCHED = 128
SONGS_A_LINE = LINE_BYTES // 4


@njit(cache=True, nogil=True)
def share_one(mine: Array, marks: Array, theirs: Array, listeners: Array, examples: Array, known: Array) -> int:
    """Count what two ascending rows of songs share, and keep the best known of it, best first; ties by song row.

    marks: not 0 at the place of each of mine, so that nearly all that is not shared costs one look and no comparison.
    known: room for as many numbers as there are examples. Examples that are not filled are left as they are.
    """
    shared, count = 0, 0
    for song in theirs:
        if marks[song & PLACES] and holds(mine, song):
            count = offer(examples, known, count, song, listeners[song])
            shared += 1
    return shared


@njit(cache=True, nogil=True)
def fetch_songs(indptr: Array, songs: Array, row: int) -> None:
    """Request the first songs of a row from memory, to be read soon; -1: there is none."""
    if row >= 0:
        for place in range(indptr[row], min(indptr[row + 1], indptr[row] + FETCHED), SONGS_A_LINE):
            prefetch(songs, place, 0)


def share(
    lists: ExplainedLists, libraries: Libraries, said: Array, shared: Array, kinds: Array, examples: Array
) -> int:
    """The songs that each user shares with the owner of each playlist of the list, or else with the playlist itself.

    said: what the bundle says of each place, from look_up: nothing is looked for where it cannot be. Writes shared,
    kinds (users, limit) and examples (users, limit, most), best known first, -1 padded; nothing is shared where
    anything is missing or the list's kind is not TASTE. Returns at how many places `tie` has to look: they are OPEN, or
    ARTISTS of which none are counted yet.
    """
    left: int = share_columns(tuple(lists), tuple(libraries), said, shared, kinds, examples)
    return left


@njit(cache=True, nogil=True)
def share_columns(
    lists: tuple[Any, ...], libraries: tuple[Any, ...], said: Array, shared: Array, kinds: Array, examples: Array
) -> int:
    """As share, with the fields of its arguments."""
    # Taken apart once: numba counts a reference whenever an array is read from a tuple, unless it is borrowed.
    rows, counts, unshared, song_rows, song_indptr, song_values = borrowed(lists)
    owner, indptr, songs, listeners, playlist_indptr, playlist_songs = borrowed(libraries)
    known = np.empty(examples.shape[2], np.float64)
    marks = np.zeros(PLACES + 1, np.uint8)
    shared[:] = 0
    kinds[:] = 0
    examples[:] = -1
    left = 0
    for i in range(song_rows.size):
        if i + 2 * AHEAD < song_rows.size:
            if song_rows[i + 2 * AHEAD] >= 0:
                prefetch(song_indptr, song_rows[i + 2 * AHEAD], 0)
            for j in range(counts[i + 2 * AHEAD]):
                place = rows[i + 2 * AHEAD, j]
                if owner[place] >= 0:
                    prefetch(indptr, owner[place], 0)
                if playlist_indptr.size > 0:
                    prefetch(playlist_indptr, place, 0)
        if i + AHEAD < song_rows.size:
            fetch_songs(song_indptr, song_values, song_rows[i + AHEAD])
            for j in range(counts[i + AHEAD]):
                code = said[i + AHEAD, j]
                if code == codes.NOT_SAID or code == codes.OWNER:
                    fetch_songs(indptr, songs, owner[rows[i + AHEAD, j]])
                elif playlist_indptr.size > 0 and (code == codes.SONGS or code == codes.ARTISTS):
                    fetch_songs(playlist_indptr, playlist_songs, rows[i + AHEAD, j])
        row = song_rows[i]
        kinds[i, : counts[i]] = unshared[i]
        if row < 0 or unshared[i] != TASTE:
            continue
        mine = song_values[song_indptr[row] : song_indptr[row + 1]]
        for song in mine:
            marks[song & PLACES] = 1
        for j in range(counts[i]):
            code, user, count = said[i, j], owner[rows[i, j]], 0
            if code > codes.ARTISTS:
                shared[i, j], kinds[i, j] = code - codes.ARTISTS, FOLLOWERS
                continue
            if code == codes.TASTE:
                continue
            if user >= 0 and (code == codes.NOT_SAID or code == codes.OWNER):
                theirs = songs[indptr[user] : indptr[user + 1]]
                count = share_one(mine, marks, theirs, listeners, examples[i, j], known)
                kinds[i, j] = OWNER
            if count == 0 and playlist_indptr.size > 0 and (code == codes.NOT_SAID or code == codes.SONGS):
                its = playlist_songs[playlist_indptr[rows[i, j]] : playlist_indptr[rows[i, j] + 1]]
                count = share_one(mine, marks, its, listeners, examples[i, j], known)
                kinds[i, j] = SONGS
            if count == 0:
                kinds[i, j] = ARTISTS if code == codes.ARTISTS else OPEN
                left += 1
            shared[i, j] = count
        # Only the marks that were set: emptying all of them costs more than most users' songs.
        for song in mine:
            marks[song & PLACES] = 0
    return left


@njit(cache=True, nogil=True)
def vote(indptr: Array, songs: Array, genre_of: Array, listeners: Array, users: int, genres: int, out: Array) -> None:
    """The genre with the largest weight of songs per row, -1 for none; of two with the same weight the lower one.

    genre_of int16 (all songs,), -1 unknown. A song weighs log((1 + users) / (1 + its listeners)) + 1, as the inverse
    document frequency of scikit-learn's TfidfTransformer.
    """
    votes = np.zeros(genres, np.float64)
    for row in range(indptr.size - 1):
        votes[:] = 0.0
        for i in range(indptr[row], indptr[row + 1]):
            song = songs[i]
            genre = genre_of[song]
            if genre >= 0:
                votes[genre] += np.log((1.0 + users) / (1.0 + listeners[song])) + 1.0
        out[row] = -1
        best = 0.0
        for genre in range(genres):
            if votes[genre] > best:
                best = votes[genre]
                out[row] = genre

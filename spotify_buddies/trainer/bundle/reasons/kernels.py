"""The loop over all candidates of some users. Marks of a user's songs, artists and follows are set once for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.trainer.bundle.reasons.codes import ARTISTS, MOST_FOLLOWERS, NOT_SAID, OWNER, SONGS, TASTE

Array = npt.NDArray[Any]
Rows = tuple[Array, Array]


@njit(cache=True, nogil=True)
def holds_marked(entries: Array, marks: Array) -> bool:
    """Whether one of the entries is marked."""
    place = 0
    while place < entries.size and not marks[entries[place]]:
        place += 1
    return place < entries.size


@njit(cache=True, nogil=True)
def holds_marked_artist(songs: Array, artist: Array, marks: Array) -> bool:
    """Whether one of the songs is by a marked artist."""
    place = 0
    while place < songs.size and not (artist[songs[place]] >= 0 and marks[artist[songs[place]]]):
        place += 1
    return place < songs.size


@njit(cache=True, nogil=True)
def row_of(rows: Rows, number: int) -> Array:
    """A row of (indptr, entries); empty where there are no rows at all."""
    indptr, entries = rows
    if indptr.size == 0:
        return entries[:0]
    return entries[indptr[number] : indptr[number + 1]]


@njit(cache=True, nogil=True)
def find_codes(
    first: int,
    last: int,
    playlists: int,
    candidates: Rows,
    owner: Array,
    user_songs: Rows,
    playlist_songs: Rows,
    artist: Array,
    co_followers: Rows,
    followed: Rows,
    songs: int,
    out: Array,
) -> None:
    """The codes of the candidates of users first up to last, into their places of out, uint8 (candidates,).

    Matrices as in Bundle, (indptr, entries) each, both empty where there is none; artist: empty likewise.
    """
    heard, by = np.zeros(songs, np.uint8), np.zeros(songs if artist.size else 0, np.uint8)
    followers = np.zeros(playlists if co_followers[0].size else 0, np.int32)
    indptr, rows = candidates
    for user in range(first, last):
        mine, people = row_of(user_songs, user), row_of(co_followers, user)
        for song in mine:
            heard[song] = 1
            if artist.size and artist[song] >= 0:
                by[artist[song]] = 1
        for person in people:
            for playlist in row_of(followed, person):
                followers[playlist] += 1
        for place in range(indptr[user], indptr[user + 1]):
            playlist = rows[place]
            its, by_owner = row_of(playlist_songs, playlist), owner[playlist]
            if by_owner >= 0 and holds_marked(row_of(user_songs, by_owner), heard):
                out[place] = OWNER
            elif holds_marked(its, heard):
                out[place] = SONGS
            elif artist.size and holds_marked_artist(its, artist, by):
                out[place] = ARTISTS
            elif people.size and followers[playlist] > 0:
                count = followers[playlist]
                out[place] = ARTISTS + count if count <= MOST_FOLLOWERS else NOT_SAID
            else:
                out[place] = TASTE
        # Only what was set: emptying all of it costs more than most users.
        for song in mine:
            heard[song] = 0
            if artist.size and artist[song] >= 0:
                by[artist[song]] = 0
        for person in people:
            for playlist in row_of(followed, person):
                followers[playlist] = 0

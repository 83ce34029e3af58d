"""Loops over what ties a playlist to a user without a song: artists of the user's songs, and followers in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.columns import ExplainedLists, Ties
from spotify_buddies.serve_app.ranking.kernels.kinds import ARTISTS, FOLLOWERS, OPEN, TASTE
from spotify_buddies.serve_app.ranking.kernels.order import first_from, offer
from spotify_buddies.serve_app.ranking.kernels.songs import PLACES
from spotify_buddies.serve_app.ranking.prefetch import borrowed, prefetch

Array = npt.NDArray[Any]

# Entries of a row that are compared faster than the right one is found by halves.
SCANNED = 64


@njit(cache=True, nogil=True)
def artists_of(songs: Array, artist: Array) -> Array:
    """The artist of each song that has one, ascending, one entry a song."""
    found = np.empty(songs.size, np.int32)
    count = 0
    for song in songs:
        found[count] = artist[song]
        count += artist[song] >= 0
    return np.sort(found[:count])


@njit(cache=True, nogil=True)
def count_equal(ascending: Array, value: int) -> int:
    """How often an ascending array holds a value."""
    first = first_from(ascending, value)
    end = first
    while end < ascending.size and ascending[end] == value:
        end += 1
    return end - first


@njit(cache=True, nogil=True)
def count_by_artists(mine: Array, marks: Array, songs: Array, artist: Array, examples: Array, weights: Array) -> int:
    """Count the songs of an ascending row that are by the artists `mine`, as from artists_of.

    marks: not 0 at the place of each of mine, so that nearly all others cost one look and no comparison.
    examples: one song of each of the artists with most entries in mine, most first, ties by song row. weights: room for
    as many numbers. Examples that are not filled are left as they are.
    """
    count, filled = 0, 0
    for song in songs:
        of = artist[song]
        entries = count_equal(mine, of) if of >= 0 and marks[of & PLACES] else 0
        if entries == 0:
            continue
        count += 1
        known = False
        for k in range(filled):
            known |= artist[examples[k]] == of
        if not known:
            filled = offer(examples, weights, filled, song, float(entries))
    return count


@njit(cache=True, nogil=True)
def fetch_followed(people: Array, followed_indptr: Array, followed: Array) -> None:
    """Request what these people follow from memory, to be searched soon: first where it is."""
    for person in people:
        prefetch(followed_indptr, person, 0)
    for person in people:
        if followed_indptr[person] < followed_indptr[person + 1]:
            prefetch(followed, followed_indptr[person], 0)


@njit(cache=True, nogil=True)
def is_between(ascending: Array, first: int, last: int, value: int) -> bool:
    """Whether ascending[first:last] holds a value. By places: a slice for every person would be counted as a reference.

    A short row is compared as a whole, by vector instructions, without a branch to be guessed.
    """
    while last - first > SCANNED:
        middle = (first + last) // 2
        if ascending[middle] <= value:
            first = middle
        else:
            last = middle
    equal = 0
    for place in range(first, last):
        equal += ascending[place] == value
    return equal > 0


@njit(cache=True, nogil=True)
def count_followers(people: Array, followed_indptr: Array, followed: Array, playlist: int) -> int:
    """How many of these people follow a playlist."""
    count = 0
    for person in people:
        count += is_between(followed, followed_indptr[person], followed_indptr[person + 1], playlist)
    return count


def tie(lists: ExplainedLists, users: bool, ties: Ties, shared: Array, kinds: Array, examples: Array) -> None:
    """Fill the places that `share` leaves, where artists or else followers tie playlist and user; others are TASTE.

    users: whether song_rows are rows of users too; people whom no bundle holds have no followers in common. shared: the
    playlist's songs by artists of the user's songs, or those of the user's co-followers who follow it. examples: songs
    of the playlist, one of each of up to as many artists, first those of most of the user's songs.
    """
    tie_columns(tuple(lists), users, tuple(ties), shared, kinds, examples)


@njit(cache=True, nogil=True)
def tie_columns(
    lists: tuple[Any, ...], users: bool, ties: tuple[Any, ...], shared: Array, kinds: Array, examples: Array
) -> None:
    """As tie, with the fields of its arguments."""
    # Taken apart once: numba counts a reference whenever an array is read from a tuple, unless it is borrowed.
    rows, counts, _, song_rows, song_indptr, songs = borrowed(lists)
    artist, playlist_indptr, playlist_songs, co_indptr, co_followers, followed_indptr, followed = borrowed(ties)
    weights = np.empty(examples.shape[2], np.float64)
    with_artists = artist.size > 0 and playlist_indptr.size > 0
    with_followers = users and co_indptr.size > 0
    nobody = np.empty(0, np.int32)
    marks = np.zeros(PLACES + 1, np.uint8)
    for i in range(song_rows.size):
        row = song_rows[i]
        if row < 0:
            continue
        mine, people = nobody, nobody
        artists_sought, people_sought = with_artists, with_followers
        for j in range(counts[i]):
            if kinds[i, j] != OPEN and (kinds[i, j] != ARTISTS or shared[i, j] > 0):
                continue
            playlist, count, kind = rows[i, j], 0, TASTE
            if artists_sought:
                # Once, and only for a user of whom a place is left; so are the people.
                mine, artists_sought = artists_of(songs[song_indptr[row] : song_indptr[row + 1]], artist), False
                for of in mine:
                    marks[of & PLACES] = 1
            if mine.size > 0:
                its = playlist_songs[playlist_indptr[playlist] : playlist_indptr[playlist + 1]]
                count, kind = count_by_artists(mine, marks, its, artist, examples[i, j], weights), ARTISTS
            if count == 0 and people_sought:
                people, people_sought = co_followers[co_indptr[row] : co_indptr[row + 1]].copy(), False
                fetch_followed(people, followed_indptr, followed)
            if count == 0 and people.size > 0:
                count, kind = count_followers(people, followed_indptr, followed, playlist), FOLLOWERS
            shared[i, j], kinds[i, j] = count, kind if count > 0 else TASTE
        for of in mine:
            marks[of & PLACES] = 0

"""A Reason: what it counts, examples of that, and the sentence. Functions as in wire.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.encoding.kernels.tags import (
    ARTIST,
    ARTIST_SONGS,
    COMMON_FOLLOWERS,
    KIND,
    SHARED_SONGS,
    TEXT,
)
from spotify_buddies.serve_app.ranking.encoding.kernels.wire import (
    put_byte,
    put_field,
    put_grouped,
    put_head,
    put_row,
    put_varint,
)
from spotify_buddies.serve_app.ranking.kernels.kinds import ARTISTS, FOLLOWERS, OWNER, POPULAR_WITH, SONGS, TASTE

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def put_text(out: Array | None, place: int, kind: int, number: int, phrase_offsets: Array, phrases: Array) -> int:
    """A sentence."""
    row = 3 * kind
    if kind == TASTE or number <= 1:
        return put_row(out, place, phrase_offsets, phrases, row)
    place = put_grouped(out, put_row(out, place, phrase_offsets, phrases, row + 1), number)
    return put_row(out, place, phrase_offsets, phrases, row + 2)


@njit(cache=True, nogil=True)
def put_count(out: Array | None, place: int, tag: int, number: int) -> int:
    """A number as a field."""
    return put_varint(out, put_byte(out, place, tag), number)


@njit(cache=True, nogil=True)
def put_reason(
    out: Array | None,
    place: int,
    kind: int,
    shared: int,
    score: float,
    examples: Array,
    song_offsets: Array,
    songs: Array,
    artist_offsets: Array,
    artists: Array,
    phrase_offsets: Array,
    phrases: Array,
) -> int:
    """The fields of a Reason. kind, shared, examples: as Reasons. score: of a popular playlist, those who like it."""
    if kind in (OWNER, SONGS):
        place = put_count(out, place, SHARED_SONGS, np.int64(shared))
        for song in examples:
            if song >= 0:
                place = put_row(out, place, song_offsets, songs, np.int64(song))
    number = np.int64(score) if kind >= POPULAR_WITH else np.int64(shared)
    size = put_text(None, np.int64(0), np.int64(kind), number, phrase_offsets, phrases)
    place = put_text(out, put_head(out, place, TEXT, size), np.int64(kind), number, phrase_offsets, phrases)
    place = put_count(out, place, KIND, np.int64(kind))
    if kind == ARTISTS:
        place = put_count(out, place, ARTIST_SONGS, np.int64(shared))
        for song in examples:
            if song >= 0:
                place = put_field(out, place, ARTIST, artist_offsets, artists, np.int64(song))
    if kind == FOLLOWERS:
        place = put_count(out, place, COMMON_FOLLOWERS, np.int64(shared))
    return place

"""A Reason: the number of shared songs, examples of them, and the sentence. Functions as in wire.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.encoding.kernels.tags import SHARED_SONGS, TEXT
from spotify_buddies.serve_app.ranking.encoding.kernels.wire import (
    put_byte,
    put_grouped,
    put_head,
    put_row,
    put_varint,
)

Array = npt.NDArray[Any]

# Wordings: the first says no number; the second says the songs that are shared, the last those of the playlist itself,
# the others likes.
CLOSE = 0
SHARED = 1
PLAYLISTS_SONGS = 4


@njit(cache=True, nogil=True)
def put_text(out: Array | None, place: int, worded: int, number: int, phrase_offsets: Array, phrases: Array) -> int:
    """A sentence."""
    row = 3 * worded
    if worded == CLOSE or number <= 1:
        return put_row(out, place, phrase_offsets, phrases, row)
    place = put_grouped(out, put_row(out, place, phrase_offsets, phrases, row + 1), number)
    return put_row(out, place, phrase_offsets, phrases, row + 2)


@njit(cache=True, nogil=True)
def put_reason(
    out: Array | None,
    place: int,
    worded: int,
    shared: int,
    score: float,
    examples: Array,
    song_offsets: Array,
    songs: Array,
    phrase_offsets: Array,
    phrases: Array,
) -> int:
    """The fields of a Reason. shared: as Reasons. score: of a popular playlist the number of its likes."""
    if shared != 0:
        place = put_varint(out, put_byte(out, place, SHARED_SONGS), np.int64(abs(shared)))
    for song in examples:
        if song >= 0:
            place = put_row(out, place, song_offsets, songs, np.int64(song))
    wording = np.int64(worded)
    if worded == SHARED and shared <= 0:
        wording = np.int64(PLAYLISTS_SONGS if shared < 0 else CLOSE)
    number = np.int64(score if wording == worded and wording > SHARED else abs(shared))
    size = put_text(None, np.int64(0), wording, number, phrase_offsets, phrases)
    return put_text(out, put_head(out, place, TEXT, size), wording, number, phrase_offsets, phrases)

"""Arguments of the encoding, grouped by what belongs together.

The kernel takes each group as a plain tuple: numba finds the type of a NamedTuple in Python at every call, which takes
as long as encoding a user.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

Array = npt.NDArray[Any]


class Table(NamedTuple):
    """Bytes by row: row i is data[offsets[i]:offsets[i + 1]], uint8."""

    offsets: Array
    data: Array


class Fixed(NamedTuple):
    """Bytes that are the same for every answer of an engine and an arm.

    head: the fields model_version and arm. (skipped_offsets, skipped): the field skipped, by code. (playlist_offsets,
    playlists): from encode_playlists. (song_offsets, songs): from encode_songs. (phrase_offsets, phrases): three rows
    for every kind of reason: the sentence for one, and what stands before and after a larger number. (found_offsets,
    found): the field found_by, by mask of trainer.bundle.sources. (artist_offsets, artists): the artist of every song.
    """

    head: Array
    skipped_offsets: Array
    skipped: Array
    playlist_offsets: Array
    playlists: Array
    song_offsets: Array
    songs: Array
    phrase_offsets: Array
    phrases: Array
    found_offsets: Array
    found: Array
    artist_offsets: Array
    artists: Array


class Sent(NamedTuple):
    """Lists to be sent, one row per user.

    (id_offsets, ids): the user ids. drawn: 16 random bytes each. rows, scores and score_bits (users, limit), of which
    counts are filled. sources: numbers of the proto. skipped: rows of Fixed.skipped. found_by uint8 (users, limit):
    rows of Fixed.found.
    """

    id_offsets: Array
    ids: Array
    drawn: Array
    rows: Array
    scores: Array
    score_bits: Array
    counts: Array
    sources: Array
    skipped: Array
    unknown_songs: Array
    found_by: Array

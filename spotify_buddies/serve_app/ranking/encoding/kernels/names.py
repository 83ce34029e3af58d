"""The bytes of every playlist and every song in an answer: encoded once per engine, and copied from then on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.encoding.kernels.columns import Table
from spotify_buddies.serve_app.ranking.encoding.kernels.tags import (
    EXAMPLE,
    OWNER_ID,
    PLAYLIST_ID,
    SONG_ARTIST,
    SONG_TITLE,
    TITLE,
)
from spotify_buddies.serve_app.ranking.encoding.kernels.wire import put_field, put_head

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def put_name(out: Array | None, place: int, titles: Table, artists: Table, song: int) -> int:
    """The fields of a SongName."""
    place = put_field(out, place, SONG_TITLE, titles.offsets, titles.data, song)
    return put_field(out, place, SONG_ARTIST, artists.offsets, artists.data, song)


@njit(cache=True, nogil=True)
def put_song(out: Array | None, place: int, titles: Table, artists: Table, song: int) -> int:
    """A song as a field Reason.examples."""
    size = put_name(None, np.int64(0), titles, artists, song)
    return put_name(out, put_head(out, place, EXAMPLE, size), titles, artists, song)


@njit(cache=True, nogil=True)
def encode_songs(titles: Table, artists: Table) -> Table:
    """Every song as a field Reason.examples, by row: offsets int64 (songs + 1,), bytes uint8."""
    count = titles.offsets.size - 1
    offsets = np.zeros(count + 1, np.int64)
    for song in range(count):
        offsets[song + 1] = put_song(None, offsets[song], titles, artists, song)
    out = np.empty(offsets[count], np.uint8)
    for song in range(count):
        put_song(out, offsets[song], titles, artists, song)
    return Table(offsets, out)


@njit(cache=True, nogil=True)
def put_labels(out: Array | None, place: int, ids: Table, titles: Table, owner: Array, owners: Table, row: int) -> int:
    """The fields of a RecommendedPlaylist that do not depend on the user."""
    place = put_field(out, place, PLAYLIST_ID, ids.offsets, ids.data, row)
    place = put_field(out, place, TITLE, titles.offsets, titles.data, row)
    return (
        put_field(out, place, OWNER_ID, owners.offsets, owners.data, np.int64(owner[row])) if owner[row] >= 0 else place
    )


@njit(cache=True, nogil=True)
def encode_playlists(ids: Table, titles: Table, owner: Array, owners: Table) -> Table:
    """The fields of every RecommendedPlaylist that do not depend on the user, by row, as from encode_songs."""
    offsets = np.zeros(owner.size + 1, np.int64)
    for row in range(owner.size):
        offsets[row + 1] = put_labels(None, offsets[row], ids, titles, owner, owners, row)
    out = np.empty(offsets[owner.size], np.uint8)
    for row in range(owner.size):
        put_labels(out, offsets[row], ids, titles, owner, owners, row)
    return Table(offsets, out)

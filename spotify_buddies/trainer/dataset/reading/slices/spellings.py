"""Slices cut into playlists and tracks, and the codes of their songs, with a Python call for each spelling alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from spotify_buddies.trainer.dataset.reading.codes.table import longer
from spotify_buddies.trainer.dataset.reading.intern import SongNames
from spotify_buddies.trainer.dataset.reading.slices.kernels.cut import COLUMNS, cut_slice
from spotify_buddies.trainer.dataset.reading.slices.kernels.spelled import Spelled, number_tracks, place_spellings

Array = npt.NDArray[Any]

# Bytes of the shortest playlist, and of the shortest track with both names.
_PLAYLIST = len(b'{"pid":1,"tracks":[]}')
_TRACK = len(b'{"track_name":"","artist_name":""}')
_MOST_PLAYLISTS = 1 << 16


class CutSlice(NamedTuple):
    """Where playlists and tracks stand in a slice of the usual form; see kernels.cut.cut_slice."""

    content: bytes
    playlists: Array
    fields: Array
    hashes: Array

    def values(self, column: int) -> list[Any]:
        """What a parser makes of each playlist's value (kernels.cut.PID, ..), None where there is none."""
        places = self.playlists[:, column : column + 2].tolist()
        written = (self.content[first:end] if end else b"null" for first, end in places)
        values: list[Any] = orjson.loads(b"[" + b",".join(written) + b"]")
        return values


def cut_playlists(content: bytes) -> CutSlice | None:
    """Cut a slice in the usual form; None for any other text, which a parser has to read."""
    if len(content) >= 1 << 31:
        return None
    # Room for the tracks of any such text; of playlists a published slice has a thousand.
    playlists = np.empty((min(len(content) // _PLAYLIST + 1, _MOST_PLAYLISTS), COLUMNS), np.int32)
    tracks = len(content) // _TRACK + 1
    fields, hashes = np.empty((tracks, 4), np.int32), np.empty(tracks, np.uint64)
    count, rows = cut_slice(np.frombuffer(content, np.uint8), playlists, fields, hashes)
    # Copies, because they wait for the slices before them, and most of the room was not needed.
    return (
        None if count < 0 else CutSlice(content, playlists[:count].copy(), fields[:rows].copy(), hashes[:rows].copy())
    )


class Spellings:
    """Gives tracks the codes of their songs. New names go to the `SongNames`, as if the tracks came one by one."""

    def __init__(self, names: SongNames) -> None:
        self._names = names
        self._count = 0
        self._codes = np.empty(0, np.int32)
        self._table = Spelled(
            np.empty((0, 2), np.uint64),
            np.empty(0, np.uint64),
            np.zeros(1, np.int64),
            np.empty(0, np.int32),
            np.empty(0, np.uint8),
        )

    def codes(self, cut: CutSlice) -> Array:
        """The code of each track, int32 (tracks,); SongNames.NONE for one without a name."""
        size = int((cut.fields[:, 1] - cut.fields[:, 0] + cut.fields[:, 3] - cut.fields[:, 2]).sum(dtype=np.int64))
        self._make_room(len(cut.fields), size)
        numbers = np.empty(len(cut.fields), np.int32)
        data = np.frombuffer(cut.content, np.uint8)
        count = number_tracks(data, cut.fields, cut.hashes, self._table, self._count, numbers)
        self._codes[self._count : count] = self._new(self._count, count)
        self._count = count
        return self._codes[numbers]

    def _new(self, first: int, last: int) -> list[int]:
        """The codes of spellings, which a parser turns into the names that they spell."""
        _, _, starts, titles, text = self._table
        written = text[starts[first] : starts[last]].tobytes()
        places = (starts[first : last + 1] - starts[first]).tolist()
        middles = titles[first:last].tolist()
        pieces = []
        for (begin, end), size in zip(pairwise(places), middles, strict=True):
            pieces += [written[begin : begin + size], written[begin + size : end]]
        spelled = orjson.loads(b'["' + b'","'.join(pieces) + b'"]') if pieces else []
        return [self._names.code(title, artist) for title, artist in zip(spelled[::2], spelled[1::2], strict=True)]

    def _make_room(self, more: int, size: int) -> None:
        """Make room for `more` spellings of `size` bytes in all."""
        slots, hashes, starts, titles, text = self._table
        needed = self._count + more
        if grown := needed > hashes.size:
            room = max(needed, 2 * hashes.size)
            hashes, starts, titles = longer(hashes, room), longer(starts, room + 1), longer(titles, room)
            self._codes = longer(self._codes, room)
            slots = np.empty((1 << (2 * room - 1).bit_length(), 2), np.uint64)
        end = int(starts[self._count]) + size
        if end > text.size:
            text = longer(text, max(end, 2 * text.size))
        self._table = Spelled(slots, hashes, starts, titles, text)
        if grown:
            place_spellings(self._table, self._count)

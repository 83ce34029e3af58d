"""Blocks of lines cut into ids, and the ids in a table of bytes, kept in step with `Ids`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.text.ids import ID_BYTES
from spotify_buddies.trainer.dataset.reading.codes.kernels import Table, cut_lines, look_up, place_all, put_all
from spotify_buddies.trainer.dataset.reading.intern import Ids

Array = npt.NDArray[Any]

_TAB, _LINE_FEED, _BLANK, _DELETE = 9, 10, 0x20, 0x7F
# Listens that are looked up at a time. Each may bring a new id, and a table with much room for new ones is slow.
_PIECE = 1 << 14


class Cut(NamedTuple):
    """A block of bytes cut into `lines` lines, with the ids of those that were played; see kernels.cut_lines."""

    data: Array
    lines: int
    fields: Array
    hashes: Array


def cut(block: bytes) -> Cut | None:
    """Cut a block in which every line is user, song and plays in printable ASCII without blanks; None for any other."""
    data = np.frombuffer(block, np.uint8)
    ends = int(np.count_nonzero(data == _LINE_FEED))
    lines = ends + (not block.endswith(b"\n"))
    tabs = int(np.count_nonzero(data == _TAB))
    plain = tabs == 2 * lines and int(np.count_nonzero(data <= _BLANK)) == tabs + ends
    if not data.size or not plain or int(data.max()) >= _DELETE:
        return None
    fields, hashes = np.empty((lines, 4), np.int32), np.empty((lines, 2), np.uint64)
    for guess in (True, False):
        filled, read = cut_lines(data, ID_BYTES, guess, fields, hashes)
        if read == lines:
            return Cut(data, lines, fields[:filled], hashes[:filled])
    return None


class Codes:
    """Gives ids their codes. New ones go to the `Ids` of users and of songs, as if they came one by one."""

    def __init__(self, users: Ids, songs: Ids) -> None:
        self._users, self._songs = _Codes(users), _Codes(songs)

    def of(self, block: Cut) -> tuple[Array, Array]:
        """Codes of users and songs, int32 (listens,) each."""
        users, songs = np.empty((2, len(block.fields)), np.int32)
        user = -1
        for first in range(0, users.size, _PIECE):
            part = slice(first, first + _PIECE)
            fields = block.fields[part]
            named = fields[fields[:, 0] >= 0]
            self._users.make_room(len(named), int((named[:, 1] - named[:, 0]).sum()))
            self._songs.make_room(len(fields), int((fields[:, 3] - fields[:, 2]).sum()))
            tables, counts = (self._users.table, self._songs.table), (self._users.count, self._songs.count)
            known = look_up(block.data, fields, block.hashes[part], *tables, *counts, user, users[part], songs[part])
            self._users.keep(known[0])
            self._songs.keep(known[1])
            user = int(users[part][-1])
        return users, songs


class _Codes:
    """A table that holds the ids of an `Ids`, which others may add to."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self.count = 0
        self.table = Table(
            np.empty((0, 2), np.uint64), np.empty(0, np.uint64), np.zeros(1, np.int64), np.empty(0, np.uint8)
        )

    def make_room(self, more: int, size: int) -> None:
        """Take up what was added elsewhere, and make room for `more` ids of `size` bytes in all."""
        new = [name.encode() for name in self._ids.names_from(self.count)]
        text = b"".join(new)
        self._grow(self.count + len(new) + more, int(self.table.starts[self.count]) + len(text) + size)
        if new:
            ends = np.cumsum([len(name) for name in new])
            self.count = put_all(self.table, self.count, np.frombuffer(text, np.uint8), ends)

    def keep(self, count: int) -> None:
        """Give the ids from self.count to `count`, which a kernel put in, to the `Ids`."""
        if count > self.count:
            starts = self.table.starts[self.count : count + 1]
            text = self.table.text[starts[0] : starts[-1]].tobytes().decode("ascii")
            self._ids.add([text[first:last] for first, last in pairwise((starts - starts[0]).tolist())])
        self.count = count

    def _grow(self, ids: int, size: int) -> None:
        slots, hashes, starts, text = self.table
        if ids > hashes.size:
            room = max(ids, 2 * hashes.size)
            hashes, starts = longer(hashes, room), longer(starts, room + 1)
            slots = np.empty((1 << (2 * room - 1).bit_length(), 2), np.uint64)
        if size > text.size:
            text = longer(text, max(size, 2 * text.size))
        resized = slots is not self.table.slots
        self.table = Table(slots, hashes, starts, text)
        if resized:
            place_all(self.table, self.count)


def longer(array: Array, size: int) -> Array:
    """A copy (size,) with room at its end, which nothing is written to."""
    copy = np.empty(size, array.dtype)
    copy[: array.size] = array
    return copy

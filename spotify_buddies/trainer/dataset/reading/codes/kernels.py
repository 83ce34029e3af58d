"""Compiled loops over the bytes of listens: lines cut into fields, ids looked up in a hash table."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

_TAB, _LINE_FEED, _ZERO = 9, 10, 48
_DIGITS = 18
_AHEAD = 32


class Table(NamedTuple):
    """Ids by code, and where to find them: open addressing, a power of two of slots, at most half of them taken.

    slots uint64 (slots, 2), all that a search looks at in one place: the upper half of an id's hash and its code, which
    is FREE where there is none; 256 times the place in `text` where it begins, and its bytes, 255 at most. hashes
    uint64 and starts int64, one and one more by code: an id's bytes are text[starts[code] : starts[code + 1]], uint8.
    """

    slots: Array
    hashes: Array
    starts: Array
    text: Array


FREE = 0xFFFFFFFF
_CODE = np.uint64(FREE)


@njit(cache=True, nogil=True)
def word(data: Array, at: Any) -> Any:
    """Eight bytes from a place that has them, the first one lowest."""
    value = np.uint64(0)
    for i in range(8):  # one load, as compiled
        value |= np.uint64(data[np.uint64(at) + np.uint64(i)]) << np.uint64(8 * i)
    return value


@njit(cache=True, nogil=True)
def hash_bytes(data: Array, first: int, last: int) -> Any:
    """A hash of data[first:last], uint64."""
    value = np.uint64(last - first) * np.uint64(0x9E3779B97F4A7C15)
    at, end = np.uint64(first), np.uint64(last)
    while at + np.uint64(8) <= end:
        value = (value ^ word(data, at)) * np.uint64(0xBF58476D1CE4E5B9)
        value ^= value >> np.uint64(29)
        at += np.uint64(8)
    while at < end:
        value = (value ^ np.uint64(data[at])) * np.uint64(0x94D049BB133111EB)
        at += np.uint64(1)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def same(a: Array, first: int, b: Array, other: int, length: int) -> Any:
    """Whether a[first : first + length] and b[other : other + length] are the same bytes."""
    differ = np.uint8(0)
    for i in range(length):
        differ |= a[np.uint64(first + i)] ^ b[np.uint64(other + i)]
    return differ == 0


@njit(cache=True, nogil=True)
def _code_of(table: Table, count: int, data: Array, first: int, last: int, hashed: np.uint64) -> Any:
    """The code of data[first:last] in a table of `count` ids; `count` itself for a new id, which is put in."""
    mask = np.uint64(table.slots.shape[0] - 1)
    slot = hashed & mask
    while True:
        code = table.slots[slot, 0] & _CODE
        if code == _CODE:
            break
        if (table.slots[slot, 0] ^ hashed) >> np.uint64(32) == np.uint64(0):
            place = np.int64(table.slots[slot, 1])
            if place & 255 == last - first and same(data, first, table.text, place >> 8, last - first):
                return np.int64(code)
        slot = (slot + np.uint64(1)) & mask
    start = table.starts[count]
    table.slots[slot, 0] = (hashed & ~_CODE) | np.uint64(count)
    table.slots[slot, 1] = start << 8 | last - first
    table.hashes[count] = hashed
    for i in range(last - first):
        table.text[start + i] = data[first + i]
    table.starts[count + 1] = start + last - first
    return np.int64(count)


@njit(cache=True, nogil=True)
def place_all(table: Table, count: int) -> None:
    """Fill the slots with the first `count` ids alone."""
    table.slots[:, 0] = _CODE
    table.slots[:, 1] = 0
    mask = np.uint64(table.slots.shape[0] - 1)
    for code in range(count):
        slot = table.hashes[code] & mask
        while table.slots[slot, 0] & _CODE != _CODE:
            slot = (slot + np.uint64(1)) & mask
        table.slots[slot, 0] = (table.hashes[code] & ~_CODE) | np.uint64(code)
        table.slots[slot, 1] = table.starts[code] << 8 | table.starts[code + 1] - table.starts[code]


@njit(cache=True, nogil=True)
def put_all(table: Table, count: int, text: Array, ends: Array) -> Any:
    """Put ids that are not in the table into it, one after the other in text; the number of ids then."""
    first = 0
    for last in ends:
        _code_of(table, count, text, first, last, hash_bytes(text, first, last))
        count, first = count + 1, last
    return count


@njit(cache=True, nogil=True)
def _tab(data: Array, first: int, length: int) -> Any:
    """Where the field at `first` ends: at a tab, first looked for behind `length` bytes; -1 where the line has none."""
    guess = first + length
    if length > 0 and guess < data.size and data[guess] == _TAB:
        return guess
    at = first
    while at < data.size and data[at] != _TAB:
        if data[at] == _LINE_FEED:
            return -1
        at += 1
    return at if at < data.size else -1


@njit(cache=True, nogil=True)
def cut_lines(data: Array, longest: int, guess: bool, fields: Array, hashes: Array) -> tuple[int, int]:
    """Where the ids stand in each line of user, song and plays that was played: how many, and the lines that were read.

    fields int32 (lines, 4): user and song, the first byte and the end of each; hashes uint64 (lines, 2): theirs. A user
    who is that of the entry before has no place, -1. The lines are -1 where one has another form. An id takes 1 to
    `longest` bytes. guess: where fields end is tried at the lengths of the line before, unseen what comes first;
    if the data hold two tabs and one end for each line that was read, none was passed over.
    """
    at, lines, filled = 0, 0, 0
    user_size, song_size, before = 0, 0, -1
    while at < data.size:
        first = at
        end = _tab(data, first, user_size if guess else 0)
        song = end + 1
        song_end = _tab(data, song, song_size if guess else 0) if end > first else -1
        if song_end <= song or end - first > longest or song_end - song > longest:
            return filled, -1
        at = song_end + 1
        plays: Any = 0
        digits = 0
        while at < data.size and data[at] != _LINE_FEED:
            digit = np.int64(data[at]) - _ZERO
            if digit < 0 or digit > 9 or digits == _DIGITS:
                return filled, -1
            plays, digits, at = 10 * plays + digit, digits + 1, at + 1
        if digits == 0:
            return filled, -1
        at, lines = at + 1, lines + 1
        if plays == 0:
            continue
        if before >= 0 and end - first == user_size and same(data, first, data, before, user_size):
            fields[filled, 0] = -1
        else:
            fields[filled, 0], fields[filled, 1] = first, end
            hashes[filled, 0] = hash_bytes(data, first, end)
        fields[filled, 2], fields[filled, 3] = song, song_end
        hashes[filled, 1] = hash_bytes(data, song, song_end)
        filled += 1
        before, user_size, song_size = first, end - first, song_end - song
    return filled, lines


@njit(cache=True, nogil=True)
def _fetch(table: Table, hashes: Array, seen: Array) -> None:
    """Read what a search for each of the hashes will read first, so that it waits for memory once and not each time."""
    mask = np.uint64(table.slots.shape[0] - 1)
    for i in range(hashes.size):
        seen[i] = table.slots[hashes[i] & mask, 1] >> np.uint64(8)
    for i in range(hashes.size):
        # A slot that is free holds no place.
        seen[i] = table.text[seen[i]] if seen[i] < table.text.size else 0


@njit(cache=True, nogil=True)
def look_up(
    data: Array,
    fields: Array,
    hashes: Array,
    users: Table,
    songs: Table,
    user_count: int,
    song_count: int,
    user: int,
    user_codes: Array,
    song_codes: Array,
) -> tuple[int, int]:
    """Codes of the users and songs that `cut_lines` found, int32 (entries,) each; the ids in both tables then.

    user: the code of the user before the first entry.
    """
    ahead = np.zeros(_AHEAD, np.int64)
    for i in range(song_codes.size):
        if i % _AHEAD == 0:
            _fetch(songs, hashes[i : i + _AHEAD, 1], ahead)
        if fields[i, 0] >= 0:
            user = _code_of(users, user_count, data, fields[i, 0], fields[i, 1], hashes[i, 0])
            user_count = max(user_count, user + 1)
        song = _code_of(songs, song_count, data, fields[i, 2], fields[i, 3], hashes[i, 1])
        song_count = max(song_count, song + 1)
        user_codes[i], song_codes[i] = user, song
    return user_count, song_count

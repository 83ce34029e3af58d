"""Spellings of songs, by title and artist as they are written, in a hash table of bytes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.trainer.dataset.reading.codes.kernels import FREE, same

Array = npt.NDArray[Any]

_AHEAD = 32


class Spelled(NamedTuple):
    """Spellings by number, and where to find them: open addressing, at most half of a power of two of slots taken.

    slots uint64 (slots, 2): the upper half of a hash and the number, which is FREE where there is none; the place of
    its text, times 2^24, and the bytes of its title, times 2^12, and of its artist. hashes uint64 and starts int64, one
    and one more by number: text[starts[number] : starts[number + 1]], uint8, is title and artist. titles int32: the
    bytes of the title.
    """

    slots: Array
    hashes: Array
    starts: Array
    titles: Array
    text: Array


_NUMBER = np.uint64(FREE)


@njit(cache=True, nogil=True)
def _number_of(spelled: Spelled, count: int, data: Array, fields: Array, row: int, hashed: np.uint64) -> Any:
    """The number of a track's spelling; `count` itself for a new one, which is put in."""
    slots = spelled.slots
    mask = np.uint64(slots.shape[0] - 1)
    slot = hashed & mask
    first, artist = fields[row, 0], fields[row, 2]
    title_size, artist_size = fields[row, 1] - first, fields[row, 3] - artist
    sizes = np.uint64(title_size << 12 | artist_size)
    while True:
        number = slots[slot, 0] & _NUMBER
        if number == _NUMBER:
            break
        if (slots[slot, 0] ^ hashed) >> np.uint64(32) == np.uint64(0) and slots[slot, 1] & np.uint64(0xFFFFFF) == sizes:
            place = np.int64(slots[slot, 1] >> np.uint64(24))
            if same(data, first, spelled.text, place, title_size) and same(
                data, artist, spelled.text, place + title_size, artist_size
            ):
                return np.int64(number)
        slot = (slot + np.uint64(1)) & mask
    start = spelled.starts[count]
    spelled.text[start : start + title_size] = data[first : first + title_size]
    end = start + title_size + artist_size
    spelled.text[start + title_size : end] = data[artist : artist + artist_size]
    spelled.starts[count + 1] = end
    spelled.hashes[count], spelled.titles[count] = hashed, title_size
    _put(spelled, count, slot)
    return np.int64(count)


@njit(cache=True, nogil=True)
def _put(spelled: Spelled, number: int, slot: np.uint64) -> None:
    start, title = spelled.starts[number], np.int64(spelled.titles[number])
    artist = spelled.starts[number + 1] - start - title
    spelled.slots[slot, 0] = (spelled.hashes[number] & ~_NUMBER) | np.uint64(number)
    spelled.slots[slot, 1] = np.uint64(start << 24 | title << 12 | artist)


@njit(cache=True, nogil=True)
def place_spellings(spelled: Spelled, count: int) -> None:
    """Fill the slots with the first `count` spellings alone."""
    spelled.slots[:, 0] = _NUMBER
    spelled.slots[:, 1] = 0
    mask = np.uint64(spelled.slots.shape[0] - 1)
    for number in range(count):
        slot = spelled.hashes[number] & mask
        while spelled.slots[slot, 0] & _NUMBER != _NUMBER:
            slot = (slot + np.uint64(1)) & mask
        _put(spelled, number, slot)


@njit(cache=True, nogil=True)
def _fetch(spelled: Spelled, hashes: Array, seen: Array) -> None:
    """Read what a search for each of the hashes will read first, so that it waits for memory once and not each time."""
    mask = np.uint64(spelled.slots.shape[0] - 1)
    for i in range(hashes.size):
        seen[i] = spelled.slots[hashes[i] & mask, 1] >> np.uint64(24)
    for i in range(hashes.size):
        # A slot that is free holds no place.
        seen[i] = spelled.text[seen[i]] if seen[i] < spelled.text.size else 0


@njit(cache=True, nogil=True)
def number_tracks(data: Array, fields: Array, hashes: Array, spelled: Spelled, count: int, numbers: Array) -> Any:
    """The number of each track's spelling, int32 (tracks,); new ones are numbered from `count`, in the order of tracks.

    Returns how many spellings there are then. The table must have room for one a track.
    """
    ahead = np.zeros(_AHEAD, np.int64)
    for row in range(numbers.size):
        if row % _AHEAD == 0:
            _fetch(spelled, hashes[row : row + _AHEAD], ahead)
        number = _number_of(spelled, count, data, fields, row, hashes[row])
        count = max(count, number + 1)
        numbers[row] = number
    return count

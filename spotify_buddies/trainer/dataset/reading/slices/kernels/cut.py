"""Where playlists and tracks stand in a slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.trainer.dataset.reading.codes.kernels import hash_bytes, word
from spotify_buddies.trainer.dataset.reading.slices.kernels.json_text import (
    ARRAY,
    ARRAY_END,
    BROKEN,
    COMMA,
    OBJECT,
    OBJECT_END,
    QUOTE,
    after_key,
    blanks,
    byte,
    key_end,
    null_end,
    text_end,
    value_end,
)

Array = npt.NDArray[Any]

# Columns of `playlists`: first byte and end of three values, 0 and 0 where there is none, and how many tracks.
PID, NAME, FOLLOWERS, TRACKS, COLUMNS = 0, 2, 4, 6, 7
LONGEST = (1 << 12) - 1  # bytes of a title or artist as it is written


def _letters(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text[:8], "little"))


_PID, _NAME, _TRACKS = _letters(b"pid"), _letters(b"name"), _letters(b"tracks")
_FOLLOWERS, _FOLLOWERS_END = _letters(b"num_followers"), _letters(b"ollowers")
_PLAYLISTS, _PLAYLISTS_END = _letters(b"playlists"), _letters(b"laylists")
_TITLE, _TITLE_END = _letters(b"track_name"), _letters(b"ack_name")
_ARTIST, _ARTIST_END = _letters(b"artist_name"), _letters(b"ist_name")


@njit(cache=True, nogil=True)
def _is_short(data: Array, first: int, end: int, length: int, letters: np.uint64) -> Any:
    """Whether a key of fewer than eight letters stands there."""
    mask = (np.uint64(1) << np.uint64(8 * length)) - np.uint64(1)
    return end - first == length and first + 8 <= data.size and word(data, first) & mask == letters


@njit(cache=True, nogil=True)
def _is_long(data: Array, first: int, end: int, length: int, letters: np.uint64, last: np.uint64) -> Any:
    """Whether a key of 8 to 16 letters stands there, which begins and ends with these eight."""
    return end - first == length and word(data, first) == letters and word(data, end - 8) == last


@njit(cache=True, nogil=True)
def _next(data: Array, at: int, end: int) -> Any:
    """Behind a comma, at the next item; or at the `end` of the object or array; else BROKEN."""
    at = blanks(data, at)
    value = byte(data, at)
    if value == end:
        return at
    if value != COMMA:
        return BROKEN
    at = blanks(data, at + 1)
    return at if byte(data, at) != end else BROKEN


@njit(cache=True, nogil=True)
def _track(data: Array, at: int, fields: Array, row: int) -> Any:
    """Behind a track; its title and artist go to fields[row], 0 and 0 for none. BROKEN: one is no text, too."""
    if byte(data, at) != OBJECT or row == fields.shape[0]:
        return BROKEN
    fields[row] = 0
    at = blanks(data, at + 1)
    while byte(data, at) == QUOTE:
        first, end = at + 1, key_end(data, at + 1)
        if end < 0:
            return BROKEN
        at = after_key(data, end)
        if at < 0:
            return BROKEN
        title = _is_long(data, first, end, 10, _TITLE, _TITLE_END)
        if title or _is_long(data, first, end, 11, _ARTIST, _ARTIST_END):
            place = 0 if title else 2
            if byte(data, at) == QUOTE:
                stop = text_end(data, at + 1)
                if stop < 0 or stop - at - 1 > LONGEST:
                    return BROKEN
                fields[row, place], fields[row, place + 1] = at + 1, stop
                at = stop + 1
            else:
                fields[row, place], fields[row, place + 1] = 0, 0
                at = null_end(data, at)
        else:
            at = value_end(data, at)
        if at < 0:
            return BROKEN
        at = _next(data, at, OBJECT_END)
        if at < 0:
            return BROKEN
    return at + 1 if byte(data, at) == OBJECT_END else BROKEN


@njit(cache=True, nogil=True)
def _hash_track(data: Array, fields: Array, row: int) -> Any:
    title = hash_bytes(data, fields[row, 0], fields[row, 1])
    artist = hash_bytes(data, fields[row, 2], fields[row, 3])
    mixed = (title ^ (artist << np.uint64(23) | artist >> np.uint64(41))) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ mixed >> np.uint64(32)


@njit(cache=True, nogil=True)
def _tracks(data: Array, at: int, fields: Array, hashes: Array, row: int) -> tuple[int, int]:
    """Behind an array of tracks, and the number of rows of fields then."""
    if byte(data, at) != ARRAY:
        return BROKEN, row
    at = blanks(data, at + 1)
    while byte(data, at) != ARRAY_END:
        at = _track(data, at, fields, row)
        if at < 0:
            return BROKEN, row
        hashes[row] = _hash_track(data, fields, row)
        row += 1
        at = _next(data, at, ARRAY_END)
        if at < 0:
            return BROKEN, row
    return at + 1, row


@njit(cache=True, nogil=True)
def _column(data: Array, first: int, end: int) -> Any:
    """The column of a playlist's key, -1 for any other key."""
    if _is_short(data, first, end, 3, _PID):
        return PID
    if _is_short(data, first, end, 4, _NAME):
        return NAME
    if _is_long(data, first, end, 13, _FOLLOWERS, _FOLLOWERS_END):
        return FOLLOWERS
    return TRACKS if _is_short(data, first, end, 6, _TRACKS) else -1


@njit(cache=True, nogil=True)
def _playlist(data: Array, at: int, playlist: Array, fields: Array, hashes: Array, row: int) -> tuple[int, int]:
    """Behind a playlist, and the number of rows of fields then."""
    if byte(data, at) != OBJECT:
        return BROKEN, row
    playlist[:] = 0
    listed, before = False, row
    at = blanks(data, at + 1)
    while byte(data, at) == QUOTE:
        first, end = at + 1, key_end(data, at + 1)
        if end < 0:
            return BROKEN, row
        at = after_key(data, end)
        if at < 0:
            return BROKEN, row
        column = _column(data, first, end)
        if column == TRACKS:
            if listed:
                return BROKEN, row
            listed = True
            at, row = _tracks(data, at, fields, hashes, row)
        else:
            begin, at = at, value_end(data, at)
            if column >= 0:
                playlist[column], playlist[column + 1] = begin, at
        if at < 0:
            return BROKEN, row
        at = _next(data, at, OBJECT_END)
        if at < 0:
            return BROKEN, row
    playlist[TRACKS] = row - before
    whole = byte(data, at) == OBJECT_END and listed and playlist[PID + 1] > 0
    return (at + 1 if whole else BROKEN), row


@njit(cache=True, nogil=True)
def cut_slice(data: Array, playlists: Array, fields: Array, hashes: Array) -> tuple[int, int]:
    """Where things stand in a slice of the usual form: how many playlists and tracks; -1 and 0 for any other text.

    The usual form: JSON, an object with one list of playlists, each an object with `pid` and one list of tracks, each
    an object whose track_name and artist_name are texts, null or left out; keys of these objects are plain ASCII.
    playlists int32 (playlists, COLUMNS); fields int32 (tracks, 4): first byte and end of title and artist between their
    quotes; hashes uint64 (tracks,): of both as they are written. More than there is room for: another text, too.
    """
    count, row, listed = 0, 0, False
    at = blanks(data, 0)
    if byte(data, at) != OBJECT:
        return BROKEN, 0
    at = blanks(data, at + 1)
    while byte(data, at) == QUOTE:
        first, end = at + 1, key_end(data, at + 1)
        if end < 0:
            return BROKEN, 0
        at = after_key(data, end)
        if at < 0:
            return BROKEN, 0
        if not _is_long(data, first, end, 9, _PLAYLISTS, _PLAYLISTS_END):
            at = value_end(data, at)
        elif listed or byte(data, at) != ARRAY:
            return BROKEN, 0
        else:
            listed = True
            at = blanks(data, at + 1)
            while byte(data, at) != ARRAY_END:
                if count == playlists.shape[0]:
                    return BROKEN, 0
                at, row = _playlist(data, at, playlists[count], fields, hashes, row)
                if at < 0:
                    return BROKEN, 0
                count += 1
                at = _next(data, at, ARRAY_END)
                if at < 0:
                    return BROKEN, 0
            at += 1
        if at < 0:
            return BROKEN, 0
        at = _next(data, at, OBJECT_END)
        if at < 0:
            return BROKEN, 0
    if byte(data, at) != OBJECT_END or not listed or blanks(data, at + 1) != data.size:
        return BROKEN, 0
    return count, row

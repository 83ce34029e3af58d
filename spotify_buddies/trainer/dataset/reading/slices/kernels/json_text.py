"""Compiled steps over the bytes of JSON text, which accept no more than a strict parser does.

Each step gets the place where something begins and returns the place behind it, or BROKEN: not what was expected, or
too odd to be decided here (a number of many digits, a half of a surrogate pair), so that a parser has to look at it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.trainer.dataset.reading.codes.kernels import word

Array = npt.NDArray[Any]

BROKEN = -1
QUOTE, COLON, COMMA = 0x22, 0x3A, 0x2C
OBJECT, OBJECT_END, ARRAY, ARRAY_END = 0x7B, 0x7D, 0x5B, 0x5D

_BLANK, _BACKSLASH, _ZERO, _DOT, _MINUS, _U = 0x20, 0x5C, 0x30, 0x2E, 0x2D, 0x75
_LINE_FEED, _RETURN, _TAB = 10, 13, 9
_DIGITS = 17  # of a number that any parser takes, and a double can hold
_DEPTH = 60  # objects and arrays in each other, one bit each
_ONES, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_BLANKS, _QUOTES, _BACKSLASHES = _ONES * np.uint64(_BLANK), _ONES * np.uint64(QUOTE), _ONES * np.uint64(_BACKSLASH)
# What may follow a backslash.
_ESCAPES = np.isin(np.arange(256), np.frombuffer(b'"\\/bfnrt', np.uint8))


@njit(cache=True, nogil=True)
def byte(data: Array, at: int) -> Any:
    """The byte at a place, int64; -1 behind the last one."""
    return np.int64(data[np.uint64(at)]) if at < data.size else np.int64(-1)


@njit(cache=True, nogil=True)
def _odd(value: np.uint64) -> Any:
    """The high bit of bytes that end plain text: quotes, backslashes, control characters, anything past ASCII.

    Exact up to the first of them, which is all that is asked.
    """
    quotes, backslashes = value ^ _QUOTES, value ^ _BACKSLASHES
    found = (quotes - _ONES) & ~quotes | (backslashes - _ONES) & ~backslashes | (value - _BLANKS) & ~value | value
    return found & _HIGH


@njit(cache=True, nogil=True)
def _bytes_before(found: np.uint64) -> Any:
    """How many bytes come before the first whose high bit is set; at least one is."""
    first = (found & (~found + np.uint64(1))) >> np.uint64(7)
    return np.int64((((first - np.uint64(1)) & _ONES) * _ONES) >> np.uint64(56))


@njit(cache=True, nogil=True)
def _plain(data: Array, at: int) -> Any:
    """Behind plain text: at the first byte that ends it, or at the end of the data."""
    while at + 8 <= data.size:
        found = _odd(word(data, at))
        if found:
            return at + _bytes_before(found)
        at += 8
    while at < data.size:
        value = byte(data, at)
        if value < _BLANK or value >= 0x80 or value in (QUOTE, _BACKSLASH):
            return at
        at += 1
    return at


@njit(cache=True, nogil=True)
def _continues(data: Array, at: int, least: int, most: int) -> Any:
    value = byte(data, at)
    return least <= value <= most


@njit(cache=True, nogil=True)
def _character(data: Array, at: int) -> Any:
    """Behind a character of UTF-8 past ASCII (Unicode 3.9, table 3-7)."""
    lead = byte(data, at)
    least, most, more = 0x80, 0xBF, 0
    if 0xC2 <= lead <= 0xDF:
        more = 1
    elif 0xE0 <= lead <= 0xEF:
        more = 2
        least, most = 0xA0 if lead == 0xE0 else 0x80, 0x9F if lead == 0xED else 0xBF
    elif 0xF0 <= lead <= 0xF4:
        more = 3
        least, most = 0x90 if lead == 0xF0 else 0x80, 0x8F if lead == 0xF4 else 0xBF
    if more == 0 or not _continues(data, at + 1, least, most):
        return BROKEN
    for i in range(2, more + 1):
        if not _continues(data, at + i, 0x80, 0xBF):
            return BROKEN
    return at + 1 + more


@njit(cache=True, nogil=True)
def _unit(data: Array, at: int) -> Any:
    """The UTF-16 code unit that four hexadecimal digits write, or BROKEN."""
    unit = 0
    for i in range(4):
        value = byte(data, at + i)
        if _ZERO <= value <= _ZERO + 9:
            value -= _ZERO
        elif 0x61 <= value | 0x20 <= 0x66:
            value = (value | 0x20) - 0x61 + 10
        else:
            return BROKEN
        unit = unit << 4 | value
    return unit


@njit(cache=True, nogil=True)
def _escape(data: Array, at: int) -> Any:
    """Behind an escape, which begins with a backslash."""
    kind = byte(data, at + 1)
    if kind != _U:
        return at + 2 if kind >= 0 and _ESCAPES[kind] else BROKEN
    unit = _unit(data, at + 2)
    if unit < 0 or unit >> 10 == 0xDC00 >> 10:
        return BROKEN
    if unit >> 10 != 0xD800 >> 10:
        return at + 6
    whole = byte(data, at + 6) == _BACKSLASH and byte(data, at + 7) == _U and _unit(data, at + 8) >> 10 == 0xDC00 >> 10
    return at + 12 if whole else BROKEN


@njit(cache=True, nogil=True)
def text_end(data: Array, at: int) -> Any:
    """The closing quote of a text, from the place behind its opening one."""
    while True:
        at = _plain(data, at)
        value = byte(data, at)
        if value == QUOTE:
            return at
        if value == _BACKSLASH:
            at = _escape(data, at)
        elif value >= 0x80:
            at = _character(data, at)
        else:
            return BROKEN
        if at < 0:
            return BROKEN


@njit(cache=True, nogil=True)
def key_end(data: Array, at: int) -> Any:
    """The closing quote of a key of plain ASCII, from the place behind its opening one."""
    at = _plain(data, at)
    return at if byte(data, at) == QUOTE else BROKEN


@njit(cache=True, nogil=True)
def blanks(data: Array, at: int) -> Any:
    """Behind blanks, of which there may be none."""
    while True:
        value = byte(data, at)
        if value > _BLANK or value < 0:
            return at
        if value != _BLANK and value != _LINE_FEED and value != _RETURN and value != _TAB:
            return at
        at += 1
        while at + 8 <= data.size and word(data, at) == _BLANKS:
            at += 8


@njit(cache=True, nogil=True)
def _number(data: Array, at: int) -> Any:
    at += byte(data, at) == _MINUS
    first = at
    while _ZERO <= byte(data, at) <= _ZERO + 9:
        at += 1
    digits = at - first
    if digits == 0 or (digits > 1 and byte(data, first) == _ZERO):
        return BROKEN
    if byte(data, at) == _DOT:
        first = at = at + 1
        while _ZERO <= byte(data, at) <= _ZERO + 9:
            at += 1
        if at == first:
            return BROKEN
        digits += at - first
    # An exponent goes on from here, and nothing that may follow a number looks like one.
    return at if digits <= _DIGITS else BROKEN


@njit(cache=True, nogil=True)
def _says(data: Array, at: int, letters: bytes) -> Any:
    for i in range(len(letters)):
        if byte(data, at + i) != letters[i]:
            return BROKEN
    return at + len(letters)


@njit(cache=True, nogil=True)
def null_end(data: Array, at: int) -> Any:
    """Behind null."""
    return _says(data, at, b"null")


@njit(cache=True, nogil=True)
def _scalar(data: Array, at: int) -> Any:
    kind = byte(data, at)
    if kind == QUOTE:
        end = text_end(data, at + 1)
        return end + 1 if end >= 0 else BROKEN
    if kind == 0x74:
        return _says(data, at, b"true")
    if kind == 0x66:
        return _says(data, at, b"false")
    if kind == 0x6E:
        return null_end(data, at)
    return _number(data, at)


@njit(cache=True, nogil=True)
def after_key(data: Array, at: int) -> Any:
    """From a key's closing quote to its value."""
    at = blanks(data, at + 1)
    return blanks(data, at + 1) if byte(data, at) == COLON else BROKEN


@njit(cache=True, nogil=True)
def value_end(data: Array, at: int) -> Any:
    """Behind a value of any kind, which begins here."""
    kind = byte(data, at)
    return _container(data, at) if kind in (OBJECT, ARRAY) else _scalar(data, at)


@njit(cache=True, nogil=True)
def _container(data: Array, at: int) -> Any:
    """Behind an object or an array."""
    objects, depth = np.uint64(0), 0
    while True:
        # Here a value begins.
        kind = byte(data, at)
        if kind in (OBJECT, ARRAY):
            if depth == _DEPTH:
                return BROKEN
            objects = objects << np.uint64(1) | np.uint64(kind == OBJECT)
            depth += 1
            at = blanks(data, at + 1)
            empty = byte(data, at) == (OBJECT_END if kind == OBJECT else ARRAY_END)
            if not empty:
                if kind == OBJECT:
                    at = _to_value(data, at)
                    if at < 0:
                        return BROKEN
                continue
        else:
            at = _scalar(data, at)
            if at < 0:
                return BROKEN
            at = blanks(data, at)
        # Here a value has ended, or an empty object or array is about to.
        while byte(data, at) == (OBJECT_END if objects & np.uint64(1) else ARRAY_END):
            objects, depth = objects >> np.uint64(1), depth - 1
            if depth == 0:
                return at + 1
            at = blanks(data, at + 1)
        if byte(data, at) != COMMA:
            return BROKEN
        at = blanks(data, at + 1)
        if objects & np.uint64(1):
            at = _to_value(data, at)
            if at < 0:
                return BROKEN


@njit(cache=True, nogil=True)
def _to_value(data: Array, at: int) -> Any:
    """From a key's opening quote to its value."""
    if byte(data, at) != QUOTE:
        return BROKEN
    end = text_end(data, at + 1)
    return after_key(data, end) if end >= 0 else BROKEN

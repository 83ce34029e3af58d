"""Parts of protobuf's wire format (https://protobuf.dev/programming-guides/encoding/).

Every function writes to `out` from `place` on and returns the place after it. With None for `out` it writes nothing and
only counts: numba compiles it a second time without the writing, so that a size and its bytes come from one rule.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.encoding.kernels.tags import ID_BYTES
from spotify_buddies.serve_app.ranking.prefetch import copy_bytes

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def put_byte(out: Array | None, place: int, byte: int) -> int:
    """One byte."""
    if out is not None:
        out[place] = byte
    return place + 1


@njit(cache=True, nogil=True)
def put_varint(out: Array | None, place: int, value: int) -> int:
    """A varint."""
    while value > 127:
        place = put_byte(out, place, (value & 127) | 128)
        value >>= 7
    return put_byte(out, place, value)


@njit(cache=True, nogil=True)
def put_head(out: Array | None, place: int, tag: int, size: int) -> int:
    """Tag and length of a field of `size` bytes."""
    return put_varint(out, put_byte(out, place, tag), size)


@njit(cache=True, nogil=True)
def begin(out: Array | None, place: int, tag: int, size: int) -> int:
    """The head of a message that has another one within; counting, nothing yet: its size is known at its end."""
    return place if out is None else put_head(out, place, tag, size)


@njit(cache=True, nogil=True)
def end(out: Array | None, place: int, start: int, tag: int, sizes: Array, k: int) -> int:
    """Counting, note the size of a message whose fields began at `start` as sizes[k], and count its head."""
    if out is not None:
        return place
    sizes[k] = place - start
    return put_head(None, place, tag, place - start)


@njit(cache=True, nogil=True)
def copy(out: Array | None, place: int, data: Array, first: int, last: int) -> int:
    """data[first:last]."""
    if out is not None:
        copy_bytes(out, place, data, first, last - first)
    return place + last - first


@njit(cache=True, nogil=True)
def put_row(out: Array | None, place: int, offsets: Array, data: Array, row: int) -> int:
    """One row of a table, as it is."""
    return copy(out, place, data, offsets[row], offsets[row + 1])


@njit(cache=True, nogil=True)
def put_field(out: Array | None, place: int, tag: int, offsets: Array, data: Array, row: int) -> int:
    """One row of a table as a field; an empty one is left out, as proto3 leaves out what is a default."""
    size = offsets[row + 1] - offsets[row]
    return put_row(out, put_head(out, place, tag, size), offsets, data, row) if size > 0 else place


@njit(cache=True, nogil=True)
def put_bits(out: Array | None, place: int, tag: int, bits: int) -> int:
    """A float as a field, from the bits of a float32; a positive zero, the default, is left out."""
    if bits != 0:
        place = put_byte(out, place, tag)
        for shift in (0, 8, 16, 24):
            place = put_byte(out, place, (bits >> shift) & 255)
    return place


@njit(cache=True, nogil=True)
def put_hex(out: Array | None, place: int, drawn: Array, first: int) -> int:
    """ID_BYTES lower-case hexadecimal digits of the random bytes from `first` on."""
    if out is not None:
        for k in range(ID_BYTES // 2):
            byte = np.int64(drawn[first + k])  # numba makes a float of an unsigned number beside a signed one
            for half, digit in enumerate((byte >> 4, byte & 15)):
                out[place + 2 * k + half] = digit + (48 if digit < 10 else 87)
    return place + ID_BYTES


@njit(cache=True, nogil=True)
def put_grouped(out: Array | None, place: int, value: int) -> int:
    """The digits of a number, with a comma at the thousands."""
    digits, rest = 1, value
    while rest > 9:
        rest //= 10
        digits += 1
    end = place + digits + (digits - 1) // 3
    if out is not None:
        # From the last digit on: the place of the first is known only now.
        for k in range(end - place):
            if k % 4 == 3:
                out[end - 1 - k] = 44
            else:
                out[end - 1 - k] = 48 + value % 10
                value //= 10
    return end

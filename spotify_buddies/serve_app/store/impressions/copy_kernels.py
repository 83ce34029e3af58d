"""Kernels that write rows of PostgreSQL's binary COPY format: one pass for the lengths, one for the bytes.

Format: https://www.postgresql.org/docs/current/sql-copy.html (Binary Format); arrays as array_send writes them,
integers big-endian. No Python per list.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.encoding.kernels import copy

Array = npt.NDArray[Any]

COLUMNS = 7
TEXT_OID = 25
# Number of dimensions, whether there are NULLs, type of the elements; then size and lower bound of the one dimension.
EMPTY_ARRAY = 12
ARRAY_HEAD = 20


@njit(cache=True, nogil=True)
def put_number(out: Array, offset: int, value: int, size: int) -> int:
    """Write a signed integer of `size` bytes and return the offset after it."""
    for k in range(size):
        out[offset + k] = (value >> (8 * (size - 1 - k))) & 255
    return offset + size


@njit(cache=True, nogil=True)
def put_text(out: Array, offset: int, offsets: Array, data: Array, row: int) -> int:
    """Write one row of a string table with its length and return the offset after it."""
    first, last = offsets[row], offsets[row + 1]
    return copy(out, put_number(out, offset, last - first, 4), data, first, last)


@njit(cache=True, nogil=True)
def array_size(rows: Array, name_offsets: Array) -> int:
    """Bytes of a text array of the chosen names, without its own length."""
    if rows.size == 0:
        return EMPTY_ARRAY
    size = ARRAY_HEAD
    for row in rows:
        size += 4 + name_offsets[row + 1] - name_offsets[row]
    return size


@njit(cache=True, nogil=True)
def put_array(out: Array, offset: int, rows: Array, name_offsets: Array, names: Array) -> int:
    """Write a text array with its length and return the offset after it."""
    offset = put_number(out, offset, array_size(rows, name_offsets), 4)
    offset = put_number(out, offset, 1 if rows.size > 0 else 0, 4)
    offset = put_number(out, offset, 0, 4)
    offset = put_number(out, offset, TEXT_OID, 4)
    if rows.size > 0:
        offset = put_number(out, offset, rows.size, 4)
        offset = put_number(out, offset, 1, 4)
    for row in rows:
        offset = put_text(out, offset, name_offsets, names, row)
    return offset


@njit(cache=True, nogil=True)
def encode_rows(
    moments: Array,
    id_offsets: Array,
    ids: Array,
    user_offsets: Array,
    users: Array,
    starts: Array,
    counts: Array,
    rows: Array,
    name_offsets: Array,
    names: Array,
    tail: Array,
    sources: Array,
    source_offsets: Array,
    source_names: Array,
) -> Array:
    """Rows (at, recommendation id, user id, playlist ids, model version, arm, source), uint8 (bytes,).

    Per list i: moments[i] microseconds since 2000, row i of the ids and of the users, counts[i] playlist rows from
    rows[starts[i]] on, and the number of the source. tail: the two columns that all share, with their lengths.
    """
    total = 0
    for i in range(moments.size):
        # Count of columns, lengths of all columns but those in the tail, the time.
        total += 2 + 4 * (COLUMNS - 2) + 8 + tail.size + id_offsets[i + 1] - id_offsets[i]
        total += user_offsets[i + 1] - user_offsets[i] + source_offsets[sources[i] + 1] - source_offsets[sources[i]]
        total += array_size(rows[starts[i] : starts[i] + counts[i]], name_offsets)
    out = np.empty(total, np.uint8)
    offset = 0
    for i in range(moments.size):
        offset = put_number(out, offset, COLUMNS, 2)
        offset = put_number(out, offset, 8, 4)
        offset = put_number(out, offset, moments[i], 8)
        offset = put_text(out, offset, id_offsets, ids, i)
        offset = put_text(out, offset, user_offsets, users, i)
        offset = put_array(out, offset, rows[starts[i] : starts[i] + counts[i]], name_offsets, names)
        offset = copy(out, offset, tail, 0, tail.size)
        offset = put_text(out, offset, source_offsets, source_names, sources[i])
    return out

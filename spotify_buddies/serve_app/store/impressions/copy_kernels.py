"""Writes rows of PostgreSQL's binary COPY format from columns: one pass for the lengths, one for the bytes.

Format: https://www.postgresql.org/docs/current/sql-copy.html (Binary Format); arrays as array_send writes them,
integers big-endian. No Python per listener.
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
# Number of dimensions, whether there are NULLs, the elements' type; then size and lower bound of the one dimension.
EMPTY_ARRAY = 12
ARRAY_HEAD = 20


@njit(cache=True, nogil=True)
def put_number(out: Array, at: int, value: int, size: int) -> int:
    """Write a signed integer of `size` bytes and return the place after it."""
    for k in range(size):
        out[at + k] = (value >> (8 * (size - 1 - k))) & 255
    return at + size


@njit(cache=True, nogil=True)
def put_text(out: Array, at: int, offsets: Array, data: Array, row: int) -> int:
    """Write one row of a string table with its length and return the place after it."""
    first, last = offsets[row], offsets[row + 1]
    return copy(out, put_number(out, at, last - first, 4), data, first, last)


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
def put_array(out: Array, at: int, rows: Array, name_offsets: Array, names: Array) -> int:
    """Write a text array with its length and return the place after it."""
    at = put_number(out, at, array_size(rows, name_offsets), 4)
    at = put_number(out, at, 1 if rows.size > 0 else 0, 4)
    at = put_number(out, at, 0, 4)
    at = put_number(out, at, TEXT_OID, 4)
    if rows.size > 0:
        at = put_number(out, at, rows.size, 4)
        at = put_number(out, at, 1, 4)
    for row in rows:
        at = put_text(out, at, name_offsets, names, row)
    return at


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

    Per listener i: moments[i] microseconds since 2000, row i of the ids and of the users, counts[i] playlist rows from
    rows[starts[i]] on, and the number of the source. tail: the two columns that all share, with their lengths.
    """
    total = 0
    for i in range(moments.size):
        # Count of columns, lengths (those of the tail are in it), the time.
        total += 2 + 4 * (COLUMNS - 2) + 8 + tail.size + id_offsets[i + 1] - id_offsets[i]
        total += user_offsets[i + 1] - user_offsets[i] + source_offsets[sources[i] + 1] - source_offsets[sources[i]]
        total += array_size(rows[starts[i] : starts[i] + counts[i]], name_offsets)
    out = np.empty(total, np.uint8)
    at = 0
    for i in range(moments.size):
        at = put_number(out, at, COLUMNS, 2)
        at = put_number(out, at, 8, 4)
        at = put_number(out, at, moments[i], 8)
        at = put_text(out, at, id_offsets, ids, i)
        at = put_text(out, at, user_offsets, users, i)
        at = put_array(out, at, rows[starts[i] : starts[i] + counts[i]], name_offsets, names)
        at = copy(out, at, tail, 0, tail.size)
        at = put_text(out, at, source_offsets, source_names, sources[i])
    return out

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
from spotify_buddies.serve_app.ranking.kernels import fold

Array = npt.NDArray[Any]

COLUMNS = 14
TEXT_OID, REAL_OID = 25, 700
# Number of dimensions, whether there are NULLs, type of the elements; then size and lower bound of the one dimension.
EMPTY_ARRAY = 12
ARRAY_HEAD = 20
NULL = -1
# A time that there is not.
NO_MOMENT = -(2**63)


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
def put_head(out: Array, offset: int, elements: int, oid: int) -> int:
    """Write what comes before the elements of an array, without its own length, and return the offset after it."""
    offset = put_number(out, offset, 1 if elements > 0 else 0, 4)
    offset = put_number(out, offset, 0, 4)
    offset = put_number(out, offset, oid, 4)
    if elements > 0:
        offset = put_number(out, offset, elements, 4)
        offset = put_number(out, offset, 1, 4)
    return offset


@njit(cache=True, nogil=True)
def put_array(out: Array, offset: int, rows: Array, name_offsets: Array, names: Array) -> int:
    """Write a text array with its length and return the offset after it."""
    offset = put_number(out, offset, array_size(rows, name_offsets), 4)
    offset = put_head(out, offset, rows.size, TEXT_OID)
    for row in rows:
        offset = put_text(out, offset, name_offsets, names, row)
    return offset


@njit(cache=True, nogil=True)
def reals_size(count: int, given: bool) -> int:
    """Bytes of a real array, without its own length; 0 for NULL."""
    if not given:
        return 0
    return ARRAY_HEAD + 8 * count if count > 0 else EMPTY_ARRAY


@njit(cache=True, nogil=True)
def put_reals(out: Array, offset: int, first: int, count: int, bits: Array) -> int:
    """Write bits[first : first + count], of float32, as a real array, or NULL where there are no bits at all."""
    if bits.size == 0:
        return put_number(out, offset, NULL, 4)
    offset = put_number(out, offset, reals_size(count, True), 4)
    offset = put_head(out, offset, count, REAL_OID)
    for k in range(first, first + count):
        offset = put_number(out, put_number(out, offset, 4, 4), bits[k], 4)
    return offset


@njit(cache=True, nogil=True)
def candidates_of(i: int, found: Array, held_rows: Array, held_indptr: Array, held: Array) -> Any:
    """The hash of list i's candidates, uint64, and whether there is one."""
    if found[i] != 0:
        return found[i], True
    row = held_rows[i]
    if row < 0:
        return np.uint64(0), False
    return fold(held[held_indptr[row] : held_indptr[row + 1]]), True


@njit(cache=True, nogil=True)
def asked_size(shared: int, own: int, offsets: Array) -> int:
    """Bytes of what was asked: text `shared` and, unless it is below 0, text `own` after it; NULL below 0: 0."""
    if shared < 0:
        return 0
    size = offsets[shared + 1] - offsets[shared]
    return size if own < 0 else size + offsets[own + 1] - offsets[own]


@njit(cache=True, nogil=True)
def put_asked(out: Array, offset: int, shared: int, own: int, offsets: Array, data: Array) -> int:
    """Write what was asked, see asked_size, with its length, and return the offset after it."""
    if shared < 0:
        return put_number(out, offset, NULL, 4)
    offset = put_number(out, offset, asked_size(shared, own, offsets), 4)
    offset = copy(out, offset, data, offsets[shared], offsets[shared + 1])
    return offset if own < 0 else copy(out, offset, data, offsets[own], offsets[own + 1])


@njit(cache=True, nogil=True)
def encode_rows(
    moments: Array,
    ids: tuple[Array, Array],
    users: tuple[Array, Array],
    lists: tuple[Array, Array, Array, Array, Array],
    names: tuple[Array, Array],
    tail: Array,
    sources: tuple[Array, Array, Array],
    steps: tuple[Array, Array, Array],
    candidates: tuple[Array, Array, Array, Array],
    asked: tuple[Array, Array, Array, Array],
    computed: Array,
    teams: tuple[Array, Array, Array],
) -> Array:
    """Rows of the columns that copy_format.COLUMNS names, uint8 (bytes,). A text table is its offsets and its bytes.

    moments int64 (n,): microseconds since 2000. ids, users: text tables, row i of list i. lists: starts and counts
    (n,), of playlist rows, and bits of scores and propensities, uint32 at the same places; none: the column is NULL.
    names: of playlists. tail: version and arm, which all share, with their lengths. sources: numbers (n,) and their
    table. steps: numbers (n,) and a table of whole columns. candidates: see candidates_of. asked: rows (n,) of what
    calls share and of what is a list's own in the table after them. computed int64 (n,): as moments, or NO_MOMENT.
    teams: rows (n,) and a table of whole columns.
    """
    starts, counts, rows, scores, propensities = lists
    total = 0
    for i in range(moments.size):
        # Count of columns, lengths of all columns but those in the tail, of the steps and of the teams; the time.
        total += 2 + 4 * (COLUMNS - 4) + 8 + tail.size + ids[0][i + 1] - ids[0][i] + users[0][i + 1] - users[0][i]
        total += array_size(rows[starts[i] : starts[i] + counts[i]], names[0])
        total += sources[1][sources[0][i] + 1] - sources[1][sources[0][i]]
        total += reals_size(counts[i], scores.size > 0) + reals_size(counts[i], propensities.size > 0)
        total += steps[1][steps[0][i] + 1] - steps[1][steps[0][i]]
        total += 8 if candidates[0][i] != 0 or candidates[1][i] >= 0 else 0
        total += asked_size(asked[0][i], asked[1][i], asked[2])
        total += 8 if computed[i] != NO_MOMENT else 0
        total += teams[1][teams[0][i] + 1] - teams[1][teams[0][i]]
    out = np.empty(total, np.uint8)
    offset = 0
    for i in range(moments.size):
        offset = put_number(out, offset, COLUMNS, 2)
        offset = put_number(out, put_number(out, offset, 8, 4), moments[i], 8)
        offset = put_text(out, offset, ids[0], ids[1], i)
        offset = put_text(out, offset, users[0], users[1], i)
        offset = put_array(out, offset, rows[starts[i] : starts[i] + counts[i]], names[0], names[1])
        offset = copy(out, offset, tail, 0, tail.size)
        offset = put_text(out, offset, sources[1], sources[2], sources[0][i])
        offset = put_reals(out, offset, starts[i], counts[i], scores)
        offset = put_reals(out, offset, starts[i], counts[i], propensities)
        offset = copy(out, offset, steps[2], steps[1][steps[0][i]], steps[1][steps[0][i] + 1])
        folded, known = candidates_of(i, candidates[0], candidates[1], candidates[2], candidates[3])
        offset = put_number(out, offset, 8 if known else NULL, 4)
        if known:
            offset = put_number(out, offset, np.int64(folded), 8)
        offset = put_asked(out, offset, asked[0][i], asked[1][i], asked[2], asked[3])
        given = computed[i] != NO_MOMENT
        offset = put_number(out, offset, 8 if given else NULL, 4)
        if given:
            offset = put_number(out, offset, computed[i], 8)
        offset = copy(out, offset, teams[2], teams[1][teams[0][i]], teams[1][teams[0][i] + 1])
    return out

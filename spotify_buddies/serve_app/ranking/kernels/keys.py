"""Rows of many ids: a look-up by hash, several at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.prefetch import prefetch

Array = npt.NDArray[Any]

# Ids that are looked up together.
TOGETHER = 16


@njit(cache=True, nogil=True)
def match_key(
    wanted: int,
    first: int,
    last: int,
    data: Array,
    entry: int,
    hashes: Array,
    hash_rows: Array,
    table_offsets: Array,
    table_data: Array,
) -> int:
    """The row whose hash is `wanted`, from entry number `entry` on, and whose bytes are data[first:last]; -1: none."""
    while entry < hashes.size and hashes[entry] == wanted:
        row = hash_rows[entry]
        start = table_offsets[row]
        same = table_offsets[row + 1] - start == last - first
        k = 0
        while same and k < last - first:
            same = table_data[start + k] == data[first + k]
            k += 1
        if same:
            return row
        entry += 1
    return -1


@njit(cache=True, nogil=True)
def match_keys(
    wanted: Array,
    offsets: Array,
    data: Array,
    hashes: Array,
    hash_rows: Array,
    table_offsets: Array,
    table_data: Array,
    rows: Array,
) -> None:
    """Find the row of each key by its hash among ascending ones; a hit counts when the bytes are the same.

    Key i has the hash wanted[i] and the bytes data[offsets[i]:offsets[i + 1]]; the table's rows likewise. Writes rows,
    -1 where there is none.
    """
    entries = np.empty(TOGETHER, np.int64)
    for start in range(0, wanted.size, TOGETHER):
        count = min(TOGETHER, wanted.size - start)
        # Each look needs the result of the one before: one step for all of them, so that they wait together.
        for k in range(count):
            entries[k] = np.searchsorted(hashes, wanted[start + k])
            if entries[k] < hashes.size:
                prefetch(hash_rows, entries[k], 0)
        for k in range(count):
            if entries[k] < hashes.size:
                prefetch(table_offsets, hash_rows[entries[k]], 0)
        for k in range(count):
            if entries[k] < hashes.size:
                prefetch(table_data, table_offsets[hash_rows[entries[k]]], 0)
        for k in range(count):
            rows[start + k] = match_key(
                wanted[start + k], offsets[start + k], offsets[start + k + 1], data, entries[k], hashes, hash_rows,
                table_offsets, table_data,
            )  # fmt: skip

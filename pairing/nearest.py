"""Exact nearest users by the cosine of their song sets."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from pairing.blocks import over_blocks, processors
from pairing.csr import Csr
from pairing.kernels import compact, nearest_rows
from pairing.progress import Progress, silent

Array = npt.NDArray[Any]


def nearest_users(
    user_songs: Csr,
    k: int,
    *,
    block_users: int,
    rows: Array | None = None,
    postings: Csr | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> Csr:
    """The k users nearest to each user, shape (users, users), float32 cosines, most similar first.

    cosine(u, v) = shared songs / sqrt(songs of u * songs of v). Self is excluded, ties go to the lower row, users who
    share no song are never listed, so a row may be short or empty. rows: only these users, one row of the answer each,
    in their order. postings: user_songs.transpose(), where the caller has it. block_users and threads (None: one per
    processor) bound memory and change nothing else. Songs of a user must be distinct. Memory beside the answer: the
    transposed matrix and 2 bytes per user and thread.
    """
    chosen = np.arange(user_songs.rows, dtype=np.int64) if rows is None else np.asarray(rows, np.int64)
    width = max(0, min(k, user_songs.rows - 1))
    indices = np.empty(chosen.size * width, np.int32)
    values = np.empty(chosen.size * width, np.float32)
    counts = np.zeros(chosen.size, np.int64)
    if width:
        listed = user_songs.transpose() if postings is None else postings
        out = (counts, indices, values)
        _fill(user_songs, listed, chosen, width, out, block_users, threads or processors(), progress)
    indptr = np.zeros(chosen.size + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    filled = compact(counts, width, indices, values)
    return Csr(indptr, indices[:filled], user_songs.rows, values[:filled])


def _fill(
    user_songs: Csr,
    postings: Csr,
    chosen: Array,
    width: int,
    out: tuple[Array, Array, Array],
    block_users: int,
    threads: int,
    progress: Progress,
) -> None:
    """Run the kernel over blocks of the chosen users on a few threads; each writes its own part of `out`."""
    counts, indices, values = out
    spare: SimpleQueue[tuple[Array]] = SimpleQueue()
    for _ in range(threads):
        spare.put(scratch_for(user_songs))

    def work(start: int, end: int) -> None:
        scratch = spare.get()
        nearest_rows(
            chosen[start:end],
            user_songs.indptr,
            user_songs.indices,
            True,
            user_songs.indptr,
            postings.indptr,
            postings.indices,
            width,
            *scratch,
            counts[start:end],
            indices[start * width : end * width].reshape(-1, width),
            values[start * width : end * width].reshape(-1, width),
        )
        spare.put(scratch)

    block = max(1, min(block_users, -(-chosen.size // (4 * threads))))
    for _ in over_blocks(chosen.size, block, "nearest users", progress, work, threads=threads):
        pass


def scratch_for(user_songs: Csr) -> tuple[Array]:
    """The counters that `nearest_rows` needs, one array per running call."""
    # A song set longer than 65,535 needs the wider counter; the narrow one halves the cache it takes.
    kind = np.uint16 if int(user_songs.counts.max(initial=0)) < 2**16 else np.int32
    return (np.zeros(user_songs.rows, kind),)

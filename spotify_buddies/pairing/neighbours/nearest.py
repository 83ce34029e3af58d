"""Exact nearest users by the cosine of their song sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import THREADS, Blocks, Shared, read_only
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.neighbours.kernels import compact, nearest_rows

Array = npt.NDArray[Any]


class SongLists(NamedTuple):
    """What the search reads: CSR user -> songs and song -> users. longest: songs of the user who has most."""

    user_ptr: Array
    user_songs: Array
    song_ptr: Array
    song_users: Array
    longest: int


@contextmanager
def share_songs(user_songs: Csr, blocks: Blocks, *, postings: Csr | None = None) -> Iterator[Shared[SongLists]]:
    """Lay the song lists out for workers, for one search or several. postings: as in `nearest_users`."""
    listed = user_songs.transpose() if postings is None else postings
    lists = SongLists(
        user_ptr=read_only(user_songs.indptr),
        user_songs=read_only(user_songs.indices),
        song_ptr=read_only(listed.indptr),
        song_users=read_only(listed.indices),
        longest=int(user_songs.counts.max(initial=0)),
    )
    with blocks.share(lists) as shared:
        yield shared


def nearest_users(
    user_songs: Csr,
    k: int,
    *,
    block_users: int,
    rows: Array | None = None,
    postings: Csr | None = None,
    blocks: Blocks = THREADS,
    progress: Progress = silent,
) -> Csr:
    """The k users nearest to each user, shape (users, users), float32 cosines, most similar first.

    cosine(u, v) = shared songs / sqrt(songs of u * songs of v). Self is excluded, ties go to the lower row, users who
    share no song are never listed, so a row may be short or empty. rows: only these users, one row of the answer each,
    in their order. postings: user_songs.transpose(), where the caller has it; fewer users may be listed there, and only
    they are found then. blocks: who works; it and block_users bound memory and change nothing else. Songs of a user
    must be distinct. Memory beside the answer: the transposed matrix, and for every worker 2 bytes per user and the
    answers of a block.
    """
    with share_songs(user_songs, blocks, postings=postings) as shared:
        return find_nearest(shared, user_songs.rows, k, block_users=block_users, rows=rows, progress=progress)


def find_nearest(
    shared: Shared[SongLists],
    users: int,
    k: int,
    *,
    block_users: int,
    rows: Array | None = None,
    progress: Progress = silent,
) -> Csr:
    """As `nearest_users`, over song lists that are laid out, of `users` users. rows, where given, are few."""
    count = users if rows is None else len(rows)
    width = max(0, min(k, users - 1))
    # Room for the longest answer; the system gives memory only for what is filled.
    indices = np.empty(count * width, np.int32)
    values = np.empty(count * width, np.float32)
    indptr = np.zeros(count + 1, np.int64)
    chosen = None if rows is None else np.asarray(rows, np.int64)
    work = partial(_nearest_block, width=width, rows=chosen)
    done = filled = 0
    for counts, users_found, cosines in shared.over(
        work, count if width else 0, block_users, "nearest users", progress
    ):
        end = filled + users_found.size
        indices[filled:end], values[filled:end] = users_found, cosines
        # Summed once at the end; until then it holds counts.
        indptr[done + 1 : done + 1 + counts.size] = counts
        done, filled = done + counts.size, end
    np.cumsum(indptr, out=indptr)
    return Csr(indptr, indices[:filled], users, values[:filled])


def _nearest_block(
    lists: SongLists, first: int, last: int, *, width: int, rows: Array | None
) -> tuple[Array, Array, Array]:
    """How many are near to each of the users first..last (of `rows`), who they are, and their cosines."""
    chosen = np.arange(first, last, dtype=np.int64) if rows is None else rows[first:last]
    counts = np.zeros(chosen.size, np.int64)
    indices = np.empty((chosen.size, width), np.int32)
    values = np.empty((chosen.size, width), np.float32)
    nearest_rows(
        chosen,
        lists.user_ptr,
        lists.user_songs,
        True,
        lists.user_ptr,
        lists.song_ptr,
        lists.song_users,
        width,
        *_scratch(lists.user_ptr.size - 1, lists.longest),
        counts,
        indices,
        values,
    )
    flat, cosines = indices.reshape(-1), values.reshape(-1)
    filled = compact(counts, width, flat, cosines)
    return counts, flat[:filled], cosines[:filled]


def scratch_for(user_songs: Csr) -> tuple[Array]:
    """The counters that `nearest_rows` needs, one array per running call."""
    return _scratch(user_songs.rows, int(user_songs.counts.max(initial=0)))


def _scratch(users: int, longest: int) -> tuple[Array]:
    # A song set longer than 65,535 needs the wider counter; the narrow one halves the cache it takes.
    return (np.zeros(users, np.uint16 if longest < 2**16 else np.int32),)

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
from spotify_buddies.pairing.neighbours.counting.kernels import BLOCK, listeners_by_place, nearest_sets
from spotify_buddies.pairing.neighbours.kernels import compact

Array = npt.NDArray[Any]


class SongLists(NamedTuple):
    """What the search reads: CSR of song sets and of songs -> places of users, users being in the order of their sizes.

    order int32 (users,): the user at each place; sizes int32: the songs of each, and of nobody up to whole blocks of
    counters; firsts int32: the first size of each block, and one more; places int32 (sets,): of the user whose own set
    it is, who is in no answer to it, or an empty array. longest: songs of the largest set.
    """

    set_ptr: Array
    set_songs: Array
    order: Array
    sizes: Array
    firsts: Array
    places: Array
    song_ptr: Array
    song_users: Array
    longest: int


def lists_of(user_songs: Csr, *, sets: Csr | None = None, listed: Array | None = None) -> SongLists:
    """The song lists of these users, for searches with their own sets or, where they are given, with other `sets`.

    listed bool (users,): only those are found; None: all.
    """
    counts = user_songs.counts
    order = np.argsort(counts, kind="stable").astype(np.int32)
    places = np.empty(order.size if sets is None else 0, np.int32)
    if sets is None:
        places[order] = np.arange(order.size, dtype=np.int32)
    asked = user_songs if sets is None else sets
    sizes = np.full(-(-order.size // BLOCK) * BLOCK, np.iinfo(np.int32).max, np.int32)
    sizes[: order.size] = counts[order]
    firsts = np.append(sizes[::BLOCK], np.int32(-1))
    found = user_songs if listed is None else user_songs.only(listed)
    song_ptr, song_users = listeners_by_place(np.asarray(found.indptr), np.asarray(found.indices), found.columns, order)
    return SongLists(
        set_ptr=read_only(asked.indptr),
        set_songs=read_only(asked.indices),
        order=read_only(order),
        sizes=read_only(sizes),
        firsts=read_only(firsts),
        places=read_only(places),
        song_ptr=read_only(song_ptr),
        song_users=read_only(song_users),
        longest=int(asked.counts.max(initial=0)),
    )


@contextmanager
def share_songs(user_songs: Csr, blocks: Blocks, *, listed: Array | None = None) -> Iterator[Shared[SongLists]]:
    """Lay the song lists out for workers, for one search or several. listed: as in `nearest_users`."""
    with blocks.share(lists_of(user_songs, listed=listed)) as shared:
        yield shared


def nearest_users(
    user_songs: Csr,
    k: int,
    *,
    block_users: int,
    rows: Array | None = None,
    listed: Array | None = None,
    blocks: Blocks = THREADS,
    progress: Progress = silent,
) -> Csr:
    """The k users nearest to each user, shape (users, users), float32 cosines, most similar first.

    cosine(u, v) = shared songs / sqrt(songs of u * songs of v). Self is excluded, ties go to the lower row, users who
    share no song are never listed, so a row may be short or empty. rows: only these users, one row of the answer each,
    in their order. listed bool (users,): only those are found; None: all. blocks: who works; it and block_users bound
    memory and change nothing else. Songs of a user must be distinct. Memory beside the answer: the transposed matrix,
    12 bytes per user, and for every worker 3 bytes per user and the answers of a block.
    """
    with share_songs(user_songs, blocks, listed=listed) as shared:
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
    counts, indices, values = nearest_of(lists, chosen, width)
    flat, cosines = indices.reshape(-1), values.reshape(-1)
    filled = compact(counts, width, flat, cosines)
    return counts, flat[:filled], cosines[:filled]


def nearest_of(lists: SongLists, chosen: Array, width: int) -> tuple[Array, Array, Array]:
    """The `width` users nearest to each of the sets `chosen`, int64: how many, their rows and cosines (sets, width)."""
    counts = np.zeros(chosen.size, np.int64)
    indices = np.empty((chosen.size, width), np.int32)
    values = np.empty((chosen.size, width), np.float32)
    narrow = np.zeros(lists.sizes.size, np.uint8)
    # Touched only for a set of 256 songs or more, and until then no memory.
    wide = np.zeros(lists.sizes.size, np.uint16 if lists.longest < 2**16 else np.uint32)
    nearest_sets(
        chosen, lists.set_ptr, lists.set_songs, lists.places, lists.order, lists.sizes,
        lists.firsts, lists.song_ptr, lists.song_users, width, narrow, wide, counts, indices, values,
    )  # fmt: skip
    return counts, indices, values


def narrow_sizes(user_songs: Csr) -> Array:
    """Lengths of the users' song sets (users,): uint16, which takes half the cache, or int32 where one is longer."""
    sizes = user_songs.counts
    narrow: Array = sizes.astype(np.uint16 if int(sizes.max(initial=0)) < 2**16 else np.int32)
    return narrow


def scratch_for(user_songs: Csr, most: int | None = None) -> tuple[Array, Array, Array]:
    """Counters, users' sizes and a list of users, as `nearest_rows` needs them; one set per running call.

    most: entries of song lists that a call walks, and so users that it meets; None: any number of them.
    """
    users, sizes = user_songs.rows, narrow_sizes(user_songs)
    met = users if most is None else min(most, users)
    return np.zeros(users, sizes.dtype), sizes, np.empty(met + 1, np.uint32)

"""Users without candidates of their own: nearest users, a factor of their songs, and the genre nearest to them.

In this order: playlists of the neighbours and those nearest to the factor, what is popular in the genre of the songs,
what is popular with everybody.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.foldin import fold_in
from spotify_buddies.serve_app.errors import NeighboursUnavailable
from spotify_buddies.serve_app.neighbours.client import Neighbours
from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.query import RankedLists, Source
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]

# Songs of one user's library that are searched with, evenly picked: as many as a taste may have.
SONGS = 1_000

SEARCHED = "searched"
TIMED_OUT = "search timed out"
UNAVAILABLE = "search unavailable"


@dataclass(frozen=True)
class Nearest:
    """users: (tastes x users) with cosines, most similar first; None: no answer. outcome: SEARCHED or why not."""

    users: Csr | None
    outcome: str


async def find_neighbours(neighbours: Neighbours | None, tastes: Csr, k: int, users: int, budget_s: float) -> Nearest:
    """The nearest users of tastes, under a time budget. Tastes without a known song are answered without asking."""
    if not tastes.nnz:
        return Nearest(Csr(np.zeros(tastes.rows + 1, np.int64), np.empty(0, np.int32), users, _no_values()), SEARCHED)
    if neighbours is None:
        return Nearest(None, UNAVAILABLE)
    try:
        async with asyncio.timeout(budget_s):
            return Nearest(await neighbours.search(tastes, k), SEARCHED)
    except TimeoutError:
        return Nearest(None, TIMED_OUT)
    except NeighboursUnavailable:
        return Nearest(None, UNAVAILABLE)


def factors_of(bundle: Bundle, songs: Csr, near: Csr) -> Array:
    """A factor for every row of songs, float32 (rows, d): summed from the songs where the model can, else folded in.

    Zeros where neither songs nor neighbours say anything. Finite where the bundle's factors are.
    """
    folded = np.ascontiguousarray(fold_in(near, bundle.user_factors), np.float32)
    if bundle.song_factors is None:
        return folded
    summed = bundle.song_factors(songs)
    return np.where(has_entries(summed), summed, folded)


def has_entries(factors: Array) -> Array:
    """Whether a factor is anything but zeros, bool (rows, 1)."""
    some: Array = np.any(factors, axis=1, keepdims=True)
    return some


def genres_of(bundle: Bundle, songs: Csr) -> Array:
    """The genre that most of each row's songs fall into, rare songs counting more; int32 (rows,), -1 without one.

    A song counts by its inverse document frequency over users, log((1 + n) / (1 + df)) + 1.
    """
    out = np.empty(songs.rows, np.int32)
    kernels.vote(
        songs.indptr, songs.indices, bundle.song_genres, bundle.song_listeners, bundle.manifest.users,
        bundle.genre_popular.rows, out,
    )  # fmt: skip
    return out


def without_list(bundle: Bundle, lists: RankedLists) -> Array:
    """Places of known users who have songs and got what is popular with everybody, int64, ascending."""
    if Source.POPULAR not in lists.sources:
        return np.empty(0, np.int64)
    popular = np.fromiter((source is Source.POPULAR for source in lists.sources), np.bool_, len(lists))
    places = np.flatnonzero(popular & (lists.song_rows >= 0))
    rows = lists.song_rows[places]
    songs = bundle.user_songs.indptr
    kept: Array = places[songs[rows + 1] > songs[rows]]
    return kept


def libraries(bundle: Bundle, users: Array) -> Csr:
    """The songs of users to search with, at most SONGS each, ascending."""
    rows = [bundle.user_songs.row(user) for user in users.tolist()]
    return Csr.from_rows([row[:: -(-row.size // SONGS)] if row.size else row for row in rows], bundle.manifest.songs)


def steps(nearest: Nearest, lists: RankedLists) -> Mapping[str, int]:
    """How many of these users each step of the cold path answered or failed, by name."""
    counted: Counter[str] = Counter()
    for i, source in enumerate(lists.sources):
        alone = nearest.users is None or nearest.users.indptr[i] == nearest.users.indptr[i + 1]
        if source is Source.COLD_NEIGHBOURS:
            counted["found by taste" if alone else "found by neighbours"] += 1
            if nearest.users is None:
                counted[nearest.outcome] += 1
            continue
        if nearest.users is None:
            counted[nearest.outcome] += 1
        elif alone:
            counted["no neighbours"] += 1
        else:
            counted["neighbours own nothing"] += 1
        counted["genre" if source is Source.POPULAR_IN_GENRE else "global"] += 1
    return counted


def _no_values() -> Array:
    return np.empty(0, np.float32)

"""Users without candidates of their own: nearest users, a factor of their songs, and the genre nearest to them.

In this order: playlists of the neighbours and those nearest to the factor, what is popular in the genre of the songs,
what is popular with everybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.foldin import fold_in
from spotify_buddies.serve_app.neighbours.nearest import Nearest
from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.query import RankedLists, Source
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]

# Songs of one user's library that are searched with, evenly picked: as many as a taste may have.
SONGS = 1_000


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
    some = (nearest.users.counts > 0).tolist()
    for source, found, failed in zip(lists.sources, some, nearest.failed.tolist(), strict=True):
        counted.update(steps_of(source, found=found, outcome=nearest.outcome if failed else None))
    return counted


def steps_of(source: Source, *, found: bool, outcome: str | None = None) -> tuple[str, ...]:
    """The steps of one user. found: whether neighbours were; outcome: why their search failed, None: it did not."""
    if source is Source.COLD_NEIGHBOURS:
        answered = "found by neighbours" if found else "found by taste"
        return (answered,) if outcome is None else (answered, outcome)
    if outcome is None:
        outcome = "neighbours own nothing" if found else "no neighbours"
    return outcome, "genre" if source is Source.POPULAR_IN_GENRE else "global"

"""Who is asked: anything that ranks as the service does; and popularity, which every version must beat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import spans
from spotify_buddies.trainer.metrics.lists import rows_of

Array = npt.NDArray[Any]

_BLOCK = 1_024


class Lists(Protocol):
    """Ranks people; the lists are playlist rows int32 (n, limit), best first, -1 where nothing is left."""

    def rank_known(self, users: Array, seen: Csr, limit: int) -> Array:
        """The lists of users by row, int32 (n,). seen (n, playlists), ascending: must not come back."""

    def rank_strangers(self, songs: Csr, seen: Csr, limit: int) -> Array:
        """The lists of people who are not in the data, by their songs (n, songs)."""


class Ranker(Lists, Protocol):
    """The service over one bundle; its candidates too, each with the bits of its sources, uint8 (nnz,).

    Bits: PAIRING 1, TASTE 2, FOLLOWS 4, POPULAR 8, NEW 16. Rows best first. most: of people whose candidates are found
    when they ask, at most so many.
    """

    def offer_known(self, users: Array, most: int) -> tuple[Csr, Array]:
        """The candidates (n, playlists) of users by row."""

    def offer_strangers(self, songs: Csr, most: int) -> tuple[Csr, Array]:
        """The candidates of people by their songs (n, songs)."""


# Opens the bundle in a directory.
OpenRanker = Callable[[Path], Ranker]


class MostLiked:
    """Everybody gets the playlists that most people like in training, without what they own or have seen."""

    def __init__(self, likes: Array, owned: Csr) -> None:
        self._order = np.argsort(-likes, kind="stable").astype(np.int32)
        self._owned = owned

    def rank_known(self, users: Array, seen: Csr, limit: int) -> Array:
        """As Lists.rank_known."""
        return self._rank((seen, self._owned.take(users)), limit)

    def rank_strangers(self, songs: Csr, seen: Csr, limit: int) -> Array:
        """As Lists.rank_strangers; the songs say nothing here."""
        del songs
        return self._rank((seen,), limit)

    def _rank(self, refused: tuple[Csr, ...], limit: int) -> Array:
        count, columns = refused[0].rows, self._order.size
        out = np.full((count, limit), -1, np.int32)
        keys = np.sort(np.concatenate([rows_of(part) * columns + part.indices for part in refused]))
        most = limit + sum(int(part.counts.max(initial=0)) for part in refused)
        first_ones = self._order[:most]
        for first, last in spans(count, _BLOCK):
            asked = np.arange(first, last, dtype=np.int64)[:, None] * columns + first_ones
            at = np.minimum(np.searchsorted(keys, asked), max(keys.size - 1, 0))
            barred = keys[at] == asked if keys.size else np.zeros(asked.shape, np.bool_)
            kept = np.argsort(barred, axis=1, kind="stable")[:, :limit]
            rows = np.where(np.take_along_axis(barred, kept, axis=1), -1, first_ones[kept])
            out[first:last, : rows.shape[1]] = rows
        return out

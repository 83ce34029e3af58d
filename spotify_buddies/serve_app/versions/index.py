"""The neighbour search of every version that a replica of the index holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.generations.counts import ArmCounts
from spotify_buddies.serve_app.generations.state import Generation
from spotify_buddies.serve_app.ranking.plain_arrays import plain
from spotify_buddies.serve_app.versions.table import Loaded, VersionTable
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]

# Entries of song lists that a search may walk on the event loop, about a millisecond's worth.
SEARCH_AT_ONCE = 200_000


class Searching:
    """The neighbour search of one version, for one event loop."""

    def __init__(self, bundle: Bundle) -> None:
        from spotify_buddies.pairing.neighbours.search import NeighbourSearch

        opened = plain(bundle)
        self._search = NeighbourSearch.open(opened.index, opened.user_songs)
        self._songs = opened.manifest.songs

    def warm_up(self) -> None:
        """Compile the kernels, which would hold up the first tastes."""
        self._search.warm_up()

    async def search(self, indptr: Array, indices: Array, k: int) -> tuple[Array, Array, Array]:
        """The k nearest users of each taste, and the cosines: CSR rows of songs in, CSR rows of users out."""
        tastes = Csr(indptr, indices, self._songs)
        # A light search takes less time than handing it to a thread, above all on a busy machine.
        if self._search.work(tastes) <= SEARCH_AT_ONCE:
            nearest = self._search.search(tastes, k)
        else:
            nearest = await asyncio.to_thread(self._search.search, tastes, k)
        values = np.zeros(nearest.nnz, np.float32) if nearest.values is None else nearest.values
        return nearest.indptr, nearest.indices, values


def open_search(bundle: Bundle) -> Loaded[Searching]:
    """Open a bundle's index and warm it up. Blocks. SearchError: the index is for others."""
    searching = Searching(bundle)
    searching.warm_up()
    return Loaded(searching, bundle.sha256)


class Index:
    """Answers for every version that it holds, so there is nothing to swap. A FollowingReplica."""

    def __init__(self, table: VersionTable[Searching]) -> None:
        self._table = table

    def follow(self, generation: Generation) -> bool:
        """Whether the versions that take traffic are loaded."""
        wanted = generation.wanted
        return self._table.has([version for version in (wanted.production, wanted.canary) if version is not None])

    def counted(self, *, whole: bool) -> Sequence[tuple[int, ArmCounts]]:
        """Nothing: an index has no arms."""
        del whole
        return []

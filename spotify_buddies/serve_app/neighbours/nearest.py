"""Nearest users of tastes: counted in this process where that is little work, else asked of the neighbour index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.counted import CountedSearch
from spotify_buddies.serve_app.errors import NeighboursUnavailable
from spotify_buddies.serve_app.neighbours.client import Neighbours

Array = npt.NDArray[Any]

# Listeners of songs that are counted on the event loop, together: a third of a millisecond's worth. More: a thread.
COUNT_AT_ONCE = 50_000

SEARCHED = "searched"
TIMED_OUT = "search timed out"
UNAVAILABLE = "search unavailable"

# Where a taste was searched for.
LOCAL = "local"
INDEX = "index"


@dataclass(frozen=True)
class Nearest:
    """users: (tastes x users) with cosines, most similar first; none for a taste without a known song.

    failed bool (tastes,): no answer came, and outcome says why; of the others: SEARCHED. local, index: tastes that were
    counted here, and that the index was asked for.
    """

    users: Csr
    failed: Array
    outcome: str
    local: int
    index: int

    def searches(self) -> Iterator[tuple[str, int]]:
        """How many tastes were searched for where."""
        yield from ((LOCAL, self.local), (INDEX, self.index))


@dataclass(frozen=True)
class Searches:
    """The ways to the nearest users.

    index: asked for what is not counted; None: unreachable. budget_s: longest wait for it. counted: song lists of this
    process, for tastes within their bound; None: all are asked of the index.
    """

    index: Neighbours | None
    counted: CountedSearch | None
    budget_s: float

    async def find(self, tastes: Csr, k: int, users: int) -> Nearest:
        """The k nearest of so many users. Where the index fails, what is counted is answered all the same."""
        some = tastes.counts > 0
        here, work = some & False, 0
        if self.counted is not None:
            each = self.counted.work(tastes)
            here = some & (each <= self.counted.most)
            work = int(each[here].sum())
        near, asked = np.flatnonzero(here), np.flatnonzero(some & ~here)
        counted, (answer, outcome) = await asyncio.gather(
            self._count(tastes.take(near), work, k, users), self._ask(tastes.take(asked), k, users)
        )
        failed = np.zeros(tastes.rows, np.bool_)
        failed[asked] = answer is None
        found = _joined(tastes.rows, (near, counted), (asked, answer or _nobody(asked.size, users)))
        return Nearest(found, failed, outcome, near.size, asked.size)

    async def _count(self, tastes: Csr, work: int, k: int, users: int) -> Csr:
        if self.counted is None or not tastes.rows:
            return _nobody(0, users)
        if work <= COUNT_AT_ONCE:
            return self.counted.search(tastes, k)
        return await asyncio.to_thread(self.counted.search, tastes, k)

    async def _ask(self, tastes: Csr, k: int, users: int) -> tuple[Csr | None, str]:
        if not tastes.rows:
            return _nobody(0, users), SEARCHED
        if self.index is None:
            return None, UNAVAILABLE
        try:
            async with asyncio.timeout(self.budget_s):
                return await self.index.search(tastes, k), SEARCHED
        except TimeoutError:
            return None, TIMED_OUT
        except NeighboursUnavailable:
            return None, UNAVAILABLE


def _joined(rows: int, *parts: tuple[Array, Csr]) -> Csr:
    """So many rows of what is in parts, each with the places of its rows; the others are empty."""
    columns = parts[0][1].columns
    for places, part in parts:
        if places.size == rows:
            return part  # in their order: places ascend
    filled = [part for _, part in parts]
    counts = np.concatenate([np.zeros(1, np.int64), *(part.counts for part in filled), np.zeros(1, np.int64)])
    values = [np.empty(0, np.float32) if part.values is None else part.values for part in filled]
    stacked = Csr(np.cumsum(counts), np.concatenate([part.indices for part in filled]), columns, np.concatenate(values))
    place = np.full(rows, stacked.rows - 1)
    first = 0
    for places, part in parts:
        place[places] = first + np.arange(part.rows)
        first += part.rows
    return stacked.take(place)


def _nobody(rows: int, users: int) -> Csr:
    return Csr(np.zeros(rows + 1, np.int64), np.empty(0, np.int32), users, np.empty(0, np.float32))

"""Neighbour search for the service: awaitable, and possibly unavailable."""

from __future__ import annotations

import asyncio
from typing import Protocol

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.errors import NeighboursUnavailable


class Neighbours(Protocol):
    """Finds the users nearest to tastes."""

    async def search(self, tastes: Csr, k: int) -> Csr:
        """(tastes x songs) to (tastes x users) with cosines, most similar first, at most k each.

        NeighboursUnavailable when there is no answer.
        """


class Search(Protocol):
    """pairing.neighbours.search.NeighbourSearch."""

    def search(self, tastes: Csr, k: int) -> Csr:
        """As Neighbours.search, but blocking."""


class Local:
    """A search in this process, in a thread so that it does not block the event loop."""

    def __init__(self, search: Search) -> None:
        self._search = search

    async def search(self, tastes: Csr, k: int) -> Csr:
        """Search in a thread."""
        return await asyncio.to_thread(self._search.search, tastes, k)


async def within(neighbours: Neighbours, tastes: Csr, k: int, budget_s: float) -> Csr | None:
    """Search under a time budget; None when there was no answer in time."""
    try:
        async with asyncio.timeout(budget_s):
            return await neighbours.search(tastes, k)
    except (TimeoutError, NeighboursUnavailable):
        return None

"""What an arm does, counted since the replica follows a generation: for the gates, which add up the replicas."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.generations.counts import ArmCounts
from spotify_buddies.serve_app.ranking.query import RankedLists, Source

Array = npt.NDArray[Any]

# Upper edges of the latency counts in milliseconds, ten a factor of ten, from 0.1 ms to 10 s. Count i is of calls above
# edge i - 1 and up to edge i; there is one more count than edges, of calls above the last.
EDGES_MS = tuple(round(10 ** (step / 10), 4) for step in range(-10, 41))
# Of these a listener's own candidates were ranked; lists from elsewhere are cold.
_WARM = slice(Source.LIVE, Source.DAILY + 1)
# The arm under which a shadow's counts stand.
SHADOW = "shadow"


class ArmCounter:
    """Counters of one arm. Written by one thread, read by another: a row may lack the call that is being counted."""

    def __init__(self, arm: str, version: str, playlists: int) -> None:
        self.arm, self.version = arm, version
        self.listeners = self.errors = self.empty = self.cold = 0
        self.compared = self.lost = 0
        self.overlap = self.drift = 0.0
        self._latencies = [0] * (len(EDGES_MS) + 1)
        # The last place takes the -1 of places that are not filled.
        self._shown = np.zeros(playlists + 1, np.bool_)
        self._packed = b""

    def add(self, lists: RankedLists, sources: Sequence[int]) -> None:
        """As Tally.add."""
        count = len(lists)
        self.listeners += count
        self.empty += count - int(np.count_nonzero(lists.counts))
        self.cold += count - sum(sources[_WARM])
        self._shown[lists.rows] = True

    def time(self, seconds: float) -> None:
        """One call that was answered, or given up by the caller after this time."""
        self._latencies[bisect_left(EDGES_MS, seconds * 1e3)] += 1

    def fail(self, listeners: int) -> None:
        """Listeners whom this arm should have answered and could not."""
        self.errors += listeners

    def row(self, *, whole: bool = True) -> ArmCounts:
        """All of it now; unless whole, without the playlists shown where they are as at the last call."""
        packed = np.packbits(self._shown[:-1]).tobytes()
        changed, self._packed = whole or packed != self._packed, packed
        return ArmCounts(
            self.arm, self.version, self.listeners, self.errors, self.empty, self.cold, tuple(self._latencies),
            zlib.compress(packed, 1) if changed else None, self.compared, self.lost, self.overlap, self.drift,
        )  # fmt: skip

"""Counters of the arms, from the start of a generation on a replica; the gates add up the replicas."""

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
# Upper edges of the size classes in users, with one more class above the last. A call of both arms is split between
# them, so a canary of 5 % gets 25 users where production gets 475: their latencies are compared class by class.
SIZES = tuple(2**power for power in range(10))
# Of these a user's own candidates were ranked; lists from elsewhere are cold.
_WARM = slice(Source.LIVE, Source.DAILY + 1)
# The arm under which a shadow's counts are stored.
SHADOW = "shadow"


class ArmCounter:
    """Counters of one arm. Written by one thread, read by another: a row may lack the call that is being counted."""

    def __init__(self, arm: str, version: str, playlists: int) -> None:
        self.arm, self.version = arm, version
        self.listeners = self.errors = self.empty = self.cold = 0
        self.asked_squares = self.answered_squares = 0
        self.compared = self.lost = 0
        self.overlap = self.drift = 0.0
        self._latencies = [[0] * (len(EDGES_MS) + 1) for _ in range(len(SIZES) + 1)]
        # The last place takes the -1 of places that are not filled.
        self._shown = np.zeros(playlists + 1, np.bool_)
        self._packed = b""

    def add(self, lists: RankedLists, sources: Sequence[int]) -> None:
        """Count lists that are sent; sources: how many came from each, by its number."""
        count = len(lists)
        self.listeners += count
        self.empty += count - int(np.count_nonzero(lists.counts))
        self.cold += count - sum(sources[_WARM])
        self._shown[lists.rows] = True

    def begin(self) -> CallCounter:
        """Count one more call of a client."""
        return CallCounter(self)

    def time(self, seconds: float, users: int = 1) -> None:
        """Time a call of some users that was answered, or that the client cancelled after this time."""
        self._latencies[bisect_left(SIZES, users)][bisect_left(EDGES_MS, seconds * 1e3)] += 1

    def fail(self, users: int) -> None:
        """Count a call whose users this arm should have answered and could not."""
        self.begin().failed(users)

    def row(self, *, whole: bool = True) -> ArmCounts:
        """All of it now; unless whole, without the playlists shown where they are as at the last call."""
        packed = np.packbits(self._shown[:-1]).tobytes()
        changed, self._packed = whole or packed != self._packed, packed
        return ArmCounts(
            self.arm, self.version, self.listeners, self.errors, self.empty, self.cold,
            tuple(sum(sizes) for sizes in zip(*self._latencies, strict=True)),
            zlib.compress(packed, 1) if changed else None, self.compared, self.lost, self.overlap, self.drift,
            self.asked_squares, self.answered_squares, tuple(count for counts in self._latencies for count in counts),
        )  # fmt: skip


class CallCounter:
    """One call of a client as one arm sees it, over all parts of a stream.

    The users of a call succeed or fail together, so they are one observation. For a certainty that counts calls, the
    sums of the squared sizes are kept (see rollout/gates/measures.py): a call that grows from n to n + k users adds
    (n + k)^2 - n^2.
    """

    def __init__(self, arm: ArmCounter) -> None:
        self._arm = arm
        self._asked = self._answered = 0
        self._timed = False

    def answered(self, users: int) -> None:
        """Add users that were answered; `ArmCounter.add` counts their lists."""
        self._ask(users)
        self._arm.answered_squares += users * (2 * self._answered + users)
        self._answered += users

    def failed(self, users: int) -> None:
        """Add users whom the arm should have answered and could not."""
        self._ask(users)
        self._arm.errors += users

    def time(self, seconds: float, users: int) -> None:
        """Time a part with that many users. Only the first part counts: the parts of a stream are not independent."""
        if not self._timed:
            self._timed = True
            self._arm.time(seconds, users)

    def _ask(self, users: int) -> None:
        self._arm.asked_squares += users * (2 * self._asked + users)
        self._asked += users

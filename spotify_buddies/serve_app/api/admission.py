"""Limit of the calls that a replica takes on at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from spotify_buddies.serve_app.errors import ServerFull

# Refused callers are asked to retry after a time between these, in seconds: long enough to finish what was taken on,
# and spread, so that those who were refused together do not return together.
RETRY_AFTER_S = (0.05, 0.15)


class Admission:
    """Counts the calls in flight and turns away those beyond `most`. For one event loop."""

    def __init__(self, most: int, rng: random.Random) -> None:
        self._most = most
        self._rng = rng
        self.in_flight = 0

    @contextmanager
    def admitted(self, places: int = 1) -> Iterator[None]:
        """Hold so many of the places, or all there are, for the length of the block. ServerFull: they are not free."""
        taken = min(places, self._most)
        if self.in_flight + taken > self._most:
            raise ServerFull(self._most, self._rng.uniform(*RETRY_AFTER_S))
        self.in_flight += taken
        try:
            yield
        finally:
            self.in_flight -= taken

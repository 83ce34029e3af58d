"""Counters and latencies; through Ray's metrics (Prometheus) inside a replica, nowhere elsewhere."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from typing import Any, Protocol

FLUSH_S = 1.0
SAMPLED = 8


class Telemetry(Protocol):
    """What the service reports."""

    def count_status(self, method: str, code: str) -> None:
        """One answered call of a method and its status code."""

    def count_lists(self, source: str, count: int) -> None:
        """Lists answered from one source."""

    def count_cold(self, step: str, count: int) -> None:
        """Listeners without candidates of their own whom one step of the cold path answered, or failed to."""

    def time_inference(self, seconds: float) -> None:
        """Seconds spent on one Recommend, from the decoded request to the ranked lists."""


class Silent:
    """Reports nothing: for tests and for the plain server."""

    def count_status(self, method: str, code: str) -> None:
        """Nothing."""

    def count_lists(self, source: str, count: int) -> None:
        """Nothing."""

    def count_cold(self, step: str, count: int) -> None:
        """Nothing."""

    def time_inference(self, seconds: float) -> None:
        """Nothing."""


class RayTelemetry:
    """Ray's metrics, scraped from the node's metrics port with the replica as a tag.

    One call of theirs costs about as much as looking up a listener. So counts are kept here and handed on once in a
    while, and one of SAMPLED latencies is observed. All but time_inference on one thread.
    """

    def __init__(self) -> None:
        from ray.serve import metrics

        self._counted: defaultdict[tuple[Any, tuple[tuple[str, str], ...]], int] = defaultdict(int)
        self._turns = itertools.count()
        self._requests = metrics.Counter(
            "inference_requests_total",
            description="Answered calls by method and status code",
            tag_keys=("method", "code"),
        )
        self._lists = metrics.Counter(
            "inference_lists_total", description="Lists answered, by where they came from", tag_keys=("source",)
        )
        self._cold = metrics.Counter("cold_user_total", description="Lists for listeners without a pairing")
        self._steps = metrics.Counter(
            "cold_steps_total",
            description="Steps of the cold path: what answered a listener without candidates, and what failed before",
            tag_keys=("step",),
        )
        self._seconds = metrics.Histogram(
            "inference_time_seconds",
            description="Seconds from the decoded request to the ranked lists, of one request in eight",
            boundaries=[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0],
        )

    def count_status(self, method: str, code: str) -> None:
        """Add one call."""
        self._counted[self._requests, (("method", method.removesuffix("Response")), ("code", code))] += 1

    def count_lists(self, source: str, count: int) -> None:
        """Add lists; those that did not come from a pairing also count as cold."""
        self._counted[self._lists, (("source", source),)] += count
        if source in ("COLD_NEIGHBOURS", "POPULAR_IN_GENRE", "POPULAR"):
            self._counted[self._cold, ()] += count

    def count_cold(self, step: str, count: int) -> None:
        """Add listeners."""
        self._counted[self._steps, (("step", step),)] += count

    def time_inference(self, seconds: float) -> None:
        """Observe one request of SAMPLED; from any thread."""
        if next(self._turns) % SAMPLED == 0:
            self._seconds.observe(seconds)

    def flush(self) -> None:
        """Hand on what was counted since the last time."""
        counted, self._counted = self._counted, defaultdict(int)
        for (counter, tags), count in counted.items():
            counter.inc(count, tags=dict(tags))

    async def flush_forever(self) -> None:
        """Do so every FLUSH_S; on cancellation once more."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                self.flush()
        finally:
            self.flush()

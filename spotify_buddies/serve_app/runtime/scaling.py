"""The wanted number of rankers: by the calls in flight, and by how busy their event loops are.

Calls in flight alone do not show it: a call for known users never waits, so an overloaded replica has one in flight at
a time, and the others wait in gRPC and in HAProxy, where Ray does not look.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

BUSY = "busy"


class Busy:
    """The share of time that a thread computes; to be asked on that thread."""

    def __init__(
        self, wall_clock: Callable[[], float] = time.monotonic, thread_clock: Callable[[], float] = time.thread_time
    ) -> None:
        self._wall_clock, self._thread_clock = wall_clock, thread_clock
        self._wall, self._thread = wall_clock(), thread_clock()

    def share(self) -> float:
        """Processor time over time on the wall since it was last asked, 0 to 1; 0 where no time has passed."""
        wall, thread = self._wall_clock(), self._thread_clock()
        passed, worked = wall - self._wall, thread - self._thread
        self._wall, self._thread = wall, thread
        return min(1.0, worked / passed) if passed > 0 else 0.0


class ByLoad:
    """A policy for Ray Serve: replicas times the larger of calls in flight and busy time, each over its target.

    busy: target for the share of time that a replica's event loop computes, 0 to 1.
    """

    def __init__(self, busy: float) -> None:
        self._busy = busy

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """The replicas wanted, before bounds and delays, and no state; as many as there are while there is none."""
        running = context.current_num_replicas
        if running == 0:
            return context.target_num_replicas, {}
        in_flight = context.total_num_requests / context.config.get_target_ongoing_requests()
        shares = (context.aggregated_metrics or {}).get(BUSY, {}).values()
        known = [share for share in shares if not math.isnan(share)]
        return max(in_flight, sum(known) / self._busy), {}

"""A supervisor of the servers that we started: one that dies while the service runs is started again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from spotify_buddies.foundation.process.signals import held

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# A server that ran this long had started well, so its next death counts as the first.
SETTLED_S = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Supervised:
    """One server. alive: cheap, asked often. restart: blocks until it answers, and raises when it does not."""

    name: str
    alive: Callable[[], bool]
    restart: Callable[[], None]


@dataclass
class _Record:
    """failures in a row; next_s, started_s: moments of the clock."""

    failures: int = 0
    next_s: float = 0.0
    started_s: float = float("-inf")


@dataclass
class Supervisor:
    """Restarts servers from one thread. Pauses between attempts double, so that a broken one costs little."""

    errors: tuple[type[Exception], ...]
    clock: Callable[[], float] = time.monotonic
    servers: list[Supervised] = field(default_factory=list)
    _records: dict[str, _Record] = field(default_factory=dict)

    def look(self) -> list[str]:
        """Start what is dead and due again; returns a sentence for each attempt, empty when all is well.

        Stopping signals wait while a server starts: one that is not noted yet would be left behind.
        """
        said = []
        for server in self.servers:
            record = self._records.setdefault(server.name, _Record())
            if server.alive() or self.clock() < record.next_s:
                continue
            said.append(self._attempt(server, record))
        return said

    def _attempt(self, server: Supervised, record: _Record) -> str:
        began = self.clock()
        if began - record.started_s > SETTLED_S:
            record.failures = 0
        problem = ""
        try:
            with held():
                server.restart()
        except self.errors as error:
            problem = str(error)
        record.failures += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (record.failures - 1))
        record.started_s = self.clock()
        record.next_s = record.started_s + pause_s
        if problem:
            _log.warning("%s does not start again: %s", server.name, problem)
            return f"{server.name} had died and does not start again: {problem}; the next attempt is in {pause_s:g} s"
        _log.warning("%s had died and was started again", server.name)
        return f"{server.name} had died; started again after {self.clock() - began:.1f} s"

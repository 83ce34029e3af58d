"""Progress of long work: a bar on a terminal, one line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from spotify_buddies.foundation.terminal.visible import visible


class Progress(Protocol):
    """What long work reports to. done and total are counts of unit; total 0 means unknown."""

    def __call__(self, what: str, done: int, total: int, unit: str = "items") -> None:
        """Report that `done` of `total` are finished."""


def silent(what: str, done: int, total: int, unit: str = "items") -> None:
    """Report to nobody."""


@dataclass
class Reporter:
    """Prints progress to a stream: a rewritten line on a terminal, a new line every `every_s` seconds elsewhere."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    every_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    _started: dict[str, float] = field(default_factory=dict)
    _shown: float = float("-inf")

    def __call__(self, what: str, done: int, total: int, unit: str = "items") -> None:
        """Show the count, the share and the rate."""
        now = self.clock()
        since = self._started.setdefault(what, now)
        terminal = self.stream.isatty()
        finished = total > 0 and done >= total
        if not finished and now - self._shown < (0.1 if terminal else self.every_s):
            return
        self._shown = now
        rate = done / (now - since) if now > since else 0.0
        share = f" of {total:,} ({done / total:.0%})" if total else ""
        line = f"{visible(what)}: {done:,}{share} {unit}" + (f", {rate:,.0f} {unit}/s" if rate else "")
        if terminal:
            self.stream.write("\r\x1b[2K" + line + ("\n" if finished else ""))
        else:
            self.stream.write(line + "\n")
        self.stream.flush()
        if finished:
            self._started.pop(what, None)

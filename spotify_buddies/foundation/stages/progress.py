"""Progress of long work: a bar on a terminal, one line every few seconds elsewhere."""

from __future__ import annotations

import shutil
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

    def describe(self, text: str) -> None:
        """Show a text beside the count from the next report on."""

    def end(self, what: str, why: str) -> None:
        """Say in a sentence why work ended, also before its count is full."""


class Silent:
    """A Progress that shows nothing."""

    def __call__(self, what: str, done: int, total: int, unit: str = "items") -> None:
        """Nothing is shown."""

    def describe(self, text: str) -> None:
        """Nothing is shown."""

    def end(self, what: str, why: str) -> None:
        """Nothing is shown."""


silent = Silent()


@dataclass(frozen=True)
class Counting:
    """A Progress that gives counts to a function, with the arguments of a report, and texts to another Progress."""

    count: Callable[..., None]
    texts: Progress = silent

    def __call__(self, what: str, done: int, total: int, unit: str = "items") -> None:
        """Give the count to the function."""
        self.count(what, done, total, unit)

    def describe(self, text: str) -> None:
        """Pass the text on."""
        self.texts.describe(text)

    def end(self, what: str, why: str) -> None:
        """Pass the sentence on."""
        self.texts.end(what, why)


@dataclass
class Reporter:
    """Prints progress to a stream: a rewritten line on a terminal, a new line every `every_s` seconds elsewhere.

    text: stands behind the count, until it is changed or the work ends.
    """

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    every_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    text: str = ""
    _started: dict[str, tuple[float, int]] = field(default_factory=dict)
    _shown: float = float("-inf")
    _drawn: int = 0

    def __call__(self, what: str, done: int, total: int, unit: str = "items") -> None:
        """Show the count, the share and the rate."""
        now = self.clock()
        since, before = self._started.setdefault(what, (now, done))
        terminal = self.stream.isatty()
        finished = total > 0 and done >= total
        if not finished and now - self._shown < (0.1 if terminal else self.every_s):
            return
        self._shown = now
        rate = (done - before) / (now - since) if now > since else 0.0
        share = f" of {total:,} ({done / total:.0%})" if total else ""
        line = f"{visible(what)}: {done:,}{share} {unit}" + (f", {rate:,.0f} {unit}/s" if rate else "")
        line += f", {visible(self.text)}" if self.text else ""
        self._write(line, keep=finished or not terminal)
        if finished:
            self._started.pop(what, None)
            self.text = ""

    def describe(self, text: str) -> None:
        """Show a text behind the count from the next report on."""
        self.text = text

    def end(self, what: str, why: str) -> None:
        """Leave a sentence in place of the line, and forget the work."""
        self._started.pop(what, None)
        self.text = ""
        self._write(visible(why), keep=True)

    def _write(self, line: str, *, keep: bool) -> None:
        """Write over the line before, which may have wrapped; keep: the next one goes below."""
        up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
        erased = f"\r{up}\x1b[J" if self.stream.isatty() else ""
        self.stream.write(erased + line + ("\n" if keep else ""))
        self.stream.flush()
        self._drawn = 0 if keep else -(-len(line) // shutil.get_terminal_size().columns)

"""A search as people see it: a table that renews itself on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from spotify_buddies.foundation.stages.progress import Progress, Reporter
from spotify_buddies.trainer.tune.experiment import ENDED, RUNNING, WAITING, Trial

HEAD = ("trial", "status", "epochs", "seconds")
_REDRAW_S = 0.25
_ORDER = {RUNNING: 0, WAITING: 2}


@dataclass
class Board:
    """Shows trials on a stream. epochs: of a trial at most; trials: how many there will be; metric: what scores are."""

    trials: int
    epochs: int
    metric: str
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    progress: Progress | None = None
    clock: Callable[[], float] = time.monotonic
    _drawn: int = 0
    _at: float = float("-inf")
    _finished: bool = False

    def show(self, trials: Sequence[Trial]) -> None:
        """The trials as they are now; cheap to call often."""
        if not self.stream.isatty():
            self._count(sum(map(self._spent, trials)))
        elif self.clock() - self._at >= _REDRAW_S:
            self._draw(trials)

    def ended(self, trial: Trial) -> None:
        """A trial that has ended: a line of its own where there is no table."""
        if not self.stream.isatty():
            self._write(f"trial {trial.number} {trial.status}: {trial.why}; {self._score(trial)}\n")

    def lost(self, trial: Trial) -> None:
        """A trial whose worker is gone."""
        if not self.stream.isatty():
            self._write(f"trial {trial.number} lost its worker after {len(trial.epochs)} epochs; another one goes on\n")

    def say(self, text: str) -> None:
        """A sentence."""
        self._write(text + "\n")
        self._drawn = 0

    def close(self, trials: Sequence[Trial]) -> None:
        """Leave the last state standing."""
        if self.stream.isatty():
            self._draw(trials)
            self._drawn = 0

    def _draw(self, trials: Sequence[Trial]) -> None:
        size = shutil.get_terminal_size()
        done = sum(trial.status in ENDED for trial in trials)
        first = sorted(trials, key=lambda trial: (_ORDER.get(trial.status, 1), -(trial.score or 0.0), trial.number))
        lines = columns(table(first[: max(1, size.lines - 4)], self.metric))
        lines.append(
            f"{done} of {self.trials} trials ended, the better ones first; Ctrl-C stops, the same command goes on"
        )
        erased = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        self._write(erased + "".join(f"{line[: size.columns - 1]}\n" for line in lines))
        self._drawn, self._at = len(lines), self.clock()

    def _count(self, epochs: int) -> None:
        """A line of progress; epochs that ended trials did not need count as done. Nothing after the last."""
        if not self._finished:
            report = self.progress or self._reporter()
            report("search", epochs, self.trials * self.epochs, "epochs")
        self._finished = epochs >= self.trials * self.epochs

    def _spent(self, trial: Trial) -> int:
        return self.epochs if trial.status in ENDED else len(trial.epochs)

    def _score(self, trial: Trial) -> str:
        score = f"{self.metric} {trial.score:.4f}" if trial.score is not None else "no score"
        point = ", ".join(f"{name} {_value(value)}" for name, value in trial.point.items())
        return f"{score} with {point}"

    def _reporter(self) -> Progress:
        self.progress = Reporter(stream=self.stream, clock=self.clock)
        return self.progress

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def table(trials: Sequence[Trial], metric: str) -> list[list[str]]:
    """A header and a line for each trial: how it stands, its score, and the point of the space that it tries."""
    names = list(trials[0].point) if trials else []
    lines = [[*HEAD, metric, *names]]
    for trial in trials:
        score = f"{trial.score:.4f}" if trial.score is not None else "-"
        numbers = [str(len(trial.epochs)), f"{trial.seconds:.1f}", score]
        lines.append([str(trial.number), trial.status, *numbers, *(_value(trial.point[name]) for name in names)])
    return lines


def columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells as text, every column as wide as its widest cell."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]


def as_json(trial: Trial) -> Mapping[str, Any]:
    """A trial for scripts."""
    return {
        "trial": trial.number,
        "status": trial.status,
        "why": trial.why,
        "epochs": len(trial.epochs),
        "seconds": round(trial.seconds, 3),
        "score": trial.score,
        "settings": dict(trial.point),
    }


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

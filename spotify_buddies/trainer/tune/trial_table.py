"""The trials of a search as people see them: a live table on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from spotify_buddies.foundation.stages.progress import Progress, Reporter
from spotify_buddies.foundation.terminal.visible import visible
from spotify_buddies.trainer.tune.experiment import ENDED, RUNNING, WAITING, Trial

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

HEAD = ("trial", "status", "epochs", "seconds")
_REDRAW_S = 0.25
_ORDER = {RUNNING: 0, WAITING: 2}


@dataclass
class TrialTable:
    """Shows trials on a stream. epochs: of a trial at most; trials: how many there will be; metric: what scores are."""

    trials: int
    epochs: int
    metric: str
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    progress: Progress | None = None
    clock: Callable[[], float] = time.monotonic
    _live: Live | None = None
    _shown: float = float("-inf")
    _finished: bool = False

    def show(self, trials: Sequence[Trial]) -> None:
        """The trials as they are now; cheap to call often."""
        if not self.stream.isatty():
            self._count(sum(map(self._spent, trials)))
        elif self.clock() - self._shown >= _REDRAW_S:
            self._draw(trials)

    def ended(self, trial: Trial) -> None:
        """A trial that has ended: a line of its own where there is no table."""
        if not self.stream.isatty():
            self.say(f"trial {trial.number} {trial.status}: {trial.why}; {self._score(trial)}")

    def lost(self, trial: Trial) -> None:
        """A trial whose worker was lost."""
        if not self.stream.isatty():
            self.say(f"trial {trial.number} lost its worker after {len(trial.epochs)} epochs; another one resumes it")

    def say(self, text: str) -> None:
        """A sentence, above the table where there is one."""
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(visible(text)))
        else:
            self.stream.write(visible(text) + "\n")
            self.stream.flush()

    def close(self, trials: Sequence[Trial]) -> None:
        """Leave the last state on the terminal, whole."""
        if self.stream.isatty():
            self._draw(trials)
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, trials: Sequence[Trial]) -> None:
        if self._live is None:
            self._live = _live(self.stream)
        done = sum(trial.status in ENDED for trial in trials)
        ordered = sorted(trials, key=lambda trial: (_ORDER.get(trial.status, 1), -(trial.score or 0.0), trial.number))
        caption = f"{done} of {self.trials} trials ended, the better ones first; Ctrl-C stops, the same command resumes"
        self._live.update(_grid(*rows_of(ordered, self.metric), caption), refresh=True)
        self._shown = self.clock()

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


def rows_of(trials: Sequence[Trial], metric: str) -> tuple[list[str], list[list[str]]]:
    """Headers, and a row for each trial: its status, its score, and the point of the space that it tries."""
    names = list(trials[0].point) if trials else []
    rows = []
    for trial in trials:
        score = f"{trial.score:.4f}" if trial.score is not None else "-"
        numbers = [str(len(trial.epochs)), f"{trial.seconds:.1f}", score]
        rows.append([str(trial.number), trial.status, *numbers, *(_value(trial.point[name]) for name in names)])
    return [*HEAD, metric, *names], rows


def _live(stream: TextIO) -> Live:
    """A table that redraws itself on a terminal, when it is told to and by no thread of its own.

    The stream is taken as it is, since Ray's output is kept away from the standard streams meanwhile.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream, highlight=False)
    live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    live.start()
    return live


def _grid(headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Group:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        # A line for a trial, cut off where the terminal ends: a table that jumps cannot be read.
        grid.add_column(Text(header), justify="left" if header == "status" else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(visible(cell)) for cell in row))
    return Group(grid, Text(caption, no_wrap=True, overflow="ellipsis"))


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

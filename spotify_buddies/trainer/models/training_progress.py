"""The progress of a training as people see it: epochs, loss, MRR, time left, and why it ended."""

from __future__ import annotations

import time
from collections.abc import Callable

from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.trainer.models.checkpoint import Checkpoint
from spotify_buddies.trainer.models.model import EpochReport

WHAT = "training"


class TrainingProgress:
    """Counts the triplets of all epochs that may run, with the figures of the training beside the count.

    epochs: most epochs. size: triplets of an epoch. done: what earlier calls trained, None for a new training. what:
    the name of the work, where several models are trained.
    """

    def __init__(
        self,
        progress: Progress,
        epochs: int,
        size: int,
        done: Checkpoint | None,
        clock: Callable[[], float] = time.monotonic,
        what: str = WHAT,
    ) -> None:
        self._progress, self._epochs, self._size, self._clock = progress, epochs, size, clock
        self._done, self._trained, self._started, self._what = done, 0, clock(), what

    def block(self, epoch: int, seen: int, loss: float) -> None:
        """A part of an epoch: triplets seen so far, and their mean loss."""
        self._report(epoch, seen, [f"epoch {epoch} of at most {self._epochs}", f"loss {loss:.4f}"])

    def epoch(self, done: Checkpoint) -> None:
        """An epoch has ended and is judged."""
        self._done, self._trained = done, self._trained + 1
        last = done.last
        if last.epoch < self._epochs:  # else the count is full, and the sentence of `why_ended` follows
            self._report(last.epoch + 1, 0, [f"epoch {last.epoch} of at most {self._epochs}", f"loss {last.loss:.4f}"])

    def _report(self, epoch: int, seen: int, figures: list[str]) -> None:
        if self._done is not None and self._done.best.metrics:
            last, best = self._done.last, self._done.best
            figures += [f"MRR {_mrr(last)} after epoch {last.epoch}"]
            figures += [f"best {best.metrics['random/mrr']:.4f} in epoch {best.epoch}"]
        finished = self._trained + seen / self._size
        if finished:
            # Most of it is not needed where training stops early, which nobody knows yet.
            left_s = (self._clock() - self._started) / finished * (self._epochs - epoch + 1 - seen / self._size)
            figures.append(f"at most {_duration(left_s)} left")
        self._progress.describe(", ".join(figures))
        total = self._size * self._epochs
        # The epochs of a pass differ by a triplet.
        self._progress(self._what, min(self._size * (epoch - 1) + seen, total), total, "triplets")


def why_ended(done: Checkpoint, epochs: int, steps: int = 1) -> str:
    """One sentence: why a finished training ended, and which epoch is kept.

    epochs: most epochs. steps: of the optimiser in an epoch, which are named where they are several.
    """
    last, best = done.last, done.best
    if not best.metrics:
        return f"training ended after all {last.epoch} epochs; without validation rows the last one is kept"
    kept = f"epoch {best.epoch} is kept, with MRR {_mrr(best)}"
    since = last.epoch - best.epoch
    if last.epoch >= epochs:
        return f"training ended after all {last.epoch} epochs that [train] epochs allows; {kept}"
    span = f"{since} {'epochs' if since > 1 else 'epoch'}" + (f" ({since * steps} steps)" if steps > 1 else "")
    return f"training stopped after epoch {last.epoch}: no better MRR for {span}; {kept}"


def _mrr(report: EpochReport) -> str:
    """The validation MRR of an epoch; that among hard negatives only where there are such rows."""
    sets = [name for name in ("random", "hard") if f"{name}/mrr" in report.metrics]
    return ", ".join(f"{report.metrics[f'{name}/mrr']:.4f} {name}" for name in sets)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"

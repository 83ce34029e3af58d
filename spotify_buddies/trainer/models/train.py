"""The training loop: epochs, validation, checkpoints, early stopping."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.metrics.ranking import ranks, summarise
from spotify_buddies.trainer.models import checkpoint
from spotify_buddies.trainer.models.backends import KINDS, Backend, open_backend, recipe
from spotify_buddies.trainer.models.centring import Centred
from spotify_buddies.trainer.models.checkpoint import Checkpoint
from spotify_buddies.trainer.models.model import EpochReport, Model, TrainingError, Validation, initial_model
from spotify_buddies.trainer.models.order import BLOCK, TripletFile, TripletSource
from spotify_buddies.trainer.models.pace import Paced
from spotify_buddies.trainer.models.training_progress import WHAT, TrainingProgress, why_ended
from spotify_buddies.trainer.settings import TrainSettings

if TYPE_CHECKING:
    from spotify_buddies.trainer.models.hybrid.songs import SongSets

Array = npt.NDArray[Any]

VALIDATION_ROWS = 200_000
# The loss starts at log 2 = 0.69; ten times that is far outside what a step that fits can reach.
_EXPLODED = 10 * math.log(2)
_FORMAT = 3
# Steps of the hybrid model without a better MRR before it stops. It learns to tell likes from the negatives of
# training first, and loses among random ones meanwhile: on made-up data of 102,000 users 0.690 after 14 steps was
# 0.635 after 28 and 0.690 again after 56.
LEAST_STEPS = 60


def train(
    triplets: Array | TripletSource,
    validation: Validation,
    users: int,
    playlists: int,
    settings: TrainSettings,
    directory: Path,
    *,
    key: str,
    sets: SongSets | None = None,
    start: Mapping[str, Array] | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda _: None,
    progress: Progress = silent,
    what: str = WHAT,
) -> Model:
    """Fit factors by BPR and return those of the epoch with the best validation MRR on random negatives, centred.

    triplets: a source, or int32 (N, 3): user, positive, negative. sets: the songs of users and playlists, which the
    hybrid model's factors are summed from and which `key` must name too. start: the state before the first step, as
    models.warm.start gives it, which `key` must name too; None: the backend's own. key: training_key of these and the
    settings; `directory` keeps a checkpoint after every epoch under it: the same call after an interruption resumes
    from the last one and, on one thread, ends with the same factors byte for byte; after the end it returns at once.
    on_epoch is called with each epoch that this call ran. Stops early after `patience_of` epochs without a better MRR;
    without validation rows every epoch runs and the last counts. progress shows loss, MRR and time left, under the
    name `what`, and says why it ended. TrainingError: no triplets, a row out of range, a loss that is not finite or
    explodes, a broken checkpoint.
    """
    most = settings.epoch_triplets
    source = TripletFile(triplets, users, playlists, most) if isinstance(triplets, np.ndarray) else triplets
    if len(source) == 0:
        raise TrainingError("there are no triplets to learn from; build the data set from more users or playlists")
    learned, _ = source.seen()
    done = checkpoint.read(directory, key)
    if done is None or not done.finished:
        backend = _open(done, directory, users, playlists, settings, sets, start, progress)
        judge = _Judge(settings, validation, learned, patience_of(settings, source))
        shown = TrainingProgress(progress, settings.epochs, len(source.part(1)), done, what=what)
        while done is None or not done.finished:
            epoch = 1 + (done.last.epoch if done else 0)
            loss = _epoch(backend, source, settings, epoch, shown)
            done = _note(done, key, EpochReport(epoch, loss, best=False), backend.model(), judge)
            checkpoint.write(directory, done, backend.state())
            on_epoch(done.last)
            shown.epoch(done)
    ended = why_ended(done, settings.epochs, steps_of(settings, source))
    progress.end(what, ended if what == WHAT else f"{what}: {ended}")
    tensors = checkpoint.load(directory, key, done.best.epoch, ("user_factors", "playlist_factors"))
    model = Model(tensors["user_factors"], tensors["playlist_factors"])
    return Centred.of(model, learned).take(done.best.centring) if done.best.centring else model


def reports(directory: Path, key: str) -> tuple[EpochReport, ...]:
    """The epochs of the training that `key` names, in order; empty where there is none."""
    done = checkpoint.read(directory, key)
    return done.reports if done else ()


def training_key(data: str, settings: TrainSettings) -> str:
    """The sha256 of all that a training's result depends on: settings, backend, and the data that it learns from.

    data: names triplets and validation rows, by the fingerprint of the stage that holds them.
    """
    chosen = recipe(settings)
    parts = {
        "format": _FORMAT,
        "settings": settings.model_dump(mode="json", exclude={"item_model", "blend"}),  # fitted after the training
        "recipe": [chosen.backend, chosen.learning_rate, chosen.regularisation, chosen.centring],
        "data": data,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def patience_of(settings: TrainSettings, source: TripletSource) -> int:
    """Epochs without a better validation MRR before training stops: `patience`.

    Of the hybrid model they are LEAST_STEPS steps at least, where an epoch is more than one step. Where it is one,
    nothing dips, and more steps trade taste for likes (docs/adr/0005).
    """
    steps = steps_of(settings, source)
    return max(settings.patience, -(-LEAST_STEPS // steps)) if steps > 1 else settings.patience


def steps_of(settings: TrainSettings, source: TripletSource) -> int:
    """Steps of the optimiser in an epoch of the hybrid model; 1 for the others, whose steps are not counted."""
    if settings.model != "hybrid":
        return 1
    size = source.rows if isinstance(source, Paced) else max(settings.hybrid_batch, BLOCK)
    return -(-len(source.part(1)) // size)


def _open(
    done: Checkpoint | None,
    directory: Path,
    users: int,
    playlists: int,
    settings: TrainSettings,
    sets: SongSets | None,
    start: Mapping[str, Array] | None,
    progress: Progress,
) -> Backend:
    if done is not None:
        return open_backend(settings, checkpoint.load(directory, done.key, done.last.epoch), sets)
    if start is not None:
        return open_backend(settings, start, sets)
    if KINDS[recipe(settings).backend].own_start:
        return open_backend(settings, {}, sets, progress)
    drawn = initial_model(users, playlists, settings.dimension, settings.seed)
    return open_backend(settings, {"user_factors": drawn.user_factors, "playlist_factors": drawn.playlist_factors})


def _epoch(
    backend: Backend, source: TripletSource, settings: TrainSettings, epoch: int, shown: TrainingProgress
) -> float:
    total, seen = 0.0, 0
    for loss, count in backend.epoch(source, settings.seed, epoch):
        total, seen = total + loss, seen + count
        _check_loss(loss / count, epoch, settings)
        shown.block(epoch, seen, total / seen)
    return total / seen


def _check_loss(loss: float, epoch: int, settings: TrainSettings) -> None:
    if not math.isfinite(loss) or loss > _EXPLODED:
        raise TrainingError(
            f"the loss is {loss:.3g} in epoch {epoch}, which means that the steps are too long; lower [train] "
            f"learning_rate, now {recipe(settings).learning_rate:g}, ten times and run again"
        )


@dataclass(frozen=True)
class _Judge:
    """The measure of an epoch. learned bool (users): who occurs in the triplets. patience: epochs."""

    settings: TrainSettings
    validation: Validation
    learned: Array
    patience: int

    def metrics(self, model: Model) -> tuple[float, dict[str, float]]:
        """The share of the mean user to take out, and the metrics with that."""
        centred = Centred.of(model, self.learned)
        asked = recipe(self.settings).centring
        share = centred.choose(self.validation.random) if asked is None else asked
        scorer = centred.scorer(share)
        sets = {"random": self.validation.random, "hard": self.validation.hard}
        judged = {name: summarise(ranks(_thin(rows), scorer)) for name, rows in sets.items()}
        return share, {f"{name}/{metric}": value for name, values in judged.items() for metric, value in values.items()}


def _note(done: Checkpoint | None, key: str, report: EpochReport, model: Model, judge: _Judge) -> Checkpoint:
    earlier, settings = done.reports if done else (), judge.settings
    if not (np.isfinite(model.user_factors).all() and np.isfinite(model.playlist_factors).all()):
        _check_loss(math.nan, report.epoch, settings)
    share, metrics = judge.metrics(model)
    reached = max((r.judged for r in earlier), default=-1.0)
    measured = replace(report, metrics=metrics)
    best = not metrics or measured.judged > reached
    noted = (*earlier, replace(measured, best=best, centring=share))
    since = report.epoch - max(r.epoch for r in noted if r.best)
    return Checkpoint(key, noted, finished=report.epoch >= settings.epochs or since >= judge.patience)


def _thin(rows: Array) -> Array:
    return rows[:: -(-len(rows) // VALIDATION_ROWS) or 1]

"""A trial: one training, epoch by epoch, in a worker of Ray's."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.models.fit import fit
from spotify_buddies.trainer.models.model import EpochReport, TrainingError
from spotify_buddies.trainer.models.train import reports, training_key
from spotify_buddies.trainer.settings import TrainSettings
from spotify_buddies.trainer.tune.experiment import Epoch
from spotify_buddies.trainer.tune.settings import TuneSettings
from spotify_buddies.trainer.tune.space import trial_settings

# The names that the scheduler and the search read in a report to Ray.
EPOCH, SCORE, REPORT, ERROR = "epoch", "score", "report", "error"
_REPORTED = "said.json"


@dataclass(frozen=True)
class Job:
    """The part that all trials share. Both paths must mean the same on every node: the data is mapped, not sent.

    work: a directory in which each trial keeps the checkpoints of its training, under Ray's id of it.
    """

    dataset: Path
    fingerprint: str
    work: Path
    backend: str
    tune: TuneSettings
    train: TrainSettings


def run_trial(config: dict[str, Any], job: Job) -> None:
    """Train with a point of the space and report every epoch to Ray Tune.

    The training keeps its own checkpoint in job.work; Ray's holds how many epochs were reported to Ray. So after a kill
    the epochs that ran but were not reported yet are reported, not trained again. Losses that explode are a score of 0
    with the error beside it, so that the search learns to avoid such points.
    """
    from ray import tune

    settings = trial_settings(job.train, job.tune, job.backend, config)
    reported = _reported_before(tune.get_checkpoint())
    reporter = _EpochReporter(job.tune.metric, reported)
    try:
        _train(job, settings, job.work / tune.get_context().get_trial_id(), reporter)
        reporter.end()
    except TrainingError as error:
        tune.report({EPOCH: reporter.last + 1, SCORE: 0.0, ERROR: str(error)})


def _train(job: Job, settings: TrainSettings, directory: Path, reporter: _EpochReporter) -> None:
    data = open_dataset(job.dataset)
    if data.fingerprint != job.fingerprint:
        raise TrainingError(f"{job.dataset} was built again during the search; run `buddies tune run` again")
    key = training_key(f"{data.fingerprint}/full", settings)
    for known in reports(directory, key):
        reporter.again(known)
    fit(data, settings, directory, key=key, on_epoch=reporter)


class _EpochReporter:
    """Reports epochs to Ray Tune, those after `last`, with the score that the training would keep."""

    def __init__(self, metric: str, last: int) -> None:
        self.last = last
        self._metric, self._score = metric, 0.0
        self._known: Epoch | None = None
        self._reported = False
        self._since = time.monotonic()

    def __call__(self, report: EpochReport) -> None:
        """An epoch that was trained now."""
        now = time.monotonic()
        self._pass_on(report, round(now - self._since, 3))
        self._since = time.monotonic()

    def again(self, report: EpochReport) -> None:
        """An epoch from the training's own record."""
        self._pass_on(report, None)

    def end(self) -> None:
        """Report the last epoch once more where all had been reported: Ray needs one report of every trial."""
        if not self._reported and self._known is not None:
            _report(self._known)

    def _pass_on(self, report: EpochReport, seconds: float | None) -> None:
        if report.best:
            self._score = report.metrics[self._metric]
        self._known = Epoch(report.epoch, report.loss, report.best, self._score, dict(report.metrics), seconds)
        if report.epoch <= self.last:
            return
        self.last = report.epoch
        self._reported = True
        _report(self._known)


def _report(epoch: Epoch) -> None:
    from ray import tune

    with tempfile.TemporaryDirectory() as directory:
        Path(directory, _REPORTED).write_text(json.dumps({EPOCH: epoch.epoch}), encoding="utf-8")
        tune.report(
            {EPOCH: epoch.epoch, SCORE: epoch.score, REPORT: json.dumps(asdict(epoch))},
            checkpoint=tune.Checkpoint.from_directory(directory),
        )


def _reported_before(checkpoint: Any) -> int:
    if checkpoint is None:
        return 0
    with checkpoint.as_directory() as directory:
        body: Mapping[str, int] = json.loads(Path(directory, _REPORTED).read_bytes())
    return body[EPOCH]

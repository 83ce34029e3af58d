"""The runs of trials in MLflow, below the run of their search; the search's process is their only writer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from spotify_buddies.trainer.models.backends import recipe
from spotify_buddies.trainer.publish.tracking import Run
from spotify_buddies.trainer.settings import TrainSettings
from spotify_buddies.trainer.tune.experiment import FAILED, Epoch, Trial

PARENT = "mlflow.parentRunId"
TRIAL = "tune_trial"
STATUS, WHY = "tune_status", "tune_why"
_LOSS = "train/loss"


class TrialRuns:
    """The runs below a parent run, by Ray's id of their trial.

    Runs of an earlier process are used again, so that none is made twice. SQLite lets one connection write at a time
    and MLflow waits 20 s for its turn, so another command on the same state directory delays the search, no more.
    MlflowException: the server does not answer.
    """

    def __init__(self, parent: Run, tags: Mapping[str, str]) -> None:
        self._client, self._parent, self._tags = parent.client, parent.run_id, dict(tags)
        self._experiment = str(parent.client.get_run(parent.run_id).info.experiment_id)
        self._runs: dict[str, Run] = {}
        self._steps: dict[str, int] = {}
        self._open: set[str] = set()
        for run in self._earlier():
            trial_id = run.data.tags[TRIAL]
            self._runs[trial_id] = Run(self._client, run.info.run_id)
            if run.info.status == "RUNNING":
                self._open.add(trial_id)

    def keep(self, trial_ids: Collection[str]) -> None:
        """Delete the runs of other trials: those that a killed search had started and Ray had not yet noted."""
        for trial_id in set(self._runs) - set(trial_ids):
            self._client.delete_run(self._runs.pop(trial_id).run_id)
            self._open.discard(trial_id)

    def start(self, trial: Trial, settings: TrainSettings) -> None:
        """Open a trial's run: a new one, or again the one that it has."""
        if (known := self._runs.get(trial.trial_id)) is not None:
            self._client.update_run(known.run_id, status="RUNNING")
        else:
            self._runs[trial.trial_id] = self._create(trial, settings)
        self._open.add(trial.trial_id)

    def epoch(self, trial_id: str, epoch: Epoch) -> None:
        """Record an epoch, unless the run has it from before an interruption."""
        run = self._runs[trial_id]
        if epoch.epoch > self._last_step(trial_id):
            run.metrics({_LOSS: epoch.loss, "score": epoch.score, **epoch.metrics}, epoch.epoch)
            self._steps[trial_id] = epoch.epoch

    def end(self, trial: Trial) -> None:
        """Close a trial's run: FAILED for a failed trial, else FINISHED, with tags that say how and why it ended."""
        run = self._runs[trial.trial_id]
        run.tags({STATUS: trial.status, WHY: trial.why})
        self._client.set_terminated(run.run_id, "FAILED" if trial.status == FAILED else "FINISHED")
        self._open.discard(trial.trial_id)

    def interrupt(self) -> None:
        """Close what is open as KILLED; the next search of the same settings opens it again."""
        for trial_id in sorted(self._open):
            self._client.set_terminated(self._runs[trial_id].run_id, "KILLED")
        self._open.clear()

    def _create(self, trial: Trial, settings: TrainSettings) -> Run:
        from mlflow.entities import Param

        tags = {**self._tags, PARENT: self._parent, TRIAL: trial.trial_id, "tune_number": str(trial.number)}
        created = self._client.create_run(self._experiment, run_name=f"trial-{trial.number:03d}", tags=tags)
        values = settings.model_dump(mode="json") | asdict(recipe(settings))
        parameters = [Param(name, str(value)) for name, value in values.items()]
        self._client.log_batch(created.info.run_id, params=parameters)
        return Run(self._client, created.info.run_id)

    def _last_step(self, trial_id: str) -> int:
        if trial_id not in self._steps:
            history = self._client.get_metric_history(self._runs[trial_id].run_id, _LOSS)
            self._steps[trial_id] = max((point.step for point in history), default=0)
        return self._steps[trial_id]

    def _earlier(self) -> list[Any]:
        """The trials' runs that MLflow has of this search."""
        wanted = f"tags.`{PARENT}` = '{self._parent}'"
        runs: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs([self._experiment], wanted, max_results=1_000, page_token=token)
            runs += [run for run in page if TRIAL in run.data.tags]
            token = page.token
            if not token:
                return runs

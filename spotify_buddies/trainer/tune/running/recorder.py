"""The recorder of a search: passes Ray Tune's events on to the record on disk, to MLflow and to the terminal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune

from spotify_buddies.foundation.stages.stage import swap
from spotify_buddies.trainer.tune.experiment import (
    DONE,
    ENDED,
    FAILED,
    RUNNING,
    STOPPED,
    WAITING,
    Epoch,
    Experiment,
    Trial,
    TuneError,
)
from spotify_buddies.trainer.tune.running import live
from spotify_buddies.trainer.tune.running.trial import ERROR, REPORT
from spotify_buddies.trainer.tune.space import trial_settings
from spotify_buddies.trainer.tune.trial_runs import TrialRuns
from spotify_buddies.trainer.tune.trial_table import TrialTable

_LOST = "its worker was lost too often"


class Recorder(tune.Callback):  # type: ignore[misc]  # Ray has no types
    """Keeps Experiment.trials, the runs in MLflow and the table up to date, and a copy of Ray's state that is whole.

    Ray writes its state over the one before, and the process may be killed in the middle; the copy in `snapshot` is
    swapped in at once. It may be some epochs behind the record: trials that the state does not know are dropped from
    the record, and epochs that are reported again change nothing.
    """

    def __init__(
        self, experiment: Experiment, runs: TrialRuns, table: TrialTable, snapshot: Path, *, restored: bool
    ) -> None:
        self.trials: dict[str, Trial] = {trial.trial_id: trial for trial in experiment.trials()}
        self._experiment, self._runs, self._table = experiment, runs, table
        self._snapshot, self._copied = snapshot, 0.0
        self._restored, self._agreed = restored, False

    def on_step_begin(self, iteration: int, trials: Sequence[Any], **info: Any) -> None:  # noqa: ARG002
        """Before Ray does anything: agree with it on which trials there are."""
        if self._agreed:
            return
        self._agreed = True
        if self._restored and not trials:
            raise TuneError(
                f"Ray could not read back the search in {self._experiment.directory}; remove that directory to start "
                "over"
            )
        kept = {trial.trial_id for trial in trials}
        self._runs.keep(kept)
        self.trials = {trial_id: trial for trial_id, trial in self.trials.items() if trial_id in kept}
        for trial in trials:
            if not trial.is_finished():
                self._set(replace(self._of(trial), status=WAITING, why=""))
        self._store()

    def on_step_end(self, iteration: int, trials: Sequence[Any], **info: Any) -> None:  # noqa: ARG002
        """After each event of Ray's: new trials, its state, the table."""
        fresh = [trial for trial in trials if trial.trial_id not in self.trials]
        for trial in fresh:
            self._set(self._of(trial))
        if fresh:
            self._store()
        if trials:
            self._copy(Path(trials[0].storage.experiment_driver_staging_path))
        self._table.show(tuple(self.trials.values()))

    def on_trial_start(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        """A worker has it."""
        running = replace(self._of(trial), status=RUNNING, why="")
        one = self._experiment
        self._set(running)
        self._runs.start(running, trial_settings(one.train, one.tune, one.backend, running.point))
        self._store()

    def on_trial_result(  # noqa: D102
        self,
        iteration: int,  # noqa: ARG002
        trials: Sequence[Any],  # noqa: ARG002
        trial: Any,
        result: Mapping[str, Any],
        **info: Any,  # noqa: ARG002
    ) -> None:
        known = self._of(trial)
        if ERROR in result:
            self._set(replace(known, why=str(result[ERROR])))
        elif REPORT in result:
            epoch = Epoch(**json.loads(result[REPORT]))
            self._set(known.with_epoch(epoch))
            self._runs.epoch(trial.trial_id, epoch)
        self._store()

    def on_trial_complete(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        """It ended by itself, or ASHA stopped it."""
        self._end(ended(self._of(trial), self._experiment))

    def on_trial_recover(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        """Its worker was lost; another one resumes it."""
        known = replace(self._of(trial), status=WAITING)
        self._set(known)
        self._store()
        self._table.lost(known)

    def on_trial_error(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        """Ray gave it up."""
        self._end(replace(self._of(trial), status=FAILED, why=_LOST))

    def close(self) -> None:
        """The search is over or broken off: runs that are still open are closed as killed."""
        self._table.close(tuple(self.trials.values()))  # first: a live table hides the cursor
        self._runs.interrupt()

    def __reduce__(self) -> Any:
        """Ray pickles callbacks when a search starts; whoever restores it gets the one of the running search."""
        return live.recorder, ()

    def _end(self, trial: Trial) -> None:
        self._set(trial)
        self._runs.end(trial)
        self._store()
        self._table.ended(trial)

    def _of(self, trial: Any) -> Trial:
        known = self.trials.get(trial.trial_id)
        if known is not None:
            return known
        taken = {other.number for other in self.trials.values()}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        return Trial(trial.trial_id, number, dict(trial.config))

    def _set(self, trial: Trial) -> None:
        self.trials[trial.trial_id] = trial

    def _store(self) -> None:
        self._experiment.write_trials(self.trials)

    def _copy(self, staging: Path) -> None:
        """Copy Ray's state where it changed, all files of it or none."""
        files = [path for path in staging.iterdir() if path.suffix in (".json", ".pkl")]
        changed = max((path.stat().st_mtime for path in files), default=0.0)
        if changed <= self._copied:
            return
        self._copied = changed
        partial = self._snapshot.with_name(".snapshot.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for path in files:
            shutil.copy2(path, partial)
        swap(partial, self._snapshot)


def ended(trial: Trial, experiment: Experiment) -> Trial:
    """How a trial ended that Ray calls complete, by what it reported."""
    if trial.why:
        return replace(trial, status=FAILED)
    if trial.status in ENDED:
        return trial
    count = len(trial.epochs)
    since = count - max((epoch.epoch for epoch in trial.epochs if epoch.best), default=0)
    patience = trial_settings(experiment.train, experiment.tune, experiment.backend, trial.point).patience
    if count >= experiment.tune.epochs:
        return replace(trial, status=DONE, why=f"all {count} epochs")
    if since >= patience:
        return replace(trial, status=DONE, why=f"no better for {since} epochs")
    return replace(trial, status=STOPPED, why=f"by ASHA after {count} epochs")

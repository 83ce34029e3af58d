"""Ray Tune on an experiment: begun, or resumed where a killed or interrupted process left it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.process.local_ray import quiet
from spotify_buddies.trainer.tune.experiment import ENDED, Experiment, Trial, TuneError
from spotify_buddies.trainer.tune.running import live
from spotify_buddies.trainer.tune.running.trial import SCORE, Job, run_trial
from spotify_buddies.trainer.tune.settings import TuneSettings
from spotify_buddies.trainer.tune.space import domains
from spotify_buddies.trainer.tune.trial_runs import TrialRuns
from spotify_buddies.trainer.tune.trial_table import TrialTable

# Tune's folder in the experiment's, the whole copy of its state, and the trials' checkpoints.
_RAY, _SNAPSHOT, _WORK = "ray", "snapshot", "trials"
# A worker may be lost with its node or for want of memory; its trial resumes from its checkpoint elsewhere.
_LOSSES = 2


def complete(experiment: Experiment) -> bool:
    """Whether all trials have ended."""
    trials = experiment.trials()
    return len(trials) >= experiment.tune.trials and all(trial.status in ENDED for trial in trials)


def search(
    experiment: Experiment, dataset: Path, resources: Mapping[str, float], runs: TrialRuns, table: TrialTable
) -> tuple[Trial, ...]:
    """Run the trials that are wanted and return all, by number. Ray is connected.

    resources: what a trial asks Ray for. KeyboardInterrupt: Ctrl-C; the same call resumes. TuneError: Ray gave up.
    """
    from ray.exceptions import RayError
    from ray.tune import TuneError as RayTuneError

    from spotify_buddies.trainer.tune.running.recorder import Recorder
    from spotify_buddies.trainer.tune.running.scheduler import Asha

    snapshot = experiment.directory / _SNAPSHOT
    remembered = {trial.trial_id: trial for trial in experiment.trials()}
    recorder = Recorder(experiment, runs, table, snapshot, restored=snapshot.exists())
    before = signal.getsignal(signal.SIGINT)
    try:
        with live.searching(recorder, Asha(experiment.tune, remembered)), quiet(errors=False):
            _tuner(experiment, dataset, resources, snapshot).fit()
    except (RayError, RayTuneError) as error:
        raise TuneError(f"Ray Tune gave up: {str(error).splitlines()[0]}; run the same command to resume") from error
    finally:
        signal.signal(signal.SIGINT, before)  # Tune leaves its own handler behind, which swallows the next Ctrl-C
        recorder.close()
    if not complete(experiment):
        raise KeyboardInterrupt
    return experiment.trials()


def tidy(experiment: Experiment) -> None:
    """Remove what only an unfinished search needs: Ray's state and the trials' checkpoints."""
    for name in (_RAY, _SNAPSHOT, _WORK):
        shutil.rmtree(experiment.directory / name, ignore_errors=True)


def _tuner(experiment: Experiment, dataset: Path, resources: Mapping[str, float], snapshot: Path) -> Any:
    from ray import tune

    home = (experiment.directory / _RAY).absolute()
    trainable = tune.with_resources(
        tune.with_parameters(run_trial, job=_job(experiment, dataset)),
        tune.PlacementGroupFactory([dict(resources)]),
    )
    path = home / experiment.name
    if snapshot.exists():
        _put_back(snapshot, path)
        return tune.Tuner.restore(str(path), trainable=trainable, resume_unfinished=True, resume_errored=True)
    shutil.rmtree(home, ignore_errors=True)
    return tune.Tuner(
        trainable,
        param_space=domains(experiment.space),
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode="max",
            num_samples=experiment.tune.trials,
            search_alg=_search_algorithm(experiment.tune),
            scheduler=live.scheduler(),
            reuse_actors=True,  # a worker takes seconds to start, as long as an epoch of a small data set
            max_concurrent_trials=None if experiment.tune.search == "random" else experiment.tune.concurrency,
        ),
        run_config=tune.RunConfig(
            name=experiment.name,
            storage_path=str(home),
            callbacks=[live.recorder()],
            failure_config=tune.FailureConfig(max_failures=_LOSSES),
            verbose=0,
        ),
    )


def _job(experiment: Experiment, dataset: Path) -> Job:
    return Job(
        dataset.absolute(),
        experiment.dataset_fingerprint,
        (experiment.directory / _WORK).absolute(),
        experiment.backend,
        experiment.tune,
        experiment.train,
    )


def _search_algorithm(settings: TuneSettings) -> Any:
    if settings.search == "optuna":
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return OptunaSearch(seed=settings.seed)
    from ray.tune.search.basic_variant import BasicVariantGenerator

    return BasicVariantGenerator(max_concurrent=settings.concurrency or 0, random_state=settings.seed)


def _put_back(snapshot: Path, path: Path) -> None:
    """Ray's state as it was whole; the one in its folder may have been cut off in the middle."""
    for file in path.iterdir():
        if file.is_file() and file.name != "tuner.pkl":
            file.unlink()
    for file in snapshot.iterdir():
        if file.name != "tuner.pkl":
            shutil.copy2(file, path)

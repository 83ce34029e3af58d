"""From a data set and its pairing to a version with tuned settings: search, train the winner in full, register it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from spotify_buddies.foundation.addresses import AddressError
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.result import load_pairing
from spotify_buddies.trainer.dataset.table import Dataset, open_dataset
from spotify_buddies.trainer.evaluation.served.ranker import OpenRanker
from spotify_buddies.trainer.models.backends import recipe
from spotify_buddies.trainer.publish.release import train_and_release
from spotify_buddies.trainer.publish.tracking import Run, TrackingError, artifact_location, track, tracking_uri
from spotify_buddies.trainer.registry.mlflow_client import connect, first_line, public
from spotify_buddies.trainer.registry.registry import Registry
from spotify_buddies.trainer.settings import CandidateSettings, RegistrySettings, TrainSettings
from spotify_buddies.trainer.tune.experiment import Experiment, Result, Trial, TuneError, open_experiment, winner
from spotify_buddies.trainer.tune.report import write_report
from spotify_buddies.trainer.tune.running.cluster import ACCELERATOR, cluster, trial_resources
from spotify_buddies.trainer.tune.running.search import complete, search, tidy
from spotify_buddies.trainer.tune.session import locked
from spotify_buddies.trainer.tune.settings import TuneSettings
from spotify_buddies.trainer.tune.space import HYBRID_FUSED, chosen_settings, space_of
from spotify_buddies.trainer.tune.trial_runs import PARENT, TrialRuns
from spotify_buddies.trainer.tune.trial_table import TrialTable, as_json

RUN_TAG, KEY_TAG, TRIAL_TAG = "tune_run", "tune_key", "tune_trial_number"


@dataclass(frozen=True)
class Tuned:
    """The result of a search: the experiment with its trials, the winner's version, and the report."""

    experiment: Experiment
    trials: tuple[Trial, ...]
    result: Result
    report: Path


@dataclass(frozen=True)
class _Work:
    dataset: Path
    pairing: Path
    state_dir: Path
    registry: RegistrySettings
    candidates: CandidateSettings | None
    address: str
    aliases: Sequence[str]
    progress: Progress
    table: TrialTable
    open_ranker: OpenRanker | None


def tune_and_release(
    dataset: Path,
    pairing: Path,
    state_dir: Path,
    tune: TuneSettings | None = None,
    train: TrainSettings | None = None,
    registry: RegistrySettings | None = None,
    candidates: CandidateSettings | None = None,
    *,
    uri: str | None = None,
    ray: str | None = None,
    aliases: Sequence[str] = ("staging",),
    progress: Progress = silent,
    table: TrialTable | None = None,
    open_ranker: OpenRanker | None = None,
) -> Tuned:
    """Search settings of [train] and make the best ones a registered version with these aliases.

    All lies under state_dir/tune/<key>; MLflow gets one run with a child for each trial. Repeating the call resumes
    where it stopped, also after the process was killed; with nothing changed it returns the same version. ray: a
    running cluster ("auto" or host:port); unset: one of this process's own. open_ranker: as in train_and_release.

    StageError: an input is not finished. TuneError: see its message. TrainingError, TrackingError, RegistryError and
    BundleError as in train_and_release.
    """
    tune, train = tune or TuneSettings(), train or TrainSettings()
    registry = registry or RegistrySettings()
    _need("ray", *(["optuna"] if tune.search == "optuna" else []))
    load_pairing(pairing, dataset)
    data = _check(dataset, tune)
    table = table or TrialTable(tune.trials, tune.epochs, tune.metric)
    work = _Work(
        dataset, pairing, state_dir, registry, candidates, tracking_uri(state_dir, uri), aliases, progress, table,
        open_ranker,
    )  # fmt: skip
    with locked(state_dir), ExitStack() as stack:
        available = stack.enter_context(cluster(state_dir, ray)) if ray is not None else None
        backend = _backend(train, available)
        space = space_of(tune, backend, draws=data.pools is not None and train.triplets != "file")
        experiment = open_experiment(state_dir, data.fingerprint, backend, space, tune, train)
        if (result := experiment.result()) is None:
            experiment, result = _run(work, experiment, available)
        _name(work, experiment, result)
        tidy(experiment)
        return Tuned(experiment, experiment.trials(), result, write_report(experiment))


def _run(work: _Work, experiment: Experiment, available: Mapping[str, float] | None) -> tuple[Experiment, Result]:
    tags = {"mode": "tune", "dataset_fingerprint": experiment.dataset_fingerprint, KEY_TAG: experiment.key}
    with track(
        work.address,
        work.registry.experiment,
        name=f"tune-{experiment.name}",
        parameters={**experiment.tune.model_dump(mode="json"), "space": _described(experiment)},
        tags=tags,
        artifacts=artifact_location(work.address, work.state_dir),
        resume=experiment.run_id,
    ) as run:
        experiment = experiment.with_run(run.run_id)
        if not complete(experiment):
            runs = TrialRuns(run, {**tags, "mode": "tune-trial"})
            if available is not None:
                _search(work, experiment, available, runs)
            else:  # a cluster for the search alone: the training after it has the machine for itself
                with cluster(work.state_dir, None) as own:
                    _search(work, experiment, own, runs)
        result = _release(work, experiment)
        _record(run, experiment, result)
        experiment.write_result(result)
    return experiment, result


def _search(work: _Work, experiment: Experiment, available: Mapping[str, float], runs: TrialRuns) -> None:
    gpu = experiment.backend in ("torch", "fused", HYBRID_FUSED) and available.get("GPU", 0) > 0
    resources = trial_resources(experiment.tune, available, gpu=gpu)
    work.table.say(_plan(experiment, available, gpu=gpu))
    search(experiment, work.dataset, resources, runs, work.table)


def _backend(train: TrainSettings, available: Mapping[str, float] | None) -> str:
    """The backend of all trials, the same on every node. `auto`: by the cluster's nodes, else by this machine."""
    if available is None or train.backend != "auto":
        return str(recipe(train).backend)
    on_gpus = available.get("GPU", 0) > 0
    return str(recipe(train.model_copy(update={"backend": "fused" if on_gpus else "numba"})).backend)


def _release(work: _Work, experiment: Experiment) -> Result:
    trials = experiment.trials()
    best = winner(trials)
    if best is None or best.score is None:
        raise TuneError(f"every trial failed, the first one with: {trials[0].why}; narrow [tune] space")
    work.table.say(f"trial {best.number} wins with {experiment.tune.metric} {best.score:.4f}; it is trained in full")
    release = train_and_release(
        work.dataset,
        work.pairing,
        experiment.directory,
        chosen_settings(experiment.train, experiment.backend, best.point),
        work.registry,
        work.candidates,
        uri=work.address,
        aliases=work.aliases,
        progress=work.progress,
        open_ranker=work.open_ranker,
    )
    for warning in release.warnings:
        work.table.say(f"warning: {warning}")
    return Result(best.trial_id, best.number, best.score, release.version, release.run_id, release.bundle_sha256)


def _record(run: Run, experiment: Experiment, result: Result) -> None:
    run.metrics({f"best/{experiment.tune.metric}": result.score}, 0)
    run.tags({TRIAL_TAG: str(result.number), "version": result.version})
    run.document("trials.json", [as_json(trial) for trial in experiment.trials()])
    run.file(write_report(experiment))


def _name(work: _Work, experiment: Experiment, result: Result) -> None:
    """Say on the version and on its run which search they are from, and close the search's run.

    Done again by every repetition, since the process may have been killed before it.
    """
    parent = experiment.run_id or ""
    tags = {RUN_TAG: parent, KEY_TAG: experiment.key, TRIAL_TAG: str(result.number)}
    Registry(work.address, work.registry.model).tag(result.version, tags)
    client = connect(work.address)
    with _reached(work.address):
        Run(client, result.run_id).tags({**tags, PARENT: parent})
        if client.get_run(parent).info.status != "FINISHED":
            client.set_terminated(parent, "FINISHED")


def _need(*names: str) -> None:
    """Raise ModuleNotFoundError before anything is done, rather than in the middle of it."""
    for name in names:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"no module named {name!r}", name=name)


def _check(dataset: Path, tune: TuneSettings) -> Dataset:
    data = open_dataset(dataset)
    rows = {"random/mrr": data.validation, "hard/mrr": data.hard_validation}
    if not (len(data.validation) and len(rows[tune.metric])):
        raise TuneError(
            f"{dataset} has no validation rows for {tune.metric}, so trials cannot be compared; build the data set "
            "from more users or playlists"
        )
    return data


def _described(experiment: Experiment) -> dict[str, object]:
    return {name: domain.model_dump(mode="json") for name, domain in experiment.space.items()}


def _plan(experiment: Experiment, available: Mapping[str, float], *, gpu: bool) -> str:
    tune = experiment.tune
    room = f"{available.get('CPU', 0):g} CPUs"
    if gpu:
        room += f", {available['GPU']:g} GPUs, {tune.gpus:g} a trial"
    kind = tune.accelerator_type
    if kind is not None and f"{ACCELERATOR}{kind}" not in available:
        room += f" (no {kind}: trials take what there is)"
    names = ", ".join(experiment.space)
    already = len(experiment.trials())
    begun = f"resumed with {already} trials" if already else "a new search"
    return f"search {experiment.name}: {tune.trials} trials of {names} on {room}; {begun}"


@contextmanager
def _reached(address: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, AddressError) as error:
        raise TrackingError(
            f"MLflow at {public(address)} failed: {first_line(error, address)}; run the same command again"
        ) from error

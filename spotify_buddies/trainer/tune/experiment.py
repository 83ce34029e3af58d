"""An experiment on disk: its space, its trials and its result. Plain JSON, no Ray needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.stages.stage import RELEASE
from spotify_buddies.trainer.settings import TrainSettings
from spotify_buddies.trainer.tune.settings import Domain, TuneSettings

HOME = "tune"
_EXPERIMENT, _TRIALS, _RESULT = "experiment.json", "trials.json", "result.json"
_FORMAT = 1
# A trial's statuses. A stopped one was given up by ASHA; a failed one has no usable model.
WAITING, RUNNING, DONE, STOPPED, FAILED = "waiting", "running", "done", "stopped", "failed"
ENDED = frozenset({DONE, STOPPED, FAILED})


class TuneError(Exception):
    """The search cannot start or continue; the message names the setting, file or cluster and what to do."""


@dataclass(frozen=True)
class Epoch:
    """One epoch of a trial, from 1. score: the metric of the best epoch so far, which is what the trial would keep.

    metrics: "random/mrr" and so on. seconds: null where the epoch ran before an interruption and was not reported.
    """

    epoch: int
    loss: float
    best: bool
    score: float
    metrics: Mapping[str, float]
    seconds: float | None = None


@dataclass(frozen=True)
class Trial:
    """One trial. trial_id: Ray's; number: ours, from 0, in the order of the draws; point: the searched settings.

    why: in words, why it ended; empty before.
    """

    trial_id: str
    number: int
    point: Mapping[str, Any]
    status: str = WAITING
    epochs: tuple[Epoch, ...] = ()
    why: str = ""

    @property
    def score(self) -> float | None:
        """The best score, None before the first epoch and for a trial that failed."""
        return self.epochs[-1].score if self.epochs and self.status != FAILED else None

    @property
    def seconds(self) -> float:
        """Time spent in epochs, as far as it is known."""
        return sum(epoch.seconds or 0.0 for epoch in self.epochs)

    def with_epoch(self, epoch: Epoch) -> Trial:
        """With one more epoch; one that is reported again stays as it was."""
        if any(known.epoch == epoch.epoch for known in self.epochs):
            return self
        return replace(self, epochs=tuple(sorted((*self.epochs, epoch), key=lambda known: known.epoch)))


@dataclass(frozen=True)
class Result:
    """The end of a search: the winning trial, and the version that was trained from it."""

    trial_id: str
    number: int
    score: float
    version: str
    run_id: str
    bundle_sha256: str


@dataclass(frozen=True)
class Experiment:
    """One search, under state_dir/tune/name. key: sha256; name: its first digits. run_id: the parent's in MLflow."""

    directory: Path
    key: str
    created: datetime
    dataset_fingerprint: str
    backend: str
    space: Mapping[str, Domain]
    tune: TuneSettings
    train: TrainSettings
    run_id: str | None = None

    @property
    def name(self) -> str:
        """Its name for people: the first digits of its key."""
        return self.directory.name

    def trials(self) -> tuple[Trial, ...]:
        """The trials so far, by number; empty before the first."""
        path = self.directory / _TRIALS
        if not path.exists():
            return ()
        return tuple(
            Trial(**{**body, "epochs": tuple(Epoch(**epoch) for epoch in body["epochs"])}) for body in _read(path)
        )

    def write_trials(self, trials: Mapping[str, Trial]) -> None:
        """Store the trials, by number."""
        write_json(self.directory / _TRIALS, [asdict(t) for t in sorted(trials.values(), key=lambda t: t.number)])

    def result(self) -> Result | None:
        """How it ended; None before."""
        path = self.directory / _RESULT
        return Result(**_read(path)) if path.exists() else None

    def write_result(self, result: Result) -> None:
        """Store the end."""
        write_json(self.directory / _RESULT, asdict(result))

    def with_run(self, run_id: str) -> Experiment:
        """Store it with the id of its parent run in MLflow."""
        named = replace(self, run_id=run_id)
        named.write()
        return named

    def write(self) -> None:
        """Store what is searched."""
        body = {
            "format": _FORMAT,
            "key": self.key,
            "created": self.created.isoformat(),
            "dataset_fingerprint": self.dataset_fingerprint,
            "backend": self.backend,
            "space": _plain(self.space),
            "tune": self.tune.model_dump(mode="json"),
            "train": self.train.model_dump(mode="json"),
            "run_id": self.run_id,
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        write_json(self.directory / _EXPERIMENT, body)


def experiment_key(
    fingerprint: str, backend: str, space: Mapping[str, Domain], tune: TuneSettings, train: TrainSettings
) -> str:
    """The sha256 of all that a search's result depends on: data set, backend, space, [tune] and [train]."""
    parts = {
        "format": _FORMAT,
        "release": RELEASE,
        "data": fingerprint,
        "backend": backend,
        "space": _plain(space),
        "tune": tune.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def open_experiment(
    state_dir: Path,
    fingerprint: str,
    backend: str,
    space: Mapping[str, Domain],
    tune: TuneSettings,
    train: TrainSettings,
) -> Experiment:
    """The experiment of this search: the one on disk, to resume, else a new one."""
    key = experiment_key(fingerprint, backend, space, tune, train)
    directory = state_dir / HOME / key[:12]
    if (directory / _EXPERIMENT).exists():
        return _load(directory)
    now = datetime.now(UTC).replace(microsecond=0)
    made = Experiment(directory, key, now, fingerprint, backend, space, tune, train)
    made.write()
    return made


def experiments(state_dir: Path, keys: tuple[str, ...] = ()) -> list[Experiment]:
    """The experiments of a state directory, newest first; only those whose key starts with one of `keys`, if any.

    TuneError: a key that no experiment has.
    """
    stored = [_load(path.parent) for path in (state_dir / HOME).glob(f"*/{_EXPERIMENT}")]
    for key in keys:
        if not any(experiment.key.startswith(key) for experiment in stored):
            raise TuneError(f"no experiment's key starts with {key!r}; `buddies tune compare` lists them")
    chosen = [one for one in stored if not keys or one.key.startswith(keys)]
    return sorted(chosen, key=lambda one: (one.created, one.key), reverse=True)


def winner(trials: tuple[Trial, ...]) -> Trial | None:
    """The trial with the best score, the earlier of equals; None where none has one."""
    scored = [trial for trial in trials if trial.score is not None]
    return max(scored, key=lambda trial: (trial.score or 0.0, -trial.number), default=None)


def write_json(path: Path, body: object) -> None:
    """Put a file in place of the one before, all or nothing."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(body, indent=1, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)


def _plain(space: Mapping[str, Domain]) -> dict[str, Any]:
    return {name: domain.model_dump(mode="json") for name, domain in space.items()}


def _load(directory: Path) -> Experiment:
    body = _read(directory / _EXPERIMENT)
    try:
        return Experiment(
            directory,
            body["key"],
            datetime.fromisoformat(body["created"]),
            body["dataset_fingerprint"],
            body["backend"],
            {name: Domain.model_validate(domain) for name, domain in body["space"].items()},
            TuneSettings.model_validate(body["tune"]),
            TrainSettings.model_validate(body["train"]),
            body["run_id"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise TuneError(
            f"{directory / _EXPERIMENT}: not an experiment of this release ({error}); remove {directory}"
        ) from error


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise TuneError(f"{path}: not JSON ({error}); remove {path.parent} and start the search again") from error

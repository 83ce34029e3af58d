"""`buddies tune` as real processes on the planted data set: interrupted, killed, gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.foundation.process.orphans import users_of
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.models.drawn import open_source
from spotify_buddies.trainer.models.model import Validation
from spotify_buddies.trainer.models.train import train
from spotify_buddies.trainer.registry.mlflow_client import connect, default_uri
from spotify_buddies.trainer.settings import RegistrySettings
from spotify_buddies.trainer.tune.experiment import Experiment, experiments
from spotify_buddies.trainer.tune.space import trial_settings
from tests.clients.buddies_process import called
from tests.strangers import reached
from tests.waiting import wait_until

pytestmark = pytest.mark.ray

TRIALS = 4
SETTINGS = {
    "BUDDIES_TUNE__TRIALS": str(TRIALS),
    "BUDDIES_TUNE__EPOCHS": "8",
    "BUDDIES_TUNE__CONCURRENCY": "2",
    "BUDDIES_TUNE__SPACE": json.dumps(
        {"dimension": {"choice": [8, 16]}, "learning_rate": {"loguniform": [0.005, 0.1]}, "patience": {"choice": [8]}}
    ),
    "BUDDIES_TRAIN__EPOCHS": "10",
    "BUDDIES_TRAIN__MODEL": "bpr",
}


@dataclass
class Command:
    """`buddies tune` on one state directory."""

    state: Path
    dataset: Path
    pairing: Path
    extra: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
        environment = {"COLUMNS": "160", "BUDDIES_STATE_DIR": str(self.state), **SETTINGS, **self.extra}
        return subprocess.Popen(
            # A test run in the background of a script inherits an ignored SIGINT, and would pass it on.
            ["env", "--default-signal=INT", sys.executable, "-m", "spotify_buddies.clients.main", "tune", *arguments],
            env={**inherited, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def search(self, *arguments: str) -> subprocess.Popen[str]:
        return self.start("run", "--dataset", str(self.dataset), "--pairing", str(self.pairing), *arguments)

    def finish(self, process: subprocess.Popen[str]) -> str:
        said, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        return said

    @property
    def temp(self) -> Path:
        """Where Ray's processes of the search that is on have their files."""
        return Path(json.loads((self.state / "tune" / "session.json").read_bytes())["temp"])

    def experiment(self) -> Experiment:
        (found,) = experiments(self.state)
        return found

    def runs(self) -> list[Any]:
        client = connect(default_uri(self.state))
        experiment = client.get_experiment_by_name(RegistrySettings().experiment)
        return list(client.search_runs([experiment.experiment_id])) if experiment else []

    def children(self) -> dict[str, Any]:
        return {run.data.tags["mlflow.runName"]: run for run in self.runs() if "tune_trial" in run.data.tags}

    def steps(self, run: Any) -> list[int]:
        client = connect(default_uri(self.state))
        return [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")]


@dataclass(frozen=True)
class Story:
    """A search that was interrupted by Ctrl-C, gone on with, killed, and gone on with to its end.

    statuses: of each MLflow run by its name, after the Ctrl-C. left: names of the processes that the kill left.
    temps: directories of the three processes' runs. reached: what another user could do in one while it was on.
    """

    command: Command
    interrupted: int
    said: str
    statuses: dict[str, str]
    left: list[str]
    temps: list[Path]
    reached: list[str]
    output: str


@pytest.fixture(scope="module")
def story(planted: Any, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    state = tmp_path_factory.mktemp("tuned")
    (state / "mlflow").mkdir()
    (state / "mlflow" / "mlflow.db").write_bytes(empty_database.read_bytes())
    command = Command(state, planted.dataset, planted.pairing, {})
    temps = []

    first = command.search()
    wait_until(
        lambda: any("score" in run.data.metrics for run in command.children().values()),
        "progress of the search",
        150,
        first,
    )
    temps.append(command.temp)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=120)
    statuses = {run.data.tags["mlflow.runName"]: run.info.status for run in command.runs()}
    heard = sum(len(trial.epochs) for trial in command.experiment().trials())

    second = command.search()
    wait_until(
        lambda: sum(len(trial.epochs) for trial in command.experiment().trials()) > heard,
        "progress of the search",
        150,
        second,
    )
    temps.append(command.temp)
    strangers = reached([command.temp]) if os.geteuid() == 0 or os.environ.get("CI") else []
    second.kill()
    left = [process.name() for process in users_of(temps[-1])]
    second.communicate()

    third = command.search("--json")
    wait_until(
        lambda: (state / "tune" / "session.json").exists() and command.temp not in temps,
        "progress of the search",
        150,
        third,
    )
    temps.append(command.temp)
    return Story(command, first.returncode, said, statuses, left, temps, strangers, command.finish(third))


@pytest.mark.timeout(600)
def test_ctrl_c_ends_with_one_sentence_and_no_run_left_running(story):
    assert story.interrupted == 130, story.said
    assert "rerun the same command to resume" in story.said
    assert "Traceback" not in story.said
    # A short trial may have come to its own end before the signal; the search itself never has.
    assert story.statuses[f"tune-{story.command.experiment().name}"] == "KILLED"
    assert set(story.statuses.values()) <= {"KILLED", "FINISHED"}


def test_after_a_kill_the_search_ends_with_one_parent_and_each_trial_once(story):
    runs = {run.data.tags["mlflow.runName"]: run for run in story.command.runs()}
    experiment = story.command.experiment()
    assert len(story.command.runs()) == len(runs) == TRIALS + 2
    parent = runs[f"tune-{experiment.name}"]
    assert parent.info.run_id == experiment.run_id
    others = [run for run in runs.values() if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in others} == {parent.info.run_id}
    assert sorted(story.command.children()) == [f"trial-{number:03d}" for number in range(TRIALS)]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_every_epoch_of_a_trial_is_recorded_once(story):
    children = story.command.children()
    for trial in story.command.experiment().trials():
        run = children[f"trial-{trial.number:03d}"]
        wanted = list(range(1, len(trial.epochs) + 1))
        assert wanted
        assert [epoch.epoch for epoch in trial.epochs] == wanted
        assert story.command.steps(run) == wanted
        assert run.data.params["dimension"] == str(trial.point["dimension"])
        assert run.data.tags["tune_status"] == trial.status
        assert trial.status in ("done", "stopped")
        assert len(wanted) == 8 or trial.status == "stopped"


def test_an_interrupted_trial_ends_as_an_undisturbed_training_does(story, planted, tmp_path):
    experiment, data = story.command.experiment(), open_dataset(planted.dataset)
    trial = experiment.trials()[0]
    alone: list[dict[str, float]] = []
    settings = trial_settings(experiment.train, experiment.tune, experiment.backend, trial.point)
    train(
        open_source(data, settings),
        Validation(data.validation, data.hard_validation),
        data.users,
        data.playlists,
        settings,
        tmp_path,
        key="alone",
        on_epoch=lambda report: alone.append({"loss": report.loss, **report.metrics}),
    )
    heard = [{"loss": epoch.loss, **epoch.metrics} for epoch in trial.epochs]
    assert heard == alone[: len(heard)]


def test_the_winner_is_trained_in_full_and_registered_as_staging(story):
    body = json.loads(story.output)
    client = connect(default_uri(story.command.state))
    found = client.get_model_version_by_alias(RegistrySettings().model, "staging")
    assert (body["state"], body["version"]) == ("finished", str(found.version))
    assert (found.tags["tune_run"], found.tags["tune_key"]) == (body["run_id"], body["key"])
    assert found.tags["tune_trial_number"] == str(body["winner"])
    best = max(trial["score"] for trial in body["trials"])
    assert body["trials"][body["winner"]]["score"] == best
    release = client.get_run(found.run_id)
    assert release.data.params["dimension"] == str(body["trials"][body["winner"]]["settings"]["dimension"])
    assert release.data.params["epochs"] == "10"
    assert release.data.tags["mlflow.parentRunId"] == body["run_id"]
    assert client.get_run(body["run_id"]).data.metrics["best/random/mrr"] == best
    assert not client.get_registered_model(RegistrySettings().model).aliases.keys() - {"staging"}


def test_nothing_of_ray_is_left(story):
    assert story.left, "the kill left no process to be ended"
    assert story.reached == []
    for temp in story.temps:
        assert not users_of(temp)
        assert not temp.exists()
    assert not (story.command.state / "tune" / "session.json").exists()
    names = {path.name for path in story.command.experiment().directory.iterdir()}
    assert names == {"experiment.json", "trials.json", "result.json", "report.html", "train"}
    assert not list(story.command.state.rglob("*.pkl"))


def test_repeated_it_gives_the_same_version_without_new_runs(story):
    before = {run.info.run_id for run in story.command.runs()}
    said = story.command.finish(story.command.search("--json"))
    assert json.loads(said)["version"] == json.loads(story.output)["version"]
    assert {run.info.run_id for run in story.command.runs()} == before


def test_compare_lists_searches_and_their_trials(story):
    key = story.command.experiment().name

    def compare(*words: str, code: int = 0) -> str:
        done = called("tune", "compare", *words, cwd=story.command.state, BUDDIES_STATE_DIR=str(story.command.state))
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    listed = compare()
    assert key in listed
    assert "finished" in listed
    assert f"{TRIALS} of {TRIALS}" in listed
    trials = compare(key[:4])
    assert len(trials.splitlines()) == TRIALS + 2
    (body,) = json.loads(compare("--json"))
    assert body == {key: value for key, value in json.loads(story.output).items() if key != "report"}
    assert compare("zz", code=1).startswith("error: no experiment's key starts with 'zz'")


@pytest.fixture
def small(planted: Any, mlflow_state: Path) -> Command:
    return Command(
        mlflow_state, planted.dataset, planted.pairing, {"BUDDIES_TUNE__TRIALS": "3", "BUDDIES_TUNE__EPOCHS": "2"}
    )


def test_optuna_searches_and_a_trial_that_explodes_fails_alone(small):
    small.extra |= {
        "BUDDIES_TUNE__SEARCH": "optuna",
        "BUDDIES_TUNE__SPACE": json.dumps({"learning_rate": {"choice": [0.05, 1e6]}, "dimension": {"choice": [8]}}),
        "BUDDIES_TUNE__SEED": "1",
    }
    body = json.loads(small.finish(small.search("--json")))
    status = {trial["settings"]["learning_rate"]: trial["status"] for trial in body["trials"]}
    assert status[1e6] == "failed"
    assert status[0.05] in ("done", "stopped")
    assert body["trials"][body["winner"]]["settings"]["learning_rate"] == 0.05
    failed = next(run for run in small.children().values() if run.data.params["learning_rate"] == "1000000.0")
    assert failed.info.status == "FAILED"
    assert "the steps are too long" in failed.data.tags["tune_why"]

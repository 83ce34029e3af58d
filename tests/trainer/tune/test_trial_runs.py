"""The trials' runs on a real MLflow database."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace

import pytest

from spotify_buddies.trainer.publish.tracking import Run, track
from spotify_buddies.trainer.registry.mlflow_client import connect, default_uri
from spotify_buddies.trainer.settings import TrainSettings
from spotify_buddies.trainer.tune.experiment import RUNNING
from spotify_buddies.trainer.tune.trial_runs import TrialRuns
from tests.trainer.tune.conftest import epochs, trials

SETTINGS = TrainSettings(dimension=8, model="bpr")


@pytest.fixture
def uri(mlflow_state):
    return default_uri(mlflow_state)


@pytest.fixture
def parent(uri):
    with track(uri, "buddies", name="tune", parameters={}, tags={}) as run:
        yield run


def below(uri, parent: Run):
    client = connect(uri)
    experiment = client.get_run(parent.run_id).info.experiment_id
    runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.run_id}'")
    return {run.data.tags["tune_trial"]: run for run in runs}


def steps(uri, run):
    return [point.step for point in connect(uri).get_metric_history(run.info.run_id, "train/loss")]


def begin(runs: TrialRuns, name: str = "a"):
    trial = replace(trials()[name], status=RUNNING)
    runs.start(trial, SETTINGS)
    return trial


def test_a_trial_is_a_run_below_the_search_with_its_settings_epochs_and_end(uri, parent):
    runs = TrialRuns(parent, {"mode": "tune-trial"})
    trial = begin(runs)
    for epoch in trial.epochs:
        runs.epoch("a", epoch)
    runs.end(trials()["a"])
    begin(runs, "d")
    runs.end(trials()["d"])
    found = below(uri, parent)
    assert (found["a"].info.status, found["d"].info.status) == ("FINISHED", "FAILED")
    assert found["a"].data.params["dimension"] == "8"
    assert found["a"].data.params["learning_rate"] == "0.05"  # what the backend's default is
    assert found["a"].data.tags["tune_why"] == "all 4 epochs"
    assert found["a"].data.metrics["score"] == 0.3
    assert found["a"].data.metrics["random/mrr"] == 0.25
    assert steps(uri, found["a"]) == [1, 2, 3, 4]


def test_after_a_kill_a_trial_goes_on_in_its_run_and_no_epoch_stands_twice(uri, parent):
    killed = TrialRuns(parent, {})
    for epoch in begin(killed).epochs[:3]:
        killed.epoch("a", epoch)
    runs = TrialRuns(parent, {})
    for epoch in begin(runs).epochs[1:]:  # Ray had heard of one epoch only
        runs.epoch("a", epoch)
    runs.end(trials()["a"])
    found = below(uri, parent)
    assert list(found) == ["a"]
    assert steps(uri, found["a"]) == [1, 2, 3, 4]
    assert found["a"].info.status == "FINISHED"


def test_a_run_whose_trial_ray_does_not_know_is_deleted(uri, parent):
    killed = TrialRuns(parent, {})
    begin(killed)
    begin(killed, "b")
    TrialRuns(parent, {}).keep({"b", "never started"})
    assert list(below(uri, parent)) == ["b"]


def test_an_interrupted_search_leaves_no_run_running(uri, parent):
    killed = TrialRuns(parent, {})
    begin(killed)
    runs = TrialRuns(parent, {})
    begin(runs, "b")
    begin(runs, "c")
    runs.end(trials()["c"])
    runs.interrupt()
    found = below(uri, parent)
    assert {name: run.info.status for name, run in found.items()} == {"a": "KILLED", "b": "KILLED", "c": "FINISHED"}


def test_another_writer_of_the_database_only_delays(uri, parent, mlflow_state):
    runs = TrialRuns(parent, {})
    begin(runs)
    other = sqlite3.connect(mlflow_state / "mlflow" / "mlflow.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # holds the one lock that writers need
    writer = threading.Thread(target=runs.epoch, args=("a", epochs(0.5)[0]))
    writer.start()
    writer.join(1.0)
    assert writer.is_alive()
    other.execute("ROLLBACK")
    other.close()
    writer.join(30.0)
    assert steps(uri, below(uri, parent)["a"]) == [1]

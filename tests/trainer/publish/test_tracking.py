"""Runs on a real MLflow database."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from spotify_buddies.trainer.publish.tracking import TrackingError, track
from spotify_buddies.trainer.registry.mlflow_client import artifact_location, connect, default_uri, tracking_uri


@pytest.fixture
def uri(mlflow_state):
    return default_uri(mlflow_state)


def open_run(uri, tmp_path, **rest):
    return track(
        uri,
        "buddies",
        name="a-run",
        parameters={"dimension": 8, "learning_rate": None},
        tags={"mode": "train"},
        artifacts=artifact_location(uri, tmp_path),
        **rest,
    )


def test_a_run_holds_parameters_tags_metrics_and_artifacts(uri, tmp_path):
    (tmp_path / "plan.txt").write_text("plan")
    with open_run(uri, tmp_path) as run:
        run.metrics({"train/loss": 0.7, "random/hit@5": 0.1}, step=1)
        run.metrics({"train/loss": 0.5}, step=2)
        run.tags({"version": "3"})
        run.document("evaluation.json", {"mrr": 0.5})
        run.file(tmp_path / "plan.txt", "more")
    client = connect(uri)
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "a-run"
    assert found.data.params == {"dimension": "8", "learning_rate": "None"}
    assert found.data.tags["mode"] == "train"
    assert found.data.tags["version"] == "3"
    assert found.data.metrics == {"train/loss": 0.5, "random/hit_at_5": 0.1}
    assert [(m.step, m.value) for m in client.get_metric_history(run.run_id, "train/loss")] == [(1, 0.7), (2, 0.5)]
    assert {item.path for item in client.list_artifacts(run.run_id)} == {"evaluation.json", "more"}


def test_artifacts_lie_under_the_state_directory(uri, tmp_path):
    with open_run(uri, tmp_path) as run:
        run.document("config.json", {})
    assert list((tmp_path / "mlflow" / "artifacts").rglob("config.json"))
    assert (tmp_path / "mlflow" / "mlflow.db").is_file()


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (RuntimeError, "FAILED")])
def test_a_run_that_breaks_off_says_how(uri, tmp_path, error, status):
    with pytest.raises(error), open_run(uri, tmp_path) as run:
        raise error
    assert connect(uri).get_run(run.run_id).info.status == status


def test_a_broken_off_run_goes_on_and_a_finished_one_does_not(uri, tmp_path):
    with pytest.raises(KeyboardInterrupt), open_run(uri, tmp_path) as first:
        raise KeyboardInterrupt
    with open_run(uri, tmp_path, resume=first.run_id) as second:
        assert connect(uri).get_run(first.run_id).info.status == "RUNNING"
    with open_run(uri, tmp_path, resume=first.run_id) as third:
        pass
    assert second.run_id == first.run_id
    assert third.run_id != first.run_id


def test_an_unknown_run_to_go_on_with_starts_a_new_one(uri, tmp_path):
    with open_run(uri, tmp_path, resume="0" * 32) as run:
        assert run.run_id != "0" * 32


def test_a_deleted_experiment_is_named(uri, tmp_path):
    with open_run(uri, tmp_path):
        pass
    client = connect(uri)
    client.delete_experiment(client.get_experiment_by_name("buddies").experiment_id)
    with pytest.raises(TrackingError, match="'buddies' was deleted"), open_run(uri, tmp_path):
        pass


def test_a_server_that_is_not_there_is_named(tmp_path, closed_port, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://127.0.0.1:{closed_port}"
    with pytest.raises(TrackingError, match=f"MLflow at {uri} cannot record"), open_run(uri, tmp_path):
        pass


def test_a_database_that_breaks_during_the_run_is_named(uri, tmp_path):
    def train() -> None:
        with open_run(uri, tmp_path) as run:
            (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"no database " * 1_000)
            run.metrics({"train/loss": 1.0}, 1)

    with pytest.raises(TrackingError, match=r"failed during the run: .*; what was computed is kept, rerun to resume$"):
        train()


def test_the_setting_wins_over_the_variable_and_that_over_the_state_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert tracking_uri(tmp_path) == "http://mlflow:5000"
    assert tracking_uri(tmp_path, "sqlite:///x.db") == "sqlite:///x.db"


def test_only_a_database_of_ours_decides_where_artifacts_lie(tmp_path):
    assert artifact_location("http://mlflow:5000", tmp_path) is None
    assert artifact_location(default_uri(tmp_path), tmp_path) == f"file://{tmp_path}/mlflow/artifacts"


def test_pickle_and_telemetry_are_off_and_nothing_is_logged(tmp_path):
    """In a process of its own, without the variables that the test run may have."""
    code = (
        "import sys; from pathlib import Path\n"
        "from spotify_buddies.trainer.publish.tracking import default_uri, track\n"
        "uri = default_uri(Path(sys.argv[1]))\n"
        "with track(uri, 'e', name='n', parameters={'a': 1}, tags={}) as run: run.document('x.json', {})\n"
        "import os, mlflow.environment_variables as v\n"
        "from mlflow.telemetry.client import get_telemetry_client\n"
        "print(v.MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get(), v.MLFLOW_DISABLE_TELEMETRY.get(), get_telemetry_client())"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTEST_"))}
    environment["PYTHONPATH"] = str(Path.cwd())
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.stdout == "False True None\n"
    assert done.stderr == ""


def test_the_loggers_of_others_are_left_alone(uri, tmp_path):
    before = logging.getLogger().level, list(logging.getLogger().handlers)
    with open_run(uri, tmp_path):
        pass
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before


def test_tracking_errors_survive_pickling():
    assert str(pickle.loads(pickle.dumps(TrackingError("no server")))) == "no server"

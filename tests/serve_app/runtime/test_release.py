"""A code release where there is nothing to release into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spotify_buddies.foundation.process.children import started_at
from tests.clients.buddies_process import called

# Configured, so that no service has to be asked for them; nobody connects.
STORES = {"BUDDIES_POSTGRES_URL": "postgresql://127.0.0.1:1/x", "BUDDIES_REDIS_URL": "redis://127.0.0.1:1/0"}


@pytest.mark.parametrize("stores", [STORES, {}], ids=["configured", "embedded"])
def test_a_release_without_a_service_says_so(tmp_path: Path, stores: dict[str, str]) -> None:
    refused = release(tmp_path, **stores)
    assert refused.returncode == 1
    assert refused.stderr == f"error: no service runs in {tmp_path}; start one with `buddies serve start`\n"


def test_what_a_killed_service_left_is_no_service(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "serving.json").write_text(json.dumps({"pid": ended.pid, "ray": "127.0.0.1:1"}))
    assert f"error: no service runs in {tmp_path}" in release(tmp_path, **STORES).stderr


SERVING = {
    "pid": os.getpid(), "started": started_at(os.getpid()), "ray": "127.0.0.1:1", "run": "/nowhere",
    "bundle": "/nowhere", "mlflow": "configured", "model_version": "1", "follows": "production",
}  # fmt: skip


def test_another_process_with_the_id_of_a_dead_service_is_no_service(tmp_path: Path) -> None:
    (tmp_path / "serving.json").write_text(json.dumps({**SERVING, "started": 1.0}))
    assert f"error: no service runs in {tmp_path}" in release(tmp_path, **STORES).stderr


def test_a_release_says_that_a_configured_registry_is_missing(tmp_path: Path) -> None:
    (tmp_path / "serving.json").write_text(json.dumps(SERVING))
    refused = release(tmp_path, **STORES)
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: the service here uses an MLflow that its settings name; set MLFLOW_TRACKING_URI for this command too\n"
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"pid": os.getpid()}, "the running service was started by a release that did not note 'ray'; restart it"),
        ([], "serving.json is not what a service writes"),
    ],
    ids=["older", "malformed"],
)
def test_a_release_says_what_it_cannot_read(tmp_path: Path, written: object, expected: str) -> None:
    (tmp_path / "serving.json").write_text(json.dumps(written))
    refused = release(tmp_path, **STORES)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert expected in refused.stderr


def release(state: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return called("serve", "release", cwd=state, BUDDIES_STATE_DIR=str(state), **environment)

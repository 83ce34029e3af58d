"""The endpoints of a service, as another release, a crash or somebody else left them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.clients.command.endpoints import FILE, running
from spotify_buddies.foundation.process.children import started_at

WRITTEN: dict[str, Any] = {
    **dict.fromkeys(("grpc", "http", "dashboard", "mlflow", "postgres", "redis", "model_version"), "x"),
    "pid": os.getpid(),
    "started": started_at(os.getpid()),
    "run": "a field that is not read here",
}


def write(state_dir: Path, body: object) -> Path:
    (state_dir / FILE).write_text(json.dumps(body))
    return state_dir


def test_a_service_that_runs_is_read_also_when_an_older_release_wrote_less(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    endpoints = running(write(tmp_path, WRITTEN))
    assert endpoints is not None
    assert (endpoints.pid, endpoints.redis, endpoints.bundle) == (os.getpid(), "x", "")
    assert running(write(tmp_path, {key: value for key, value in WRITTEN.items() if key != "started"})) is not None
    none = running(write(tmp_path, {**WRITTEN, "redis": None}))
    assert none is not None
    assert none.redis == ""


def test_another_process_with_the_id_of_a_dead_service_is_none(tmp_path: Path) -> None:
    assert running(write(tmp_path, {**WRITTEN, "started": WRITTEN["started"] - 3_600})) is None


@pytest.mark.parametrize(
    "body", [[], 5, "pid", {"pid": 1}, {**WRITTEN, "pid": "x"}, {**WRITTEN, "pid": 2**70}, {**WRITTEN, "grpc": [1]}]
)
def test_what_no_service_writes_means_that_none_runs(tmp_path: Path, body: object) -> None:
    assert running(write(tmp_path, body)) is None

"""A code release where there is nothing to release into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def release(state: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
    return subprocess.run(
        [sys.executable, "-m", "spotify_buddies.clients.main", "serve", "release"],
        env={**inherited, "BUDDIES_STATE_DIR": str(state), **environment},
        cwd=state,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

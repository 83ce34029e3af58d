"""`buddies serve start`, stopped at any point or bereft of Ray, leaves nothing running. Real processes."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from spotify_buddies.foundation.process.children import children, name_of, stop_all
from spotify_buddies.foundation.process.subreaper import PR_SET_CHILD_SUBREAPER, _prctl
from spotify_buddies.serve_app.embedded import COMPLETE
from spotify_buddies.serve_app.settings.command import ENDPOINTS
from spotify_buddies.trainer.registry.mlflow_client import artifact_location, connect, default_uri
from spotify_buddies.trainer.registry.registry import Registry
from tests.waiting import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
# Where the runs' own directories go: fourteen bytes, for the sockets below it.
TEMP = Path(f"/tmp/s{secrets.token_hex(4)}")
ENVIRONMENT = {
    "BUDDIES_SERVE__GRPC_PORT": "0",
    "BUDDIES_SERVE__HTTP_PORT": "0",
    "BUDDIES_SERVE__DASHBOARD_PORT": "0",
    "BUDDIES_SERVE__MLFLOW_PORT": "0",
    "BUDDIES_SERVE__DRAIN_S": "0.2",
}

# A start takes minutes where many others want the processors too.
START_S = 600.0


@dataclass(frozen=True)
class Named:
    process: psutil.Process
    name: str


@dataclass
class Start:
    """A running `serve start`."""

    process: subprocess.Popen[str]
    state: Path

    def has(self, name: str) -> bool:
        return any(child.name == name for child in self.family())

    def family(self) -> list[Named]:
        return [Named(child, name_of(child)) for child in psutil.Process(self.process.pid).children(recursive=True)]


@pytest.fixture(scope="module")
def state(bundle_dir: Path) -> Iterator[Path]:
    """A state directory with a registered version and nothing else."""
    TEMP.mkdir()
    with tempfile.TemporaryDirectory(prefix="buddies-stop-") as directory:
        state = Path(directory) / "state"
        (state / "mlflow").mkdir(parents=True)
        uri = default_uri(state)
        client = connect(uri)
        experiment = client.create_experiment("buddies", artifact_location(uri, state))
        Registry(uri, "organic-playlists").register(bundle_dir, client.create_run(experiment).info.run_id)
        yield state
    shutil.rmtree(TEMP)


@pytest.fixture
def start(state: Path) -> Iterator[Start]:
    """A start of the service; afterwards no process of it is left, adopted ones included."""
    before = children()
    # Orphans of the service come here instead of to init, so that none is overlooked.
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        process = launch(state)
        yield Start(process, state)
        assert process.poll() is not None
        assert children() - before == set()
        assert not (state / ENDPOINTS).exists()
        assert list(TEMP.glob("b-*")) == []
    finally:
        # A test that failed leaves it running.
        stop_all(children() - before)
        process.communicate()
        _prctl(PR_SET_CHILD_SUBREAPER, 0)


def launch(state: Path) -> subprocess.Popen[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "spotify_buddies.clients.main", "serve", "start"],
        env={**inherited, **ENVIRONMENT, "TMPDIR": str(TEMP), "BUDDIES_STATE_DIR": str(state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stopped(started: Start, number: signal.Signals) -> str:
    started.process.send_signal(number)
    said, _ = started.process.communicate(timeout=120)
    assert "Traceback" not in said
    return said


def test_a_signal_while_postgres_is_made_stops_everything_and_meanwhile_nobody_else_starts(start: Start) -> None:
    wait_until((start.state / "postgres" / "PG_VERSION").exists, "this part of the start", START_S, start.process)
    # It stands still there: on a slow machine it would be through its start before the second one has begun.
    start.process.send_signal(signal.SIGSTOP)
    assert not (start.state / "postgres" / COMPLETE).exists()
    with launch(start.state) as second:
        said, _ = second.communicate(timeout=START_S)
    assert second.returncode == 1
    assert f"a service already runs in {start.state} (process {start.process.pid})" in said
    assert start.process.poll() is None
    start.process.send_signal(signal.SIGCONT)
    stopped(start, signal.SIGHUP)
    assert start.process.returncode == 130


@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_a_signal_while_ray_starts_stops_everything(start: Start, name: str) -> None:
    wait_until(lambda: start.has(name), "this part of the start", START_S, start.process)
    stopped(start, signal.SIGTERM)
    assert start.process.returncode != 0


def test_without_its_raylet_the_service_says_so_and_ends(start: Start) -> None:
    wait_until((start.state / ENDPOINTS).exists, "this part of the start", START_S, start.process)
    next(child for child in start.family() if child.name == "raylet").process.kill()
    said, _ = start.process.communicate(timeout=120)
    assert "error: Ray's raylet has died" in said, said
    assert start.process.returncode == 1

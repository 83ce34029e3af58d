"""The whole way on a small data set, with the commands that a user types, once for all system tests."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from spotify_buddies.clients.command.endpoints import Endpoints, running
from spotify_buddies.foundation.process.children import left_of
from tests.clients.buddies_process import called
from tests.waiting import WITHIN_S, wait_until

START_S = 300.0

# Put first on the path of every process of the service: importing torch there fails.
NO_TORCH = """
import sys
class _Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("serving must not import torch", name=name)
sys.meta_path.insert(0, _Refuse())
"""


@dataclass(frozen=True)
class Commands:
    """Runs `buddies` in one state directory."""

    state_dir: Path
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
        return {**inherited, "COLUMNS": "160", "BUDDIES_STATE_DIR": str(self.state_dir), **dict(self.extra)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "spotify_buddies.clients.main", *arguments]

    def run(self, *arguments: str, expect: int = 0, may_fail: bool = False) -> str:
        """Its standard output, or its errors where another code is expected. may_fail: exit code 1 is as good as 0."""
        result = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )
        expected = (0, 1) if may_fail else (expect,)
        assert result.returncode in expected, f"{arguments}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result.stdout if expect == 0 else result.stderr

    def ask(self, *arguments: str, expect: int = 0) -> str:
        """As run, in this process: for verbs that only ask, so that not each of them is another start of Python."""
        environment = {"COLUMNS": "160", "BUDDIES_STATE_DIR": str(self.state_dir), **dict(self.extra)}
        result = called(*arguments, cwd=self.state_dir.parent, **environment)
        assert result.returncode == expect, f"{arguments}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result.stdout if expect == 0 else result.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture(scope="package")
def trained() -> Iterator[Commands]:
    """A state directory with raw files, data set, pairing and a registered version."""
    # Not under pytest's own directory: as root, Postgres runs as another user and must be able to pass through.
    with tempfile.TemporaryDirectory(prefix="buddies-system-") as directory:
        yield _train(Path(directory) / "state")


def _train(state_dir: Path) -> Commands:
    commands = Commands(
        state_dir,
        (
            ("BUDDIES_TRAIN__DIMENSION", "16"),
            ("BUDDIES_TRAIN__EPOCHS", "5"),
            ("BUDDIES_SERVE__GRPC_PORT", "0"),
            ("BUDDIES_SERVE__HTTP_PORT", "0"),
            ("BUDDIES_SERVE__DASHBOARD_PORT", "0"),
            ("BUDDIES_SERVE__MLFLOW_PORT", "0"),
            # A busy machine must not make tests take the way without neighbours; well below the 2 s of a drill's calls.
            ("BUDDIES_SERVE__NEIGHBOUR_BUDGET_MS", "1000"),
        ),
    )
    commands.run("data", "synth", "--preset", "tiny")
    commands.run("data", "build")
    commands.run("pair", "build")
    commands.run("train", "run")
    return commands


@pytest.fixture(scope="package")
def service(trained: Commands, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """`buddies serve start` without torch; afterwards not one process of it is left."""
    hook = tmp_path_factory.mktemp("no-torch")
    (hook / "sitecustomize.py").write_text(NO_TORCH)
    path = os.pathsep.join(filter(None, [str(hook), os.environ.get("PYTHONPATH")]))
    commands = Commands(trained.state_dir, (*trained.extra, ("PYTHONPATH", path)))
    process = commands.start("serve", "start")
    try:
        wait_until(lambda: running(trained.state_dir) or process.poll() is not None, "serve start", START_S)
        endpoints = running(trained.state_dir)
        assert endpoints is not None, process.stdout.read() if process.stdout else ""
        family = psutil.Process(process.pid).children(recursive=True)
        yield endpoints
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=2 * WITHIN_S)
    assert process.returncode == 0, output
    alive = left_of(family, WITHIN_S)
    assert not alive, f"left running: {alive}"
    assert running(trained.state_dir) is None

"""MLflow's server on SQLite, on loopback, behind a token."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from spotify_buddies.foundation.process.children import stop_tree
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.orphans import noted
from spotify_buddies.foundation.process.ports import claim
from spotify_buddies.foundation.process.private import secret
from spotify_buddies.foundation.process.signals import held
from spotify_buddies.serve_app.embedded.missing import missing
from spotify_buddies.serve_app.embedded.running import NOTES, runs
from spotify_buddies.serve_app.embedded.supervisor import Supervised, Supervisor
from spotify_buddies.serve_app.embedded.tracking_app import TOKEN_FILE

READY_WITHIN_S = 90.0
TOKEN = "mlflow-token"  # noqa: S105 - a file name
USER = "buddies"
# The entry point of tracking_app.
APP = "buddies"
# Whatever proxy the environment names.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def mlflow(state_dir: Path, port: int, supervisor: Supervisor) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The server's address, with the token in it, and its process; it may not be ready yet. LaunchError."""
    try:
        import mlflow.server  # noqa: F401
    except ImportError as error:
        raise missing("MLflow's server", "mlflow", "MLFLOW_TRACKING_URI", error) from error

    port = claim(port, "serve.mlflow_port")
    token = secret(state_dir / TOKEN)
    uri = f"http://{USER}:{token.read_text()}@127.0.0.1:{port}"
    with ExitStack() as stack:
        started: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            stack.close()  # what is left of one that has died
            started[:] = [_start_mlflow(state_dir, port, stack)]

        def restart() -> None:
            start()
            wait_for_mlflow(uri, started[0], state_dir)

        with held():
            start()
        supervisor.servers.append(Supervised("MLflow", lambda: runs(started[0]), restart))
        yield uri, started[0]


def _start_mlflow(state_dir: Path, port: int, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own: Ctrl-C in a terminal reaches the group, and we stop it in our order."""
    home = state_dir / "mlflow"
    home.mkdir(parents=True, exist_ok=True)
    # What a browser may call it: a page from elsewhere must not reach it through a name of its own.
    names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--artifacts-destination", str(home / "artifacts"),
        "--app-name", APP, "--allowed-hosts", ",".join(names),
        "--cors-allowed-origins", ",".join(f"http://{name}" for name in names),
    ]  # fmt: skip
    environment = os.environ | {
        TOKEN_FILE: str(state_dir / TOKEN),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "DO_NOT_TRACK": "true",
    }
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=home
        )
    stack.callback(process.wait, timeout=10)
    stack.callback(stop_tree, process.pid)
    stack.enter_context(noted(state_dir / NOTES, process.pid))
    return process


def wait_for_mlflow(uri: str, process: subprocess.Popen[bytes], state_dir: Path) -> None:
    """Until it answers. LaunchError: it ended, or takes too long."""
    health = f"http://{uri.rpartition('@')[2]}/health"
    deadline = time.monotonic() + READY_WITHIN_S
    log = state_dir / "mlflow" / "server.log"
    while True:
        with contextlib.suppress(urllib.error.URLError, OSError):
            if _direct.open(health, timeout=2).status == 200:
                return
        if process.poll() is not None:
            raise LaunchError(f"the MLflow server ended with code {process.returncode}; its log is {log}")
        if time.monotonic() > deadline:
            raise LaunchError(f"the MLflow server is not ready after {READY_WITHIN_S:.0f} s; its log is {log}")
        time.sleep(0.1)

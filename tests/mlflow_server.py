"""A real MLflow server over a state directory's database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spotify_buddies.foundation.process.ports import free_port


@contextmanager
def mlflow_server(state_dir: Path, port: int | None = None) -> Iterator[str]:
    """`mlflow server` over a database and artifacts below state_dir/mlflow, on a free port; yields its address."""
    port = free_port() if port is None else port
    home = state_dir / "mlflow"
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{home}/mlflow.db",
        "--artifacts-destination",
        str(home / "artifacts"),
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=state_dir,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "Uvicorn running on" in line:
                    break
            else:
                raise AssertionError(f"the MLflow server on port {port} ended before it served")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)

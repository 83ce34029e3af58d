"""A real MLflow server over a state directory's database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server(state_dir: Path, port: int) -> Iterator[None]:
    """`mlflow server` over the database of a state directory."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{state_dir}/mlflow/mlflow.db"]
    with subprocess.Popen(
        [*command, "--artifacts-destination", str(state_dir / "mlflow" / "artifacts")],
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
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)

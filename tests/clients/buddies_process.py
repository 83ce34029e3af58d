"""The `buddies` command as a process, with nothing but the settings that a test gives."""

import os
import subprocess
import sys
from pathlib import Path


def buddies(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
    return subprocess.run(
        [sys.executable, "-m", "spotify_buddies.clients.main", *arguments],
        cwd=cwd,
        env={**inherited, "COLUMNS": "160", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

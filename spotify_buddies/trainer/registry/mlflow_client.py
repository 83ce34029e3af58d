"""The MLflow client of this project: explicit, without pickle, telemetry or long waits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.addresses import AddressError, AddressKind, masked, parse, scrubbed

# Set before MLflow is imported; what the environment already says is kept, except for pickle.
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


def connect(uri: str) -> Any:
    """A `mlflow.MlflowClient` on a tracking and registry address. Makes no call yet, except to open a database.

    AddressError: the address could be read in two ways; MLflow's own errors would repeat it.
    """
    parse(uri, AddressKind.MLFLOW)
    configure()
    import mlflow

    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def configure() -> None:
    """Set MLflow's environment: no pickle, telemetry, progress bars or chatter; seconds of retries, not minutes."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"


def default_uri(state_dir: Path) -> str:
    """A SQLite database under the state directory; MLflow makes it on first use."""
    return f"sqlite:///{(state_dir / 'mlflow' / 'mlflow.db').absolute()}"


def tracking_uri(state_dir: Path, configured: str | None = None) -> str:
    """The address to use: the one configured, else MLFLOW_TRACKING_URI, else default_uri."""
    return configured or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(state_dir)


def artifact_location(uri: str, state_dir: Path) -> str | None:
    """Where a new experiment keeps its artifacts: under the state directory, unless a server decides."""
    local = uri.startswith("sqlite:")
    return (state_dir / "mlflow" / "artifacts").absolute().as_uri() if local else None


def public(uri: str) -> str:
    """An address of MLflow for people and for tags, without its login; one that cannot be read is not shown."""
    return scrubbed(masked(uri, AddressKind.MLFLOW))


def first_line(error: BaseException, uri: str) -> str:
    """What an error about an address says, without logins, and without the SQL or HTML that MLflow puts below."""
    line = str(error).partition("\n")[0]
    try:
        return scrubbed(line, parse(uri, AddressKind.MLFLOW))
    except AddressError:
        return line if isinstance(error, AddressError) else type(error).__name__

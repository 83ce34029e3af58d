"""A service of the measurement's own: `buddies serve start` in a state directory that is gone afterwards."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotify_buddies.clients.command.endpoints import Endpoints, running
from spotify_buddies.clients.command.invoke import command
from spotify_buddies.clients.load.client_processes import LoadError
from spotify_buddies.clients.load.peers.child import ON_LOOPBACK, reason_of, stop_child

START_WITHIN_S = 180.0
# Ray and the stores.
STOP_WITHIN_S = 90.0
_PORTS = dict.fromkeys(("grpc_port", "http_port", "dashboard_port", "mlflow_port"), "0")


@dataclass(frozen=True)
class OwnService:
    """A running service, and its state directory."""

    endpoints: Endpoints
    state_dir: Path


@contextmanager
def own_service(bundle: Path, settings: Mapping[str, str]) -> Iterator[OwnService]:
    """Serve this bundle until the block ends. settings: of the section [serve]. LoadError: it does not come up."""
    with tempfile.TemporaryDirectory(prefix="buddies-peer-") as directory, tempfile.TemporaryFile() as log:
        state = Path(directory) / "state"
        environment = {**os.environ, **ON_LOOPBACK, "BUDDIES_STATE_DIR": str(state)}
        environment |= {f"BUDDIES_SERVE__{name.upper()}": value for name, value in {**_PORTS, **settings}.items()}
        process = subprocess.Popen(
            command("serve", "start", "--bundle", str(bundle.absolute())),
            stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            yield OwnService(_wait(process, state, log), state)
        finally:
            stop_child(process, STOP_WITHIN_S)


def _wait(process: subprocess.Popen[bytes], state: Path, log: Any) -> Endpoints:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if (endpoints := running(state)) is not None:
            return endpoints
        if (code := process.poll()) is not None:
            raise LoadError(reason_of(log, code))
        time.sleep(0.1)
    raise LoadError(f"it is not up after {START_WITHIN_S:.0f} s")

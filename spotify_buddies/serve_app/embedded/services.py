"""All servers that a service needs and that are not configured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.orphans import stop_orphans
from spotify_buddies.foundation.process.private import make_private
from spotify_buddies.serve_app.embedded.cache import valkey
from spotify_buddies.serve_app.embedded.database import postgres
from spotify_buddies.serve_app.embedded.running import NOTES
from spotify_buddies.serve_app.embedded.supervisor import Supervisor
from spotify_buddies.serve_app.embedded.tracking import mlflow, wait_for_mlflow
from spotify_buddies.serve_app.settings.services import Services


@contextmanager
def start_services(
    state_dir: Path,
    postgres_url: str | None = None,
    redis_url: str | None = None,
    mlflow_uri: str | None = None,
    mlflow_port: int = 0,
    supervisor: Supervisor | None = None,
) -> Iterator[Services]:
    """Yield the addresses of the services; those without a given address are started and stopped with the block.

    All data lies under state_dir (postgres/, valkey/, mlflow/), and only this user reaches them: two listen on unix
    sockets, MLflow on loopback with a token, which its address holds. LaunchError: a part is not installed, a port is
    taken, or a server does not come up. What an earlier run that was killed left running is stopped first, so the
    caller must hold the state directory (foundation.process.lock). Signals wait while a server starts and is noted, and
    are delivered between; then what runs is stopped. supervisor: learns how to start each of them again, at the same
    address.
    """
    supervisor = supervisor or Supervisor((LaunchError,))
    state_dir = state_dir.resolve()
    make_private(state_dir)
    stop_orphans(state_dir / NOTES)
    with ExitStack() as stack:
        # MLflow takes longest, so it starts first and is waited for last.
        started = None if mlflow_uri is not None else stack.enter_context(mlflow(state_dir, mlflow_port, supervisor))
        if postgres_url is None:
            postgres_url = stack.enter_context(postgres(state_dir / "postgres", supervisor))
        if redis_url is None:
            redis_url = stack.enter_context(valkey(state_dir / "valkey", supervisor))
        if started is not None:
            mlflow_uri, process = started
            wait_for_mlflow(mlflow_uri, process, state_dir)
        yield Services(postgres_url=postgres_url, redis_url=redis_url, mlflow_uri=mlflow_uri)

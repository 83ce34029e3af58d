"""grpc.health.v1.Health: SERVING, and NOT_SERVING once the whole service is about to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from serve_app.wire import SERVICE

_STATES = health_pb2.HealthCheckResponse


# The variable that names a file: where it exists, the run is about to stop. A file, as not every process that answers
# for health can be called: Ray Serve's own proxies do so too. All of them are on one machine.
NOTE = "SPOTIFY_BUDDIES_STOP_NOTE"
LOOK_S = 0.1


class State:
    """Whether this run goes on serving. note: where the news of the stop appears; None: never."""

    def __init__(self, note: Path | None) -> None:
        self._note = note

    @property
    def status(self) -> int:
        """SERVING or NOT_SERVING, as in the proto."""
        stopping = self._note is not None and self._note.exists()
        return int(_STATES.NOT_SERVING if stopping else _STATES.SERVING)

    async def stopped(self) -> None:
        """Wait for the stop."""
        while self.status == _STATES.SERVING:
            await asyncio.sleep(LOOK_S)


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """SERVING from the start: a server exists only where a replica is ready, or in front of ready replicas."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The status of the server ("") and of the API; NOT_FOUND for another service."""
        if request.service not in ("", SERVICE):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return _STATES(status=self._state.status)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """The status now, and once more when the service is about to stop; then the stream ends, not to hold it up."""
        del context
        if request.service not in ("", SERVICE):
            yield _STATES(status=_STATES.SERVICE_UNKNOWN)
            await asyncio.Event().wait()
        yield _STATES(status=self._state.status)
        await self._state.stopped()
        yield _STATES(status=self._state.status)


def add_health(servicer: Any, server: Any) -> None:
    """Register grpc.health.v1.Health, answered by the server that is given.

    Ray Serve would route it to the ingress class like any other method; a `Watch` there would hold a request slot and
    block draining. `add_passthrough_service` is Ray Serve's private way around that, so it is asked for, not assumed.
    """
    del servicer
    passthrough = getattr(server, "add_passthrough_service", None)
    if passthrough is not None:
        passthrough(health.SERVICE_NAME)
    named = os.environ.get(NOTE)
    health_pb2_grpc.add_HealthServicer_to_server(Health(State(Path(named) if named else None)), server)

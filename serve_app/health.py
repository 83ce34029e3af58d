"""grpc.health.v1.Health: SERVING, and NOT_SERVING once the whole service is about to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from serve_app.wire import SERVICE

_STATES = health_pb2.HealthCheckResponse


class State:
    """Whether this process goes on serving. One per process; used on the server's event loop."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()

    @property
    def status(self) -> int:
        """SERVING or NOT_SERVING, as in the proto."""
        return int(_STATES.NOT_SERVING if self._stopping.is_set() else _STATES.SERVING)

    def stop(self) -> None:
        """NOT_SERVING from here on; whoever watches is told."""
        self._stopping.set()

    async def stopped(self) -> None:
        """Wait for the stop."""
        await self._stopping.wait()


STATE = State()


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
    health_pb2_grpc.add_HealthServicer_to_server(Health(STATE), server)

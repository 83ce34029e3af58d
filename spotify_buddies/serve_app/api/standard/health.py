"""grpc.health.v1.Health: SERVING, and NOT_SERVING once the whole service is about to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from spotify_buddies.serve_app.api.codec import Malformed
from spotify_buddies.serve_app.api.grpc_registration import SERVICE, parser
from spotify_buddies.serve_app.api.standard import reflection

_STATES = health_pb2.HealthCheckResponse
_NAMES = ("", SERVICE)


# The variable that names a file: where it exists, the run is about to stop. A file, as not every process that answers
# for health can be called: Ray Serve's own proxies do so too. All of them are on one machine.
NOTE = "SPOTIFY_BUDDIES_STOP_NOTE"
LOOK_S = 0.1
# Watches of one server. Each holds a connection of the front to this process, for as long as its caller likes.
WATCHES = 64


class HealthState:
    """State of this run: serving, or about to stop. note: the file that appears before the stop; None: never.

    One task looks for the file, for all who wait.
    """

    def __init__(self, note: Path | None) -> None:
        self._note = note
        self._looking: asyncio.Task[None] | None = None

    @property
    def status(self) -> int:
        """SERVING or NOT_SERVING, as in the proto."""
        stopping = self._note is not None and self._note.exists()
        return int(_STATES.NOT_SERVING if stopping else _STATES.SERVING)

    async def stopped(self) -> None:
        """Wait until the run is about to stop."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        while self.status == _STATES.SERVING:
            await asyncio.sleep(LOOK_S)


class Health:
    """SERVING from the start: a server exists only where a replica is ready, or in front of ready replicas."""

    def __init__(self, state: HealthState, watches: int = WATCHES) -> None:
        self._state = state
        self._most = watches
        self.watching = 0

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The status of the server ("") and of the API; NOT_FOUND for another service."""
        await _refuse_malformed(request, context)
        if request.service not in _NAMES:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no such service here; known are {_NAMES[0]!r}, {SERVICE}")
        return _STATES(status=self._state.status)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """The status now, and once more when the service is about to stop; then the stream ends, not to hold it up.

        RESOURCE_EXHAUSTED: as many watches as this server holds are open.
        """
        await _refuse_malformed(request, context)
        if self.watching >= self._most:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._most} watches are open here; ask with Check instead"
            )
        self.watching += 1
        try:
            known = request.service in _NAMES
            yield _STATES(status=self._state.status if known else _STATES.SERVICE_UNKNOWN)
            await self._state.stopped()
            if known:
                yield _STATES(status=self._state.status)
        finally:
            self.watching -= 1


async def _refuse_malformed(request: Any, context: Any) -> None:
    if isinstance(request, Malformed):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, request.message)


def add_health(servicer: Any, server: Any) -> None:
    """Register grpc.health.v1.Health and reflection, answered by the server that is given.

    Ray Serve would route them to the ingress class like any other method; a `Watch` there would hold a request slot and
    block draining. `add_passthrough_service` is Ray Serve's private way around that, so it is asked for, not assumed.
    """
    del servicer
    passthrough = getattr(server, "add_passthrough_service", None)
    if passthrough is not None:
        for name in (health.SERVICE_NAME, *reflection.NAMES):
            passthrough(name)
    named = os.environ.get(NOTE)
    handlers = handlers_of(Health(HealthState(Path(named) if named else None)))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(health.SERVICE_NAME, handlers),))
    server.add_registered_method_handlers(health.SERVICE_NAME, handlers)
    reflection.add_reflection((SERVICE, health.SERVICE_NAME), server)


def handlers_of(servicer: Health) -> dict[str, Any]:
    """The gRPC handler of each method; bytes that are no message are the caller's error."""
    parse = parser(health_pb2.HealthCheckRequest)
    return {
        "Check": grpc.unary_unary_rpc_method_handler(
            servicer.Check, request_deserializer=parse, response_serializer=_STATES.SerializeToString
        ),
        "Watch": grpc.unary_stream_rpc_method_handler(
            servicer.Watch, request_deserializer=parse, response_serializer=_STATES.SerializeToString
        ),
    }

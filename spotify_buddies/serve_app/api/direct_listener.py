"""A replica's HTTP/1.1 listener beside its gRPC server, with the same handlers, for as long as that server runs."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Any

from spotify_buddies.serve_app.api.codec import Malformed
from spotify_buddies.serve_app.api.limits import REQUEST_BYTES
from spotify_buddies.serve_app.http1.listener import Listener
from spotify_buddies.serve_app.http1.place import DIRECTORY, socket_of

_log = logging.getLogger(__name__)


def listen_beside(server: Any, replica: Any, handlers: Mapping[str, Any]) -> None:
    """Answer these unary methods over HTTP/1.1 too, where the service has a directory for that.

    server: of gRPC, not yet started; starting and stopping it does the same to the listener. handlers: by path. Without
    a socket, or where Ray's replica does not say its id, the front sends these calls to the gRPC server.
    """
    directory, name = os.environ.get(DIRECTORY), getattr(getattr(replica, "_replica_id", None), "unique_id", None)
    if not directory or not name:
        return
    listener = Listener(socket_of(directory, name), handlers, Malformed, REQUEST_BYTES)
    start, stop = server.start, server.stop

    async def start_both() -> None:
        await start()
        try:
            await listener.start()
        except OSError:
            _log.exception("no HTTP/1.1 here; calls come over gRPC")

    async def stop_both(grace: float | None) -> None:
        await asyncio.gather(stop(grace), listener.stop(grace))

    server.start, server.stop = start_both, stop_both

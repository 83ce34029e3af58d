"""The place where a replica takes the front's HTTP/1.1 connections: a unix socket in a private directory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spotify_buddies.serve_app.http1.connection import Connection

# Connections that wait to be accepted; the front may open all of its own at once.
BACKLOG = 4_096
# Messages of the largest size that may be arriving at the same time.
LARGEST_AT_ONCE = 32


class Listener:
    """Serves unary methods on a unix socket, on the event loop of whoever starts it.

    handlers: grpc.aio's, by path ("/package.Service/Method"). malformed: what a handler gets in the place of a message
    that cannot be read, by the reason. message_bytes: the largest message.
    """

    def __init__(
        self,
        path: Path,
        handlers: Mapping[str, Any],
        malformed: Callable[[str], Any],
        message_bytes: int,
    ) -> None:
        self._path = path
        self.handlers: Mapping[bytes, Any] = {name.encode(): handler for name, handler in handlers.items()}
        self.malformed = malformed
        self.message_bytes = message_bytes
        self.held_bytes = 0
        self.most_held_bytes = LARGEST_AT_ONCE * message_bytes
        self.closing = False
        self._connections: set[Connection] = set()
        self._ended = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. OSError: the place cannot be had."""
        self._path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Connection(self, loop), str(self._path), backlog=BACKLOG)
        self._path.chmod(0o600)

    async def stop(self, grace_s: float | None) -> None:
        """Take no more connections, answer the calls in flight for so many seconds, and cancel the rest; None: at once.

        Who connects later is refused, which the front takes to another replica.
        """
        if self._server is None:
            return
        self.closing = True
        self._server.close()
        self._path.unlink(missing_ok=True)
        for connection in tuple(self._connections):
            if connection.idle:
                connection.close()
        try:
            async with asyncio.timeout(grace_s or 0.0):
                await self._all_ended()
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.abort()
        await self._all_ended()

    def opened(self, connection: Connection) -> None:
        """As connections say."""
        self._connections.add(connection)

    def closed(self, connection: Connection) -> None:
        """As connections say."""
        self._connections.discard(connection)
        self._ended.set()

    async def _all_ended(self) -> None:
        while self._connections:
            self._ended.clear()
            await self._ended.wait()

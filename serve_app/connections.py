"""A few Postgres connections, made when they are needed and kept for the next caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict


class Connections:
    """At most `most` connections in autocommit mode; make it inside the running event loop.

    Statements and locks end after timeout_s on the server too, so that an abandoned one does not hold its rows.
    """

    def __init__(self, url: str, timeout_s: float, most: int) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(most)
        self._idle: list[psycopg.AsyncConnection] = []

    @asynccontextmanager
    async def take(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Lend a connection; one whose block raised is closed. psycopg.OperationalError when none can be made."""
        async with self._slots:
            connection = self._idle.pop() if self._idle else await self._connect()
            kept = False
            try:
                yield connection
                kept = True
            finally:
                if kept:
                    self._idle.append(connection)
                else:
                    await connection.close()

    async def close_idle(self) -> None:
        """Close what is kept, so that the next caller gets a new connection."""
        dropped, self._idle = self._idle, []
        for connection in dropped:
            await connection.close()

    async def _connect(self) -> psycopg.AsyncConnection:
        milliseconds = max(1, round(self._timeout_s * 1000))
        # An argument replaces what the address says, so the user's own options go in front of ours.
        own = conninfo_to_dict(self._url).get("options") or ""
        return await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=max(2, round(self._timeout_s)),
            options=f"{own} -c statement_timeout={milliseconds} -c lock_timeout={milliseconds}".strip(),
        )

"""The schema, migrated once by whoever needs it first."""

from __future__ import annotations

import asyncio

import psycopg

from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.migrate import migrate

# SQLSTATEs: connection exceptions; the server stops, starts or has no such database; no such schema or table.
_LOST = ("08", "57P", "3D000", "3F000", "42P01")


class Schema:
    """Migrates in a task of its own, since migrating much data takes longer than any caller waits."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._known = False
        self._task: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """Check again: the database may be another one, or restored without our tables."""
        self._known = False

    def doubt(self, error: Exception) -> bool:
        """Check again if the error means that the database may be another one now; whether it does.

        A statement that was refused or took too long does not.
        """
        lost = is_lost(error)
        if lost:
            self.forget()
        return lost

    async def ready(self) -> None:
        """Return when the schema is up to date. psycopg.Error: the database is unreachable or refuses."""
        if self._known:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._migrate())
        await asyncio.shield(self._task)

    async def close(self) -> None:
        """Stop a migration that runs; it is rolled back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _migrate(self) -> None:
        connection = await connect(self._url, connect_s=self._timeout_s)
        async with connection:
            await migrate(connection)
        self._known = True


def is_lost(error: Exception) -> bool:
    """Whether the connection was lost, or none could be made, or our tables are gone."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate.startswith(_LOST)
    # An error without a state is the driver's; values that it refuses to send are no fault of the connection.
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, OSError, TimeoutError))

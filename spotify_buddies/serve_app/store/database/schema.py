"""The schema, brought up to date once by whoever needs it first."""

from __future__ import annotations

import asyncio

import psycopg

from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.migrate import migrate

# Connection exceptions, the server ends or starts or has no such database, there is no such schema or table.
_LOST = ("08", "57P", "3D000", "3F000", "42P01")


class Schema:
    """Migrates in a task of its own: a migration of much data takes longer than any caller waits."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._known = False
        self._task: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """Look again: the database may be another one, or restored without our tables."""
        self._known = False

    def doubt(self, error: Exception) -> bool:
        """Look again if the error says that the database may be another one now; whether it says so.

        A statement that was refused, or took too long, says nothing of the kind.
        """
        lost = is_lost(error)
        if lost:
            self.forget()
        return lost

    async def ready(self) -> None:
        """Return when the schema is up to date. psycopg.Error when the database is away or refuses."""
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
    # Without a state it is not the server that speaks; what the driver refuses to send is no fault of the connection.
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, OSError, TimeoutError))

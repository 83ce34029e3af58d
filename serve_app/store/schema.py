"""The schema, brought up to date once by whoever needs it first."""

from __future__ import annotations

import asyncio

from serve_app.connections import connect
from serve_app.migrate import migrate


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

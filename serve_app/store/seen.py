"""What listeners have met before, in one question for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import psycopg

from serve_app.connections import Connections
from serve_app.errors import HistoryUnavailable
from serve_app.store.schema import Schema

# Distinct on the server: a listener is shown the same playlists again and again.
_SEEN = """
SELECT user_id, array_agg(DISTINCT playlist_id) FROM (
  SELECT user_id, unnest(playlist_ids) AS playlist_id FROM impressions
  WHERE %(shown)s::boolean AND user_id = ANY(%(users)s::text[]) AND at >= %(since)s
  UNION ALL
  SELECT user_id, playlist_id FROM reactions
  WHERE %(liked)s::boolean AND user_id = ANY(%(users)s::text[]) AND at >= %(since)s AND score = 1
) AS met GROUP BY user_id
"""

WARM_UP_S = 2.0


class Seen:
    """Reads impressions and likes over connections of its own; make it inside the running event loop."""

    def __init__(self, url: str, timeout_s: float, budget_s: float, schema: Schema) -> None:
        self._connections = Connections(url, timeout_s, 4)
        self._budget_s = budget_s
        self._schema = schema
        self._asking: set[asyncio.Task[list[tuple[str, list[str]]]]] = set()

    async def warm_up(self) -> None:
        """Connect and plan, so that the first listener does not pay for it; without an answer nothing is gained."""
        with suppress(HistoryUnavailable):
            await self._within(WARM_UP_S, (), datetime.now(UTC), shown=True, liked=True)

    async def ask(
        self, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool
    ) -> list[tuple[str, list[str]]]:
        """User id and playlist ids of those who have met any since then. HistoryUnavailable, within the budget."""
        return await self._within(self._budget_s, user_ids, since, shown=shown, liked=liked)

    async def _within(
        self, budget_s: float, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool
    ) -> list[tuple[str, list[str]]]:
        # Cancelling a statement asks the server, which may not answer: nobody waits for that.
        task = asyncio.create_task(self._ask(user_ids, since, shown=shown, liked=liked))
        self._asking.add(task)
        task.add_done_callback(self._forget)
        try:
            await asyncio.wait({task}, timeout=budget_s)
        finally:
            if not task.done():
                task.cancel()
        if not task.done():
            raise HistoryUnavailable(f"no answer within {budget_s * 1000:g} ms")
        try:
            return task.result()
        except (psycopg.Error, OSError) as error:
            self._schema.forget()
            await self._connections.close_idle()
            raise HistoryUnavailable(type(error).__name__) from error

    async def close(self) -> None:
        """End what is asked and close the connections."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        await self._connections.close_idle()

    def _forget(self, task: asyncio.Task[list[tuple[str, list[str]]]]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()  # asked for, so that asyncio does not report one that nobody waits for any more

    async def _ask(
        self, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool
    ) -> list[tuple[str, list[str]]]:
        await self._schema.ready()
        async with self._connections.take() as connection:
            cursor = await connection.execute(
                _SEEN, {"users": list(user_ids), "since": since, "shown": shown, "liked": liked}, prepare=True
            )
            return await cursor.fetchall()

"""Version and arm of a feedback whose caller does not say them: those of the list as it was given to the user.

Lists are written in the background (impressions/writer.py), so a list that is not found may be on its way, in another
replica, or lost: its feedback is stored all the same, without version and arm, and the upkeep looks once more
(docs/adr/0015-feedback-attribution.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from spotify_buddies.serve_app.store.actions import UNSPECIFIED, Feedback
from spotify_buddies.serve_app.store.database.connections import Connections
from spotify_buddies.serve_app.store.database.schema import Schema

# The longest delay of a commit: a week that is being sorted cannot be read for seconds.
WITHIN_S = 0.25
AT_ONCE = 2

# Model version and arm.
Origin = tuple[str, str]

# The index finds the user's lists, which are few; an index on the recommendation's id is not worth its writes.
_GIVEN = """
SELECT model_version, arm FROM impressions WHERE user_id = %s AND recommendation_id = %s LIMIT 1
"""
# As for what was seen: planned once, and by the index even where a week was empty at that time.
_OPTIONS = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"


def is_attributed(action: Feedback) -> bool:
    """Whether the action says which version and which arm it is about."""
    return bool(action.model_version) and action.arm != UNSPECIFIED


class Attribution:
    """Looks up lists over connections of its own; make it inside the running event loop.

    waiting: version and arm of a list that this process has given and not written, by recommendation id and user id.
    """

    def __init__(self, url: str, schema: Schema, waiting: Callable[[str, str], Origin | None]) -> None:
        # An argument replaces what the address says, so the user's own options go in front of ours.
        own = conninfo_to_dict(url).get("options") or ""
        self._connections = Connections(make_conninfo(url, options=f"{own} {_OPTIONS}".strip()), WITHIN_S, AT_ONCE)
        self._schema = schema
        self._waiting = waiting
        self._tasks: set[asyncio.Task[Origin | None]] = set()

    async def attribute(self, action: Feedback) -> Feedback:
        """The action with version and arm of the list it is about; the action itself where that is not found.

        Within WITHIN_S, whatever the database does. Both come from the list: a pair of which the caller said one half
        could name an arm that the version never had.
        """
        # What waits comes first: a list that is written between the two is then found twice, not missed.
        origin = self._waiting(action.recommendation_id, action.user_id) or await self._stored(action)
        return action if origin is None else replace(action, model_version=origin[0], arm=origin[1])

    async def close(self) -> None:
        """Cancel all look-ups and close the connections."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._connections.close_idle()

    async def _stored(self, action: Feedback) -> Origin | None:
        # A task of its own: cancelling a statement asks the server, which may not answer either.
        task = asyncio.create_task(self._ask(action))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=WITHIN_S)
        if not task.done():
            task.cancel()
            return None
        return task.result()

    async def _ask(self, action: Feedback) -> Origin | None:
        """None: not found, or the database cannot answer now; the commit that follows reports its errors."""
        try:
            await self._schema.ready()
            async with self._connections.take() as connection:
                cursor = await connection.execute(_GIVEN, (action.user_id, action.recommendation_id), prepare=True)
                return await cursor.fetchone()
        except (psycopg.Error, OSError, UnicodeEncodeError):
            return None

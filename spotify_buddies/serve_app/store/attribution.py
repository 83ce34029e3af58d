"""Version and arm of a feedback whose caller does not say them: those of the list as it was given to the user.

Lists are written in the background (impressions/writer.py), so a list that is not found may be on its way, in another
replica, or lost: its feedback is stored all the same, without version and arm, and the upkeep looks once more
(docs/adr/0015-feedback-attribution.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import psycopg

from spotify_buddies.serve_app.store.actions import INTERLEAVED, UNSPECIFIED, Feedback, Origin
from spotify_buddies.serve_app.store.database.connections import Connections, with_options
from spotify_buddies.serve_app.store.database.schema import Schema

# Statements at a time, and actions in one of them: those that come together share one.
AT_ONCE = 2
MOST = 64

# The index finds the user's lists, which are few; an index on the recommendation's id is not worth its writes.
_GIVEN = """
SELECT place, model_version, arm, playlist_ids, picked_by
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS asked (who, recommendation, place)
CROSS JOIN LATERAL (
  SELECT model_version, arm, CASE WHEN picked_by IS NOT NULL THEN playlist_ids END AS playlist_ids, picked_by
  FROM impressions
  WHERE user_id = asked.who AND recommendation_id = asked.recommendation LIMIT 1
) AS given
"""
# As for what was seen: planned once, and by the index even where a week was empty at that time.
_OPTIONS = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"


class _Asked(NamedTuple):
    action: Feedback
    origin: asyncio.Future[Origin | None]


def is_attributed(action: Feedback) -> bool:
    """Whether the action says which version and which arm it is about, and of a drafted list who picked what."""
    if action.arm == INTERLEAVED:
        return bool(action.picked_by)
    return bool(action.model_version) and action.arm != UNSPECIFIED


class Attribution:
    """Looks up lists over connections of its own; make it inside the running event loop.

    waiting: version and arm of a list that this process has given and not written, by recommendation id and user id.
    """

    def __init__(self, url: str, within_s: float, schema: Schema, waiting: Callable[[str, str], Origin | None]) -> None:
        self._connections = Connections(with_options(url, _OPTIONS), within_s, AT_ONCE)
        self._within_s = within_s
        self._schema = schema
        self._waiting = waiting
        self._asked: deque[_Asked] = deque()
        self._sending: set[asyncio.Task[None]] = set()

    async def attribute(self, action: Feedback) -> Feedback:
        """The action with version and arm of the list it is about; the action itself where that is not found.

        Within within_s, whatever the database does: a week that is being sorted cannot be read for seconds. Both come
        from the list: a pair of which the caller said one half could name an arm that the version never had.
        """
        # What waits comes first: a list that is written between the two is then found twice, not missed.
        origin = self._waiting(action.recommendation_id, action.user_id) or await self._stored(action)
        if origin is None:
            return action
        return replace(action, model_version=origin.model_version, arm=origin.arm, picked_by=origin.picked_by)

    async def close(self) -> None:
        """Cancel all look-ups and close the connections."""
        sending = set(self._sending)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        await self._connections.close_idle()

    async def _stored(self, action: Feedback) -> Origin | None:
        asked = _Asked(action, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if len(self._sending) < AT_ONCE:
            # A task of its own: a statement is not cancelled with its callers, which would cost the connection.
            task = asyncio.create_task(self._send())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        await asyncio.wait({asked.origin}, timeout=self._within_s)
        if not asked.origin.done():
            asked.origin.cancel()
            return None
        return asked.origin.result()

    async def _send(self) -> None:
        """Ask until no action waits."""
        while self._asked:
            batch = [self._asked.popleft() for _ in range(min(MOST, len(self._asked)))]
            batch = [asked for asked in batch if not asked.origin.done()]
            origins = await self._ask([asked.action for asked in batch]) if batch else {}
            for place, asked in enumerate(batch, 1):
                if not asked.origin.done():
                    asked.origin.set_result(origins.get(place))

    async def _ask(self, actions: Sequence[Feedback]) -> dict[int, Origin]:
        """By place from 1 on. Empty where the database cannot answer: the commits that follow report its errors."""
        users = [action.user_id for action in actions]
        recommendations = [action.recommendation_id for action in actions]
        try:
            await self._schema.ready()
            # The server ends what takes longer, but it may not answer at all.
            async with asyncio.timeout(2 * self._within_s), self._connections.take() as connection:
                cursor = await connection.execute(_GIVEN, (users, recommendations), prepare=True)
                return {
                    place: Origin(version, arm, dict(zip(ids or (), teams or (), strict=True)))
                    for place, version, arm, ids, teams in await cursor.fetchall()
                }
        except (psycopg.Error, OSError, TimeoutError, UnicodeEncodeError):
            return {}

"""What listeners have met before: who asks while others do shares their question."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from spotify_buddies.serve_app.errors import HistoryUnavailable
from spotify_buddies.serve_app.store.database.connections import Connections
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.telemetry.redact import cause

# Distinct on the server: a listener is shown the same playlists again and again. The oldest moment of all who ask
# leaves out the weeks before it when the statement starts; what is before the listener's own, the index does.
_SEEN = """
SELECT place, ARRAY(
  SELECT unnest(playlist_ids) FROM impressions
  WHERE asked.shown AND user_id = asked.listener AND at >= asked.since AND at >= %(oldest)s
  UNION
  SELECT playlist_id FROM reactions
  WHERE asked.liked AND user_id = asked.listener AND at >= asked.since AND at >= %(oldest)s AND score = 1
)
FROM unnest(%(listeners)s::text[], %(since)s::timestamptz[], %(shown)s::boolean[], %(liked)s::boolean[])
  WITH ORDINALITY AS asked (listener, since, shown, liked, place)
"""
# Planning for all the weeks takes as long as the answer, so it is done once for each connection. Then a week must be
# read by its index even where it was empty at that time, and a guess at the costs must not have it compiled. Postgres
# 18 hands reads to other processes, which for some pages in the system's memory takes as long again as the answer.
_OPTIONS = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off -c effective_io_concurrency=0"
# Statements at a time, and listeners in one of them: whoever is in it waits for all of them.
AT_ONCE = 4
MOST = 8
WARM_UP_S = 2.0
_log = logging.getLogger(__name__)

Met = list[tuple[str, list[str]]]


class _Waiting(NamedTuple):
    user_ids: tuple[str, ...]
    since: datetime
    shown: bool
    liked: bool
    answer: asyncio.Future[Met]


class SeenReader:
    """Reads impressions and likes over connections of its own; make it inside the running event loop.

    Who has waited for budget_s goes on without an answer, and the statement goes on without them: cancelling it would
    cost its connection, and a new one, with the tables to learn and the plan to make, costs the next ones their answer.
    """

    def __init__(self, url: str, timeout_s: float, budget_s: float, schema: Schema) -> None:
        # An argument replaces what the address says, so the user's own options go in front of ours.
        own = conninfo_to_dict(url).get("options") or ""
        self._connections = Connections(make_conninfo(url, options=f"{own} {_OPTIONS}".strip()), timeout_s, AT_ONCE)
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self._schema = schema
        self._waiting: list[_Waiting] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def warm_up(self) -> None:
        """Make every connection and its plan, so that the first listeners do not pay for it."""
        # Of nobody, and of all the weeks.
        nobody = [
            _Waiting(("",), datetime(1970, 1, 1, tzinfo=UTC), True, True, asyncio.get_running_loop().create_future())
            for _ in range(AT_ONCE)
        ]
        tasks = [self._start(self._answer([waiting])) for waiting in nobody]
        await asyncio.wait(tasks, timeout=WARM_UP_S)
        for waiting in nobody:
            waiting.answer.cancel()

    async def ask(self, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool) -> Met:
        """User id and playlist ids of those who have met any since then. HistoryUnavailable, within the budget."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(tuple(user_ids), since, shown, liked, loop.create_future())
        self._waiting.append(waiting)
        if len(self._sending) < AT_ONCE:
            self._start(self._send())
        # A caller who leaves cancels the future; a question whose future is done before it is taken is never sent.
        expiry = loop.call_later(self._budget_s, self._expire, waiting)
        try:
            return await waiting.answer
        finally:
            expiry.cancel()

    async def close(self) -> None:
        """End what is asked and close the connections."""
        sending = set(self._sending)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        _refuse(self._waiting, "the service stops")
        self._waiting.clear()
        await self._connections.close_idle()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("reading what listeners have seen failed", exc_info=error)

    def _expire(self, waiting: _Waiting) -> None:
        _refuse([waiting], f"no answer within {self._budget_s * 1000:g} ms")

    async def _send(self) -> None:
        """Ask for those who wait until there are none."""
        while batch := self._take():
            await self._answer(batch)

    def _take(self) -> list[_Waiting]:
        """The newest first: with more to do than can be done, the oldest would be too late even when they are asked."""
        batch: list[_Waiting] = []
        listeners = 0
        while self._waiting:
            waiting = self._waiting[-1]
            if not waiting.answer.done():
                listeners += len(waiting.user_ids)
                if batch and listeners > MOST:
                    break
                batch.append(waiting)
            self._waiting.pop()
        return batch

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        """Ask for them and tell them. What Postgres cannot take fails alone; the others are asked for without it."""
        try:
            # The server ends what takes longer, but it may not answer at all.
            async with asyncio.timeout(2 * self._timeout_s):
                answers = await self._ask(batch)
        except (psycopg.DataError, UnicodeEncodeError) as error:
            if len(batch) > 1:
                for waiting in batch:
                    await self._answer([waiting])
                return
            _log.warning("what a listener has seen was not asked for: %s", cause(error))
            _refuse(batch, type(error).__name__)
        except (psycopg.Error, OSError, TimeoutError) as error:
            if self._schema.doubt(error):
                await self._connections.close_idle()
            _refuse(batch, type(error).__name__)
        except Exception as error:  # whoever waits must be answered whatever went wrong; _forget logs it
            _refuse(batch, type(error).__name__)
            raise
        else:
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    async def _ask(self, batch: Sequence[_Waiting]) -> list[Met]:
        asked = [(number, user_id) for number, waiting in enumerate(batch) for user_id in waiting.user_ids]
        values = {
            "listeners": [user_id for _, user_id in asked],
            "since": [batch[number].since for number, _ in asked],
            "shown": [batch[number].shown for number, _ in asked],
            "liked": [batch[number].liked for number, _ in asked],
            "oldest": min(waiting.since for waiting in batch),
        }
        await self._schema.ready()
        async with self._connections.take() as connection:
            try:
                cursor = await connection.execute(_SEEN, values, prepare=True)
                rows = await cursor.fetchall()
                refused = None
            except (psycopg.DataError, UnicodeEncodeError) as error:
                # The connection has taken no harm and is kept.
                refused = error
        if refused is not None:
            raise refused
        answers: list[Met] = [[] for _ in batch]
        for place, playlist_ids in rows:
            if playlist_ids:
                number, user_id = asked[place - 1]
                answers[number].append((user_id, playlist_ids))
        return answers


def _refuse(batch: Sequence[_Waiting], cause: str) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(HistoryUnavailable(cause))

"""The reader of what users have seen; questions that come together share a statement."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg

from spotify_buddies.serve_app.errors import HistoryUnavailable
from spotify_buddies.serve_app.store.database.connections import Connections, with_options
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.telemetry.redact import cause

# Distinct on the server: a user is shown the same playlists again and again. The oldest moment of all questions prunes
# weeks when the statement starts; the index leaves out what lies before each user's own.
_SEEN = """
SELECT place, ARRAY(
  SELECT unnest(playlist_ids) FROM impressions
  WHERE asked.shown AND user_id = asked.who AND at >= asked.since AND at >= %(oldest)s
  UNION
  SELECT playlist_id FROM reactions
  WHERE asked.liked AND user_id = asked.who AND at >= asked.since AND at >= %(oldest)s AND score = 1
)
FROM unnest(%(users)s::text[], %(since)s::timestamptz[], %(shown)s::boolean[], %(liked)s::boolean[])
  WITH ORDINALITY AS asked (who, since, shown, liked, place)
"""
# Planning for all the weeks takes as long as the answer, so it is done once per connection. The plan must then use the
# index of a week even if the week was empty at that time, and estimated costs must not trigger compilation. Postgres 18
# hands reads to other processes, which for a few pages in the system's cache doubles the time of the answer.
_OPTIONS = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off -c effective_io_concurrency=0"
# Statements at a time, and users in one of them: each waits for all the others.
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

    A caller who has waited for budget_s gets no answer, but the statement is not cancelled: that would cost its
    connection, and a new one, which must load the catalog and make the plan, would be too late for the next callers.
    """

    def __init__(self, url: str, timeout_s: float, budget_s: float, schema: Schema) -> None:
        self._connections = Connections(with_options(url, _OPTIONS), timeout_s, AT_ONCE)
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self._schema = schema
        self._waiting: list[_Waiting] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def warm_up(self) -> None:
        """Make every connection and its plan, so that the first users do not pay for it."""
        # A question about nobody, over all the weeks.
        nobody = [
            _Waiting(("",), datetime(1970, 1, 1, tzinfo=UTC), True, True, asyncio.get_running_loop().create_future())
            for _ in range(AT_ONCE)
        ]
        tasks = [self._start(self._answer([waiting])) for waiting in nobody]
        await asyncio.wait(tasks, timeout=WARM_UP_S)
        for waiting in nobody:
            waiting.answer.cancel()

    async def ask(self, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool) -> Met:
        """User id and playlist ids of users who have met any since then. HistoryUnavailable, within the budget."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(tuple(user_ids), since, shown, liked, loop.create_future())
        self._waiting.append(waiting)
        if len(self._sending) < AT_ONCE:
            self._start(self._send())
        # A caller who leaves cancels the future; a question whose future is done before its batch is never sent.
        expiry = loop.call_later(self._budget_s, self._expire, waiting)
        try:
            return await waiting.answer
        finally:
            expiry.cancel()

    async def close(self) -> None:
        """Cancel all questions and close the connections."""
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
            _log.error("reading what users have seen failed", exc_info=error)

    def _expire(self, waiting: _Waiting) -> None:
        _refuse([waiting], f"no answer within {self._budget_s * 1000:g} ms")

    async def _send(self) -> None:
        """Ask until no question waits."""
        while batch := self._take():
            await self._answer(batch)

    def _take(self) -> list[_Waiting]:
        """The newest first: under overload the oldest would be too late even if they were asked."""
        batch: list[_Waiting] = []
        users = 0
        while self._waiting:
            waiting = self._waiting[-1]
            if not waiting.answer.done():
                users += len(waiting.user_ids)
                if batch and users > MOST:
                    break
                batch.append(waiting)
            self._waiting.pop()
        return batch

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        """Ask and answer. A question that Postgres cannot take fails alone; the others are asked without it."""
        try:
            # The server ends what takes longer, but it may not answer at all.
            async with asyncio.timeout(2 * self._timeout_s):
                answers = await self._ask(batch)
        except (psycopg.DataError, UnicodeEncodeError) as error:
            if len(batch) > 1:
                for waiting in batch:
                    await self._answer([waiting])
                return
            _log.warning("what a user has seen could not be asked: %s", cause(error))
            _refuse(batch, type(error).__name__)
        except (psycopg.Error, OSError, TimeoutError) as error:
            if self._schema.doubt(error):
                await self._connections.close_idle()
            _refuse(batch, type(error).__name__)
        except Exception as error:  # callers must get an answer whatever went wrong; _forget logs it
            _refuse(batch, type(error).__name__)
            raise
        else:
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    async def _ask(self, batch: Sequence[_Waiting]) -> list[Met]:
        asked = [(number, user_id) for number, waiting in enumerate(batch) for user_id in waiting.user_ids]
        values = {
            "users": [user_id for _, user_id in asked],
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
                # The connection is unharmed and kept.
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

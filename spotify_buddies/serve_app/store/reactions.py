"""The writer of feedback: commits before it acknowledges, and commits together what waits together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from spotify_buddies.serve_app.errors import FeedbackUnavailable, KeyReused
from spotify_buddies.serve_app.store.actions import Change, Feedback, StoredAction
from spotify_buddies.serve_app.store.commit import Committed, commit
from spotify_buddies.serve_app.store.database.connections import Connections
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.telemetry.metrics import Telemetry
from spotify_buddies.serve_app.telemetry.redact import cause, hash_id

RETRY_AFTER_S = 1.0
# A commit that was abandoned holds its connection until the server has answered its cancellation.
ABANDONED = 6
# Times that a batch is sent again because a week was attached under it: a batch writes to two partitioned tables, and
# around Monday to two weeks of each.
WEEKS_ATTACHED = 4
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batching:
    """most: actions in one transaction. at_once: transactions at a time.

    One is best, since a transaction costs nearly the same for one action as for eight, and callers who come meanwhile
    share the next. A second one begins beside it only when it has not ended within patience_s, for example because it
    waits for a lock. (A pause to gather more made every answer later and saved no work.)
    """

    most: int = 64
    at_once: int = 2
    patience_s: float = 0.05


class _Waiting(NamedTuple):
    action: Feedback
    answer: asyncio.Future[StoredAction]


class Reactions:
    """Stores feedback; make it inside the running event loop.

    Connections are made on demand: an unreachable database costs its callers only the wait, and is used again as soon
    as it is back. (A pool that reconnects in the background makes the first callers after an outage wait for its
    back-off.) `changed` is called with every changed block before its action is acknowledged.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        schema: Schema,
        changed: Callable[[Sequence[Change]], None],
        telemetry: Telemetry,
        *,
        batching: Batching | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._batching = batching or Batching()
        self._connections = Connections(url, timeout_s, self._batching.at_once + ABANDONED)
        self._schema = schema
        self._changed = changed
        self._telemetry = telemetry
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._ready = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def store(self, action: Feedback) -> StoredAction:
        """Commit one action; safe to repeat with the same key. FeedbackUnavailable within timeout_s otherwise.

        KeyReused: the caller has used the key for another action, and this one is not stored.
        After FeedbackUnavailable the action may still be committed, where only the answer was lost; the same call then
        returns new=False.
        """
        if self._writer is None or self._writer.done():
            self._writer = self._start(self._write())
        loop = asyncio.get_running_loop()
        waiting = _Waiting(action, loop.create_future())
        self._waiting.append(waiting)
        self._ready.set()
        # A caller who leaves cancels the future; an action whose future is done before its batch is never sent.
        expiry = loop.call_later(self._timeout_s, self._expire, waiting)
        try:
            return await waiting.answer
        finally:
            expiry.cancel()

    async def close(self) -> None:
        """Stop writing, refuse what still waits, and close every connection."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _refuse([*self._waiting], "the service stops")
        self._waiting.clear()
        await self._connections.close_idle()

    async def _write(self) -> None:
        sending: set[asyncio.Task[None]] = set()
        while True:
            if not self._waiting:
                self._ready.clear()
                await self._ready.wait()
            batch = self._take()
            if not batch:
                continue
            sending.add(self._start(self._send(batch)))
            patience_s = self._batching.patience_s if len(sending) < self._batching.at_once else None
            _, sending = await asyncio.wait(sending, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        # A task of its own: cancelling a statement asks the server, which may not answer either, and the next callers
        # must not wait for that.
        attempt = self._start(self._attempt(batch))
        try:
            await asyncio.wait({attempt}, timeout=self._timeout_s)
        finally:
            if not attempt.done():
                attempt.cancel()
                _refuse(batch, f"no answer within {self._timeout_s:g} s")

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._batching.most:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
        return batch

    def _expire(self, waiting: _Waiting) -> None:
        if not waiting.answer.done():
            self._telemetry.count_feedback("unavailable", 1)
            _refuse([waiting], f"no answer within {self._timeout_s:g} s")

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("writing feedback failed", exc_info=error)

    async def _attempt(self, batch: Sequence[_Waiting], *, again: bool = True, attached: int = 0) -> None:
        """Commit and answer. A row that the database refuses fails alone; the others are sent without it.

        attached: how often a week was attached under the batch so far.
        """
        started = time.perf_counter()
        try:
            committed = await self._commit([waiting.action for waiting in batch])
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if attached < WEEKS_ATTACHED and isinstance(error, psycopg.errors.CheckViolation):
                # The row went to the default partition while its week was attached.
                await self._attempt(batch, again=again, attached=attached + 1)
                return
            if len(batch) == 1:
                self._fail(batch, error)
                return
            half = len(batch) // 2
            await self._attempt(batch[:half], again=again, attached=attached)
            await self._attempt(batch[half:], again=again, attached=attached)
        except psycopg.Error as error:
            # The server was restarted, replaced, or restored without our tables: open connections and what is known of
            # the schema are worthless. The keys make it safe to send again.
            self._schema.forget()
            await self._connections.close_idle()
            if again:
                await self._attempt(batch, again=False, attached=attached)
            else:
                self._fail(batch, error)
        except Exception as error:  # callers must get an answer whatever went wrong; _forget logs it
            self._fail(batch, error)
            raise
        else:
            self._telemetry.time_commit(time.perf_counter() - started, len(batch))
            self._answer(batch, committed)

    async def _commit(self, actions: Sequence[Feedback]) -> Committed:
        await self._schema.ready()
        async with self._connections.take() as connection:
            return await commit(connection, actions, None if self._clock is None else self._clock())

    def _answer(self, batch: Sequence[_Waiting], committed: Committed) -> None:
        if committed.changes:
            self._changed(committed.changes)
        new = sum(stored.new for stored in committed.stored)
        reused = sum(bool(stored.differs) for stored in committed.stored)
        for outcome, count in (("accepted", new), ("duplicate", len(batch) - new - reused), ("reused", reused)):
            self._telemetry.count_feedback(outcome, count)
        for waiting, stored in zip(batch, committed.stored, strict=True):
            if waiting.answer.done():
                continue
            if stored.differs:
                waiting.answer.set_exception(KeyReused(stored.differs))
            else:
                waiting.answer.set_result(stored)

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        # The log says where Postgres was sought and what it refused; callers get no addresses.
        users = ", ".join(f"#{hash_id(user_id)}" for user_id in {waiting.action.user_id for waiting in batch})
        _log.warning("feedback of users %s was not acknowledged: %s", users, cause(error))
        self._telemetry.count_feedback("unavailable", len(batch))
        _refuse(batch, type(error).__name__)


def _refuse(batch: Sequence[_Waiting], cause: str) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(FeedbackUnavailable(cause, RETRY_AFTER_S))

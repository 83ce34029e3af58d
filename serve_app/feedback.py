"""The feedback store: Postgres, and an answer only after the commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import psycopg

from serve_app.connections import Connections
from serve_app.errors import FeedbackUnavailable
from serve_app.migrate import migrate
from serve_app.redact import hash_id, store_error

RETRY_AFTER_S = 1.0
_log = logging.getLogger(__name__)

# One statement is one round trip and one transaction. Concurrent requests with one key meet on the key's unique index;
# beyond it no two transactions touch the same rows, so that they cannot wait for each other in a circle.
_STORE = """
WITH action AS (
  INSERT INTO feedback (idempotency_key, recommendation_id, user_id, model_version, arm)
  VALUES (%(key)s, %(recommendation)s, %(user)s, %(version)s, %(arm)s)
  ON CONFLICT (idempotency_key) DO NOTHING
  RETURNING id
)
INSERT INTO reactions (feedback_id, playlist_id, score)
SELECT action.id, reaction.playlist_id, reaction.score
FROM action, unnest(%(playlists)s::text[], %(scores)s::smallint[]) AS reaction (playlist_id, score)
"""
_COUNT = """
SELECT count(reactions.playlist_id) FROM feedback LEFT JOIN reactions ON reactions.feedback_id = feedback.id
WHERE feedback.idempotency_key = %s
"""
_READ = """
SELECT recommendation_id, user_id, model_version, arm, created_at, playlist_id, score
FROM feedback JOIN reactions ON reactions.feedback_id = feedback.id
WHERE recommendation_id = %s
ORDER BY feedback.id, score DESC, playlist_id
"""


@dataclass(frozen=True)
class Feedback:
    """What one listener did with one recommendation, checked. arm: production, canary or unspecified."""

    recommendation_id: str
    user_id: str
    liked: tuple[str, ...]
    ignored: tuple[str, ...]
    disliked: tuple[str, ...]
    idempotency_key: str
    model_version: str = ""
    arm: str = "unspecified"

    def reactions(self) -> Iterator[tuple[str, int]]:
        """Playlist id and score: liked 1, ignored 0, disliked -1."""
        for playlists, score in ((self.liked, 1), (self.ignored, 0), (self.disliked, -1)):
            yield from ((playlist_id, score) for playlist_id in playlists)


@dataclass(frozen=True)
class Stored:
    """new: stored by this call, else by an earlier one with the same key. reactions: rows under that key."""

    new: bool
    reactions: int


@dataclass(frozen=True)
class FeedbackRow:
    """One stored reaction, for people and reports."""

    recommendation_id: str
    user_id: str
    model_version: str
    arm: str
    created_at: datetime
    playlist_id: str
    score: int


class FeedbackStore:
    """Stores feedback in Postgres over a few connections; make it inside the running event loop.

    Connections are made when they are needed and the schema is brought up to date on the first use that works, so a
    database that is away costs its callers the wait and nothing else, and one that is back is used at once. (A pool
    that reconnects in the background makes the first callers after an outage wait for its back-off.)
    """

    def __init__(self, url: str, timeout_s: float, connections: int = 8) -> None:
        self._timeout_s = timeout_s
        self._connections = Connections(url, timeout_s, connections)
        self._migrated = False
        self._migrating = asyncio.Lock()
        self._abandoned: set[asyncio.Task[Stored]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        for task in self._abandoned:
            task.cancel()
        await asyncio.gather(*self._abandoned, return_exceptions=True)
        await self._connections.close_idle()

    async def store(self, feedback: Feedback) -> Stored:
        """Commit one action; safe to repeat with the same key. FeedbackUnavailable within timeout_s otherwise.

        After FeedbackUnavailable the action may still have been committed (the answer was lost on the way); the
        same call then returns new=False.
        """
        # A task of its own: cancelling a query asks the server, which may not answer either, and the caller must not
        # wait for that.
        task = asyncio.create_task(self._attempt(feedback))
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        try:
            await asyncio.wait({task}, timeout=self._timeout_s)
        finally:
            if not task.done():
                task.cancel()
        if not task.done():
            raise FeedbackUnavailable(f"no answer within {self._timeout_s:g} s", RETRY_AFTER_S)
        try:
            return task.result()
        except psycopg.Error as error:
            # The log tells where Postgres was looked for, and what it refused; callers are told no addresses.
            listener = hash_id(feedback.user_id)
            _log.warning("feedback of listener #%s was not acknowledged: %s", listener, store_error(error))
            raise FeedbackUnavailable(type(error).__name__, RETRY_AFTER_S) from error

    def _forget(self, task: asyncio.Task[Stored]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # asked for, so that asyncio does not report one that nobody waits for any more

    async def _attempt(self, feedback: Feedback) -> Stored:
        try:
            return await self._store(feedback)
        except psycopg.Error:
            # The server was restarted, replaced by another one, or restored without our tables: what was kept open or
            # known of it is worth nothing. The key makes it safe to send again.
            self._migrated = False
            await self._connections.close_idle()
            return await self._store(feedback)

    async def _store(self, feedback: Feedback) -> Stored:
        reactions = list(feedback.reactions())
        async with self._connections.take() as connection:
            await self._ensure_schema(connection)
            cursor = await connection.execute(
                _STORE,
                {
                    "key": feedback.idempotency_key,
                    "recommendation": feedback.recommendation_id,
                    "user": feedback.user_id,
                    "version": feedback.model_version,
                    "arm": feedback.arm,
                    "playlists": [playlist_id for playlist_id, _ in reactions],
                    "scores": [score for _, score in reactions],
                },
            )
            if cursor.rowcount > 0:
                return Stored(new=True, reactions=cursor.rowcount)
            row = await (await connection.execute(_COUNT, (feedback.idempotency_key,))).fetchone()
            return Stored(new=False, reactions=int(row[0]) if row else 0)

    async def _ensure_schema(self, connection: psycopg.AsyncConnection) -> None:
        if self._migrated:
            return
        async with self._migrating:
            if not self._migrated:
                await migrate(connection)
                self._migrated = True


def read_feedback(url: str, recommendation_id: str) -> list[FeedbackRow]:
    """Every stored reaction to one recommendation, oldest action first, best score first. None: an empty list.

    psycopg.OperationalError when Postgres cannot be reached.
    """
    with psycopg.connect(url, connect_timeout=5) as connection:
        if connection.execute("SELECT to_regclass('feedback')").fetchone() == (None,):
            return []
        return [FeedbackRow(*row) for row in connection.execute(_READ, (recommendation_id,))]

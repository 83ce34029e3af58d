"""The follower of erasures: what brings them to a process, and what tells everybody that it honours them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psycopg

from spotify_buddies.serve_app.store.commit import CHANNEL as BLOCKS
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.following import follow_always
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.store.rights.known import Erased
from spotify_buddies.serve_app.store.rights.locks import CHANNEL
from spotify_buddies.serve_app.telemetry.redact import cause

# Without a notification it looks this often, and says so often that it is there.
POLL_S = 2.0
ANSWER_WITHIN_S = 10.0
RETIRE_WITHIN_S = 1.0
# A follower that has been silent for so long is taken out: it is gone.
FORGOTTEN_S = 3_600
_log = logging.getLogger(__name__)

_POSITION = "SELECT coalesce(max(number), 0), count(*) FROM erasures"
_NUMBERS = "SELECT number FROM erasures WHERE number > %s"
_CONFIRM = """
INSERT INTO erasure_followers (follower, seen_at, confirmed, key) VALUES (%s, clock_timestamp(), %s, %s)
ON CONFLICT (follower) DO UPDATE SET
  seen_at = excluded.seen_at, confirmed = excluded.confirmed, key = excluded.key
"""
_RETIRE = f"""
DELETE FROM erasure_followers WHERE follower = %s OR seen_at < now() - interval '{FORGOTTEN_S} s'
"""  # noqa: S608 - a constant


class ErasureFollower:
    """Runs until it is cancelled; make it inside the running event loop.

    name: of this process, unique. forget: takes the blocks of an id away that are older than a change number. reload:
    loads all blocks again, for erasures of which only the hash arrived. tried: set once the erasures have been read,
    or that has failed; blocks that are loaded later are as of after that.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        schema: Schema,
        name: str,
        erased: Erased,
        forget: Callable[[str, int], None],
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        self._url, self._timeout_s, self._schema = url, timeout_s, schema
        self._name, self._erased = name, erased
        self._forget, self._reload = forget, reload
        # Numbers that a notification brought, and the newest one that this process honours.
        self._notified: set[int] = set()
        self._honoured: int | None = None
        self.tried = asyncio.Event()

    async def run(self) -> None:
        """Follow, and connect again whenever the connection is lost."""
        await follow_always(self._schema, self._follow, self._lost)

    async def close(self) -> None:
        """Sign off, if Postgres answers; call it when `run` has ended."""
        with suppress(psycopg.Error, OSError, TimeoutError):
            async with asyncio.timeout(RETIRE_WITHIN_S):
                connection = await connect(self._url, connect_s=self._timeout_s, statement_s=RETIRE_WITHIN_S)
                async with connection:
                    await connection.execute(_RETIRE.encode(), (self._name,))

    def _lost(self, error: Exception) -> None:
        self._schema.doubt(error)
        if self._honoured is None:
            # Blocks may be loaded before the first look now.
            self._honoured = 0
        self.tried.set()
        _log.warning("erasures are not followed for now: %s", cause(error))

    async def _follow(self) -> None:
        connection = await connect(self._url, connect_s=self._timeout_s, statement_s=ANSWER_WITHIN_S)
        try:
            # Listening comes first, so that an erasure during the first look is notified.
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            while True:
                async with asyncio.timeout(2 * ANSWER_WITHIN_S):
                    await self._look(connection)
                self.tried.set()
                async for notice in connection.notifies(timeout=POLL_S, stop_after=1):
                    self._hear(notice)
        finally:
            with suppress(psycopg.Error):
                await connection.close()

    def _hear(self, notice: psycopg.Notify) -> None:
        """Honour a notified erasure; more than once does no harm."""
        told = json.loads(notice.payload)
        self._forget(told["user_id"], told["change"])
        self._notified.add(told["number"])

    async def _look(self, connection: psycopg.AsyncConnection) -> None:
        (position,) = await (await connection.execute(_POSITION, prepare=True)).fetchall()
        if position != self._erased.position:
            await self._erased.read(connection, position)
        newest = position[0]
        # What was committed before the position was read has been notified by now.
        async for notice in connection.notifies(timeout=0):
            self._hear(notice)
        if self._honoured is not None:
            await self._catch_up(connection, self._honoured)
        self._honoured = newest
        self._notified = {number for number in self._notified if number > newest}
        await connection.execute(_CONFIRM, (self._name, newest, self._erased.key_name))

    async def _catch_up(self, connection: psycopg.AsyncConnection, honoured: int) -> None:
        """Erasures since then whose notification was lost: the blocks' hashes are others than the table's."""
        rows = await (await connection.execute(_NUMBERS, (honoured,), prepare=True)).fetchall()
        if {number for (number,) in rows} - self._notified:
            reloading = asyncio.ensure_future(self._reload())
            # Begun, it waits for the follower of the blocks, which a notification wakes.
            await asyncio.sleep(0)
            await connection.execute(f"NOTIFY {BLOCKS}".encode())
            await reloading

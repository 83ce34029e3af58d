"""The follower that keeps the blocks in memory equal to those in Postgres: one load, then every change.

A notification says only that something changed. The follower then asks for changes by transaction number: again for all
that had not finished at its last question, so neither the order of commits nor a lost notification matters.
"""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import psycopg

from spotify_buddies.serve_app.store.actions import Change
from spotify_buddies.serve_app.store.block_arrays import NameTable, SortedBlocks, merge, pack
from spotify_buddies.serve_app.store.blocklist import Blocklist
from spotify_buddies.serve_app.store.commit import CHANNEL, UNTIL
from spotify_buddies.serve_app.store.database.connections import connect, parameters
from spotify_buddies.serve_app.store.database.following import follow_always
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.telemetry.metrics import Telemetry
from spotify_buddies.serve_app.telemetry.redact import cause

# Without a notification it asks this often, which also detects a connection that died silently.
POLL_S = 5.0
ANSWER_WITHIN_S = 10.0
# At least this long between two questions, and four times what the last one took.
PAUSE_S = 0.01
# With more changes than this, everything is loaded again, in a thread.
MANY = 50_000
APPLY_AT_ONCE = 1_000
MERGE_EVERY_S = 3_600.0
_log = logging.getLogger(__name__)

# The server, its history after a restore or a failover, and the database: transaction numbers of one mean nothing in
# another.
_IDENTITY = """
SELECT (SELECT system_identifier FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint()),
  (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Where a backup is restored into a running server, the connection may live on: the table then has another file, or the
# sequence has gone back.
_POSITION = """pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS below,
  pg_relation_filenode('blocks')::bigint AS file, (SELECT last_value FROM blocks_changes) AS last"""
_LATER = f"""
SELECT below, file, last, user_id, playlist_id, {UNTIL}, change
FROM (SELECT {_POSITION}) AS position LEFT JOIN blocks ON changed_by >= %s::text::xid8 LIMIT {MANY + 1}
"""  # noqa: S608 - constants
# Lifted ones of the last minutes too: an older state may still be on its way to this process.
_ALL = f"""
SELECT user_id, playlist_id, {UNTIL}, change FROM blocks
WHERE disliked OR until > now() OR changed_at > now() - interval '10 minutes'
"""  # noqa: S608
_SNAPSHOT = f"SELECT {_POSITION}"


@dataclass(frozen=True)
class BlocksPosition:
    """How far the blocks are known. below: every transaction with a smaller number. file: of the table.

    last: a change number that was drawn.
    """

    below: int
    file: int
    last: int

    def leads_to(self, later: BlocksPosition) -> bool:
        """Whether what is known still counts there: the same table, and nothing has gone back."""
        return self.file == later.file and self.below <= later.below and self.last <= later.last


@dataclass(frozen=True)
class _Known:
    """identity: whose numbers."""

    identity: tuple[int, ...]
    position: BlocksPosition


class BlocklistFollower:
    """Runs until it is cancelled; make it inside the running event loop.

    ready: set once the blocks are loaded. tried: set then, or once loading has failed.
    """

    def __init__(self, url: str, timeout_s: float, schema: Schema, blocks: Blocklist, telemetry: Telemetry) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._schema = schema
        self._blocks = blocks
        self._telemetry = telemetry
        self._known: _Known | None = None
        self._merged = time.monotonic()
        self._reloads: list[asyncio.Future[None]] = []
        self.ready = asyncio.Event()
        self.tried = asyncio.Event()

    async def run(self) -> None:
        """Follow, and connect again whenever the connection is lost."""
        await follow_always(self._schema, self._follow, self._lost)

    async def reload(self) -> None:
        """Load all blocks again, and return when that is done."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reloads.append(done)
        await done

    def _lost(self, error: Exception) -> None:
        self._schema.doubt(error)
        self.tried.set()
        self._telemetry.count_follow("lost")
        _log.warning("blocks are not followed for now: %s", cause(error))

    async def _follow(self) -> None:
        connection = await connect(self._url, connect_s=self._timeout_s, statement_s=ANSWER_WITHIN_S)
        try:
            # Listening comes first, so that changes during the load are notified.
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            (identity,) = await (await connection.execute(_IDENTITY)).fetchall()
            known = self._known
            if known is None or known.identity != identity:
                known = await self._load(identity)
            while True:
                started = time.perf_counter()
                self._known = known = await self._catch_up(connection, known)
                took_s = time.perf_counter() - started
                self.ready.set()
                self.tried.set()
                await self._merge_when_due()
                await asyncio.sleep(max(PAUSE_S, 4 * took_s))
                async for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                    pass
        finally:
            # In a task: a server that does not answer must not hold up the next attempt.
            with suppress(psycopg.Error):
                await connection.close()

    async def _load(self, identity: tuple[int, ...]) -> _Known:
        self._blocks.begin_reload()
        waiting, self._reloads = self._reloads, []
        try:
            loading = asyncio.create_task(asyncio.to_thread(load, self._url, self._timeout_s))
            blocks, position = await asyncio.shield(loading)
        except BaseException:
            self._reloads += waiting
            raise
        self._blocks.replace(blocks)
        for done in waiting:
            if not done.done():
                done.set_result(None)
        self._merged = time.monotonic()
        self._report("loaded")
        return _Known(identity, position)

    async def _catch_up(self, connection: psycopg.AsyncConnection, known: _Known) -> _Known:
        """Ask for what changed since and apply it; after a restore, or many changes, load everything."""
        async with asyncio.timeout(ANSWER_WITHIN_S):
            cursor = await connection.execute(_LATER, (str(known.position.below),), prepare=True)
            rows = await cursor.fetchall()
        position = BlocksPosition(*rows[0][:3])
        if self._reloads or len(rows) > MANY or not known.position.leads_to(position):
            return await self._load(known.identity)
        changes = [Change(*row[3:]) for row in rows if row[3] is not None]
        for start in range(0, len(changes), APPLY_AT_ONCE):
            self._blocks.apply(changes[start : start + APPLY_AT_ONCE])
            await asyncio.sleep(0)
        if changes:
            self._report("caught_up")
        return _Known(known.identity, position)

    async def _merge_when_due(self) -> None:
        if not self._blocks.due and time.monotonic() - self._merged < MERGE_EVERY_S:
            return
        blocks, layer = self._blocks.freeze()
        # Shielded: what was frozen must be taken back whatever becomes of this task's connection.
        self._blocks.thaw(await asyncio.shield(asyncio.to_thread(merge, blocks, layer, time.time())))
        self._merged = time.monotonic()
        self._report("merged")

    def _report(self, event: str) -> None:
        self._telemetry.count_follow(event)
        self._telemetry.set_blocks(len(self._blocks), self._blocks.nbytes)


def load(url: str, timeout_s: float) -> tuple[SortedBlocks, BlocksPosition]:
    """Every block in force, and the position up to which changes are contained. psycopg.Error."""
    users, playlists, until, numbers = array("q"), array("i"), array("I"), array("q")
    names: dict[str, int] = {}
    with psycopg.connect(url, **parameters(url, timeout_s, None)) as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        (position,) = connection.execute(_SNAPSHOT).fetchall()
        with connection.cursor(name="blocks") as cursor:
            cursor.itersize = 10_000
            for user_id, playlist_id, ends, number in cursor.execute(_ALL):
                users.append(hash(user_id))
                playlists.append(names.setdefault(playlist_id, len(names)))
                until.append(ends)
                numbers.append(number)
    who, what, ends_at, number_of = (
        np.frombuffer(column, column.typecode) for column in (users, playlists, until, numbers)
    )
    return pack(who, what, ends_at, number_of, NameTable.of(names)), BlocksPosition(*position)

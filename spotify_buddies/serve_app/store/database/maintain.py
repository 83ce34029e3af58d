"""The daily upkeep that one process does for all: partitions, retention, late attribution, expired blocks."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.late_attribution import attribute_late
from spotify_buddies.serve_app.store.database.partitions import TABLES, create, drop, sort
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.telemetry.metrics import Telemetry
from spotify_buddies.serve_app.telemetry.redact import cause

# Any number that is ours, as in migrate.py.
LOCK = 0x62756465
EVERY = timedelta(hours=20)
LOOK_EVERY_S = 3_600.0
LOOK_AGAIN_S = 60.0
# A lock that is not free is tried again later: waiting for it would hold up the writers behind it.
LOCK_S = 2
# Lists are written within minutes of their feedback, so the upkeep looks back a little farther than to the last one.
LATE, LATE_EVERY_LOOK = timedelta(days=2), timedelta(hours=3)
# Tables that are read by user.
SORTED = ("impressions", "reactions")
# Lifted and expired blocks stay for followers that were disconnected.
KEEP_EXPIRED = "1 day"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retention:
    """How long rows are kept: impressions; reactions, wishes and idempotency keys. Dropped by whole weeks."""

    impressions_days: int = 90
    feedback_days: int = 730


@dataclass(frozen=True)
class Done:
    """Results of one run. created, dropped, sorted: names of partitions.

    attributed: reactions that got version and arm of their list. The rest: rows that were deleted.
    """

    created: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    sorted: tuple[str, ...] = ()
    attributed: int = 0
    stray_rows: int = 0
    keys: int = 0
    blocks: int = 0


class Maintenance:
    """Checks once an hour whether any process has done the work, and else does it."""

    def __init__(self, url: str, timeout_s: float, schema: Schema, retention: Retention, telemetry: Telemetry) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._schema = schema
        self._retention = retention
        self._telemetry = telemetry

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self._schema.ready()
                connection = await connect(self._url, connect_s=self._timeout_s)
                async with connection:
                    done = await maintain(connection, self._retention, when_due=True)
                    late = await attribute_late(connection, LATE_EVERY_LOOK) if done is None else done.attributed
                self._telemetry.count_attribution("late", late)
                if done is not None:
                    _log.info("the store was maintained: %s", done)
                wait_s = LOOK_EVERY_S
            except (psycopg.Error, OSError) as error:
                _log.warning("the store was not maintained: %s", cause(error))
                wait_s = LOOK_AGAIN_S
            await asyncio.sleep(wait_s)


async def maintain(
    connection: psycopg.AsyncConnection,
    retention: Retention,
    *,
    when_due: bool = False,
    now: datetime | None = None,
) -> Done | None:
    """Do the work; None when another process does it or, with when_due, has done it. now: the database's clock.

    Only the database's clock decides what is old: a replica whose clock jumps drops nothing. psycopg.Error: part of the
    work is done; it is safe to repeat.
    """
    if not await _one(connection, "SELECT pg_try_advisory_lock(%s)", LOCK):
        return None
    try:
        if when_due and not await _one(connection, _DUE, EVERY):
            return None
        await connection.execute(f"SET lock_timeout = '{LOCK_S}s'".encode())
        return await _maintain(connection, retention, now or await _one(connection, "SELECT now()"))
    finally:
        if not connection.closed:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


_DUE = "SELECT NOT EXISTS (SELECT FROM store_work WHERE name = 'maintain' AND done_at > now() - %s)"
_DONE = """
INSERT INTO store_work (name, done_at) VALUES ('maintain', now())
ON CONFLICT (name) DO UPDATE SET done_at = excluded.done_at
"""
_SWEEP = f"""
DELETE FROM blocks WHERE disliked IS NOT TRUE AND coalesce(until, '-infinity') < now() - interval '{KEEP_EXPIRED}'
  AND changed_at < now() - interval '{KEEP_EXPIRED}'
"""  # noqa: S608 - a constant


async def _maintain(connection: psycopg.AsyncConnection, retention: Retention, now: datetime) -> Done:
    created, dropped, stray = [], [], 0
    feedback_before = now - timedelta(days=retention.feedback_days)
    for table in TABLES:
        created += [week.name for week in await create(connection, table, now)]
        impressions = table == "impressions"
        before = now - timedelta(days=retention.impressions_days) if impressions else feedback_before
        weeks, rows = await drop(connection, table, before)
        dropped += [week.name for week in weeks]
        stray += rows
    # A key outlives what it stored, by the week that is dropped whole, so that no retry can store a second time.
    keys = await connection.execute("DELETE FROM feedback WHERE at < %s", (feedback_before - timedelta(days=7),))
    await connection.execute("DELETE FROM erased_keys WHERE at < %s", (feedback_before - timedelta(days=7),))
    blocks = await connection.execute(_SWEEP.encode())
    attributed = await _attribute_late(connection)
    in_order = [week.name for table in SORTED for week in await sort(connection, table, now)]
    await connection.execute(_DONE)
    return Done(tuple(created), tuple(dropped), tuple(in_order), attributed, stray, keys.rowcount, blocks.rowcount)


async def _attribute_late(connection: psycopg.AsyncConnection) -> int:
    """As attribute_late; none where another replica works on the same reactions, which resolves them itself."""
    try:
        return await attribute_late(connection, LATE)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        # The next run looks back far enough; the rest of the upkeep does not wait for it.
        _log.info("late attribution is left to the next run: %s", cause(error))
        return 0


async def _one(connection: psycopg.AsyncConnection, query: str, *values: object) -> Any:
    ((value,),) = await (await connection.execute(query.encode(), values or None)).fetchall()
    return value

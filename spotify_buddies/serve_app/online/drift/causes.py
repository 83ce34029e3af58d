"""Causes of a retraining in Postgres: opened by checks, taken once.

All functions take a connection in autocommit mode whose schema is up to date, and raise psycopg.Error.

    async with connection.transaction():
        cause = await pending_cause(connection)   # locked: no other scheduler sees it
        ...                                       # note the retraining that begins, or retrain
        await take(connection, cause, by="retrain 12", until=window_end)

A transaction that ends without `take` leaves the cause pending.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from spotify_buddies.serve_app.online.drift.report import DriftReport

# Any number that is ours: checks are stored one after another.
_LOCK = 0x64726966
_PENDING = """
SELECT id, kind, message, began, seen FROM drift_causes WHERE taken_at IS NULL
ORDER BY began, id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
# A cause goes on while its signals keep alarming, and takes up others as long as nobody has acted on it.
_ONGOING = """
SELECT cause.id FROM drift_causes AS cause
WHERE kind = 'drift' AND (
  taken_at IS NULL AND abs(extract(epoch FROM seen - %(until)s)) <= %(window_s)s
  OR EXISTS (
    SELECT FROM drift_checks AS found WHERE found.cause = cause.id AND found.signal = ANY(%(signals)s)
    AND abs(extract(epoch FROM found.until - %(until)s)) <= %(window_s)s
  )
) ORDER BY taken_at IS NULL DESC, began DESC LIMIT 1
"""
_OF_CAUSE = "SELECT DISTINCT signal FROM drift_checks WHERE cause = %s AND alarm"
_OPEN = """
INSERT INTO drift_causes (kind, message, began, seen) VALUES ('drift', %(message)s, %(until)s, %(until)s) RETURNING id
"""
_SEEN = "UPDATE drift_causes SET seen = greatest(seen, %s), began = least(began, %s) WHERE id = %s"
_STORE = """
INSERT INTO drift_checks (until, since, signal, against, version, value, threshold, alarm, why, cause)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (until, signal, against) DO UPDATE SET since = excluded.since, version = excluded.version,
  value = excluded.value, threshold = excluded.threshold, alarm = excluded.alarm, why = excluded.why,
  cause = coalesce(excluded.cause, drift_checks.cause), at = now()
"""
_BLOCKS = """
SELECT count(DISTINCT feedback_id) FROM online_reactions
WHERE at < %(until)s AND at >= coalesce((SELECT max(taken_until) FROM drift_causes), '-infinity')
"""
_ENOUGH = """
INSERT INTO drift_causes (kind, message, began, seen) VALUES ('feedback', %(message)s, %(until)s, %(until)s)
ON CONFLICT (kind) WHERE kind = 'feedback' AND taken_at IS NULL
DO UPDATE SET message = excluded.message, seen = greatest(drift_causes.seen, excluded.seen)
"""
# The retraining has the data of every cause that was there by its end.
_TAKE = """
UPDATE drift_causes SET taken_by = %(by)s, taken_at = now(), taken_until = %(until)s
WHERE taken_at IS NULL AND (id = %(id)s OR began <= %(until)s)
"""
_OTHER = """
INSERT INTO drift_causes (kind, message, began, seen, taken_by, taken_at, taken_until)
VALUES ('other', 'trained without a cause', %(until)s, %(until)s, %(by)s, now(), %(until)s)
"""


@dataclass(frozen=True)
class Cause:
    """Why a model should be trained again. began, seen: ends of the first and of the newest window that showed it."""

    id: int
    kind: str
    message: str
    began: datetime
    seen: datetime


async def store_check(connection: psycopg.AsyncConnection, report: DriftReport, retrain_blocks: int) -> None:
    """Store the findings, and open the causes that they are. The same window again changes no cause."""
    window = report.until - report.since
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        fresh = await _cause_of(connection, report, window)
        for finding in report.findings:
            row = (
                report.until, report.since, finding.signal, finding.against, report.version, finding.value,
                finding.threshold, finding.alarm, finding.why, fresh.get(finding.signal) if finding.alarm else None,
            )  # fmt: skip
            await connection.execute(_STORE, row)
        await _count_blocks(connection, report.until, retrain_blocks)


async def pending_cause(connection: psycopg.AsyncConnection) -> Cause | None:
    """The oldest cause that nobody has taken, locked until the caller's transaction ends; None: there is none, or
    another transaction holds it.
    """
    row = await (await connection.execute(_PENDING)).fetchone()
    return None if row is None else Cause(*row)


async def take(connection: psycopg.AsyncConnection, cause: Cause | None, by: str, until: datetime) -> None:
    """A retraining with data until then has begun, because of this cause; None: by itself, as on a schedule.

    Causes that began by then are taken with it. Blocks are counted anew from `until`.
    """
    await take_by_number(connection, None if cause is None else cause.id, by, until)


async def take_by_number(connection: psycopg.AsyncConnection, number: int | None, by: str, until: datetime) -> int:
    """As `take`, for a cause by its number; how many causes were pending and are taken now."""
    values = {"by": by, "until": until, "id": 0 if number is None else number}
    done = await connection.execute(_TAKE, values)
    if not done.rowcount:
        await connection.execute(_OTHER, values)
    return done.rowcount


async def _cause_of(connection: psycopg.AsyncConnection, report: DriftReport, window: timedelta) -> dict[str, int]:
    """The cause of each signal that alarms. Signals of a cause that was taken stay with it; new ones are a new one."""
    left = {str(finding.signal): finding for finding in report.alarms}
    causes: dict[str, int] = {}
    while left:
        values = {"until": report.until, "window_s": window.total_seconds(), "signals": list(left)}
        row = await (await connection.execute(_ONGOING, values)).fetchone()
        if row is None:
            values["message"] = "; ".join(f"{name}: {finding.why}" for name, finding in left.items())
            row = await (await connection.execute(_OPEN, values)).fetchone()
            joined = set(left)
        else:
            joined = await _joined(connection, row[0], set(left))
        if row is None or not joined:
            break
        await connection.execute(_SEEN, (report.until, report.until, row[0]))
        causes |= dict.fromkeys(joined, int(row[0]))
        left = {name: finding for name, finding in left.items() if name not in joined}
    return causes


async def _joined(connection: psycopg.AsyncConnection, cause: int, signals: set[str]) -> set[str]:
    taken = await (await connection.execute("SELECT taken_at FROM drift_causes WHERE id = %s", (cause,))).fetchone()
    if taken is not None and taken[0] is None:
        return signals
    known = {name for (name,) in await (await connection.execute(_OF_CAUSE, (cause,))).fetchall()}
    return signals & known


async def _count_blocks(connection: psycopg.AsyncConnection, until: datetime, enough: int) -> None:
    row = await (await connection.execute(_BLOCKS, {"until": until})).fetchone()
    count = 0 if row is None else int(row[0])
    if count >= enough:
        message = f"{count:,} user-blocks since the last retraining, {enough:,} are enough"
        await connection.execute(_ENOUGH, {"message": message, "until": until})

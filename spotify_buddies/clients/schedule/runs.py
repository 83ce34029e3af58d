"""The history of runs in Postgres: what a standby has to know when it takes over. All functions raise psycopg.Error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from spotify_buddies.clients.schedule.leader import me
from spotify_buddies.clients.schedule.process import Ended, Outcome

KEPT_DAYS = 90
CRON, ONCE, SIMULATED = "cron", "once", "simulated"
_BEGIN = "INSERT INTO schedule_runs (job, started_by, due, leader) VALUES (%s, %s, %s, %s) RETURNING id"
_END = "UPDATE schedule_runs SET ended_at = now(), exit_code = %s, outcome = %s, said = %s WHERE id = %s"
_LOST = """
UPDATE schedule_runs SET ended_at = now(), outcome = 'lost', said = 'its scheduler died'
WHERE ended_at IS NULL AND started_by <> 'once' RETURNING job
"""
# Whoever begins a run holds the job's lock, so that no other one is on its way.
_LEFT = """
UPDATE schedule_runs SET ended_at = now(), outcome = 'lost', said = 'its process died'
WHERE ended_at IS NULL AND job = %s
"""
_OLD = "DELETE FROM schedule_runs WHERE job = %s AND id <> %s AND started_at < now() - make_interval(days => %s)"
# What was cut off with its scheduler has not been run.
_DUE = """
SELECT DISTINCT ON (job) job, CASE WHEN outcome IN ('lost', 'ended') THEN due - interval '1 second' ELSE due END
FROM schedule_runs WHERE started_by = 'cron' ORDER BY job, id DESC
"""
_LAST = """
SELECT DISTINCT ON (job) job, started_by, due, started_at, ended_at, exit_code, outcome, said, leader
FROM schedule_runs ORDER BY job, id DESC
"""


@dataclass(frozen=True)
class Run:
    """The newest run of a job. due: the moment that it was handed. ended_at, exit_code, outcome None: it runs."""

    job: str
    started_by: str
    due: datetime
    started_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    outcome: str | None
    said: str
    leader: str

    def to_json(self) -> dict[str, Any]:
        """JSON values; times in ISO 8601."""
        values = dict(vars(self))
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


async def is_there(connection: psycopg.AsyncConnection) -> bool:
    """Whether the schema has the history."""
    row = await (await connection.execute("SELECT to_regclass('schedule_runs')")).fetchone()
    return row is not None and row[0] is not None


async def begin(connection: psycopg.AsyncConnection, job: str, started_by: str, due: datetime) -> int:
    """Note that a run begins, and forget the job's old ones; its number. The caller holds the job's lock."""
    await connection.execute(_LEFT, (job,))
    row = await (await connection.execute(_BEGIN, (job, started_by, due, me()))).fetchone()
    number = 0 if row is None else int(row[0])
    # The new row is kept, so that the time of the last run stays known.
    await connection.execute(_OLD, (job, number, KEPT_DAYS))
    return number


async def end(connection: psycopg.AsyncConnection, number: int, ended: Ended) -> None:
    """Note how a run ended."""
    await connection.execute(_END, (ended.exit_code, ended.outcome, ended.said, number))


async def end_as_ended(connection: psycopg.AsyncConnection, number: int) -> None:
    """Note that the scheduler ended a run."""
    await connection.execute(_END, (None, Outcome.ENDED, "ended with the scheduler", number))


async def end_lost(connection: psycopg.AsyncConnection) -> set[str]:
    """Note the runs of a leader that died as lost; the jobs. Only the leader asks."""
    return {job for (job,) in await (await connection.execute(_LOST)).fetchall()}


async def last_due(connection: psycopg.AsyncConnection) -> dict[str, datetime]:
    """The newest time of each job's cron expression that was run; just before it, where that run was cut off."""
    return dict(await (await connection.execute(_DUE)).fetchall())


async def last_runs(connection: psycopg.AsyncConnection) -> dict[str, Run]:
    """The newest run of each job, whoever started it."""
    return {row[0]: Run(*row) for row in await (await connection.execute(_LAST)).fetchall()}

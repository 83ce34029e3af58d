"""Generations, reports of replicas and events in Postgres: every statement of the rollout in one place.

All functions take a connection in autocommit mode whose schema is up to date, and raise psycopg.Error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from spotify_buddies.serve_app.generations.counts import ArmCounts
from spotify_buddies.serve_app.generations.state import (
    Event,
    Generation,
    GenerationState,
    Held,
    Load,
    Report,
    Role,
    Wanted,
)

# Notified with every change of a generation; the payload is its number.
CHANNEL = "buddies_rollout"
# A replica that has not reported for this long is gone. Replicas report about once a second.
LIVE_S = 5.0
FORGOTTEN_S = 3_600.0

_COLUMNS = """
number, production, canary, share, salt, shadow, previous, paused, at, who, action, why, state, decided_at, message,
interleave
"""
# A number that somebody else took meanwhile gives no row and no error: one would abort the caller's transaction.
_PROPOSE = f"""
WITH made AS (
  INSERT INTO rollout_generations (
    number, model, production, canary, share, salt, shadow, previous, paused, who, action, why, interleave, state
  )
  SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'preparing'
  WHERE %s = (SELECT coalesce(max(number), 0) FROM rollout_generations)
  ON CONFLICT (number) DO NOTHING RETURNING {_COLUMNS}
)
SELECT made.*, pg_notify('{CHANNEL}', made.number::text) FROM made
"""  # noqa: S608 - constants
_DECIDE = f"""
WITH made AS (
  UPDATE rollout_generations SET state = %s, message = %s, decided_at = now()
  WHERE number = %s AND state = 'preparing' RETURNING number
)
SELECT pg_notify('{CHANNEL}', number::text) FROM made
"""  # noqa: S608
_NEWEST = f"""
SELECT {_COLUMNS} FROM rollout_generations WHERE %s::text IS NULL OR state = %s ORDER BY number DESC LIMIT 1
"""  # noqa: S608
_CURRENT = f"SELECT {_COLUMNS} FROM rollout_generations WHERE state <> 'failed' ORDER BY number DESC LIMIT 1"  # noqa: S608
_HISTORY = f"SELECT {_COLUMNS} FROM rollout_generations ORDER BY number DESC LIMIT %s"  # noqa: S608
# Without the playlists shown, those of before stay.
_COUNT = """
INSERT INTO rollout_counts (
  generation, replica, arm, version, listeners, errors, empty, cold, latencies, shown, compared, lost, overlap, drift,
  asked_squares, answered_squares, sized_latencies
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, coalesce(%s, ''::bytea), %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (generation, replica, arm) DO UPDATE SET
  listeners = excluded.listeners, errors = excluded.errors, empty = excluded.empty, cold = excluded.cold,
  latencies = excluded.latencies, shown = coalesce(%s, rollout_counts.shown), compared = excluded.compared,
  lost = excluded.lost, overlap = excluded.overlap, drift = excluded.drift, asked_squares = excluded.asked_squares,
  answered_squares = excluded.answered_squares, sized_latencies = excluded.sized_latencies
"""


class Overtaken(Exception):
    """Somebody else changed the wanted versions since they were read."""

    def __init__(self, newest: Generation) -> None:
        super().__init__(newest)
        self.newest = newest

    def __str__(self) -> str:
        newest = self.newest
        return (
            f"{newest.who} was faster: generation {newest.number} ({newest.action}, {newest.at:%H:%M:%S} UTC) came "
            "between; look at `buddies rollout status` and decide again"
        )


async def propose(
    connection: psycopg.AsyncConnection, model: str, wanted: Wanted, *, after: int, who: str, action: str, why: str
) -> Generation:
    """Append the generation after+1, preparing, and notify the replicas. Overtaken: `after` is not the newest now."""
    cursor = await connection.execute(
        _PROPOSE.encode(),
        (
            after + 1, model, wanted.production, wanted.canary, wanted.share, wanted.salt, wanted.shadow,
            wanted.previous, wanted.paused, who, action, why, wanted.interleave, after,
        ),
    )  # fmt: skip
    row = await cursor.fetchone()
    if row is None:
        newest = await read_newest(connection)
        if newest is None:
            raise ValueError(f"there is no generation {after}")
        raise Overtaken(newest)
    return _generation(row[:-1])


async def decide(connection: psycopg.AsyncConnection, number: int, state: GenerationState, message: str = "") -> bool:
    """Make a preparing generation active or failed and notify the replicas; whether this call did it."""
    cursor = await connection.execute(
        _DECIDE.encode(),
        (state, message, number),
    )
    return await cursor.fetchone() is not None


async def read_newest(connection: psycopg.AsyncConnection, state: GenerationState | None = None) -> Generation | None:
    """The newest generation, of one state or of any; None where there is none."""
    cursor = await connection.execute(
        _NEWEST.encode(),
        (state, state),
    )
    row = await cursor.fetchone()
    return None if row is None else _generation(row)


async def read_current(connection: psycopg.AsyncConnection) -> Generation | None:
    """The newest generation that did not fail, which a change starts from. None where there is none."""
    cursor = await connection.execute(_CURRENT.encode())
    row = await cursor.fetchone()
    return None if row is None else _generation(row)


async def read_history(connection: psycopg.AsyncConnection, limit: int = 50) -> list[Generation]:
    """Generations, newest first; empty before the first."""
    cursor = await connection.execute(_HISTORY.encode(), (limit,))
    return [_generation(row) for row in await cursor.fetchall()]


async def report(connection: psycopg.AsyncConnection, told: Report) -> None:
    """Replace the report of a replica; its age starts at 0."""
    versions = {version: json.loads(json.dumps(asdict(held), default=str)) for version, held in told.versions.items()}
    await connection.execute(
        "INSERT INTO rollout_replicas (replica, role, seen_at, prepared, following, versions)"
        " VALUES (%s, %s, clock_timestamp(), %s, %s, %s) ON CONFLICT (replica) DO UPDATE SET"
        " seen_at = excluded.seen_at, prepared = excluded.prepared, following = excluded.following,"
        " versions = excluded.versions",
        (told.replica, told.role, told.prepared, told.following, Jsonb(versions)),
    )


async def count(connection: psycopg.AsyncConnection, generation: int, replica: str, rows: Sequence[ArmCounts]) -> None:
    """Replace the counts of a replica in a generation."""
    for row in rows:
        await connection.execute(
            _COUNT,
            (
                generation, replica, row.arm, row.version, row.listeners, row.errors, row.empty, row.cold,
                list(row.latencies), row.shown, row.compared, row.lost, row.overlap, row.drift, row.asked_squares,
                row.answered_squares, list(row.sized_latencies), row.shown,
            ),
        )  # fmt: skip


async def retire(connection: psycopg.AsyncConnection, replica: str) -> None:
    """Delete the report of a replica that stops, and of those that left long ago."""
    await connection.execute(
        "DELETE FROM rollout_replicas WHERE replica = %s OR seen_at < now() - make_interval(secs => %s)",
        (replica, FORGOTTEN_S),
    )


async def read_reports(connection: psycopg.AsyncConnection, within_s: float = LIVE_S) -> list[Report]:
    """The replicas that are live, by name."""
    cursor = await connection.execute(
        "SELECT replica, role, prepared, following, versions,"
        " extract(epoch FROM clock_timestamp() - seen_at)::double precision FROM rollout_replicas"
        " WHERE seen_at > clock_timestamp() - make_interval(secs => %s) ORDER BY replica",
        (within_s,),
    )
    return [
        Report(replica, Role(role), prepared, following, {v: _held(body) for v, body in versions.items()}, age_s)
        for replica, role, prepared, following, versions, age_s in await cursor.fetchall()
    ]


async def note(
    connection: psycopg.AsyncConnection,
    generation: int,
    kind: str,
    message: str,
    *,
    version: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Append an event."""
    await connection.execute(
        "INSERT INTO rollout_events (generation, kind, version, message, details) VALUES (%s, %s, %s, %s, %s)",
        (generation, kind, version, message, Jsonb(dict(details or {}))),
    )


async def read_events(connection: psycopg.AsyncConnection, limit: int = 50) -> list[Event]:
    """Events, newest first."""
    cursor = await connection.execute(
        "SELECT at, generation, kind, message, version, details FROM rollout_events ORDER BY id DESC LIMIT %s", (limit,)
    )
    return [Event(*row) for row in await cursor.fetchall()]


def _generation(row: Sequence[Any]) -> Generation:
    number, production, canary, share, salt, shadow, previous, paused, *made, interleave = row
    at, who, action, why, state, decided, message = made
    wanted = Wanted(production, canary, share, salt, shadow, previous, paused, interleave)
    return Generation(number, wanted, at, who, action, why, GenerationState(state), decided, message)


def _held(body: Mapping[str, str]) -> Held:
    since = datetime.fromisoformat(body["since"])
    return Held(Load(body["state"]), since, body["message"], body["sha256"])


# Generations from this one on were wanted within some days: it is the one that was active that long ago.
_OLDEST = """
coalesce((
  SELECT max(number) FROM rollout_generations
  WHERE state = 'active' AND coalesce(decided_at, at) < now() - make_interval(days => %(days)s)
), 0)
"""
# In batches, so that no statement meets its timeout. A canary's generations are those that the gates add up.
_PRUNE_COUNTS = f"""
WITH active AS (
  SELECT number, canary IS NULL AS alone, (production, canary, salt) AS canary FROM rollout_generations
  WHERE state = 'active'
), newest AS (
  SELECT * FROM active ORDER BY number DESC LIMIT 1
), kept AS (
  SELECT least(
    {_OLDEST},
    (SELECT min(number) FROM active WHERE NOT newest.alone AND number > coalesce(
      (SELECT max(number) FROM active WHERE active.canary IS DISTINCT FROM newest.canary), 0))
  ) AS first FROM newest
)
DELETE FROM rollout_counts WHERE (generation, replica, arm) IN (
  SELECT generation, replica, arm FROM rollout_counts, kept WHERE generation < kept.first
  ORDER BY generation LIMIT %(batch)s
)
"""  # noqa: S608 - constants
_VERSIONS = f"""
SELECT DISTINCT unnest(ARRAY[production, canary, shadow, previous]) FROM rollout_generations
WHERE number >= {_OLDEST}
  AND (state <> 'failed' OR coalesce(decided_at, at) >= now() - make_interval(days => %(days)s))
"""  # noqa: S608


async def prune_counts(connection: psycopg.AsyncConnection, days: int, *, batch: int = 1_000) -> int:
    """Delete counts of generations that ended more than this many days ago; returns the number of rows.

    The active generation's stay, and all of its canary's. Safe to repeat when it was interrupted.
    """
    deleted = 0
    while True:
        cursor = await connection.execute(_PRUNE_COUNTS.encode(), {"days": days, "batch": batch})
        deleted += cursor.rowcount
        if cursor.rowcount < batch:
            return deleted


async def read_versions(connection: psycopg.AsyncConnection, days: int) -> set[str]:
    """Versions that a generation of now or of the last days names; empty before the first."""
    cursor = await connection.execute(_VERSIONS.encode(), {"days": days})
    return {version for (version,) in await cursor.fetchall() if version is not None}

"""The controller's row in Postgres: what it and the registry agreed on, so that a restarted controller can resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from spotify_buddies.serve_app.generations.state import Event
from spotify_buddies.serve_app.rollout.aliases import Aliases


@dataclass(frozen=True)
class ControllerState:
    """The row. agreed: aliases at the last agreement, None before the first. writing: aliases that are being written.

    away_since: since when the registry does not answer; None: it answers. verdict: the last one of the gates, on
    generation verdict_generation. seen_age_s: seconds since the controller last worked, by the database's clock; None:
    it never did. Times are UTC.
    """

    agreed: Aliases | None = None
    writing: Aliases | None = None
    registry_seen_at: datetime | None = None
    away_since: datetime | None = None
    message: str = ""
    verdict: Mapping[str, Any] | None = None
    verdict_generation: int | None = None
    seen_age_s: float | None = None


async def read_state(connection: psycopg.AsyncConnection) -> ControllerState:
    """The state; an empty one before anything was written."""
    cursor = await connection.execute(
        "SELECT agreed, writing, registry_seen_at, registry_away_since, registry_message, verdict,"
        " verdict_generation, extract(epoch FROM clock_timestamp() - seen_at)::double precision FROM rollout_controller"
    )
    row = await cursor.fetchone()
    return ControllerState() if row is None else ControllerState(_aliases(row[0]), _aliases(row[1]), *row[2:])


async def agree(connection: psycopg.AsyncConnection, agreed: Aliases, writing: Aliases | None = None) -> None:
    """Write the aliases that the registry has, and those that are about to be written there."""
    await connection.execute(
        "INSERT INTO rollout_controller (agreed, writing) VALUES (%s, %s)"
        " ON CONFLICT (one) DO UPDATE SET agreed = excluded.agreed, writing = excluded.writing",
        (Jsonb(asdict(agreed)), None if writing is None else Jsonb(asdict(writing))),
    )


async def registry_here(connection: psycopg.AsyncConnection) -> float | None:
    """Write that the registry answered; returns for how many seconds it had been unreachable, None: it had not."""
    cursor = await connection.execute(
        "WITH was AS (SELECT registry_away_since FROM rollout_controller),"
        " made AS (INSERT INTO rollout_controller (registry_seen_at) VALUES (now()) ON CONFLICT (one) DO UPDATE"
        " SET registry_seen_at = now(), registry_away_since = NULL, registry_message = '')"
        " SELECT extract(epoch FROM now() - registry_away_since)::double precision FROM was"
    )
    row = await cursor.fetchone()
    return None if row is None or row[0] is None else float(row[0])


async def registry_away(connection: psycopg.AsyncConnection, message: str) -> bool:
    """Write that the registry does not answer, and why; returns whether that is new."""
    cursor = await connection.execute(
        "WITH was AS (SELECT registry_away_since FROM rollout_controller),"
        " made AS (INSERT INTO rollout_controller (registry_away_since, registry_message) VALUES (now(), %s)"
        " ON CONFLICT (one) DO UPDATE SET registry_message = excluded.registry_message,"
        " registry_away_since = coalesce(rollout_controller.registry_away_since, now()))"
        " SELECT registry_away_since FROM was",
        (message,),
    )
    row = await cursor.fetchone()
    return row is None or row[0] is None


async def read_unreported(connection: psycopg.AsyncConnection, kinds: Sequence[str]) -> list[tuple[int, Event]]:
    """Events of these kinds that blame a version and are not in the registry yet: number and event, oldest first."""
    cursor = await connection.execute(
        "SELECT id, at, generation, kind, message, version, details FROM rollout_events"
        " WHERE id > coalesce((SELECT told FROM rollout_controller), 0) AND kind = ANY(%s) AND version IS NOT NULL"
        " ORDER BY id",
        (list(kinds),),
    )
    return [(row[0], Event(*row[1:])) for row in await cursor.fetchall()]


async def mark_reported(connection: psycopg.AsyncConnection, event: int) -> None:
    """Write the number of the newest event that the registry has."""
    await connection.execute("UPDATE rollout_controller SET told = greatest(told, %s)", (event,))


async def judged(connection: psycopg.AsyncConnection, generation: int, verdict: Mapping[str, Any]) -> None:
    """Write the gates' verdict, for status."""
    await connection.execute(
        "INSERT INTO rollout_controller (verdict_generation, verdict) VALUES (%s, %s) ON CONFLICT (one) DO UPDATE SET"
        " verdict_generation = excluded.verdict_generation, verdict = excluded.verdict",
        (generation, Jsonb(dict(verdict))),
    )


async def beat(connection: psycopg.AsyncConnection) -> None:
    """Write that the controller works."""
    await connection.execute(
        "INSERT INTO rollout_controller (seen_at) VALUES (clock_timestamp())"
        " ON CONFLICT (one) DO UPDATE SET seen_at = excluded.seen_at"
    )


def _aliases(body: Mapping[str, str | None] | None) -> Aliases | None:
    return None if body is None else Aliases(**body)

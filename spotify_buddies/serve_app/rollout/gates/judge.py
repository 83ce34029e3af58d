"""The entry of the controller: read the figures of a canary and give the verdict."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import psycopg

from spotify_buddies.serve_app.generations.state import Generation
from spotify_buddies.serve_app.rollout.gates.read import ReadingState, read_measures, read_position
from spotify_buddies.serve_app.rollout.gates.verdict import Verdict, decide
from spotify_buddies.serve_app.settings.gates import GateSettings


async def judge(
    connection: psycopg.AsyncConnection,
    generation: Generation,
    settings: GateSettings,
    now: datetime,
    edges_ms: Sequence[float],
    reading: ReadingState,
) -> Verdict:
    """Judge the canary of an active generation; call it about every second with the same reading. Changes nothing.

    connection: autocommit, schema up to date. now: UTC. edges_ms: upper edges of the latency counts. ValueError: the
    generation has no canary or is not active. psycopg.Error: Postgres is unreachable, so nothing changes.
    """
    if generation.wanted.canary is None:
        raise ValueError(f"generation {generation.number} has no canary to judge")
    position, first = await read_position(connection, generation)
    measures = await read_measures(connection, generation, position, first, settings, edges_ms, reading, now)
    return decide(measures, position, settings, now)


def watching(
    settings: GateSettings, edges_ms: Sequence[float]
) -> Callable[[psycopg.AsyncConnection, Generation], Awaitable[Verdict]]:
    """`judge` by the clock of this machine, with a reading of its own, for one caller that looks again and again."""
    reading = ReadingState()

    async def look(connection: psycopg.AsyncConnection, generation: Generation) -> Verdict:
        return await judge(connection, generation, settings, datetime.now(UTC), edges_ms, reading)

    return look

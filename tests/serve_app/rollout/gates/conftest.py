"""Generations, counts and reactions on a real Postgres, as replicas and users write them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.rollout.gates.judge import judge
from spotify_buddies.serve_app.rollout.gates.measures import StepCounts
from spotify_buddies.serve_app.rollout.gates.read import ReadingState
from spotify_buddies.serve_app.rollout.gates.verdict import Verdict
from spotify_buddies.serve_app.settings.gates import GateSettings
from spotify_buddies.serve_app.store.database.migrate import migrate

EDGES_MS = (10.0, 100.0)
SETTINGS = GateSettings(min_step_s=0, min_answers=100, min_reacting=50)
CANARY = Wanted("1", canary="2", share=0.25, salt="s")
Connection = psycopg.AsyncConnection


def on(url: str, work: Callable[[Connection], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with await Connection.connect(url, autocommit=True) as connection:
            await migrate(connection)
            await connection.execute("TRUNCATE rollout_generations, rollout_events, rollout_counts, reactions")
            return await work(connection)

    return asyncio.run(run())


async def live(connection: Connection, wanted: Wanted, state: GenerationState = GenerationState.ACTIVE) -> Generation:
    newest = await ledger.read_newest(connection)
    after = newest.number if newest else 0
    made = await ledger.propose(connection, "m", wanted, after=after, who="ann", action="start", why="")
    await ledger.decide(connection, made.number, state)
    return made


async def count(
    connection: Connection,
    generation: int,
    arm: str,
    version: str,
    counts: StepCounts,
    shown: list[int],
    replica: str = "r",
) -> None:
    bits = np.packbits(np.isin(np.arange(100), shown))
    await connection.execute(
        "INSERT INTO rollout_counts (generation, replica, arm, version, listeners, errors, empty, cold, latencies,"
        " shown, sized_latencies, asked_squares, answered_squares)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, '{}', %s, %s, %s, %s) ON CONFLICT (generation, replica, arm)"
        " DO UPDATE SET listeners = excluded.listeners, errors = excluded.errors",
        (generation, replica, arm, version, counts.answers, counts.errors, counts.empty, counts.cold,
         zlib.compress(bits.tobytes()), list(counts.latencies), counts.asked_squares, counts.answered_squares),
    )  # fmt: skip


async def react(
    connection: Connection, arm: str, version: str, scores: dict[str, list[int]], at: datetime | None = None
) -> None:
    rows = [
        (at or datetime.now(UTC), 1, "rec", user, f"list-{place}", score, version, arm)
        for user, own in scores.items()
        for place, score in enumerate(own)
    ]
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO reactions (at, feedback_id, recommendation_id, user_id, playlist_id, score, model_version,"
            " arm) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows,
        )  # fmt: skip


async def ask(
    connection: Connection,
    generation: Generation,
    reading: ReadingState | None = None,
    settings: GateSettings = SETTINGS,
) -> Verdict:
    kept = ReadingState() if reading is None else reading
    return await judge(connection, generation, settings, datetime.now(UTC), EDGES_MS, kept)


async def fill(connection: Connection, generation: int, *, canary_likes: int, errors: int = 0, many: int = 400) -> None:
    counts = StepCounts(5_000, errors, 0, 0, (5_000, 0, 0))
    await count(connection, generation, "canary", "2", counts, list(range(50)))
    await count(connection, generation, "production", "1", StepCounts(5_000, 0, 0, 0, (5_000, 0, 0)), list(range(50)))
    own = [1] * canary_likes + [0] * (10 - canary_likes)
    await react(connection, "canary", "2", {f"c{user}": own for user in range(many)})
    await react(connection, "production", "1", {f"p{user}": [1] * 4 + [0] * 6 for user in range(many)})

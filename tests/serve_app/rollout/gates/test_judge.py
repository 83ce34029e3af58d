"""Judging on a real Postgres: from what replicas and listeners wrote to a verdict."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.rollout.gates.judge import judge, watching
from spotify_buddies.serve_app.rollout.gates.measures import StepCounts
from spotify_buddies.serve_app.rollout.gates.read import (
    ReadingState,
    read_counts,
    read_coverage,
    read_likes,
    read_position,
)
from spotify_buddies.serve_app.rollout.gates.sequential import Likes
from spotify_buddies.serve_app.rollout.gates.verdict import Verdict, VerdictKind
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
        " shown) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (generation, replica, arm) DO UPDATE SET"
        " listeners = excluded.listeners, errors = excluded.errors",
        (generation, replica, arm, version, counts.answers, counts.errors, counts.empty, counts.cold,
         list(counts.latencies), zlib.compress(bits.tobytes())),
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
    memory: ReadingState | None = None,
    settings: GateSettings = SETTINGS,
) -> Verdict:
    kept = ReadingState() if memory is None else memory
    return await judge(connection, generation, settings, datetime.now(UTC), EDGES_MS, kept)


def test_a_step_goes_on_over_pauses_and_failed_generations_and_ends_with_another_share(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        await live(connection, Wanted("1"))
        started = await live(connection, Wanted("1", canary="2", share=0.05, salt="s"))
        step = await live(connection, CANARY)
        await live(connection, Wanted("1", canary="2", share=0.25, salt="s", shadow="9"), GenerationState.FAILED)
        paused = await live(connection, Wanted("1", canary="2", share=0.25, salt="s", paused=True))
        position, first = await read_position(connection, paused)
        decided = {one.number: one.decided_at for one in await ledger.read_history(connection)}
        assert (first, position.paused, position.share) == (step.number, True, 0.25)
        assert (position.canary_since, position.step_since) == (decided[started.number], decided[step.number])
        again = await live(connection, Wanted("1", canary="2", share=0.25, salt="other"))
        position, first = await read_position(connection, again)
        assert (first, position.canary_since) == (again.number, position.step_since)

    on(postgres_url, work)


def test_counts_are_summed_over_replicas_and_the_generations_of_the_step(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        before = await live(connection, Wanted("1"))
        first = await live(connection, CANARY)
        last = await live(connection, Wanted("1", canary="2", share=0.25, salt="s", shadow="3"))
        await count(connection, before.number, "production", "1", StepCounts(answers=999, latencies=(1, 1, 1)), [50])
        for generation in (first, last):
            for replica in ("a", "b"):
                own = StepCounts(10, 2, 1, 3, (4, 5, 6))
                await count(connection, generation.number, "canary", "2", own, [1, 2], replica)
        await count(connection, last.number, "production", "1", StepCounts(7, 0, 0, 0, (7, 0, 0)), [3], "a")
        await count(connection, last.number, "shadow", "3", StepCounts(7, 7, 0, 0, (7, 0, 0)), [4], "a")
        found = await read_counts(connection, last, first.number)
        assert found == {
            "canary": StepCounts(40, 8, 4, 12, (16, 20, 24)),
            "production": StepCounts(7, 0, 0, 0, (7, 0, 0)),
        }
        assert await read_coverage(connection, last, first.number) == {"canary": 2, "production": 1}

    on(postgres_url, work)


def test_each_listener_has_one_like_rate_of_this_canary_alone(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await live(connection, CANARY)
        since = datetime.now(UTC) - timedelta(minutes=1)
        await react(connection, "canary", "2", {"ann": [1, 1, 0, 0], "bob": [1], "eve": [-1, 0]})
        await react(connection, "production", "1", {"zoe": [0, 1]})
        await react(connection, "canary", "8", {"old": [1]})
        await react(connection, "production", "2", {"was": [1]})
        await react(connection, "canary", "2", {"before": [1]}, at=since - timedelta(seconds=1))
        found = await read_likes(connection, generation, since)
        assert found == {"canary": Likes(3, 1.5, 1.25, 7), "production": Likes(1, 0.5, 0.25, 2)}

    on(postgres_url, work)


async def fill(connection: Connection, generation: int, *, canary_likes: int, errors: int = 0, many: int = 400) -> None:
    counts = StepCounts(5_000, errors, 0, 0, (5_000, 0, 0))
    await count(connection, generation, "canary", "2", counts, list(range(50)))
    await count(connection, generation, "production", "1", StepCounts(5_000, 0, 0, 0, (5_000, 0, 0)), list(range(50)))
    own = [1] * canary_likes + [0] * (10 - canary_likes)
    await react(connection, "canary", "2", {f"c{user}": own for user in range(many)})
    await react(connection, "production", "1", {f"p{user}": [1] * 4 + [0] * 6 for user in range(many)})


@pytest.mark.parametrize(("share", "likes", "kind"), [
    (0.25, 4, VerdictKind.ADVANCE), (0.5, 4, VerdictKind.PROMOTE),
    (0.25, 2, VerdictKind.ROLL_BACK), (0.5, 5, VerdictKind.PROMOTE),
])  # fmt: skip
def test_what_was_written_leads_to_the_verdict(postgres_url: str, share: float, likes: int, kind: VerdictKind) -> None:
    async def work(connection: Connection) -> Verdict:
        generation = await live(connection, Wanted("1", canary="2", share=share, salt="s"))
        await fill(connection, generation.number, canary_likes=likes)
        return await ask(connection, generation)

    assert on(postgres_url, work).kind is kind


def test_errors_that_begin_after_hours_are_found_by_the_next_looks(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await live(connection, CANARY)
        await fill(connection, generation.number, canary_likes=4)
        memory, settings = ReadingState(), SETTINGS.model_copy(update={"error_window_s": 1e-6})
        assert (await ask(connection, generation, memory, settings)).kind is VerdictKind.ADVANCE
        # 40 of 5,040 in the step is below every limit; 40 of the last 40 is not.
        await count(connection, generation.number, "canary", "2", StepCounts(answers=5_000, errors=40), [])
        verdict = await ask(connection, generation, memory, settings)
        assert verdict.kind is VerdictKind.ROLL_BACK
        assert verdict.reason.startswith("recent errors: 40 of 40")

    on(postgres_url, work)


def test_who_watches_needs_to_say_no_more_than_which_generation(postgres_url: str) -> None:
    async def work(connection: Connection) -> Verdict:
        generation = await live(connection, CANARY)
        look = watching(SETTINGS, EDGES_MS)
        assert (await look(connection, generation)).kind is VerdictKind.HOLD
        await count(connection, generation.number, "canary", "2", StepCounts(errors=30), [])
        return await look(connection, generation)

    assert on(postgres_url, work).kind is VerdictKind.ROLL_BACK


def test_likes_are_not_read_at_every_look_and_anew_for_another_canary(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        memory = ReadingState()
        generation = await live(connection, CANARY)
        await fill(connection, generation.number, canary_likes=4)
        await ask(connection, generation, memory)
        assert memory.likes["canary"].listeners == 400
        memory.due = time.monotonic() + 600
        await react(connection, "canary", "2", {"late": [1]})
        await ask(connection, generation, memory)
        assert memory.likes["canary"].listeners == 400
        other = await live(connection, Wanted("1", canary="3", share=0.25, salt="t"))
        await ask(connection, other, memory)
        assert "canary" not in memory.likes

    on(postgres_url, work)


def test_likes_that_take_too_long_to_read_leave_the_errors_judged(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await live(connection, CANARY)
        await count(connection, generation.number, "canary", "2", StepCounts(errors=50), [])
        async with await Connection.connect(postgres_url) as other:
            await other.execute("LOCK TABLE reactions IN ACCESS EXCLUSIVE MODE")
            await connection.execute("SET statement_timeout = '200ms'")
            verdict = await ask(connection, generation)
        assert verdict.kind is VerdictKind.ROLL_BACK
        assert "50 of 50 calls" in verdict.reason

    on(postgres_url, work)


def test_what_has_no_canary_or_takes_no_traffic_is_not_judged(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        with pytest.raises(ValueError, match="no canary"):
            await ask(connection, await live(connection, Wanted("1")))
        with pytest.raises(ValueError, match="not active"):
            await ask(connection, await live(connection, CANARY, GenerationState.FAILED))

    on(postgres_url, work)

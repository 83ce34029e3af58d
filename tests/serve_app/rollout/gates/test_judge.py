"""Judging on a real Postgres: from the counts of replicas and the reactions of users to a verdict."""

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
from spotify_buddies.serve_app.rollout.gates.sequential import LikeRates, Likes, Returned, StepLikes
from spotify_buddies.serve_app.rollout.gates.verdict import Verdict, VerdictKind
from spotify_buddies.serve_app.settings.gates import GateSettings
from spotify_buddies.serve_app.store.database.migrate import migrate
from spotify_buddies.serve_app.versions.counts import EDGES_MS as COUNTED_MS
from spotify_buddies.serve_app.versions.counts import ArmCounter

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
            "canary": StepCounts(40, 8, 4, 12, (16, 20, 24), 48, 40),
            "production": StepCounts(7, 0, 0, 0, (7, 0, 0), 7, 7),
        }
        assert await read_coverage(connection, last, first.number) == {"canary": 2, "production": 1}

    on(postgres_url, work)


def test_counts_of_calls_are_read_and_those_of_the_release_before_stand_for_calls_of_one_user(
    postgres_url: str,
) -> None:
    async def work(connection: Connection) -> None:
        generation = await live(connection, CANARY)
        own = StepCounts(500, 500, 0, 0, (1, 0, 0, 2, 0, 0), asked_squares=500_000, answered_squares=250_000)
        await count(connection, generation.number, "canary", "2", own, [1], "new")
        # As a replica of the release before writes its row.
        await connection.execute(
            "INSERT INTO rollout_counts (generation, replica, arm, version, listeners, errors, empty, cold, latencies,"
            " shown) VALUES (%s, 'old', 'canary', '2', 30, 3, 0, 0, '{3,0,0}', ''::bytea)", (generation.number,),
        )  # fmt: skip
        found = await read_counts(connection, generation, generation.number)
        assert found["canary"] == StepCounts(530, 503, 0, 0, (1, 0, 0, 2, 0, 0), 500_033, 250_030)

    on(postgres_url, work)


def test_each_user_has_one_like_rate_of_this_canary_alone(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await live(connection, CANARY)
        since = datetime.now(UTC) - timedelta(minutes=1)
        await react(connection, "canary", "2", {"ann": [1, 1, 0, 0], "bob": [1], "eve": [-1, 0]})
        await react(connection, "production", "1", {"zoe": [0, 1]})
        await react(connection, "canary", "8", {"old": [1]})
        await react(connection, "production", "2", {"was": [1]})
        await react(connection, "canary", "2", {"before": [1]}, at=since - timedelta(seconds=1))
        found = await read_likes(connection, generation, [since])
        assert found == LikeRates((StepLikes(Likes(3, 1.5, 1.25, 7), Likes(1, 0.5, 0.25, 2)),), (), 3, 1)

    on(postgres_url, work)


def test_likes_are_read_by_step_and_users_who_come_back_are_known(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await live(connection, CANARY)
        begun = datetime.now(UTC) - timedelta(hours=3)
        starts = [begun + timedelta(hours=hour) for hour in range(3)]
        await react(connection, "canary", "2", {"ann": [1, 0], "bob": [0]}, at=starts[0])
        await react(connection, "production", "1", {"eve": [1], "zoe": [1]}, at=starts[0] + timedelta(minutes=59))
        await react(connection, "canary", "2", {"ann": [1, 1, 1, 0], "eve": [1]}, at=starts[2])
        found = await read_likes(connection, generation, starts)
        assert [step.canary for step in found.steps] == [Likes(2, 0.5, 0.25, 3), Likes(), Likes(2, 1.75, 1.5625, 5)]
        assert [step.production for step in found.steps] == [Likes(2, 2.0, 2.0, 2), Likes(), Likes()]
        assert found.returned == (Returned(True, 0, 2, 1, 0.5, 0.75, 0.375),)
        assert (found.canary_users, found.production_users) == (3, 2)

    on(postgres_url, work)


def test_an_equal_canary_is_not_rolled_back_because_all_like_rates_fall_while_it_grows(postgres_url: str) -> None:
    async def work(connection: Connection) -> Verdict:
        now, number = datetime.now(UTC), 0
        for share, hours, likes in ((0.05, 4, 6), (0.25, 2, 2)):
            generation = await live(connection, Wanted("1", canary="2", share=share, salt="s"))
            since = now - timedelta(hours=hours)
            await connection.execute(
                "UPDATE rollout_generations SET decided_at = %s WHERE number = %s", (since, generation.number)
            )
            for arm, version, users in (
                ("canary", "2", round(6_000 * share)),
                ("production", "1", round(6_000 * (1 - share))),
            ):
                # Users who like all or nothing, so that rates are the parts of users.
                scores = {f"{number + user}": [int(user % 10 < likes)] for user in range(users)}
                await react(connection, arm, version, scores, since + timedelta(minutes=1))
                number += users
        return await ask(connection, generation)

    verdict = on(postgres_url, work)
    assert verdict.kind is VerdictKind.HOLD, verdict.reason
    (gate,) = [gate for gate in verdict.gates if gate.name == "like rate"]
    assert gate.canary == pytest.approx(gate.production, abs=1e-9)


def test_one_failed_call_of_500_users_does_not_roll_back(postgres_url: str) -> None:
    async def work(connection: Connection) -> Verdict:
        generation = await live(connection, CANARY)
        counts = ArmCounter("canary", "2", 100)
        counts.fail(500)
        await ledger.count(connection, generation.number, "r", [counts.row()])
        return await judge(connection, generation, SETTINGS, datetime.now(UTC), COUNTED_MS, ReadingState())

    verdict = on(postgres_url, work)
    assert verdict.kind is VerdictKind.HOLD, verdict.reason


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
        assert verdict.reason.startswith("recent errors: the canary failed 40 of 40 users")

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
        assert memory.likes.canary_users == 400
        memory.due = time.monotonic() + 600
        await react(connection, "canary", "2", {"late": [1]})
        await ask(connection, generation, memory)
        assert memory.likes.canary_users == 400
        other = await live(connection, Wanted("1", canary="3", share=0.25, salt="t"))
        await ask(connection, other, memory)
        assert memory.likes.canary_users == 0

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
        assert "failed 50 of 50 users" in verdict.reason

    on(postgres_url, work)


def test_what_has_no_canary_or_takes_no_traffic_is_not_judged(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        with pytest.raises(ValueError, match="no canary"):
            await ask(connection, await live(connection, Wanted("1")))
        with pytest.raises(ValueError, match="not active"):
            await ask(connection, await live(connection, CANARY, GenerationState.FAILED))

    on(postgres_url, work)

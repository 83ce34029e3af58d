"""Reading a canary's position, counts and likes from a real Postgres."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import GenerationState, Wanted
from spotify_buddies.serve_app.rollout.gates.measures import StepCounts
from spotify_buddies.serve_app.rollout.gates.read import (
    ReadingState,
    read_counts,
    read_coverage,
    read_likes,
    read_position,
)
from spotify_buddies.serve_app.rollout.gates.sequential import LikeRates, Likes, Returned, StepLikes
from tests.serve_app.rollout.gates.conftest import (
    CANARY,
    Connection,
    ask,
    count,
    fill,
    live,
    on,
    react,
)


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


def test_in_a_rolling_release_calls_are_compared_by_the_size_classes_of_one_release(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await live(connection, CANARY)
        for replica, sizes in (("old", (4, 5, 6)), ("new", (7, 8, 9, 1, 2, 3))):
            await count(connection, generation.number, "canary", "2", StepCounts(30, 0, 0, 0, sizes), [1], replica)
        await count(connection, generation.number, "production", "1", StepCounts(900, 0, 0, 0, (900, 0, 0)), [1], "old")
        await count(connection, generation.number, "production", "1", StepCounts(9, 0, 0, 0, (9,) * 6), [1], "new")
        found = await read_counts(connection, generation, generation.number)
        assert (found["canary"].answers, found["canary"].latencies) == (60, (4, 5, 6))
        assert (found["production"].answers, found["production"].latencies) == (909, (900, 0, 0))
        await ask(connection, generation)

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


def test_likes_are_not_read_at_every_look_and_anew_for_another_canary(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        reading = ReadingState()
        generation = await live(connection, CANARY)
        await fill(connection, generation.number, canary_likes=4)
        await ask(connection, generation, reading)
        assert reading.likes.canary_users == 400
        reading.due = time.monotonic() + 600
        await react(connection, "canary", "2", {"late": [1]})
        await ask(connection, generation, reading)
        assert reading.likes.canary_users == 400
        other = await live(connection, Wanted("1", canary="3", share=0.25, salt="t"))
        await ask(connection, other, reading)
        assert reading.likes.canary_users == 0

    on(postgres_url, work)

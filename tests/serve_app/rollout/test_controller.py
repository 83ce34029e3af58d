"""The controller among others: a second one, cut connections, what the gates say, and people who promote at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.rollout import controller_state
from spotify_buddies.serve_app.rollout.commands.drive import Proposal, propose
from spotify_buddies.serve_app.rollout.controller import LOCK
from spotify_buddies.serve_app.rollout.gates.verdict import Verdict, VerdictKind
from tests.serve_app.rollout.conftest import Rollout
from tests.serve_app.rollout.proposals import has_tag, newest, say


def test_of_two_controllers_one_works_and_the_other_takes_over_when_it_ends(rollout: Rollout) -> None:
    async def run() -> None:
        async with rollout.asked() as other:
            assert await (await other.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))).fetchone() == (True,)
            async with rollout.working(), rollout.replicas("r-1"):
                made = await say(rollout, Wanted("1"), 0)

                async def asked_for(connection: psycopg.AsyncConnection) -> bool:
                    cursor = await connection.execute(
                        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_try_advisory_lock%'"
                    )
                    return (await cursor.fetchone() or (0,))[0] >= 2

                await rollout.until(asked_for)
                assert (await newest(rollout)).state is GenerationState.PREPARING
                await other.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
                await rollout.active(made.number)

    asyncio.run(run())


def test_a_controller_whose_connections_are_cut_goes_on(rollout: Rollout) -> None:
    async def run() -> None:
        async with rollout.working() as task, rollout.replicas("r-1"):
            await rollout.active(1)
            async with rollout.asked() as connection:
                cursor = await connection.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s",
                    (LOCK,),
                )
                assert await cursor.fetchone() == (1,)
            await say(rollout, Wanted("1", canary="2", share=0.1, salt="x"), 1)
            await rollout.active(2)
            assert not task.done()

    asyncio.run(run())


def says(kind: str, next_share: float = 0.0, *, is_applied: bool = True) -> Verdict:
    share = 0.1
    return Verdict(VerdictKind(kind), "3 of 4 calls failed", (), share, next_share, datetime.now(UTC), is_applied)


@pytest.mark.parametrize(
    ("verdict", "wanted", "event"),
    [
        (says("advance", 0.25), Wanted("1", canary="2", share=0.25, salt="x", previous="5"), "advanced"),
        (says("promote", 1.0), Wanted("2", previous="1"), "advanced"),
        (says("roll_back"), Wanted("1", previous="5"), "rolled_back"),
    ],
)
def test_what_the_gates_say_becomes_a_generation(
    rollout: Rollout, verdict: Verdict, wanted: Wanted, event: str
) -> None:
    async def judge(_: psycopg.AsyncConnection, generation: Generation) -> Verdict:
        return verdict if generation.number == 1 else says("hold")

    async def run() -> None:
        await say(rollout, Wanted("1", canary="2", share=0.1, salt="x", previous="5"), 0)
        async with rollout.working(judge=judge), rollout.replicas("r-1"):
            second = await rollout.active(2)
            assert (second.wanted, second.who, second.why) == (wanted, "gates", "3 of 4 calls failed")
            assert (await rollout.event(event)).version == "2"
            if event == "rolled_back":
                await rollout.until(lambda _: asyncio.to_thread(has_tag, rollout.registry, "2", "rollout_rolled_back"))

    asyncio.run(run())


@pytest.mark.parametrize(("paused", "is_applied"), [(True, True), (False, False)])
def test_what_the_gates_say_is_kept_and_not_done_where_people_decide(
    rollout: Rollout, paused: bool, is_applied: bool
) -> None:
    async def judge(_: psycopg.AsyncConnection, generation: Generation) -> Verdict:
        assert not generation.wanted.paused, "the figures are worked out as if nothing were paused"
        return says("roll_back", is_applied=is_applied)

    async def run() -> None:
        await say(rollout, Wanted("1", canary="2", share=0.1, salt="x", paused=paused), 0)
        async with rollout.working(judge=judge), rollout.replicas("r-1"):

            async def kept(connection: psycopg.AsyncConnection) -> bool:
                verdict = (await controller_state.read_state(connection)).verdict or {}
                return (verdict.get("kind"), verdict.get("reason")) == ("roll_back", "3 of 4 calls failed")

            await rollout.until(kept)
            assert (await newest(rollout)).number == 1

    asyncio.run(run())


def test_of_two_who_promote_at_once_one_wins_and_the_other_is_told(rollout: Rollout) -> None:
    def promotion(who: str) -> Proposal:
        from spotify_buddies.serve_app.rollout import changes

        return Proposal("m", changes.promote, "promote", who, "")

    async def one(who: str) -> Any:
        async with rollout.asked() as connection:
            return await propose(connection, promotion(who))

    async def run() -> None:
        await say(rollout, Wanted("1", canary="2", share=0.5, salt="x"), 0)
        # Whether the second one reads before or after the first one wrote, it is told the same.
        done = [*await asyncio.gather(*(one(who) for who in ("ann", "bob"))), await one("eve")]
        (won,) = [outcome for outcome in done if outcome.changed]
        assert won.generation.wanted == Wanted("2", previous="1")
        said = f"version 2 is production already: promoted by {won.generation.who} (generation 2, "
        assert [outcome.note[: len(said)] for outcome in done if not outcome.changed] == [said, said]

    asyncio.run(run())

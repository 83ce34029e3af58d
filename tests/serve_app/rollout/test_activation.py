"""Generations that become active or fail, depending on the reports of replicas."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import GenerationState, Held, Load, Report, Role, Wanted
from spotify_buddies.serve_app.rollout.activation import activate
from tests.serve_app.rollout.conftest import Rollout
from tests.serve_app.rollout.proposals import SAID, newest


def test_a_replica_that_is_gone_is_not_waited_for_and_one_that_lives_is(rollout: Rollout) -> None:
    wanted = Wanted("1", canary="2", share=0.1, salt="x")

    async def run() -> None:
        async with rollout.asked() as connection:
            await ledger.propose(connection, "m", Wanted("1"), after=0, **SAID)
            assert await activate(connection, 120) == await newest(rollout), "with no replica nothing is decided"
            await ledger.report(connection, Report("r-1", Role.RANKER, 1, 0))
            await ledger.report(connection, Report("i-1", Role.INDEX, 0, 0))
            assert await state_now(connection) is GenerationState.PREPARING, "the index has not prepared it"
            await ledger.report(connection, Report("i-1", Role.INDEX, 1, 0))
            assert await state_now(connection) is GenerationState.ACTIVE
            await ledger.propose(connection, "m", wanted, after=1, **SAID)
            await ledger.report(connection, Report("r-1", Role.RANKER, 2, 1))
            assert await state_now(connection) is GenerationState.PREPARING
            await connection.execute(
                "UPDATE rollout_replicas SET seen_at = now() - interval '1 min' WHERE role = 'index'"
            )
            assert await state_now(connection) is GenerationState.ACTIVE

    asyncio.run(run())


async def state_now(connection: psycopg.AsyncConnection) -> GenerationState:
    generation = await activate(connection, 120)
    assert generation is not None
    return generation.state


def test_a_generation_that_is_not_prepared_in_time_fails_and_says_who_is_late(rollout: Rollout) -> None:
    old = datetime.now(UTC)
    loading = Held(Load.LOADING, old, "3 of 9 files")

    async def run() -> None:
        async with rollout.asked() as connection:
            await ledger.propose(connection, "m", Wanted("1"), after=0, **SAID)
            await connection.execute("UPDATE rollout_generations SET at = now() - interval '1 h'")
            ready = {"1": Held(Load.READY, old)}
            await ledger.report(connection, Report("r-1", Role.RANKER, 0, 0, ready))
            assert await state_now(connection) is GenerationState.PREPARING, (
                "before the first there is nothing to stay with"
            )
            await ledger.decide(connection, 1, GenerationState.ACTIVE)
            await ledger.propose(connection, "m", Wanted("1", canary="2", share=0.1), after=1, **SAID)
            await connection.execute("UPDATE rollout_generations SET at = now() - interval '121 s' WHERE number = 2")
            await ledger.report(connection, Report("r-1", Role.RANKER, 2, 1, ready))
            await ledger.report(connection, Report("r-2", Role.RANKER, 1, 1, {**ready, "2": loading}))
            assert await state_now(connection) is GenerationState.FAILED
        failed = await newest(rollout)
        assert failed.message == "not prepared within 120 s: r-2 (version 2 loading 3 of 9 files)"
        assert [event.version for event in await rollout.events("failed")] == ["2"]

    asyncio.run(run())


def test_what_serves_is_not_blamed_for_a_replica_that_cannot_load_it(rollout: Rollout) -> None:
    async def run() -> None:
        async with rollout.asked() as connection:
            await ledger.propose(connection, "m", Wanted("1"), after=0, **SAID)
            await ledger.decide(connection, 1, GenerationState.ACTIVE)
            made = await ledger.propose(connection, "m", Wanted("1", canary="2", share=0.1), after=1, **SAID)
            held = {"1": Held(Load.FAILED, made.at, "disk full")}
            await ledger.report(connection, Report("r-9", Role.RANKER, 0, 0, held))
            assert await state_now(connection) is GenerationState.FAILED
        (event,) = await rollout.events("failed")
        assert (event.version, event.message) == (None, "r-9 cannot serve version 1: disk full")

    asyncio.run(run())

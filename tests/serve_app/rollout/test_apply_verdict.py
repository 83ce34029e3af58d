"""A verdict that meets somebody else's decision: two real connections."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.rollout.apply_verdict import apply_verdict
from spotify_buddies.serve_app.rollout.gates.verdict import Verdict, VerdictKind
from tests.serve_app.rollout.conftest import Rollout

SAID = {"who": "ann", "action": "pause", "why": ""}
WANTED = Wanted("1", canary="2", share=0.1, salt="x")


async def roll_back(connection: psycopg.AsyncConnection, generation: Generation) -> Verdict:
    del connection
    return Verdict(VerdictKind.ROLL_BACK, "it fails", (), generation.wanted.share, 0.0, datetime.now(UTC))


async def waits(rollout: Rollout, backend: int) -> None:
    async def blocked(connection: psycopg.AsyncConnection) -> bool:
        cursor = await connection.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", (backend,))
        return await cursor.fetchone() == (True,)

    await rollout.until(blocked)


def test_a_verdict_that_waited_for_a_person_who_was_faster_changes_nothing_and_keeps_the_connection(
    rollout: Rollout,
) -> None:
    async def run() -> None:
        async with rollout.asked() as controller, rollout.asked() as person:
            await ledger.propose(controller, "m", WANTED, after=0, **SAID)
            await ledger.decide(controller, 1, GenerationState.ACTIVE)
            active = await ledger.read_newest(controller)
            assert active is not None
            async with person.transaction():
                await ledger.propose(person, "m", replace(WANTED, paused=True), after=1, **SAID)
                acting = asyncio.create_task(apply_verdict(controller, "m", active, roll_back))
                await waits(rollout, controller.info.backend_pid)
            assert await acting is False
            newest = await ledger.read_newest(controller)
            assert newest is not None
            assert (newest.number, newest.who) == (2, "ann")
            assert await ledger.read_events(controller) == []

    asyncio.run(run())


def test_a_verdict_that_waited_for_a_person_who_gave_up_is_done(rollout: Rollout) -> None:
    async def run() -> None:
        async with rollout.asked() as controller, rollout.asked() as person:
            await ledger.propose(controller, "m", WANTED, after=0, **SAID)
            await ledger.decide(controller, 1, GenerationState.ACTIVE)
            active = await ledger.read_newest(controller)
            assert active is not None
            async with person.transaction(force_rollback=True):
                await ledger.propose(person, "m", replace(WANTED, paused=True), after=1, **SAID)
                acting = asyncio.create_task(apply_verdict(controller, "m", active, roll_back))
                await waits(rollout, controller.info.backend_pid)
            assert await acting is True
            newest = await ledger.read_newest(controller)
            assert newest is not None
            assert (newest.number, newest.who, newest.wanted) == (2, "gates", Wanted("1"))
            assert [event.kind for event in await ledger.read_events(controller)] == ["rolled_back"]

    asyncio.run(run())

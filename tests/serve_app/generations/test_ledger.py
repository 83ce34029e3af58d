"""The rollout's statements on a real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.ledger import Overtaken
from spotify_buddies.serve_app.generations.state import GenerationState, Held, Load, Report, Role, Wanted
from spotify_buddies.serve_app.store.database.migrate import migrate
from tests.waiting import WITHIN_S

SAID = {"who": "ann", "action": "start", "why": "better offline"}


def on(url: str, work: Callable[[psycopg.AsyncConnection], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await migrate(connection)
            await connection.execute("TRUNCATE rollout_generations, rollout_replicas, rollout_events, rollout_counts")
            return await work(connection)

    return asyncio.run(run())


def test_generations_count_up_and_the_newest_of_a_state_is_found(postgres_url: str) -> None:
    async def work(connection: psycopg.AsyncConnection) -> None:
        assert await ledger.read_newest(connection) is None
        assert await ledger.read_history(connection) == []
        first = await ledger.propose(connection, "m", Wanted("1"), after=0, **SAID)
        assert (first.number, first.state, first.wanted.versions) == (1, GenerationState.PREPARING, ("1",))
        assert await ledger.decide(connection, 1, GenerationState.ACTIVE)
        assert not await ledger.decide(connection, 1, GenerationState.FAILED), "it was decided already"
        wanted = Wanted("1", canary="2", share=0.1, salt="s", shadow="3", previous="1", paused=True)
        second = await ledger.propose(connection, "m", wanted, after=1, **SAID)
        assert (second.wanted, second.wanted.versions) == (wanted, ("1", "2", "3"))
        assert await ledger.read_newest(connection) == second
        active = await ledger.read_newest(connection, GenerationState.ACTIVE)
        assert active is not None
        assert (active.number, active.decided_at is not None) == (1, True)
        assert [one.number for one in await ledger.read_history(connection)] == [2, 1]

    on(postgres_url, work)


def test_of_two_who_change_the_same_state_one_is_told_who_was_faster(postgres_url: str) -> None:
    async def work(connection: psycopg.AsyncConnection) -> None:
        await ledger.propose(connection, "m", Wanted("1"), after=0, **SAID)

        async def propose(who: str) -> Any:
            async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as own:
                said = {**SAID, "who": who}
                return await ledger.propose(own, "m", Wanted("2"), after=1, **said)

        done = await asyncio.gather(*(propose(who) for who in ("ann", "bob", "eve")), return_exceptions=True)
        (won,) = [one for one in done if not isinstance(one, BaseException)]
        lost = [one for one in done if isinstance(one, BaseException)]
        assert len(lost) == 2
        for error in lost:
            assert isinstance(error, Overtaken)
            assert f"{won.who} was faster: generation 2" in str(error)

    on(postgres_url, work)


def test_a_share_without_a_canary_is_refused(postgres_url: str) -> None:
    async def work(connection: psycopg.AsyncConnection) -> None:
        with pytest.raises(psycopg.errors.CheckViolation):
            await ledger.propose(connection, "m", Wanted("1", share=0.5), after=0, **SAID)

    on(postgres_url, work)


def test_changes_are_told_and_reports_and_events_come_back_as_they_went_in(postgres_url: str) -> None:
    held = {
        "1": Held(Load.READY, datetime(2026, 1, 1, tzinfo=UTC), sha256="ab"),
        "2": Held(Load.LOADING, datetime.now(UTC)),
    }

    async def work(connection: psycopg.AsyncConnection) -> None:
        await connection.execute(f"LISTEN {ledger.CHANNEL}".encode())
        await ledger.propose(connection, "m", Wanted("1"), after=0, **SAID)
        await ledger.decide(connection, 1, GenerationState.FAILED, "broken")
        told = [one.payload async for one in connection.notifies(timeout=WITHIN_S, stop_after=2)]
        assert told == ["1", "1"]
        for prepared in (0, 1):
            await ledger.report(connection, Report("r-1", Role.RANKER, prepared, 0, held))
        await ledger.report(connection, Report("i-1", Role.INDEX, 0, 0))
        index, ranker = await ledger.read_reports(connection)
        assert (ranker.role, ranker.prepared, ranker.versions) == (Role.RANKER, 1, held)
        assert (index.role, index.versions) == (Role.INDEX, {})
        assert 0 <= ranker.age_s < WITHIN_S
        await connection.execute("UPDATE rollout_replicas SET seen_at = now() - interval '1 min' WHERE replica = 'i-1'")
        assert [one.replica for one in await ledger.read_reports(connection)] == ["r-1"]
        await ledger.retire(connection, "r-1")
        assert await ledger.read_reports(connection) == []
        await ledger.note(connection, 1, "gate", "like rate", version="2", details={"p": 0.01})
        (event,) = await ledger.read_events(connection)
        assert (event.kind, event.version, event.details) == ("gate", "2", {"p": 0.01})

    on(postgres_url, work)

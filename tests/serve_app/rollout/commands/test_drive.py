"""Changes by people: what the second of two is told, and what counts as served."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import GenerationState, Report, Role, Wanted
from spotify_buddies.serve_app.rollout import changes
from spotify_buddies.serve_app.rollout.changes import Refused
from spotify_buddies.serve_app.rollout.commands import drive
from spotify_buddies.serve_app.rollout.commands.drive import Proposal, follow, propose
from tests.serve_app.rollout.conftest import Rollout

TRIED, PROMOTED, BACK = (
    Wanted("1", canary="2", share=0.5, salt="s"),
    Wanted("2", previous="1"),
    Wanted("1", previous="2"),
)


async def make(connection: psycopg.AsyncConnection, steps: Sequence[Wanted]) -> None:
    for after, wanted in enumerate(steps):
        made = await ledger.propose(connection, "m", wanted, after=after, who="ann", action="a", why="")
        await ledger.decide(connection, made.number, GenerationState.ACTIVE)


def test_who_promotes_or_sets_a_share_after_a_promotion_hears_of_it(rollout: Rollout) -> None:
    async def run() -> None:
        async with rollout.asked() as connection:
            await make(connection, (TRIED, PROMOTED))
            outcome = await propose(connection, Proposal("m", changes.promote, "promote", "bob", ""))
            assert (outcome.changed, outcome.generation.number) == (False, 2)
            assert outcome.note.startswith("version 2 is production already: promoted by ann (generation 2, ")
            share = Proposal("m", lambda wanted: changes.set_percent(wanted, 5), "set-percent", "bob", "")
            with pytest.raises(Refused, match=r"version 2 is production already.*there is no canary"):
                await propose(connection, share)

    asyncio.run(run())


def test_who_makes_the_same_change_at_the_same_moment_is_not_refused(rollout: Rollout) -> None:
    async def run(after: Wanted) -> drive.ChangeOutcome:
        async def faster() -> None:
            async with rollout.asked() as other:
                await ledger.propose(other, "m", after, after=2, who="ann", action="rollback", why="")

        def meanwhile(_production: str) -> list[str]:
            asyncio.run(faster())
            return []

        async with rollout.asked() as connection:
            await connection.execute("TRUNCATE rollout_generations")
            await make(connection, (Wanted("1"), TRIED))
            return await propose(connection, Proposal("m", changes.roll_back, "rollback", "bob", "", look=meanwhile))

    outcome = asyncio.run(run(Wanted("1")))
    assert (outcome.changed, outcome.generation.number, outcome.note) == (False, 3, "ann did the same just now")
    with pytest.raises(ledger.Overtaken, match="ann was faster: generation 3"):
        asyncio.run(run(PROMOTED))


def test_a_second_rollback_is_refused_unless_it_is_forced(rollout: Rollout) -> None:
    async def run() -> None:
        async with rollout.asked() as connection:
            await make(connection, (TRIED, PROMOTED, BACK))
            asked = Proposal("m", changes.roll_back, "rollback", "bob", "", check_history=changes.refuse_return)
            with pytest.raises(Refused, match="--force"):
                await propose(connection, asked)
            assert (await ledger.read_newest(connection)).number == 3  # type: ignore[union-attr]
            forced = await propose(connection, Proposal("m", changes.roll_back, "rollback", "bob", ""))
            assert forced.generation.wanted == PROMOTED

    asyncio.run(run())


def test_an_active_generation_that_no_replica_follows_is_not_served(
    rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        monkeypatch.setattr(drive, "SPARE_S", 0.0)
        async with rollout.asked() as connection:
            await make(connection, (Wanted("1"),))
            newest = await ledger.read_newest(connection)
            assert newest is not None
            _, problem = await follow(connection, newest, 0.0)
            assert problem.startswith("generation 1 is not served anywhere: no replica reports")
            await ledger.report(connection, Report("index", Role.INDEX, 1, 1))
            assert (await follow(connection, newest, 0.0))[1]
            await ledger.report(connection, Report("ranker", Role.RANKER, 1, 1))
            assert (await follow(connection, newest, 0.0))[1] == ""

    asyncio.run(run())

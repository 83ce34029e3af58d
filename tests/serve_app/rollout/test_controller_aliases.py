"""The registry's aliases and the controller, which follows and writes them, with a real Postgres and registry."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import GenerationState, Wanted
from spotify_buddies.serve_app.rollout import controller_state
from spotify_buddies.serve_app.rollout.alias_sync import AliasSync
from spotify_buddies.serve_app.rollout.aliases import Aliases, aliases_of
from spotify_buddies.trainer.registry.registry import Registry
from tests.serve_app.rollout.conftest import FAST, Rollout
from tests.serve_app.rollout.proposals import SAID, newest, say


def test_the_first_generation_is_what_alias_production_names(rollout: Rollout) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1", "r-2"):
            first = await rollout.active(1)
            assert (first.wanted, first.who, first.action) == (Wanted("1"), "registry", "registry")
            assert first.why == "alias production is version 1"
            await rollout.aliases(production="1")

    asyncio.run(run())


def test_a_first_version_that_is_no_better_than_the_baselines_is_served_with_a_warning(
    rollout: Rollout, registry: Registry
) -> None:
    async def warnings() -> list[tuple[int | None, str | None, str]]:
        async with rollout.asked() as connection:
            events = await ledger.read_events(connection)
        return [(event.generation, event.version, event.message) for event in events if event.kind == "warning"]

    async def run(number: int) -> list[tuple[int | None, str | None, str]]:
        async with rollout.working(), rollout.replicas("r-1"):
            await rollout.active(number)
        return await warnings()

    registry.tag("1", {"metrics": "{}"})
    said = "served as the first version, although version 1 has no offline MRR, so nothing says how well it ranks"
    assert asyncio.run(run(1)) == [(1, "1", said)]


def test_a_first_version_better_than_the_baselines_gets_no_warning(rollout: Rollout) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1"):
            await rollout.active(1)
            async with rollout.asked() as connection:
                assert "warning" not in {event.kind for event in await ledger.read_events(connection)}

    asyncio.run(run())


def test_without_an_alias_production_nothing_is_made(rollout: Rollout, registry: Registry) -> None:
    registry.delete_alias("production")

    async def run() -> None:
        async with rollout.working():

            async def looked(connection: psycopg.AsyncConnection) -> bool:
                return (await controller_state.read_state(connection)).registry_seen_at is not None

            await rollout.until(looked)
            async with rollout.asked() as connection:
                assert await ledger.read_newest(connection) is None
            registry.set_alias("production", "2")
            async with rollout.replicas("r-1"):
                assert (await rollout.active(1)).wanted == Wanted("2")

    asyncio.run(run())


def test_a_canary_set_by_hand_is_served_once_every_replica_has_it(rollout: Rollout, registry: Registry) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1", "r-2"):
            await rollout.active(1)
            registry.set_alias("canary", "2")
            second = await rollout.active(2)
            assert second.wanted == Wanted("1", canary="2", share=0.01, salt="salt-0")
            assert (second.who, second.why) == ("registry", "canary moved from none to 2")
            await rollout.aliases(production="1", canary="2", canary_percent="1")
            registry.tag_model("canary_percent", "10")
            third = await rollout.active(3)
            assert (third.wanted.share, third.wanted.salt) == (0.1, "salt-0")
            registry.set_alias("production", "2")
            assert (await rollout.active(4)).wanted == Wanted("2", previous="1")
            await rollout.aliases(production="2", previous="1")

    asyncio.run(run())


def test_aliases_that_stand_there_at_the_first_start_are_looked_at_like_others(
    rollout: Rollout, registry: Registry
) -> None:
    registry.tag_model("canary_percent", "25")
    registry.set_alias("canary", "2")
    registry.set_alias("shadow", "3")

    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1"):
            # On a slow machine generation 1 is overtaken before its replica has it.
            assert (await rollout.active(2)).wanted == Wanted("1", canary="2", share=0.25, salt="salt-0", shadow="3")

    asyncio.run(run())


def test_a_generation_of_the_command_is_written_to_the_registry_once_it_is_active(
    rollout: Rollout, registry: Registry
) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1"):
            await rollout.active(1)
            await say(rollout, Wanted("1", canary="2", share=0.1, salt="x", shadow="3"), 1)
            await rollout.active(2)
            await rollout.aliases(production="1", canary="2", shadow="3", canary_percent="10")
            await say(rollout, Wanted("2", previous="1"), 2)
            await rollout.aliases(production="2", previous="1")
            assert (await newest(rollout)).number == 3, "what we write ourselves is nobody's move"

    asyncio.run(run())


@pytest.mark.parametrize("written", [0, 1, 2, 3, 4])
def test_a_controller_that_died_while_it_wrote_the_aliases_is_not_taken_for_a_person(
    rollout: Rollout, registry: Registry, written: int
) -> None:
    """Generation 2 is active and some of its aliases are written; generation 3 came meanwhile."""
    second = Wanted("1", canary="2", share=0.1, salt="x", shadow="3", previous="5")
    steps = [
        lambda: registry.set_alias("previous", "5"),
        lambda: registry.set_alias("canary", "2"),
        lambda: registry.set_alias("shadow", "3"),
        lambda: registry.tag_model("canary_percent", "10"),
    ]
    for step in steps[:written]:
        step()

    async def run() -> None:
        async with rollout.asked() as connection:
            for number, wanted in enumerate((Wanted("1"), second, replace(second, share=0.5)), 1):
                await ledger.propose(connection, "m", wanted, after=number - 1, **SAID)
                await ledger.decide(connection, number, GenerationState.ACTIVE)
            await controller_state.agree(connection, Aliases("1"), writing=aliases_of(second))
        async with rollout.working(), rollout.replicas("r-1"):
            await rollout.aliases(production="1", canary="2", shadow="3", previous="5", canary_percent="50")
            assert (await newest(rollout)).number == 3

    asyncio.run(run())


def test_what_was_moved_by_hand_comes_on_top_of_a_generation_that_the_command_made_meanwhile(
    rollout: Rollout, registry: Registry
) -> None:
    async def run() -> None:
        async with rollout.asked() as connection:
            await ledger.propose(connection, "m", Wanted("1"), after=0, **SAID)
            await ledger.decide(connection, 1, GenerationState.ACTIVE)
            await controller_state.agree(connection, Aliases("1"))
            await ledger.propose(connection, "m", Wanted("1", canary="2", share=0.1, salt="x"), after=1, **SAID)
        registry.set_alias("shadow", "3")
        async with rollout.working():
            assert (await rollout.decided(2, GenerationState.FAILED)).message == "overtaken by generation 3"
            async with rollout.replicas("r-1"):
                third = await rollout.active(3)
            assert third.wanted == Wanted("1", canary="2", share=0.1, salt="x", shadow="3")

    asyncio.run(run())


@pytest.mark.parametrize("times", [1, 3])
def test_a_step_that_is_repeated_changes_nothing(rollout: Rollout, registry: Registry, times: int) -> None:
    async def run() -> None:
        alias_sync = AliasSync(registry, rollout.fetch, FAST, lambda: "salt")
        async with rollout.asked() as connection:
            try:
                for _ in range(times):
                    await alias_sync.step(connection)
                assert [one.number for one in await ledger.read_history(connection)] == [1]
                await ledger.decide(connection, 1, GenerationState.ACTIVE)
                await ledger.propose(connection, "m", Wanted("1", shadow="3"), after=1, **SAID)
                await ledger.decide(connection, 2, GenerationState.ACTIVE)
                for _ in range(3):
                    await alias_sync.step(connection)
                assert [one.number for one in await ledger.read_history(connection)] == [2, 1]
                state = await controller_state.read_state(connection)
                assert (state.agreed, state.writing) == (Aliases("1", shadow="3"), None)
                assert await ledger.read_events(connection) == []
            finally:
                alias_sync.close()

    asyncio.run(run())

"""The controller at work: a real Postgres, a real registry, and replicas that report."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.rollout import controller_state
from spotify_buddies.serve_app.rollout.alias_sync import AliasSync
from spotify_buddies.serve_app.rollout.aliases import Aliases, aliases_of
from spotify_buddies.serve_app.rollout.commands.drive import Proposal, propose
from spotify_buddies.serve_app.rollout.controller import LOCK
from spotify_buddies.serve_app.rollout.gates.verdict import Verdict, VerdictKind
from spotify_buddies.trainer.registry.registry import Registry
from tests.serve_app.rollout.conftest import FAST, World

SAID = {"who": "ann", "action": "start", "why": "better offline"}


async def say(world: World, wanted: Wanted, after: int, who: str = "ann") -> Generation:
    async with world.asked() as connection:
        said = {**SAID, "who": who}
        return await ledger.propose(connection, "m", wanted, after=after, **said)


async def newest(world: World) -> Generation:
    async with world.asked() as connection:
        generation = await ledger.read_newest(connection)
    assert generation is not None
    return generation


def test_the_first_generation_is_what_alias_production_names(world: World) -> None:
    async def run() -> None:
        async with world.working(), world.replicas("r-1", "r-2"):
            first = await world.active(1)
            assert (first.wanted, first.who, first.action) == (Wanted("1"), "registry", "registry")
            assert first.why == "alias production is version 1"
            await world.aliases(production="1")

    asyncio.run(run())


def test_without_an_alias_production_nothing_is_made(world: World, registry: Registry) -> None:
    registry.delete_alias("production")

    async def run() -> None:
        async with world.working():

            async def looked(connection: psycopg.AsyncConnection) -> bool:
                return (await controller_state.read_state(connection)).registry_seen_at is not None

            await world.until(looked)
            async with world.asked() as connection:
                assert await ledger.read_newest(connection) is None
            registry.set_alias("production", "2")
            async with world.replicas("r-1"):
                assert (await world.active(1)).wanted == Wanted("2")

    asyncio.run(run())


def test_a_canary_set_by_hand_is_served_once_every_replica_has_it(world: World, registry: Registry) -> None:
    async def run() -> None:
        async with world.working(), world.replicas("r-1", "r-2"):
            await world.active(1)
            registry.set_alias("canary", "2")
            second = await world.active(2)
            assert second.wanted == Wanted("1", canary="2", share=0.01, salt="salt-0")
            assert (second.who, second.why) == ("registry", "canary moved from none to 2")
            await world.aliases(production="1", canary="2", canary_percent="1")
            registry.tag_model("canary_percent", "10")
            third = await world.active(3)
            assert (third.wanted.share, third.wanted.salt) == (0.1, "salt-0")
            registry.set_alias("production", "2")
            assert (await world.active(4)).wanted == Wanted("2", previous="1")
            await world.aliases(production="2", previous="1")

    asyncio.run(run())


def test_aliases_that_stand_there_at_the_first_start_are_looked_at_like_others(
    world: World, registry: Registry
) -> None:
    registry.tag_model("canary_percent", "25")
    registry.set_alias("canary", "2")
    registry.set_alias("shadow", "3")

    async def run() -> None:
        async with world.working(), world.replicas("r-1"):
            await world.active(1)
            assert (await world.active(2)).wanted == Wanted("1", canary="2", share=0.25, salt="salt-0", shadow="3")

    asyncio.run(run())


def test_a_generation_of_the_command_is_written_to_the_registry_once_it_is_active(
    world: World, registry: Registry
) -> None:
    async def run() -> None:
        async with world.working(), world.replicas("r-1"):
            await world.active(1)
            await say(world, Wanted("1", canary="2", share=0.1, salt="x", shadow="3"), 1)
            await world.active(2)
            await world.aliases(production="1", canary="2", shadow="3", canary_percent="10")
            await say(world, Wanted("2", previous="1"), 2)
            await world.aliases(production="2", previous="1")
            assert (await newest(world)).number == 3, "what we write ourselves is nobody's move"

    asyncio.run(run())


@pytest.mark.parametrize("written", [0, 1, 2, 3, 4])
def test_a_controller_that_died_while_it_wrote_the_aliases_is_not_taken_for_a_person(
    world: World, registry: Registry, written: int
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
        async with world.asked() as connection:
            for number, wanted in enumerate((Wanted("1"), second, replace(second, share=0.5)), 1):
                await ledger.propose(connection, "m", wanted, after=number - 1, **SAID)
                await ledger.decide(connection, number, GenerationState.ACTIVE)
            await controller_state.agree(connection, Aliases("1"), writing=aliases_of(second))
        async with world.working(), world.replicas("r-1"):
            await world.aliases(production="1", canary="2", shadow="3", previous="5", canary_percent="50")
            assert (await newest(world)).number == 3

    asyncio.run(run())


def test_what_was_moved_by_hand_comes_on_top_of_a_generation_that_the_command_made_meanwhile(
    world: World, registry: Registry
) -> None:
    async def run() -> None:
        async with world.asked() as connection:
            await ledger.propose(connection, "m", Wanted("1"), after=0, **SAID)
            await ledger.decide(connection, 1, GenerationState.ACTIVE)
            await controller_state.agree(connection, Aliases("1"))
            await ledger.propose(connection, "m", Wanted("1", canary="2", share=0.1, salt="x"), after=1, **SAID)
        registry.set_alias("shadow", "3")
        async with world.working():
            assert (await world.decided(2, GenerationState.FAILED)).message == "overtaken by generation 3"
            async with world.replicas("r-1"):
                third = await world.active(3)
            assert third.wanted == Wanted("1", canary="2", share=0.1, salt="x", shadow="3")

    asyncio.run(run())


def test_a_version_that_one_replica_cannot_load_serves_nowhere_and_its_alias_goes_back(
    world: World, registry: Registry
) -> None:
    async def run() -> None:
        async with world.working(), world.replicas("r-1", "r-2", broken=("2",)):
            await world.active(1)
            registry.set_alias("canary", "2")
            failed = await world.decided(2, GenerationState.FAILED)
            assert failed.message == "r-1 cannot serve version 2: no such file"
            await world.aliases(production="1")
            event = await world.event("failed")
            assert (event.generation, event.version, event.message) == (2, "2", failed.message)
            await world.until(lambda _: asyncio.to_thread(has_tag, registry, "2", "rollout_failed"))
            async with world.asked() as connection:
                active = await ledger.read_newest(connection, GenerationState.ACTIVE)
                assert active is not None
                assert active.number == 1
                following = [report.following for report in await ledger.read_reports(connection)]
                assert following == [1, 1]
            # Asked for again, it is tried again.
            again = await say(world, Wanted("1", canary="2", share=0.1, salt="x"), 2)
            assert (await world.decided(again.number, GenerationState.FAILED)).message == failed.message

    asyncio.run(run())


def has_tag(registry: Registry, version: str, name: str) -> bool:
    client = registry._connected()
    return name in client.get_model_version(registry.model, version).tags


@pytest.mark.parametrize(
    ("version", "reason"),
    [("3", "20.0% below the 0.5"), ("4", "knows 0.0% of the 60 users"), ("5", "does not say which data set")],
)
def test_a_version_that_does_not_pass_the_checks_is_put_back(
    world: World, registry: Registry, version: str, reason: str
) -> None:
    async def run() -> None:
        async with world.working(), world.replicas("r-1"):
            await world.active(1)
            registry.set_alias("production", version)
            event = await world.event("refused")
            assert reason in event.message
            assert event.version == version
            await world.aliases(production="1")
            assert (await newest(world)).number == 1
            assert len(await world.events("refused")) == 1

    asyncio.run(run())


def test_a_percent_that_is_none_is_told_once_and_put_back(world: World, registry: Registry) -> None:
    async def run() -> None:
        async with world.working(), world.replicas("r-1"):
            await world.active(1)
            await say(world, Wanted("1", canary="2", share=0.1, salt="x"), 1)
            await world.aliases(production="1", canary="2", canary_percent="10")
            registry.tag_model("canary_percent", "lots")
            assert "'lots'" in (await world.event("refused")).message
            await world.aliases(production="1", canary="2", canary_percent="10")
            assert len(await world.events("refused")) == 1
            registry.delete_alias("production")
            await world.aliases(production="1", canary="2", canary_percent="10")
            assert (await newest(world)).number == 2

    asyncio.run(run())


def test_of_two_controllers_one_works_and_the_other_takes_over_when_it_ends(world: World) -> None:
    async def run() -> None:
        async with world.asked() as other:
            assert await (await other.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))).fetchone() == (True,)
            async with world.working(), world.replicas("r-1"):
                made = await say(world, Wanted("1"), 0)

                async def asked_for(connection: psycopg.AsyncConnection) -> bool:
                    cursor = await connection.execute(
                        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_try_advisory_lock%'"
                    )
                    return (await cursor.fetchone() or (0,))[0] >= 2

                await world.until(asked_for)
                assert (await newest(world)).state is GenerationState.PREPARING
                await other.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
                await world.active(made.number)

    asyncio.run(run())


def test_a_controller_whose_connections_are_cut_goes_on(world: World) -> None:
    async def run() -> None:
        async with world.working() as task, world.replicas("r-1"):
            await world.active(1)
            async with world.asked() as connection:
                cursor = await connection.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s",
                    (LOCK,),
                )
                assert await cursor.fetchone() == (1,)
            await say(world, Wanted("1", canary="2", share=0.1, salt="x"), 1)
            await world.active(2)
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
def test_what_the_gates_say_becomes_a_generation(world: World, verdict: Verdict, wanted: Wanted, event: str) -> None:
    async def judge(_: psycopg.AsyncConnection, generation: Generation) -> Verdict:
        return verdict if generation.number == 1 else says("hold")

    async def run() -> None:
        await say(world, Wanted("1", canary="2", share=0.1, salt="x", previous="5"), 0)
        async with world.working(judge=judge), world.replicas("r-1"):
            second = await world.active(2)
            assert (second.wanted, second.who, second.why) == (wanted, "gates", "3 of 4 calls failed")
            assert (await world.event(event)).version == "2"
            if event == "rolled_back":
                await world.until(lambda _: asyncio.to_thread(has_tag, world.registry, "2", "rollout_rolled_back"))

    asyncio.run(run())


@pytest.mark.parametrize(("paused", "is_applied"), [(True, True), (False, False)])
def test_what_the_gates_say_is_kept_and_not_done_where_people_decide(
    world: World, paused: bool, is_applied: bool
) -> None:
    async def judge(_: psycopg.AsyncConnection, generation: Generation) -> Verdict:
        assert not generation.wanted.paused, "the figures are worked out as if nothing were paused"
        return says("roll_back", is_applied=is_applied)

    async def run() -> None:
        await say(world, Wanted("1", canary="2", share=0.1, salt="x", paused=paused), 0)
        async with world.working(judge=judge), world.replicas("r-1"):

            async def kept(connection: psycopg.AsyncConnection) -> bool:
                verdict = (await controller_state.read_state(connection)).verdict or {}
                return (verdict.get("kind"), verdict.get("reason")) == ("roll_back", "3 of 4 calls failed")

            await world.until(kept)
            assert (await newest(world)).number == 1

    asyncio.run(run())


def test_of_two_who_promote_at_once_one_wins_and_the_other_is_told(world: World) -> None:
    def promotion(who: str) -> Proposal:
        from spotify_buddies.serve_app.rollout import changes

        return Proposal("m", changes.promote, "promote", who, "")

    async def one(who: str) -> Any:
        async with world.asked() as connection:
            return await propose(connection, promotion(who))

    async def run() -> None:
        await say(world, Wanted("1", canary="2", share=0.5, salt="x"), 0)
        # Whether the second one reads before or after the first one wrote, it is told the same.
        done = [*await asyncio.gather(*(one(who) for who in ("ann", "bob"))), await one("eve")]
        (won,) = [outcome for outcome in done if outcome.changed]
        assert won.generation.wanted == Wanted("2", previous="1")
        said = f"version 2 is production already: promoted by {won.generation.who} (generation 2, "
        assert [outcome.note[: len(said)] for outcome in done if not outcome.changed] == [said, said]

    asyncio.run(run())


@pytest.mark.parametrize("times", [1, 3])
def test_a_step_that_is_repeated_changes_nothing(world: World, registry: Registry, times: int) -> None:
    async def run() -> None:
        alias_sync = AliasSync(registry, world.fetch, FAST, lambda: "salt")
        async with world.asked() as connection:
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

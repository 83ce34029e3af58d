"""Old counts and old bundles: a real Postgres, a real registry, and a controller at work."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path

import psycopg
import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.counts import ArmCounts
from spotify_buddies.serve_app.generations.state import GenerationState, Held, Load, Report, Role, Wanted
from spotify_buddies.serve_app.rollout.gates.read import read_counts, read_position
from spotify_buddies.serve_app.rollout.retention import retain
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.trainer.registry.registry import Registry, RegistryUnavailable
from tests.serve_app.rollout.conftest import FAST, Rollout

SAID = {"who": "ann", "action": "start", "why": ""}
CANARY = Wanted("3", canary="4", share=0.05, salt="x")
# Of each: days since it was decided, its state, and what it wanted.
HISTORY = [
    (200, GenerationState.ACTIVE, Wanted("1")),
    (150, GenerationState.ACTIVE, Wanted("2", previous="1")),
    (91, GenerationState.FAILED, Wanted("2", canary="5", share=0.1)),
    (89, GenerationState.ACTIVE, Wanted("3")),
    (10, GenerationState.ACTIVE, CANARY),
]


async def write(connection: psycopg.AsyncConnection, history: Sequence[tuple[int, GenerationState, Wanted]]) -> None:
    """Generations in this order, each with counts of one replica."""
    for number, (days, state, wanted) in enumerate(history, 1):
        await ledger.propose(connection, "m", wanted, after=number - 1, **SAID)
        await ledger.decide(connection, number, state)
        await connection.execute(
            "UPDATE rollout_generations SET at = now() - make_interval(days => %s),"
            " decided_at = now() - make_interval(days => %s) WHERE number = %s",
            (days, days, number),
        )
        arms = [("production", wanted.production), ("canary", wanted.canary)]
        rows = [ArmCounts(arm, version, 1, 0, 0, 0, (1,) * 52, b"") for arm, version in arms if version is not None]
        await ledger.count(connection, number, "r-1", rows)


async def counted(connection: psycopg.AsyncConnection) -> list[int]:
    cursor = await connection.execute("SELECT DISTINCT generation FROM rollout_counts ORDER BY generation")
    return [generation for (generation,) in await cursor.fetchall()]


@pytest.mark.parametrize(
    ("history", "kept"),
    [
        ([], []),
        (HISTORY[:1], [1]),
        # The second was active 90 days ago, and ended 89 days ago.
        (HISTORY, [2, 3, 4, 5]),
        # All of a canary that began long ago, a pause and a step included.
        ([(300, state, wanted) for _, state, wanted in HISTORY] + [(200, GenerationState.ACTIVE, CANARY)], [5, 6]),
        # A canary of before with the same version is another one.
        ([(300, GenerationState.ACTIVE, wanted) for wanted in (CANARY, Wanted("3"), CANARY)], [3]),
    ],
)
def test_counts_of_generations_that_ended_long_ago_are_deleted_but_the_canarys(
    rollout: Rollout, history: list[tuple[int, GenerationState, Wanted]], kept: list[int]
) -> None:
    async def run() -> None:
        async with rollout.asked() as connection:
            await write(connection, history)
            before = await counted(connection)
            deleted = await ledger.prune_counts(connection, 90, batch=1)
            assert await counted(connection) == kept
            assert (deleted > 0) == (before != kept)
            assert await ledger.prune_counts(connection, 90) == 0

    asyncio.run(run())


def test_what_the_gates_add_up_is_the_same_before_and_after(rollout: Rollout) -> None:
    async def run() -> None:
        async with rollout.asked() as connection:
            old = [(days + 200, state, wanted) for days, state, wanted in HISTORY]
            await write(connection, [*old, (190, GenerationState.ACTIVE, CANARY)])
            active = await ledger.read_newest(connection, GenerationState.ACTIVE)
            assert active is not None
            _, first = await read_position(connection, active)
            before = await read_counts(connection, active, first)
            assert await ledger.prune_counts(connection, 1) > 0
            assert await read_counts(connection, active, first) == before

    asyncio.run(run())


def test_versions_of_the_last_days_are_those_that_some_generation_wanted_then(rollout: Rollout) -> None:
    async def run() -> None:
        async with rollout.asked() as connection:
            assert await ledger.read_versions(connection, 14) == set()
            await write(connection, HISTORY)
            assert await ledger.read_versions(connection, 14) == {"3", "4"}
            assert await ledger.read_versions(connection, 90) == {"1", "2", "3", "4"}
            assert await ledger.read_versions(connection, 92) == {"1", "2", "3", "4", "5"}

    asyncio.run(run())


def test_versions_of_aliases_generations_and_live_replicas_stay(rollout: Rollout) -> None:
    asked: list[set[str]] = []

    def prune(keep: Collection[str]) -> list[str]:
        asked.append(set(keep))
        return ["2"]

    async def named() -> set[str]:
        return {"9"}

    async def run() -> None:
        async with rollout.asked() as connection:
            await write(connection, HISTORY)
            held = {"7": Held(Load.READY, (await ledger.read_history(connection))[0].at)}
            await ledger.report(connection, Report("r-1", Role.RANKER, 5, 5, held))
            pruned = await retain(connection, RolloutSettings(), named, prune)
            assert asked == [{"3", "4", "7", "9"}]
            assert (pruned.counts, pruned.versions, pruned.complete) == (1, ("2",), True)
            await retain(connection, RolloutSettings(bundles_days=0), named, prune)
            assert len(asked) == 1

    asyncio.run(run())


def test_no_bundle_is_deleted_while_the_registry_is_unreachable_or_empty(rollout: Rollout) -> None:
    def prune(keep: Collection[str]) -> list[str]:
        raise AssertionError(keep)

    async def unreachable() -> set[str]:
        raise RegistryUnavailable("no answer")

    async def empty() -> set[str]:
        return set()

    async def run() -> None:
        async with rollout.asked() as connection:
            await write(connection, HISTORY)
            pruned = await retain(connection, RolloutSettings(), unreachable, prune)
            assert (pruned.counts, pruned.complete) == (1, False)
            assert (await retain(connection, RolloutSettings(), empty, prune)).complete

    asyncio.run(run())


def test_a_disk_that_refuses_does_not_stop_the_controller(rollout: Rollout) -> None:
    def prune(keep: Collection[str]) -> list[str]:
        raise PermissionError(Path("bundles"))

    async def named() -> set[str]:
        return {"1"}

    async def run() -> None:
        async with rollout.asked() as connection:
            assert not (await retain(connection, RolloutSettings(), named, prune)).complete

    asyncio.run(run())


def test_the_controller_deletes_old_counts_and_bundles_at_its_start_and_after_an_activation(
    rollout: Rollout, registry: Registry
) -> None:
    registry.set_alias("champion", "4")
    asked: list[set[str]] = []

    def prune(keep: Collection[str]) -> list[str]:
        asked.append(set(keep))
        return []

    async def run() -> None:
        async with rollout.asked() as connection:
            await write(connection, [*HISTORY[:2], (100, GenerationState.ACTIVE, Wanted("1"))])

        async def pruned(connection: psycopg.AsyncConnection) -> bool:
            return await counted(connection) == [3] and {"1", "4"} in asked

        async def kept(_: psycopg.AsyncConnection) -> bool:
            return {"1", "2", "4"} in asked

        async with rollout.working(FAST, prune=prune), rollout.replicas("r-1"):
            await rollout.until(pruned)
            async with rollout.asked() as connection:
                await ledger.propose(connection, "m", Wanted("1", shadow="2"), after=3, **SAID)
            await rollout.active(4)
            await rollout.until(kept)

    asyncio.run(run())

"""Versions and percents that the controller refuses and puts back."""

from __future__ import annotations

import asyncio

import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import GenerationState, Wanted
from spotify_buddies.trainer.registry.registry import Registry
from tests.serve_app.rollout.conftest import Rollout
from tests.serve_app.rollout.proposals import has_tag, newest, say


def test_a_version_that_one_replica_cannot_load_serves_nowhere_and_its_alias_goes_back(
    rollout: Rollout, registry: Registry
) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1", "r-2", broken=("2",)):
            await rollout.active(1)
            registry.set_alias("canary", "2")
            failed = await rollout.decided(2, GenerationState.FAILED)
            assert failed.message == "r-1 cannot serve version 2: no such file"
            await rollout.aliases(production="1")
            event = await rollout.event("failed")
            assert (event.generation, event.version, event.message) == (2, "2", failed.message)
            await rollout.until(lambda _: asyncio.to_thread(has_tag, registry, "2", "rollout_failed"))
            async with rollout.asked() as connection:
                active = await ledger.read_newest(connection, GenerationState.ACTIVE)
                assert active is not None
                assert active.number == 1
                following = [report.following for report in await ledger.read_reports(connection)]
                assert following == [1, 1]
            # Asked for again, it is tried again.
            again = await say(rollout, Wanted("1", canary="2", share=0.1, salt="x"), 2)
            assert (await rollout.decided(again.number, GenerationState.FAILED)).message == failed.message

    asyncio.run(run())


@pytest.mark.parametrize(
    ("version", "reason"),
    [("3", "20.0% below the 0.5"), ("4", "knows 0.0% of the 60 users"), ("5", "does not say which data set")],
)
def test_a_version_that_does_not_pass_the_checks_is_put_back(
    rollout: Rollout, registry: Registry, version: str, reason: str
) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1"):
            await rollout.active(1)
            registry.set_alias("production", version)
            event = await rollout.event("refused")
            assert reason in event.message
            assert event.version == version
            await rollout.aliases(production="1")
            assert (await newest(rollout)).number == 1
            assert len(await rollout.events("refused")) == 1

    asyncio.run(run())


def test_a_percent_that_is_none_is_told_once_and_put_back(rollout: Rollout, registry: Registry) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1"):
            await rollout.active(1)
            await say(rollout, Wanted("1", canary="2", share=0.1, salt="x"), 1)
            await rollout.aliases(production="1", canary="2", canary_percent="10")
            registry.tag_model("canary_percent", "lots")
            assert "'lots'" in (await rollout.event("refused")).message
            await rollout.aliases(production="1", canary="2", canary_percent="10")
            assert len(await rollout.events("refused")) == 1
            registry.delete_alias("production")
            await rollout.aliases(production="1", canary="2", canary_percent="10")
            assert (await newest(rollout)).number == 2

    asyncio.run(run())

"""Generations that a test proposes, and the newest one."""

from __future__ import annotations

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, Wanted
from spotify_buddies.trainer.registry.registry import Registry
from tests.serve_app.rollout.conftest import Rollout

SAID = {"who": "ann", "action": "start", "why": "better offline"}


async def say(rollout: Rollout, wanted: Wanted, after: int, who: str = "ann") -> Generation:
    async with rollout.asked() as connection:
        said = {**SAID, "who": who}
        return await ledger.propose(connection, "m", wanted, after=after, **said)


async def newest(rollout: Rollout) -> Generation:
    async with rollout.asked() as connection:
        generation = await ledger.read_newest(connection)
    assert generation is not None
    return generation


def has_tag(registry: Registry, version: str, name: str) -> bool:
    client = registry._connected()
    return name in client.get_model_version(registry.model, version).tags

"""A registry that is stopped and comes back: a real MLflow server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from spotify_buddies.foundation.process.ports import free_port
from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Wanted
from spotify_buddies.serve_app.rollout.controller_state import read_state
from spotify_buddies.serve_app.rollout.gauges import RolloutFigures
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.trainer.registry.registry import Registry
from tests.mlflow_server import mlflow_server
from tests.serve_app.rollout.conftest import WITHIN_S, Rollout
from tests.waiting import until


@asynccontextmanager
async def served(state_dir: Path, port: int) -> AsyncIterator[None]:
    """The server starts and ends beside the loop, on which replicas go on reporting."""
    server = mlflow_server(state_dir, port)
    await asyncio.to_thread(server.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


def test_while_the_registry_is_away_rollouts_go_on_and_are_written_there_when_it_is_back(
    rollout: Rollout, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    port = free_port()
    remote = Registry(f"http://127.0.0.1:{port}", rollout.registry.model)
    settings = RolloutSettings(poll_s=0.1)
    told: list[RolloutFigures] = []

    async def run() -> None:
        async with AsyncExitStack() as stack:
            # The server comes before the controller, which would notice at once that it is away.
            async with served(state_dir, port):
                working = rollout.working(settings, registry=remote, tell=told.append)
                task = await stack.enter_async_context(working)
                await stack.enter_async_context(rollout.replicas("r-1"))
                await rollout.active(1)
            assert "does not answer" in (await rollout.event("registry_away")).message
            async with rollout.asked() as connection:
                assert (await read_state(connection)).away_since is not None
                said = {"who": "ann", "action": "start", "why": ""}
                wanted = Wanted("1", canary="2", share=0.1, salt="x")
                await ledger.propose(connection, "m", wanted, after=1, **said)
            await rollout.active(2)
            assert len(await rollout.events("registry_away")) == 1, "told once"
            await until_told(lambda seen: (seen.active, seen.share) == (2, 0.1) and seen.registry_away_s > 0)
            async with served(state_dir, port):
                await rollout.event("registry_back")
                await rollout.aliases(production="1", canary="2", canary_percent="10")
                await rollout.until(here)
                await until_told(lambda seen: seen.registry_away_s == 0)
            assert not task.done()
        events = sum((Counter(seen.events) for seen in told), Counter())
        assert (events["registry_away"], events["registry_back"]) == (1, 1)

    async def until_told(condition: Callable[[RolloutFigures], bool]) -> None:
        await until(lambda: condition(told[-1]), "what the controller reports", WITHIN_S)

    async def here(connection: psycopg.AsyncConnection) -> bool:
        return (await read_state(connection)).away_since is None

    asyncio.run(run())

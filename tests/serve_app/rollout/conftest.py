"""A real registry with a few versions, a real Postgres, and replicas that report as real ones do."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Held, Load, Report, Role
from spotify_buddies.serve_app.rollout.controller import Controller
from spotify_buddies.serve_app.rollout.preflight import Fetch
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.store.database.migrate import migrate
from spotify_buddies.trainer.bundle import BundleParts, write_bundle
from spotify_buddies.trainer.registry.mlflow_client import artifact_location, connect, default_uri
from spotify_buddies.trainer.registry.registry import Registry
from tests.serve_app.bundles import parts
from tests.waiting import until

MODEL = "organic-playlists"
TABLES = "rollout_generations, rollout_replicas, rollout_events, rollout_counts, rollout_controller"
FAST = RolloutSettings(poll_s=0.05)
WITHIN_S = 60.0


def versions(index: Path) -> list[BundleParts]:
    """1: what serves. 2: as good. 3: worse offline. 4: other people. 5: nobody knows from which data."""
    good = replace(parts(index, seed=1), metrics={"random/mrr": 0.5, "random/hit@1": 0.2}, dataset_fingerprint="d" * 64)
    return [
        good,
        replace(good, user_factors=parts(index, seed=2).user_factors, metrics={"random/mrr": 0.51, "cold/mrr": 0.1}),
        replace(good, user_factors=parts(index, seed=3).user_factors, metrics={"random/mrr": 0.4}),
        replace(good, user_ids=[f"other-{user}" for user in range(len(good.user_ids))]),
        replace(good, user_factors=parts(index, seed=5).user_factors, dataset_fingerprint=""),
    ]


@pytest.fixture(scope="session")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory whose registry has versions 1 to 5 and the alias production on 1."""
    state = tmp_path_factory.mktemp("five")
    index = state / "index"
    index.mkdir()
    (index / "vectors.bin").write_bytes(b"0123456789")
    uri = default_uri(state)
    client = connect(uri)
    experiment = client.create_experiment("buddies", artifact_location(uri, state))
    registry = Registry(uri, MODEL)
    for number, made in enumerate(versions(index), 1):
        bundle = write_bundle(state / "bundles" / str(number), made)
        run = client.create_run(experiment).info.run_id
        assert registry.register(bundle.directory, run, aliases=["production"] if number == 1 else []) == str(number)
    return state


@pytest.fixture
def state_dir(five: Path, tmp_path: Path) -> Path:
    """A registry of its own with the same versions, whose bundles lie where they lay."""
    (tmp_path / "mlflow").mkdir()
    shutil.copy(five / "mlflow" / "mlflow.db", tmp_path / "mlflow" / "mlflow.db")
    return tmp_path


@pytest.fixture
def registry(state_dir: Path) -> Registry:
    return Registry(default_uri(state_dir), MODEL)


@dataclass
class Rollout:
    """A database without generations, and a registry."""

    url: str
    registry: Registry
    fetch: Fetch

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[psycopg.AsyncConnection]:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            yield connection

    def controller(self, settings: RolloutSettings = FAST, registry: Registry | None = None, **more: Any) -> Controller:
        salts = (f"salt-{number}" for number in itertools.count())
        # Of its own: a registry's client is one thread's.
        seen = registry or Registry(self.registry.uri, self.registry.model)
        return Controller(seen, self.url, self.fetch, settings, salt=lambda: next(salts), **more)

    @asynccontextmanager
    async def working(self, settings: RolloutSettings = FAST, **more: Any) -> AsyncIterator[asyncio.Task[None]]:
        """A controller at work until the block ends."""
        task = asyncio.create_task(self.controller(settings, **more).run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @asynccontextmanager
    async def replicas(self, *names: str, broken: tuple[str, ...] = ()) -> AsyncIterator[list[asyncio.Task[None]]]:
        """Replicas that load and report; broken: versions that fail on the first of them."""
        async with AsyncExitStack() as stack:
            tasks = []
            for number, name in enumerate(names):
                connection = await stack.enter_async_context(self.asked())
                failing = broken if number == 0 else ()
                tasks.append(asyncio.create_task(follow(connection, name, failing)))
            try:
                yield tasks
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def active(self, number: int) -> Generation:
        """Wait for a generation to be active and return it."""
        return await self.decided(number, GenerationState.ACTIVE)

    async def decided(self, number: int, state: GenerationState) -> Generation:
        generations: list[Generation] = []

        async def look(connection: psycopg.AsyncConnection) -> bool:
            generations[:] = [one for one in await ledger.read_history(connection) if one.number == number]
            if not generations:
                return False
            assert generations[0].state in (state, GenerationState.PREPARING), generations
            return generations[0].state is state

        await self.until(look)
        return generations[0]

    async def until(self, condition: Callable[[psycopg.AsyncConnection], Awaitable[Any]]) -> None:
        async with self.asked() as connection:
            await until(lambda: condition(connection), "what the test waits for", WITHIN_S)

    async def aliases(self, **wanted: str) -> None:
        """Wait until the registry has exactly these aliases, and canary_percent=.. as a tag or no such tag."""
        percent = wanted.pop("canary_percent", None)

        async def look(_: psycopg.AsyncConnection) -> bool:
            registered = await asyncio.to_thread(self.registry.read_aliases)
            return dict(registered.aliases) == wanted and registered.tags.get("canary_percent") == percent

        await self.until(look)

    async def events(self, kind: str) -> list[Any]:
        async with self.asked() as connection:
            return [event for event in await ledger.read_events(connection) if event.kind == kind]

    async def event(self, kind: str) -> Any:
        """Wait for an event of a kind and return it."""

        async def look(connection: psycopg.AsyncConnection) -> bool:
            return any(event.kind == kind for event in await ledger.read_events(connection))

        await self.until(look)
        return (await self.events(kind))[0]


async def follow(connection: psycopg.AsyncConnection, name: str, broken: tuple[str, ...]) -> None:
    """A replica, as far as Postgres sees one: it prepares what is wanted and follows what is active."""
    held: dict[str, Held] = {}
    prepared = 0
    while True:
        active, newest = (
            await ledger.read_newest(connection, GenerationState.ACTIVE),
            await ledger.read_newest(connection),
        )
        for generation in (active, newest):
            if generation is None or generation.state is GenerationState.FAILED:
                continue
            for version in generation.wanted.versions:
                if version not in held or (held[version].state is Load.FAILED and held[version].since < generation.at):
                    state = Load.FAILED if version in broken else Load.READY
                    held[version] = Held(state, datetime.now(UTC), "no such file" if state is Load.FAILED else "")
            if all(held[version].state is Load.READY for version in generation.wanted.versions):
                prepared = max(prepared, generation.number)
        following = active.number if active is not None else 0
        await ledger.report(connection, Report(name, Role.RANKER, prepared, following, held))
        await asyncio.sleep(0.03)


@pytest.fixture
def rollout(postgres_url: str, registry: Registry, state_dir: Path) -> Rollout:
    async def clear() -> None:
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
            await migrate(connection)
            await connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY".encode())

    asyncio.run(clear())
    return Rollout(postgres_url, registry, partial(registry.fetch, directory=state_dir / "bundles"))

"""A replica with a real Postgres and a real registry: it serves what is wanted there, and reports what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app import build
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.build import local, open_index, open_service, shelf_of
from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.counts import unpack
from spotify_buddies.serve_app.generations.state import GenerationState, Load, Report, Role, Wanted
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.store.database.migrate import migrate
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.trainer.registry.registry import Registry
from tests.serve_app.bundles import PLAYLISTS
from tests.serve_app.versions.conftest import USER_IDS
from tests.waiting import until

SAID = {"who": "ann", "action": "start", "why": "better offline"}
SETTINGS = ServeSettings(store_budget_ms=5_000, neighbour_budget_ms=5_000)
WITHIN_S = 120.0


@dataclass
class Fleet:
    """What a test acts on: the database, where bundles come from, and a first version to start with."""

    connection: psycopg.AsyncConnection
    services: Services
    versions: dict[str, Path]

    @asynccontextmanager
    async def replica(self, name: str = "r-1", version: str = "1") -> AsyncIterator[Service]:
        async with AsyncExitStack() as stack:
            yield await open_service(
                SETTINGS, self.versions[version], version, self.services, stack,
                model="m", telemetry=Silent(), neighbours=local, replica=name,
            )  # fmt: skip

    async def propose(self, wanted: Wanted) -> int:
        newest = await ledger.read_newest(self.connection)
        after = 0 if newest is None else newest.number
        return (await ledger.propose(self.connection, "m", wanted, after=after, **SAID)).number

    async def activate(self, wanted: Wanted, replicas: int = 1) -> int:
        """What a controller does when all goes well."""
        number = await self.propose(wanted)
        await self.until(lambda told: len(told) == replicas and all(one.prepared == number for one in told))
        assert await ledger.decide(self.connection, number, GenerationState.ACTIVE)
        await self.until(lambda told: all(one.following == number for one in told))
        return number

    async def until(self, holds: Callable[[list[Report]], bool]) -> list[Report]:
        async def look() -> list[Report] | None:
            told = await ledger.read_reports(self.connection)
            return told if holds(told) else None

        return await until(look, "the reports that the test waits for", WITHIN_S) or []


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder, as of one machine: asking the registry takes a process of its own."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture
def run_fleet(
    postgres_url: str, registry: Registry, versions: dict[str, Path], bundles: Path
) -> Callable[[Callable[[Fleet], Awaitable[None]]], None]:
    services = Services(postgres_url=postgres_url, mlflow_uri=registry.uri, bundles=bundles)

    def run(work: Callable[[Fleet], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
                await migrate(connection)
                await connection.execute(
                    "TRUNCATE rollout_generations, rollout_replicas, rollout_events, rollout_counts"
                )
                await work(Fleet(connection, services, versions))

        asyncio.run(whole())

    return run


async def ask(service: Service, user_ids: list[str] = USER_IDS) -> list[tuple[str, int]]:
    answered = await service.recommend(pb.RecommendRequest(user_ids=user_ids))
    recommendations = pb.RecommendResponse.FromString(answered.SerializeToString()).recommendations
    return [(one.model_version, int(one.arm)) for one in recommendations]


async def status(service: Service) -> pb.GetModelStatusResponse:
    return await service.get_model_status(pb.GetModelStatusRequest())


def has_failed(told: list[Report], version: str) -> bool:
    held = [one.versions.get(version) for one in told]
    return bool(held) and all(one is not None and one.state is Load.FAILED for one in held)


def test_without_generations_the_given_version_is_served_and_reported(run_fleet: Any) -> None:
    async def work(fleet: Fleet) -> None:
        async with fleet.replica() as service:
            assert set(await ask(service)) == {("1", pb.ARM_PRODUCTION)}
            (told,) = await fleet.until(lambda told: len(told) == 1)
            assert (told.replica, told.role, told.prepared, told.following) == ("r-1", Role.RANKER, 0, 0)
            assert {version: held.state for version, held in told.versions.items()} == {"1": Load.READY}
            assert told.versions["1"].sha256 == service.engine.bundle.sha256
        assert await ledger.read_reports(fleet.connection) == [], "a clean stop takes the report away"

    run_fleet(work)


def test_a_generation_is_prepared_and_takes_traffic_only_once_it_is_active(run_fleet: Any) -> None:
    async def work(fleet: Fleet) -> None:
        async with fleet.replica() as service:
            number = await fleet.propose(Wanted("1", canary="2", share=0.5, salt="s", previous="1"))
            (told,) = await fleet.until(lambda told: bool(told) and told[0].prepared == number)
            assert told.following == 0
            assert {version for version, _ in await ask(service)} == {"1"}
            assert await ledger.decide(fleet.connection, number, GenerationState.ACTIVE)
            await fleet.until(lambda told: bool(told) and told[0].following == number)
            assert set(await ask(service)) == {("1", pb.ARM_PRODUCTION), ("2", pb.ARM_CANARY)}
            answer = await status(service)
            assert answer.generation == number
            assert [(v.version, v.state, v.arm, v.share) for v in answer.versions] == [
                ("1", pb.VERSION_STATE_READY, pb.ARM_PRODUCTION, 0.5),
                ("2", pb.VERSION_STATE_READY, pb.ARM_CANARY, 0.5),
            ]
            assert [(v.users, v.playlists, len(v.bundle_sha256)) for v in answer.versions] == [(60, 120, 64)] * 2

    run_fleet(work)


def test_a_failed_version_is_told_and_never_takes_traffic(run_fleet: Any, tmp_path: Path) -> None:
    async def work(fleet: Fleet) -> None:
        async with fleet.replica() as service:
            number = await fleet.propose(Wanted("99", previous="1"))
            (told,) = await fleet.until(
                lambda told: bool(told) and "99" in told[0].versions and told[0].versions["99"].state is Load.FAILED
            )
            assert told.prepared == 0
            assert "no version '99'" in told.versions["99"].message
            (wrong,) = [v for v in (await status(service)).versions if v.version == "99"]
            assert (wrong.state, wrong.arm) == (pb.VERSION_STATE_FAILED, pb.ARM_UNSPECIFIED)
            assert "no version '99'" in wrong.message
            assert await ledger.decide(fleet.connection, number, GenerationState.FAILED, "broken")
            assert {version for version, _ in await ask(service)} == {"1"}
            # The next one is followed as if there had been none.
            await fleet.activate(Wanted("2", previous="1"))
            assert {version for version, _ in await ask(service)} == {"2"}
            assert [v.version for v in (await status(service)).versions] == ["2", "1"]

    run_fleet(work)


def test_a_replica_that_starts_serves_the_active_generation_and_prepares_the_next(run_fleet: Any) -> None:
    async def work(fleet: Fleet) -> None:
        async with fleet.replica():
            active = await fleet.activate(Wanted("2", canary="3", share=0.25, salt="s", previous="1"))
            async with fleet.replica("r-2") as late:
                assert {version for version, _ in await ask(late)} == {"2", "3"}
                assert (await status(late)).generation == active
                await fleet.activate(Wanted("3", previous="2"), replicas=2)
                assert {version for version, _ in await ask(late)} == {"3"}

    run_fleet(work)


def test_a_replica_whose_active_version_cannot_be_loaded_serves_what_it_was_given(run_fleet: Any) -> None:
    async def work(fleet: Fleet) -> None:
        number = await fleet.propose(Wanted("99"))
        await ledger.decide(fleet.connection, number, GenerationState.ACTIVE)
        async with fleet.replica() as service:
            assert {version for version, _ in await ask(service)} == {"1"}
            (told,) = await fleet.until(lambda told: bool(told) and "99" in told[0].versions)
            assert told.following == 0
            assert [(v.version, v.state) for v in (await status(service)).versions] == [
                ("1", pb.VERSION_STATE_READY),
                ("99", pb.VERSION_STATE_FAILED),
            ]

    run_fleet(work)


def test_counts_of_both_arms_are_written_with_the_heartbeat_and_at_the_end(run_fleet: Any) -> None:
    async def work(fleet: Fleet) -> None:
        async with fleet.replica() as service:
            number = await fleet.activate(Wanted("1", canary="2", share=0.5, salt="s", shadow="3"))
            for _ in range(3):
                await ask(service)
        cursor = await fleet.connection.execute(
            "SELECT generation, replica, arm, version, listeners, errors, shown FROM rollout_counts ORDER BY arm"
        )
        rows = await cursor.fetchall()
        assert [row[:4] for row in rows] == [
            (number, "r-1", "canary", "2"), (number, "r-1", "production", "1"), (number, "r-1", "shadow", "3"),
        ]  # fmt: skip
        assert rows[0][4] + rows[1][4] == 3 * len(USER_IDS)
        assert [row[5] for row in rows] == [0, 0, 0]
        assert all(unpack(row[6], PLAYLISTS).any() for row in rows[:2])

    run_fleet(work)


def test_a_database_that_loses_its_connections_is_followed_again(run_fleet: Any) -> None:
    async def work(fleet: Fleet) -> None:
        async with fleet.replica() as service:
            await fleet.activate(Wanted("2", previous="1"))
            cursor = await fleet.connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
            assert (await cursor.fetchone()) != (0,)
            assert {version for version, _ in await ask(service)} == {"2"}
            await fleet.activate(Wanted("1", previous="2"))
            assert {version for version, _ in await ask(service)} == {"1"}

    run_fleet(work)


def test_a_database_that_is_away_at_the_start_lets_the_given_version_serve(run_fleet: Any, tmp_path: Path) -> None:
    async def work(fleet: Fleet) -> None:
        away = Services(f"postgresql:///x?host={tmp_path}", mlflow_uri=fleet.services.mlflow_uri, bundles=tmp_path)
        async with AsyncExitStack() as stack:
            service = await open_service(
                SETTINGS, fleet.versions["1"], "1", away, stack,
                model="m", telemetry=Silent(), neighbours=local, replica="r-1",
            )  # fmt: skip
            assert {version for version, _ in await ask(service)} == {"1"}

    run_fleet(work)


@pytest.mark.parametrize("missing", ["postgres_url", "mlflow_uri", "bundles"])
def test_without_postgres_or_a_registry_nothing_is_followed(missing: str) -> None:
    given: dict[str, Any] = {"postgres_url": "a", "mlflow_uri": "b", "bundles": Path("c")}
    whole, lacking = Services(**given), Services(**{**given, missing: None})
    assert (whole.follows_registry, lacking.follows_registry) == (True, False)
    assert shelf_of(whole, "m") is not None
    assert shelf_of(lacking, "m") is None


def test_the_index_has_the_versions_that_are_wanted(run_fleet: Any) -> None:
    taste = (np.array([0, 1], np.int64), np.array([4], np.int32), 5)

    async def work(fleet: Fleet) -> None:
        async with AsyncExitStack() as stack:
            table = await open_index(
                SETTINGS, fleet.versions["1"], "1", fleet.services, stack, model="m", replica="i-1"
            )
            assert (table.get("1") is None, table.get("2") is None) == (False, True)
            await fleet.activate(Wanted("2", previous="1"))
            (told,) = await ledger.read_reports(fleet.connection)
            assert (told.role, told.replica, set(told.versions)) == (Role.INDEX, "i-1", {"1", "2"})
            for version in ("1", "2"):
                searching = table.get(version)
                assert searching is not None
                assert (await searching.search(*taste))[0].tolist() == [0, 5]
            await fleet.activate(Wanted("2"))
            assert table.get("1") is None

    run_fleet(work)


def test_a_start_waits_for_the_active_generation_for_a_bounded_time_only(
    run_fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "FOLLOW_WITHIN_S", 0.0)

    async def work(fleet: Fleet) -> None:
        number = await fleet.propose(Wanted("2"))
        await ledger.decide(fleet.connection, number, GenerationState.ACTIVE)
        async with fleet.replica() as service:
            assert {version for version, _ in await ask(service)} == {"1"}
            await fleet.until(lambda told: bool(told) and told[0].following == number)
            assert {version for version, _ in await ask(service)} == {"2"}

    run_fleet(work)

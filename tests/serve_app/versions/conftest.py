"""Versions that answer differently from each other, as bundles over one index, and a replica that serves them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.build import local
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Load, Wanted
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.telemetry.metrics import Silent, Telemetry
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.ranker import Loader, Ranker
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from spotify_buddies.serve_app.versions.table import Loaded, VersionTable
from spotify_buddies.trainer.bundle import open_bundle, write_bundle
from spotify_buddies.trainer.publish.tracking import track
from spotify_buddies.trainer.registry.mlflow_client import artifact_location, default_uri
from spotify_buddies.trainer.registry.registry import Registry
from tests.serve_app.bundles import DIMENSION, USERS, parts

USER_IDS = [f"user-{row}" for row in range(USERS)]
ASKED = Query(user_ids=tuple(USER_IDS))


@pytest.fixture(scope="session")
def versions(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles by version; in each of them users have other factors."""
    made = {"1": bundle_dir}
    directory = tmp_path_factory.mktemp("versions")
    for version in ("2", "3"):
        factors = np.random.default_rng(int(version)).normal(size=(USERS, DIMENSION)).astype(np.float32)
        written = replace(parts(bundle_dir.parent / "index"), user_factors=factors)
        made[version] = write_bundle(directory / version, written).directory
    return made


@pytest.fixture
def answers(versions: dict[str, Path]) -> Callable[..., Answers]:
    """Answers of a version, without stores unless given."""

    def make(version: str, **given: Any) -> Answers:
        engine = Engine(open_bundle(versions[version], check_hashes=False), version)
        fields: dict[str, Any] = {"budgets": Budgets(5.0, 5.0), "daily": None, "history": None, "telemetry": Silent()}
        return Answers(engine, **{**fields, **given})

    return make


def lists(data: bytes) -> list[tuple[Any, ...]]:
    """What an answer says, but for the ids that are drawn."""
    return [
        (r.user_id, r.model_version, r.arm, [(p.playlist_id, p.score) for p in r.playlists], r.source, r.error.field)
        for r in pb.RecommendResponse.FromString(data).recommendations
    ]


@pytest.fixture(scope="session")
def registry(versions: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A real registry with the versions under their numbers, production first."""
    state = tmp_path_factory.mktemp("registry")
    (state / "mlflow").mkdir()
    uri = default_uri(state)
    made = Registry(uri, "m")
    for version, directory in versions.items():
        with track(uri, "buddies", name="r", parameters={}, tags={}, artifacts=artifact_location(uri, state)) as run:
            assert made.register(directory, run.run_id, aliases=("production",) if version == "1" else ()) == version
    return made


def generation(number: int, production: str, **wanted: Any) -> Generation:
    now = datetime.now(UTC)
    return Generation(number, Wanted(production, **wanted), now, "ann", "start", "why", GenerationState.ACTIVE)


def bare_answers(engine: Engine) -> Answers:
    return Answers(engine, budgets=Budgets(5.0, 5.0), daily=None, history=None, telemetry=Silent())


async def settle(table: VersionTable[Any], *versions: str) -> None:
    """Wait until none of the versions is being loaded."""
    async with asyncio.timeout(60):
        while any(v not in table.held or table.held[v].state is Load.LOADING for v in versions):
            table.changed.clear()
            await table.changed.wait()


class Replica:
    """A ranker without Postgres: the test says what is wanted."""

    def __init__(self, fetch: Callable[[str], Path], telemetry: Telemetry | None = None) -> None:
        given = bare_answers(Engine(open_bundle(fetch("1"), check_hashes=False), "1"))
        self.table: VersionTable[Answers] = VersionTable()
        self.table.put("1", Loaded(given, "x"))
        self.table.load_with(Loader(lambda version: nullcontext(fetch(version)), bare_answers, local))
        self.rotation = Rotation(Assignment(ArmAnswers(given)))
        self.ranker = Ranker(self.rotation, self.table, telemetry or Silent())

    async def serve(self, wanted: Generation) -> bool:
        self.table.want(wanted.wanted.versions)
        await settle(self.table, *wanted.wanted.versions)
        return self.ranker.follow(wanted)

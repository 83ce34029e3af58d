"""A service over the generated bundle and a real Postgres, what it answered, and the command that computes it again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.build import local
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Arm
from spotify_buddies.serve_app.ranking.rules import Exploration
from spotify_buddies.serve_app.store.store import Store, StoreSettings
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Budgets
from tests.waiting import WITHIN_S

PATIENT = StoreSettings(WITHIN_S, seen_s=WITHIN_S, attribution_s=WITHIN_S, load_s=WITHIN_S, flush_s=WITHIN_S)
# As the setting's default: the neighbours of these tastes are counted in the process.
COUNTED = 50_000


@dataclass
class Unasked(Silent):
    lists: int = 0

    def count_unasked(self, lists: int) -> None:
        self.lists += lists


@dataclass
class World:
    """One service and its database. Every list is written when `serve` returns."""

    url: str
    engine: Engine
    telemetry: Unasked = field(default_factory=Unasked)

    def serve(
        self,
        work: Callable[[Service], Any],
        *,
        searching: bool = True,
        explorations: Mapping[Arm, Exploration] | None = None,
    ) -> Any:
        async def run() -> Any:
            async with Store(self.url, PATIENT) as store:
                service = Service(
                    self.engine, model="m", budgets=Budgets(WITHIN_S, WITHIN_S, COUNTED if searching else 0),
                    feedback=store, daily=None, telemetry=self.telemetry, history=store, explorations=explorations,
                )  # fmt: skip
                if searching:
                    service.use_neighbours(local(self.engine))
                return await work(service)

        return asyncio.run(run())

    def recommend(
        self, *, searching: bool = True, explorations: Mapping[Arm, Exploration] | None = None, **fields: Any
    ) -> list[pb.Recommendation]:
        async def work(service: Service) -> list[pb.Recommendation]:
            return await recommend(service, **fields)

        return list(self.serve(work, searching=searching, explorations=explorations))

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []


async def recommend(service: Service, **fields: Any) -> list[pb.Recommendation]:
    answered = await service.recommend(pb.RecommendRequest(**fields))
    return list(pb.RecommendResponse.FromString(answered.SerializeToString()).recommendations)


@pytest.fixture(scope="module")
def world(postgres_url: str, engine: Engine) -> World:
    made = World(postgres_url, engine)
    made.ask("DROP SCHEMA public CASCADE")
    made.ask("CREATE SCHEMA public")
    return made


@pytest.fixture
def command(world: World, bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`buddies online replay`, beside a service that serves the generated bundle as version 7."""
    monkeypatch.setenv("BUDDIES_POSTGRES_URL", world.url)
    monkeypatch.setenv("BUDDIES_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "serving.json").write_text(json.dumps({"pid": 1, "model_version": "7", "bundle": str(bundle_dir)}))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(build_app(), ["online", "replay", *arguments])

    return call

"""A database without tables, and what the tests of the store ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pytest

from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.ranking.query import Source
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.maintain import Retention, maintain
from spotify_buddies.serve_app.store.database.migrate import migrate
from spotify_buddies.serve_app.telemetry.metrics import Silent

PLAYLISTS = [f"list-{row}" for row in range(100)]


class Counting(Silent):
    """Telemetry that a test can read."""

    def __init__(self) -> None:
        self.impressions: dict[str, int] = {}
        self.feedback: dict[str, int] = {}
        self.attribution: dict[str, int] = {}
        self.follow: list[str] = []
        self.batches: list[int] = []

    def count_impressions(self, outcome: str, lists: int) -> None:
        self.impressions[outcome] = self.impressions.get(outcome, 0) + lists

    def count_feedback(self, outcome: str, count: int) -> None:
        self.feedback[outcome] = self.feedback.get(outcome, 0) + count

    def count_attribution(self, outcome: str, count: int) -> None:
        if count:
            self.attribution[outcome] = self.attribution.get(outcome, 0) + count

    def count_follow(self, event: str) -> None:
        self.follow.append(event)

    def time_commit(self, seconds: float, actions: int) -> None:
        self.batches.append(actions)


class Database:
    """The session's server, without any table of ours."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str) -> int:
        return int(self.ask(f"SELECT count(*) FROM {table}")[0][0])


@pytest.fixture
def database(postgres_url: str) -> Database:
    found = Database(postgres_url)
    found.ask("DROP SCHEMA public CASCADE")
    found.ask("CREATE SCHEMA public")
    return found


@pytest.fixture
def maintained(database: Database) -> Database:
    """The database with its tables and weeks: the store's own upkeep finds nothing to do, and locks and drops nothing.

    For tests that lock tables, count locks or statements, or store what is old by today: on a new database the upkeep
    works beside them, and when it does is left to the machine.
    """

    async def make() -> None:
        async with await connect(database.url, connect_s=60.0) as connection:
            await migrate(connection)
            await maintain(connection, Retention())

    asyncio.run(make())
    return database


@pytest.fixture
def telemetry() -> Counting:
    return Counting()


@pytest.fixture
def shown() -> Callable[..., Shown]:
    """Makes an answer for listeners who all see the same rows."""

    def make(user_ids: list[str], rows: list[int], at: datetime | None = None, name: str = "rec") -> Shown:
        count = len(user_ids)
        return Shown(
            user_ids=tuple(user_ids),
            recommendation_ids=tuple(f"{name}-{user_id}" for user_id in user_ids),
            sources=(Source.LIVE,) * count,
            rows=np.array([[*rows, -1]] * count, np.int32).reshape(count, len(rows) + 1),
            counts=np.full(count, len(rows), np.int32),
            playlist_ids=PLAYLISTS,
            model_version="7",
            arm="production",
            at=at or datetime.now(UTC),
        )

    return make

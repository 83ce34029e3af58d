"""A store with the tables of this release, and lists and reactions written into it at chosen times."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.migrate import migrate

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
# The window that every test asks for.
WINDOW = ("--since", "2026-03-02", "--until", "2026-03-09")


class Logged:
    """Rows of the store. Times are days from BEGIN, a Monday."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, query: str, values: Sequence[Any] = ()) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(query.encode(), values or None)

    def show(
        self,
        user: str,
        playlists: str,
        *,
        rec: str = "r",
        day: float = 1,
        version: str = "7",
        arm: str = "production",
        source: str = "live",
        skipped: list[str] | None = None,
        propensities: list[float] | None = None,
        scored: bool = True,
        hours_old: float | None = None,
    ) -> None:
        """One list; playlists: a letter each, best first."""
        self.run(
            """INSERT INTO impressions (at, recommendation_id, user_id, playlist_ids, model_version, arm, source,
            skipped, scores, propensities, computed) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            (
                *(BEGIN + timedelta(days=day), rec, user, list(playlists), version, arm, source, skipped),
                *([1.0] * len(playlists) if scored else None, propensities),
                None if hours_old is None else BEGIN + timedelta(days=day, hours=-hours_old),
            ),
        )

    def react(
        self, user: str, *, rec: str = "r", day: float = 1.5, version: str = "7", arm: str = "production", **scores: int
    ) -> None:
        """One action; scores by playlist."""
        for playlist, score in scores.items():
            self.run(
                "INSERT INTO reactions VALUES (%s, 1, %s, %s, %s, %s, %s, %s)",
                (BEGIN + timedelta(days=day), rec, user, playlist, score, version, arm),
            )


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> str:
    async def make() -> None:
        async with await connect(postgres_url, connect_s=60.0) as connection:
            await migrate(connection)

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    asyncio.run(make())
    return postgres_url


@pytest.fixture
def logged(migrated_url: str) -> Logged:
    """A store without any row."""
    found = Logged(migrated_url)
    found.run("TRUNCATE impressions, reactions")
    return found


@pytest.fixture
def online(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `buddies online` over the window and gives what it prints; exit code 0 is required."""
    monkeypatch.setenv("BUDDIES_POSTGRES_URL", migrated_url)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(build_app(), ["online", *arguments, *WINDOW])
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout

    return run


@pytest.fixture
def told(online: Any) -> Any:
    """The same, as what --json says."""
    return lambda *arguments: json.loads(online(*arguments, "--json"))

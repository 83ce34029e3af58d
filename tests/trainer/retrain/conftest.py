"""A real Postgres with the store's tables, and a data set's playlists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import psycopg
import pytest

from spotify_buddies.serve_app.store.database.migrate import migrate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
# user, minutes before NOW, liked, ignored, disliked, recommendation
Block = tuple[str, float, str, str, str, str]


@pytest.fixture
def store(postgres_url: str) -> str:
    async def make() -> None:
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
            await connection.execute("DROP SCHEMA public CASCADE")
            await connection.execute("CREATE SCHEMA public")
            await migrate(connection)

    asyncio.run(make())
    return postgres_url


@pytest.fixture
def react(store: str) -> Callable[[Iterable[Block]], None]:
    """Stores blocks; their playlists are letters, as "ab"."""
    number = 0

    def put(blocks: Iterable[Block]) -> None:
        nonlocal number
        rows = []
        for user, minutes, liked, ignored, disliked, recommendation in blocks:
            number += 1
            for score, names in ((1, liked), (0, ignored), (-1, disliked)):
                for name in names:
                    at = NOW - timedelta(minutes=minutes)
                    rows.append((at, number, recommendation or f"r{number}", user, name, score, "7", "production"))
        with psycopg.connect(store) as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO reactions (at, feedback_id, recommendation_id, user_id, playlist_id, score, model_version,"
                " arm) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows,
            )  # fmt: skip

    return put


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "dataset" / "2-songs").mkdir(parents=True)
    known = pl.DataFrame({"playlist_id": list("abcdefghij")})
    known.write_parquet(tmp_path / "dataset" / "2-songs" / "playlists.parquet")
    return tmp_path / "dataset"

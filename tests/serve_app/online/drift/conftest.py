"""A database with generated weeks of lists and reactions, and a state directory whose service has the bundle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.rollout.commands.drive import ask
from spotify_buddies.serve_app.settings.command import ENDPOINTS
from tests.clients.buddies_process import called
from tests.serve_app.bundles import SONGS

Answer = TypeVar("Answer")

UNTIL = datetime(2026, 5, 4, tzinfo=UTC)  # a Monday
DAYS = 35

_LISTS = """
INSERT INTO impressions (at, recommendation_id, user_id, playlist_ids, model_version, arm, source, scores, asked)
SELECT %(start)s + number * interval '86400 seconds' / %(lists)s, 'rec-' || %(day)s || '-' || number,
  CASE WHEN number < %(cold)s THEN 'new-' || number ELSE 'user-' || (number * 7 + %(day)s) %% 60 END,
  ARRAY['list-' || (number * 13 + %(day)s) %% 120, 'list-' || (number * 29) %% 120], '7', 'production',
  CASE WHEN number < %(cold)s THEN 'popular' ELSE 'live' END,
  ARRAY[sin(number) * 3 + 3, sin(number) * 3 + 2]::real[], coalesce((%(tastes)s::bytea[])[number + 1], '\\x1805')
FROM generate_series(0, %(lists)s - 1) AS number
"""
_REACTIONS = """
INSERT INTO reactions (at, feedback_id, recommendation_id, user_id, playlist_id, score, model_version, arm)
SELECT %(start)s + number * interval '86400 seconds' / %(reactions)s, %(day)s * 100000 + number,
  'rec-' || %(day)s || '-' || number, 'user-' || number %% 60, 'list-' || number %% 120,
  CASE WHEN number < %(liked)s THEN 1 ELSE 0 END, '7', 'production'
FROM generate_series(0, %(reactions)s - 1) AS number
"""


def taste_of(unknown: np.ndarray[Any, Any], rng: np.random.Generator) -> bytes:
    """What is stored for a taste: songs of the generated bundle by id, and others."""
    rows = rng.integers(0, SONGS // 2, unknown.size) * 2
    ids = [f"new-{row}" if new else f"SO{row:04}" for row, new in zip(rows, unknown, strict=True)]
    taste = pb.Taste(songs=[pb.Song(song_id=song_id) for song_id in ids])
    return pb.RecommendRequest(limit=5, tastes=[taste]).SerializeToString()


class Weeks:
    """The session's Postgres with our tables. fill: quiet weeks before UNTIL; command: `buddies drift` over them."""

    def __init__(self, url: str, state_dir: Path) -> None:
        self.url = url
        self.state_dir = state_dir

    def ask(self, question: Callable[[psycopg.AsyncConnection], Awaitable[Answer]]) -> Answer:
        return asyncio.run(ask(self.url, question))

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def fill(
        self, first: int = 0, last: int = DAYS, cold: float = 0.2, reactions: int = 200, unknown: float = 0.1
    ) -> None:
        """Days first up to last, 0 the oldest of DAYS: about 500 lists a day, `cold` of them of tastes of five songs,
        of which the bundle does not know the share `unknown`.
        """
        rng = np.random.default_rng(first)
        with psycopg.connect(self.url, autocommit=True) as connection:
            for day in range(first, last):
                lists = int(rng.poisson(500))
                values = {
                    "start": UNTIL - timedelta(days=DAYS - day), "day": day, "lists": lists,
                    "cold": int(rng.binomial(lists, cold)), "reactions": int(rng.poisson(reactions)),
                }  # fmt: skip
                values["tastes"] = [taste_of(rng.random(5) < unknown, rng) for _ in range(values["cold"])]
                values["liked"] = int(rng.binomial(values["reactions"], 0.2))
                connection.execute(_LISTS, values)
                connection.execute(_REACTIONS, values)

    def serve(self, bundle: Path | str, version: str = "7") -> None:
        """Note a service with this bundle in the state directory."""
        noted = {"pid": 1, "model_version": version, "bundle": str(bundle)}
        (self.state_dir / ENDPOINTS).write_text(json.dumps(noted))

    def command(self, *words: str, expect: int = 0, until: datetime = UNTIL, **settings: str) -> str:
        """What `buddies drift` prints."""
        done = called(
            "drift", *words, "--until", until.isoformat(), cwd=self.state_dir, COLUMNS="200",
            BUDDIES_STATE_DIR=str(self.state_dir), BUDDIES_POSTGRES_URL=self.url, **settings,
        )  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout if expect in (0, 4) else done.stderr

    def found(self, *words: str, **how: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """The findings of a command, by signal and what it is compared with."""
        told = json.loads(self.command(*words, "--json", **how))
        return {(finding["signal"], finding["against"]): finding for finding in told["findings"]}


@pytest.fixture
def weeks(postgres_url: str, tmp_path: Path) -> Weeks:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    made = Weeks(postgres_url, tmp_path)

    async def nothing(connection: psycopg.AsyncConnection) -> None:
        del connection

    made.ask(nothing)
    return made

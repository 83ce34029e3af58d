"""A store of its own for every test, and the bundle's lists of the day in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis

from spotify_buddies.serve_app.daily.run import DailyReport, run_daily
from spotify_buddies.serve_app.ranking.engine import Engine


@pytest.fixture
def store(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", 0)
        client.flushdb()
        yield client
        client.config_set("maxmemory", 0)


@pytest.fixture
def now() -> datetime:
    """One moment for all runs of a test, whose day does not end in between; the store's clock agrees with it."""
    return datetime.now(UTC)


@pytest.fixture
def run(engine: Engine, store: Redis, now: datetime) -> Callable[..., DailyReport]:
    """run_daily for version 7, in blocks of 7 listeners."""
    given: dict[str, Any] = {"store": store, "model": "m", "now": now, "ttl_s": 100, "block_users": 7}

    def call(version: str = "7", **other: Any) -> DailyReport:
        return run_daily(engine.bundle, version, **{**given, **other})

    return call

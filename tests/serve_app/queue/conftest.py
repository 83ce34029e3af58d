"""A store with nothing in it, and a queue whose jobs come back soon after their worker is dead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from spotify_buddies.serve_app.queue.jobs import Jobs
from spotify_buddies.serve_app.queue.settings import QueueSettings


@pytest.fixture
def store(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client


@pytest.fixture
def queue() -> QueueSettings:
    return QueueSettings(name="test", redeliver_s=2, attempts=2)


@pytest.fixture
def jobs(store: Redis, queue: QueueSettings) -> Jobs:
    return Jobs(store, queue)

"""Both listeners, planted in a database, a Redis and a state directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from spotify_buddies.serve_app.store.rights.places import Places
from spotify_buddies.trainer.bundle import Bundle
from tests.serve_app.store.rights.planted import KEY, Planted, plant_extract, plant_redis, plant_rows


@pytest.fixture
def planted(maintained: Any, redis_url: str, bundle: Bundle, bundle_dir: Path, tmp_path: Path) -> Planted:
    """Everything but what a running store holds."""
    plant_rows(maintained.url)
    redis = Redis.from_url(redis_url)
    redis.flushdb()
    jobs = plant_redis(redis, redis_url, bundle)
    plant_extract(tmp_path)
    return Planted(Places(maintained.url, redis_url, KEY, tmp_path, bundle_dir), redis, jobs)

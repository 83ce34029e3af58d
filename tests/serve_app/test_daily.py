from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from serve_app.daily import LENGTH, key_space, read_daily, write_daily
from serve_app.engine import Engine
from serve_app.query import Lists, Skipped, Source

NONE = np.empty(0, np.int32)


@pytest.fixture
def store(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client


def read(engine: Engine, url: str, users: list[str], limit: int = 5, excluded: Any = NONE) -> Lists:
    async def call() -> Lists:
        async with AsyncRedis.from_url(url) as client:
            return await read_daily(engine, client, engine.rank_known(users, limit, excluded), excluded, 5.0)

    return asyncio.run(call())


def test_the_list_of_the_day_is_what_was_written(engine: Engine, store: Redis, redis_url: str) -> None:
    assert write_daily(engine, store, ttl_s=100, block_users=7) == 59
    live = engine.rank_known(["user-1", "user-2"], 5, NONE)
    daily = read(engine, redis_url, ["user-1", "user-2"])
    np.testing.assert_array_equal(daily.rows, live.rows)
    np.testing.assert_array_equal(daily.scores, live.scores)
    assert daily.sources == (Source.DAILY, Source.DAILY)
    assert daily.skipped == ((), ())


def test_the_block_size_changes_nothing(engine: Engine, store: Redis) -> None:
    write_daily(engine, store, ttl_s=100, block_users=1)
    one = {key: store.get(key) for key in store.scan_iter()}
    store.flushdb()
    write_daily(engine, store, ttl_s=100, block_users=1000)
    assert {key: store.get(key) for key in store.scan_iter()} == one


def test_exclusions_hold_for_the_list_of_the_day(engine: Engine, store: Redis, redis_url: str) -> None:
    write_daily(engine, store, ttl_s=100)
    six = engine.rank_known(["user-39"], 6, NONE)
    assert six.counts[0] == 6
    daily = read(engine, redis_url, ["user-39"], excluded=six.rows[0, :1])
    assert daily.sources == (Source.DAILY,)
    np.testing.assert_array_equal(daily.rows, six.rows[:, 1:])


def test_a_list_of_the_day_that_is_excluded_to_the_last_one_counts_as_missing(
    engine: Engine, store: Redis, redis_url: str
) -> None:
    write_daily(engine, store, ttl_s=100)
    excluded = np.unique(engine.bundle.candidates.row(1)).astype(np.int32)
    daily = read(engine, redis_url, ["user-1"], excluded=excluded)
    assert (daily.sources, daily.skipped) == ((Source.POPULAR,), ((Skipped.DAILY_LIST,),))
    assert daily.counts[0] == 5


def test_a_list_that_was_cut_and_cannot_fill_the_answer_counts_as_missing(
    engine: Engine, store: Redis, redis_url: str
) -> None:
    write_daily(engine, store, ttl_s=100)
    lengths = np.diff(engine.bundle.candidates.indptr)
    whole, cut = (
        f"user-{at}" for at in (np.flatnonzero(lengths == lengths[lengths < LENGTH].max())[0], lengths.argmax())
    )
    daily = read(engine, redis_url, [whole, cut], limit=LENGTH)
    assert daily.sources == (Source.DAILY, Source.DAILY)
    more = read(engine, redis_url, [whole, cut], limit=LENGTH + 1)
    assert more.sources == (Source.DAILY, Source.LIVE)
    assert more.skipped == ((), (Skipped.DAILY_LIST,))
    assert more.counts[1] == LENGTH + 1


def test_listeners_without_a_list_are_scored_live_and_labelled(engine: Engine, store: Redis, redis_url: str) -> None:
    write_daily(engine, store, ttl_s=100)
    daily = read(engine, redis_url, ["nobody", "user-1", "user-59"])
    assert daily.sources == (Source.POPULAR, Source.DAILY, Source.POPULAR)
    assert daily.skipped == ((Skipped.DAILY_LIST,), (), (Skipped.DAILY_LIST,))


def test_another_version_reads_nothing(engine: Engine, store: Redis, redis_url: str) -> None:
    write_daily(engine, store, ttl_s=100)
    assert read(Engine(engine.bundle, "8"), redis_url, ["user-1"]).sources == (Source.LIVE,)


def test_lists_expire(engine: Engine, store: Redis) -> None:
    write_daily(engine, store, ttl_s=100)
    assert 0 < store.ttl(f"{key_space(engine)}1") <= 100


@pytest.mark.parametrize("value", [b"", b"abc", b"\xff" * 8])
def test_a_value_that_is_not_ours_counts_as_missing(engine: Engine, store: Redis, redis_url: str, value: bytes) -> None:
    store.set(f"{key_space(engine)}1", value)
    daily = read(engine, redis_url, ["user-1"])
    assert (daily.sources, daily.skipped) == ((Source.LIVE,), ((Skipped.DAILY_LIST,),))


def test_a_store_that_is_away_or_not_configured_is_skipped(engine: Engine, tmp_path: Path) -> None:
    daily = read(engine, f"unix://{tmp_path}/nothing.sock", ["user-1"])
    assert (daily.sources, daily.skipped) == ((Source.LIVE,), ((Skipped.DAILY_LIST,),))
    live = engine.rank_known(["user-1"], 5, NONE)
    assert asyncio.run(read_daily(engine, None, live, NONE, 1.0)).skipped == ((Skipped.DAILY_LIST,),)


def test_a_store_that_does_not_answer_costs_no_more_than_the_budget(engine: Engine) -> None:
    class Stuck:
        async def mget(self, keys: Any) -> Any:
            await asyncio.Event().wait()

    live = engine.rank_known(["user-1"], 5, NONE)
    daily = asyncio.run(read_daily(engine, Stuck(), live, NONE, 0.01))
    assert (daily.sources, daily.skipped) == ((Source.LIVE,), ((Skipped.DAILY_LIST,),))

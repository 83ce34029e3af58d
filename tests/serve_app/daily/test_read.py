from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from spotify_buddies.serve_app.daily.read import fetch, prefer_daily
from spotify_buddies.serve_app.daily.run import DailyReport
from spotify_buddies.serve_app.daily.space import LENGTH, pointer
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import RankedLists, Skipped, Source
from spotify_buddies.serve_app.ranking.rules import Rules

NONE = np.empty(0, np.int32)
EVERYTHING = Rules()
Run = Callable[..., DailyReport]


def read(
    engine: Engine, url: str, users: list[str], limit: int = 5, excluded: Any = NONE, rules: Rules = EVERYTHING
) -> RankedLists:
    async def call() -> RankedLists:
        async with AsyncRedis.from_url(url) as client:
            live = engine.rank_known(users, limit, excluded, rules)
            stored = await fetch(engine, client, live.song_rows, 5.0)
            return prefer_daily(engine, live, stored, excluded, rules)

    return asyncio.run(call())


def test_the_list_of_the_day_is_what_the_ranking_says_to_the_bit(run: Run, engine: Engine, redis_url: str) -> None:
    run()
    users = [f"user-{user}" for user in range(59)]
    live = engine.rank_known(users, 5, NONE)
    daily = read(engine, redis_url, users)
    np.testing.assert_array_equal(daily.rows, live.rows)
    np.testing.assert_array_equal(daily.scores, live.scores)
    np.testing.assert_array_equal(daily.counts, live.counts)
    assert set(daily.sources) == {Source.DAILY}
    assert set(daily.skipped) == {()}
    assert (daily.user_ids, daily.songs) == (live.user_ids, live.songs)


def test_lists_of_the_day_say_when_their_run_began_and_pointers_of_earlier_releases_do_not(
    run: Run, engine: Engine, redis_url: str, store: Redis
) -> None:
    space = run().space
    daily = read(engine, redis_url, ["user-1", "nobody"])
    assert daily.computed == int(space.created.timestamp())
    assert daily.part(0, 1).computed == daily.computed
    earlier = space.pointed.rpartition(" ")[0]
    assert space.is_read(earlier.encode())
    assert not space.is_read(earlier.replace(space.name, "2020-01-01").encode())
    store.set(space.pointer, earlier)
    undated = read(engine, redis_url, ["user-1"])
    assert (undated.sources, undated.computed) == ((Source.DAILY,), None)


def test_a_thousand_listeners_take_one_trip(run: Run, engine: Engine, redis_url: str, store: Redis) -> None:
    run()
    read(engine, redis_url, ["user-1"])  # the server knows the script from here on
    users = [f"user-{at % 59}" for at in range(1000)]
    store.config_resetstat()
    daily = read(engine, redis_url, users)
    assert store.info("commandstats")["cmdstat_evalsha"]["calls"] == 1
    assert daily.sources == (Source.DAILY,) * 1000
    np.testing.assert_array_equal(daily.rows, engine.rank_known(users, 5, NONE).rows)


def test_exclusions_hold_for_the_list_of_the_day(run: Run, engine: Engine, redis_url: str) -> None:
    run()
    six = engine.rank_known(["user-39"], 6, NONE)
    assert six.counts[0] == 6
    daily = read(engine, redis_url, ["user-39"], excluded=six.rows[0, :1])
    assert daily.sources == (Source.DAILY,)
    np.testing.assert_array_equal(daily.rows, six.rows[:, 1:])


def test_a_list_of_the_day_that_is_excluded_to_the_last_one_counts_as_missing(
    run: Run, engine: Engine, redis_url: str
) -> None:
    run()
    excluded = np.unique(engine.bundle.candidates.row(1)).astype(np.int32)
    daily = read(engine, redis_url, ["user-1"], excluded=excluded)
    assert (daily.sources, daily.skipped) == ((Source.POPULAR,), ((Skipped.DAILY_LIST,),))
    assert daily.counts[0] == 5


def test_a_list_that_was_cut_and_cannot_fill_the_answer_counts_as_missing(
    run: Run, engine: Engine, redis_url: str
) -> None:
    run()
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


def test_listeners_without_a_list_are_scored_live_and_labelled(run: Run, engine: Engine, redis_url: str) -> None:
    run()
    daily = read(engine, redis_url, ["nobody", "user-1", "user-59"])
    assert daily.sources == (Source.POPULAR, Source.DAILY, Source.POPULAR)
    assert daily.skipped == ((Skipped.DAILY_LIST,), (), (Skipped.DAILY_LIST,))


def test_nobody_asked_is_nobody_answered(run: Run, engine: Engine, redis_url: str) -> None:
    run()
    assert len(read(engine, redis_url, [])) == 0


def test_another_version_reads_nothing(run: Run, engine: Engine, redis_url: str) -> None:
    run()
    daily = read(Engine(engine.bundle, "8"), redis_url, ["user-1"])
    assert (daily.sources, daily.skipped) == ((Source.LIVE,), ((Skipped.DAILY_LIST,),))


def test_a_block_that_the_store_lost_is_scored_live(run: Run, engine: Engine, redis_url: str, store: Redis) -> None:
    space = run().space
    store.delete(space.key(1))  # listeners 7 to 13
    daily = read(engine, redis_url, ["user-6", "user-7", "user-13", "user-14"])
    assert daily.sources == (Source.DAILY, Source.LIVE, Source.LIVE, Source.DAILY)


@pytest.mark.parametrize("value", [b"", b"abc", b"\x7f" * 1400, b"\xfe" * 1400])
def test_a_block_that_is_not_ours_counts_as_missing(
    run: Run, engine: Engine, redis_url: str, store: Redis, value: bytes
) -> None:
    space = run().space
    store.set(space.key(0), value)
    assert len(value) in (0, 3, space.block_bytes(0))
    daily = read(engine, redis_url, ["user-1"])
    assert (daily.sources, daily.skipped) == ((Source.LIVE,), ((Skipped.DAILY_LIST,),))


@pytest.mark.parametrize("value", ["", "nonsense", "a b c", "../x 7 50"])
def test_a_pointer_that_is_not_ours_counts_as_missing(
    run: Run, engine: Engine, redis_url: str, store: Redis, value: str
) -> None:
    run()
    store.set(pointer("7", engine.bundle.sha256), value)
    assert read(engine, redis_url, ["user-1"]).sources == (Source.LIVE,)


def test_a_pointer_of_another_type_counts_as_missing(run: Run, engine: Engine, redis_url: str, store: Redis) -> None:
    run()
    store.delete(pointer("7", engine.bundle.sha256))
    store.lpush(pointer("7", engine.bundle.sha256), "x")
    assert read(engine, redis_url, ["user-1"]).sources == (Source.LIVE,)


def test_a_server_that_forgot_the_script_is_told_it_again(
    run: Run, engine: Engine, redis_url: str, store: Redis
) -> None:
    run()
    store.script_flush()
    assert read(engine, redis_url, ["user-1"]).sources == (Source.DAILY,)


def test_a_store_that_is_away_or_not_configured_is_skipped(engine: Engine, tmp_path: Path) -> None:
    daily = read(engine, f"unix://{tmp_path}/nothing.sock", ["user-1"])
    assert (daily.sources, daily.skipped) == ((Source.LIVE,), ((Skipped.DAILY_LIST,),))
    live = engine.rank_known(["user-1"], 5, NONE)
    stored = asyncio.run(fetch(engine, None, live.song_rows, 1.0))
    assert prefer_daily(engine, live, stored, NONE).skipped == ((Skipped.DAILY_LIST,),)


def test_a_store_that_does_not_answer_costs_no_more_than_the_budget(engine: Engine) -> None:
    class Stuck:
        async def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
            await asyncio.Event().wait()

        async def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any:
            raise AssertionError("never asked")

    live = engine.rank_known(["user-1"], 5, NONE)
    daily = prefer_daily(engine, live, asyncio.run(fetch(engine, Stuck(), live.song_rows, 0.01)), NONE)
    assert (daily.sources, daily.skipped) == ((Source.LIVE,), ((Skipped.DAILY_LIST,),))


@pytest.mark.parametrize("max_per_owner", [1, 2])
def test_the_cap_per_owner_holds_for_the_list_of_the_day_as_for_a_live_one(
    run: Run, engine: Engine, redis_url: str, max_per_owner: int
) -> None:
    run()
    users, rules = [f"user-{user}" for user in range(40)], Rules(max_per_owner=max_per_owner)
    live = engine.rank_known(users, 8, NONE, rules)
    daily = read(engine, redis_url, users, 8, rules=rules)
    served = [at for at, source in enumerate(daily.sources) if source is Source.DAILY]
    assert len(served) > 20
    np.testing.assert_array_equal(daily.rows, live.rows)
    for at in served:
        owners = engine.bundle.owner[daily.rows[at, : daily.counts[at]]]
        assert np.unique(owners, return_counts=True)[1].max() <= max_per_owner


def test_what_one_listener_must_not_get_is_left_out_for_that_listener_alone(
    run: Run, engine: Engine, redis_url: str
) -> None:
    run()
    users = ["user-39", "user-39", "user-1"]
    plain = engine.rank_known(users, 6, NONE)
    first = [engine.bundle.playlist_ids.table[int(plain.rows[0, 0])]]
    daily = read(engine, redis_url, users, rules=Rules(blocked=engine.block(3, {1: first})))
    assert daily.sources == (Source.DAILY,) * 3
    np.testing.assert_array_equal(daily.rows[0], plain.rows[0, :5])
    np.testing.assert_array_equal(daily.rows[1], plain.rows[1, 1:])
    np.testing.assert_array_equal(daily.rows[2], plain.rows[2, :5])

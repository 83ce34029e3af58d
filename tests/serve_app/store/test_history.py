"""What the store remembers of listeners: blocks in every process, impressions, what was seen, and upkeep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from spotify_buddies.serve_app.errors import HistoryUnavailable
from spotify_buddies.serve_app.store.actions import Feedback, Snooze
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.maintain import Done, Retention, maintain
from spotify_buddies.serve_app.store.database.migrate import migrate
from spotify_buddies.serve_app.store.store import Store, StoreSettings
from tests.serve_app.store.storing import PATIENT
from tests.waiting import until

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)  # a Wednesday


def action(key: str, user_id: str = "ada", **said: Any) -> Feedback:
    return Feedback("rec", user_id, **{"liked": (), "ignored": (), "disliked": (), **said}, idempotency_key=key)


def opened(database: Any, telemetry: Any = None, settings: StoreSettings = PATIENT) -> Store:
    return Store(database.url, settings, telemetry)


def upkeep(database: Any, now: datetime, retention: Retention) -> Done | None:
    """Make the partitions now: the store itself does it beside what a test looks at, and drops what is old by today."""

    async def run() -> Done | None:
        connection = await connect(database.url, connect_s=60.0)
        async with connection:
            await migrate(connection)
            return await maintain(connection, retention, now=now)

    return asyncio.run(run())


def held_back(store: Store, *user_ids: str, at: datetime | None = None) -> dict[int, list[str]]:
    return {place: sorted(ids) for place, ids in store.blocked(user_ids, at or datetime.now(UTC)).items()}


def test_a_dislike_holds_when_it_is_acknowledged_and_until_a_like(database: Any) -> None:
    async def check() -> None:
        async with opened(database) as store:
            assert held_back(store, "ada", "bob") == {}
            await store.store(action("1", disliked=("x", "y"), ignored=("z",)))
            assert held_back(store, "bob", "ada", "ada") == {1: ["x", "y"], 2: ["x", "y"]}
            await store.store(action("2", liked=("x",)))
            assert held_back(store, "ada") == {0: ["y"]}

    asyncio.run(check())


def test_a_wish_ends_with_its_time_and_is_taken_back_by_one_in_the_past(database: Any) -> None:
    async def check() -> None:
        now = datetime.now(UTC)
        async with opened(database) as store:
            await store.store(
                action("1", snoozes=(Snooze("x", now + timedelta(hours=1)), Snooze("y", now - timedelta(1))))
            )
            assert held_back(store, "ada") == {0: ["x"]}
            assert held_back(store, "ada", at=now + timedelta(hours=2)) == {}
            await store.store(action("2", snoozes=(Snooze("x", now - timedelta(seconds=1)),)))
            assert held_back(store, "ada") == {}

    asyncio.run(check())


def test_a_like_does_not_take_a_wish_back(database: Any) -> None:
    async def check() -> None:
        later = datetime.now(UTC) + timedelta(days=1)
        async with opened(database) as store:
            await store.store(action("1", snoozes=(Snooze("x", later),)))
            await store.store(action("2", liked=("x",)))
            assert held_back(store, "ada") == {0: ["x"]}

    asyncio.run(check())


def test_other_processes_are_told_and_later_ones_load_it(database: Any) -> None:
    async def check() -> None:
        async with opened(database) as first, opened(database) as second:
            await second.follower.ready.wait()
            await first.store(action("1", disliked=("x",)))
            await until(lambda: held_back(second, "ada") == {0: ["x"]}, "what the store does by itself")
            await second.store(action("2", liked=("x",), disliked=("y",)))
            await until(lambda: held_back(first, "ada") == {0: ["y"]}, "what the store does by itself")
        async with opened(database) as third:
            assert held_back(third, "ada") == {0: ["y"]}

    asyncio.run(check())


def test_what_changed_while_the_connection_was_lost_is_caught_up(database: Any, telemetry: Any) -> None:
    async def check() -> None:
        async with opened(database) as first, opened(database, telemetry) as second:
            await second.follower.ready.wait()
            await first.store(action("1", disliked=("x",)))
            await until(lambda: held_back(second, "ada") == {0: ["x"]}, "what the store does by itself")
            killed = database.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'"
                " OR query LIKE '%%AS position LEFT JOIN blocks%%' AND pid <> pg_backend_pid()"
            )
            assert killed
            await first.store(action("2", user_id="bob", disliked=("y",)))
            await until(lambda: held_back(second, "bob") == {0: ["y"]}, "what the store does by itself")
            assert held_back(second, "ada") == {0: ["x"]}
            await until(lambda: "lost" in telemetry.follow, "the follower noticed")

    asyncio.run(check())


def test_impressions_are_written_with_their_ranks(database: Any, shown: Any) -> None:
    async def check() -> None:
        async with opened(database) as store:
            store.record(shown(["ada", "bob"], [4, 2]))
            store.record(shown([], []))
            await until(lambda: store.impressions_waiting == 0, "what the store does by itself")

    asyncio.run(check())
    rows = database.ask(
        "SELECT user_id, recommendation_id, playlist_ids, model_version, arm, source FROM impressions ORDER BY 1"
    )
    assert rows == [(who, f"rec-{who}", ["list-4", "list-2"], "7", "production", "live") for who in ("ada", "bob")]


def test_what_waits_at_the_end_is_written_before_the_store_closes(database: Any, shown: Any) -> None:
    async def check() -> None:
        async with opened(database) as store:
            for number in range(50):
                store.record(shown([f"user-{number}"], [number]))

    asyncio.run(check())
    assert database.count("impressions") == 50


def test_impressions_beyond_what_may_wait_are_lost_and_counted(database: Any, telemetry: Any, shown: Any) -> None:
    async def check() -> None:
        async with opened(database, telemetry, replace(PATIENT, impressions_waiting=10)) as store:
            # Without giving the writer a turn.
            for number in range(15):
                store.record(shown([f"user-{number}"], [1]))
            assert store.impressions_waiting == 10

    asyncio.run(check())
    assert telemetry.impressions == {"queue_full": 5, "written": 10}
    assert database.count("impressions") == 10


async def met(store: Store, users: Sequence[str], since: datetime, **what: bool) -> dict[int, list[str]]:
    found = await store.seen(users, since, **{"shown": True, "liked": True, **what})
    return {place: sorted(ids) for place, ids in found.items()}


def test_seen_knows_what_waits_what_is_written_and_what_was_liked(maintained: Any, shown: Any) -> None:
    async def check() -> None:
        start = datetime.now(UTC) - timedelta(minutes=1)
        async with opened(maintained) as store:
            store.record(shown(["ada"], [1, 2]))
            assert await met(store, ["ada", "", "bob"], start) == {0: ["list-1", "list-2"]}
            await until(lambda: store.impressions_waiting == 0, "what the store does by itself")
            await store.store(action("1", liked=("list-9",), ignored=("list-8",)))
            assert await met(store, ["ada"], start) == {0: ["list-1", "list-2", "list-9"]}
            assert await met(store, ["ada"], start, liked=False) == {0: ["list-1", "list-2"]}
            assert await met(store, ["ada"], start, shown=False) == {0: ["list-9"]}

    asyncio.run(check())


def test_the_window_of_seen_holds_its_first_moment_and_nothing_before(maintained: Any, shown: Any) -> None:
    async def check() -> None:
        async with opened(maintained) as store:
            store.record(shown(["ada"], [1], at=NOW))
            tick = timedelta(microseconds=1)
            waiting = [await met(store, ["ada"], NOW), await met(store, ["ada"], NOW + tick)]
            await until(lambda: store.impressions_waiting == 0, "what the store does by itself")
            written = [await met(store, ["ada"], NOW), await met(store, ["ada"], NOW + tick)]
        assert waiting == written == [{0: ["list-1"]}, {}]

    asyncio.run(check())


def test_seen_says_so_when_there_is_no_database() -> None:
    async def check() -> None:
        settings = StoreSettings(timeout_s=0.5, seen_s=0.5, load_s=0.1, flush_s=0.1)
        async with Store("postgresql://127.0.0.1:1/none", settings) as store:
            with pytest.raises(HistoryUnavailable):
                await store.seen(["ada"], NOW, shown=True, liked=True)
            assert store.blocked(["ada"], NOW) == {}

    asyncio.run(check())


def test_weeks_are_made_ahead_filled_from_the_default_and_dropped_when_all_of_them_is_old(
    maintained: Any, shown: Callable[..., Any]
) -> None:
    async def record() -> None:
        async with opened(maintained) as store:
            store.record(shown(["ada"], [1], at=NOW))

    asyncio.run(record())
    database = maintained
    kept = Retention(impressions_days=30, feedback_days=60)
    first = upkeep(database, NOW, kept)
    assert first is not None
    assert "impressions_20260504" in first.created  # the Monday of NOW's week
    assert database.ask("SELECT user_id FROM impressions_20260504") == [("ada",)]
    # The week's last moment is 30 days old on 10 June; an hour before nothing goes.
    last = datetime(2026, 6, 10, tzinfo=UTC)
    early, late = (upkeep(database, at, kept) for at in (last - timedelta(hours=1), last))
    assert early is not None
    assert late is not None
    assert "impressions_20260504" not in early.dropped
    assert "impressions_20260504" in late.dropped
    assert not any(name.startswith("reactions") for name in late.dropped)
    assert database.count("impressions") == 0


def test_a_week_that_is_over_is_laid_in_the_order_of_listeners_once(database: Any) -> None:
    upkeep(database, NOW, Retention())
    rows = "SELECT %s, 'rec', 'user-' || n %% 7, '{x}', '', '', 'live' FROM generate_series(1, 700) AS n"
    over, running = NOW - timedelta(days=8), NOW
    for at in (over, running):
        database.ask(f"INSERT INTO impressions {rows}", at)
    order = "SELECT user_id FROM impressions WHERE at = %s ORDER BY ctid"
    # The week before NOW's ended with Sunday 3 May, and is made from the default partition.
    first, second = (upkeep(database, NOW, Retention()) for _ in range(2))
    assert first is not None
    assert second is not None
    assert "impressions_20260427" in first.sorted
    assert "impressions_20260504" not in first.sorted
    assert second.sorted == ()
    found, later = (database.ask(order, at) for at in (over, running))
    assert found == sorted(found)
    assert later != sorted(later)
    assert len(found) == len(later) == 700


def test_two_processes_do_not_maintain_at_once(database: Any) -> None:
    upkeep(database, NOW, Retention())
    with psycopg.connect(database.url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (0x62756465,))
        assert upkeep(database, NOW, Retention()) is None
    assert upkeep(database, NOW, Retention()) is not None

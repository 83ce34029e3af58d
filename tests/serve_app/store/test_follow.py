"""The follower: what brings another replica's dislikes, and what holds after a restore."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from spotify_buddies.serve_app.store import follow
from spotify_buddies.serve_app.store.actions import Feedback
from spotify_buddies.serve_app.store.store import Store
from tests.serve_app.store.storing import PATIENT
from tests.waiting import until

RATE, COUNT = 500, 600


async def dislike_in_one_and_look_in_the_other(first: Store, second: Store) -> None:
    """Send dislikes of many users to the first at an even rate, until the second holds back every one of them."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    waiting: list[str] = []

    async def dislike(number: int) -> None:
        await asyncio.sleep(started + number / RATE - loop.time())
        user_id = f"user-{number}"
        await first.store(Feedback("rec", user_id, (), (), ("x",), user_id))
        waiting.append(user_id)

    def arrived() -> bool:
        held = second.blocked(waiting, datetime.now(UTC))
        waiting[:] = [user_id for place, user_id in enumerate(waiting) if place not in held]
        return not waiting

    await asyncio.gather(*(dislike(number) for number in range(COUNT)))
    await until(arrived, "every dislike holds in the other replica")


def test_dislikes_at_500_a_second_hold_in_another_replica_as_soon_as_they_are_notified(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a look of its own every few seconds, so that nothing but the notifications brings them."""
    monkeypatch.setattr(follow, "POLL_S", 3_600.0)

    async def check() -> None:
        async with Store(database.url, PATIENT) as first, Store(database.url, PATIENT) as second:
            await second.follower.ready.wait()
            await dislike_in_one_and_look_in_the_other(first, second)

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


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that nobody notifies looks every few milliseconds, not every five seconds."""
    monkeypatch.setattr(follow, "POLL_S", 0.05)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("restore", [f"{WITH_TABLES}; {END_CONNECTIONS}", WITH_TABLES, DATA_ALONE])
def test_a_database_restored_from_yesterday_is_the_truth(database: Any, telemetry: Any, restore: str) -> None:
    """What was said after the backup is not in force any more, and what is said now is newer than it."""

    async def check() -> None:
        async with Store(database.url, PATIENT, telemetry) as store:
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


@pytest.mark.usefixtures("soon")
def test_a_block_that_was_lifted_while_nobody_listened_is_lifted_after_a_reload(database: Any, telemetry: Any) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT, telemetry) as store:
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

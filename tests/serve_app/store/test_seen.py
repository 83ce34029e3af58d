"""What listeners have met: shared questions, connections that are kept, and what is refused alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from spotify_buddies.serve_app.errors import HistoryUnavailable
from spotify_buddies.serve_app.store.actions import Feedback
from spotify_buddies.serve_app.store.database.migrate import LOCK
from spotify_buddies.serve_app.store.database.schema import is_lost
from spotify_buddies.serve_app.store.seen import AT_ONCE
from spotify_buddies.serve_app.store.store import Store
from tests.serve_app.store.storing import PATIENT
from tests.waiting import WITHIN_S, until

HASTY = replace(PATIENT, seen_s=0.05)
# What the statement has in every form of it.
STATEMENT = "unnest(playlist_ids)"


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=30)


async def met(store: Store, user_id: str, since: datetime | None = None, **what: bool) -> list[str]:
    found = await store.seen([user_id], since or long_ago(), **{"shown": True, "liked": True, **what})
    return sorted(found.get(0, ()))


async def met_at_last(store: Store, user_id: str) -> list[str]:
    """Asks until there is an answer."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                return await met(store, user_id)
            except HistoryUnavailable:
                await asyncio.sleep(0.01)


def sessions(database: Any) -> set[int]:
    """The server's processes that were asked what was seen, and are still there."""
    query = "SELECT pid FROM pg_stat_activity WHERE strpos(query, %s) > 0 AND pid <> pg_backend_pid()"
    return {pid for (pid,) in database.ask(query, STATEMENT)}


async def warm(database: Any) -> set[int]:
    """Wait until every connection has been asked once: a slow machine ends the start before that."""
    await until(lambda: len(sessions(database)) == AT_ONCE, "the connections of the start")
    return sessions(database)


@asynccontextmanager
async def holding(database: Any, lock: str, *values: Any) -> AsyncIterator[None]:
    """A transaction that holds the lock; the loop goes on while it waits for the store's own upkeep."""
    async with await psycopg.AsyncConnection.connect(database.url) as other:
        await other.execute(lock.encode(), values or None)
        yield


def unreadable(database: Any) -> AbstractAsyncContextManager[None]:
    return holding(database, "LOCK TABLE impressions IN ACCESS EXCLUSIVE MODE")


@pytest.fixture(autouse=True)
def weeks(maintained: Any) -> None:
    """No lock of the store's own upkeep is in the way."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement of this kind that is sent from now on."""
    sent: list[str] = []
    execute = psycopg.AsyncConnection.execute

    async def counting(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        if STATEMENT in str(query):
            sent.append(str(query))
        return await execute(self, query, *arguments, **options)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", counting)
    return sent


def test_a_question_beyond_its_budget_costs_nobody_a_connection(database: Any, shown: Callable[..., Any]) -> None:
    async def check() -> None:
        async with Store(database.url, HASTY) as store:
            store.record(shown(["ada"], [1]))
            before = await warm(database)
            async with unreadable(database):
                for _ in range(2 * AT_ONCE):
                    with pytest.raises(HistoryUnavailable):
                        await met(store, "bob")
            assert await met_at_last(store, "ada") == ["list-1"]
            assert sessions(database) == before

    asyncio.run(check())


def test_a_question_whose_caller_has_gone_on_is_not_sent(database: Any, asked: list[str]) -> None:
    async def check() -> None:
        async with Store(database.url, HASTY) as store:
            await warm(database)
            asked.clear()
            async with unreadable(database):
                for _ in range(3 * AT_ONCE):
                    with pytest.raises(HistoryUnavailable):
                        await met(store, "ada")
                assert len(asked) == AT_ONCE
            await met_at_last(store, "ada")

    asyncio.run(check())


def test_those_who_ask_at_once_share_statements_and_each_gets_their_own(
    database: Any, shown: Callable[..., Any], asked: list[str]
) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT) as store:
            for number in range(32):
                store.record(shown([f"user-{number}"], [number, number + 1]))
            await until(lambda: store.impressions_waiting == 0, "what the store does by itself")
            await warm(database)
            asked.clear()
            found = await asyncio.gather(*(met(store, f"user-{number}") for number in range(33)))
            assert found[:32] == [sorted([f"list-{number}", f"list-{number + 1}"]) for number in range(32)]
            assert found[32] == []
            assert len(asked) <= 8

    asyncio.run(check())


def test_who_shares_a_statement_keeps_the_own_window_and_kinds(database: Any, shown: Callable[..., Any]) -> None:
    async def check() -> None:
        now = datetime.now(UTC)
        async with Store(database.url, PATIENT) as store:
            store.record(shown(["ada"], [1], at=now - timedelta(days=20)))
            store.record(shown(["ada"], [2], at=now - timedelta(hours=1)))
            await until(lambda: store.impressions_waiting == 0, "what the store does by itself")
            await store.store(Feedback("rec", "ada", ("list-9",), (), (), "key"))
            assert await asyncio.gather(
                met(store, "ada"),
                met(store, "ada", now - timedelta(days=2)),
                met(store, "ada", shown=False),
                met(store, "ada", now - timedelta(days=2), liked=False),
                met(store, "ada", now + timedelta(days=1)),
            ) == [["list-1", "list-2", "list-9"], ["list-2", "list-9"], ["list-9"], ["list-2"], []]

    asyncio.run(check())


def test_more_listeners_than_a_statement_holds_are_asked_for_together(database: Any, shown: Callable[..., Any]) -> None:
    async def check() -> None:
        everybody = [f"user-{number}" for number in range(1000)]
        async with Store(database.url, PATIENT) as store:
            store.record(shown(everybody, [3]))
            await until(lambda: store.impressions_waiting == 0, "what the store does by itself")
            found = await store.seen([*everybody, "user-0", ""], long_ago(), shown=True, liked=True)
            assert found == {place: ["list-3"] for place in range(1001)}

    asyncio.run(check())


@pytest.mark.parametrize("user_id", ["a\0b", "\ud800"])
def test_an_id_that_cannot_be_asked_for_fails_its_question_alone(
    database: Any, shown: Callable[..., Any], user_id: str
) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT) as store:
            store.record(shown(["ada"], [1]))
            before = await warm(database)
            # Whoever holds this lock keeps everybody from migrating: a schema that is looked up again gives no answer.
            async with holding(database, "SELECT pg_advisory_xact_lock(%s)", LOCK):
                for _ in range(2):
                    questions = [met(store, who) for who in ("ada", user_id, "ada")]
                    found = await asyncio.gather(*questions, return_exceptions=True)
                    assert found[0] == found[2] == ["list-1"]
                    assert isinstance(found[1], HistoryUnavailable)
            assert sessions(database) == before

    asyncio.run(check())


def test_tables_that_are_gone_are_made_again(database: Any) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT) as store:
            assert await met(store, "ada") == []
            # In a thread: what holds the tables is the store's own upkeep, which needs the loop to go on.
            await asyncio.to_thread(database.ask, "DROP SCHEMA public CASCADE")
            await asyncio.to_thread(database.ask, "CREATE SCHEMA public")
            assert await met_at_last(store, "ada") == []
            assert database.count("impressions") == 0

    asyncio.run(check())


def test_connections_that_were_ended_are_replaced(database: Any, shown: Callable[..., Any]) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT) as store:
            store.record(shown(["ada"], [1]))
            await until(lambda: store.impressions_waiting == 0, "what the store does by itself")
            before = await warm(database)
            for pid in before:
                await asyncio.to_thread(database.ask, "SELECT pg_terminate_backend(%s, 10000)", pid)
            assert await met_at_last(store, "ada") == ["list-1"]
            assert not sessions(database) & before

    asyncio.run(check())


def test_a_week_that_was_empty_when_the_store_opened_is_read_by_its_index(database: Any) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT) as store:
            # So that the week is known to be empty, which makes reading all of it look cheap.
            await asyncio.to_thread(database.ask, "VACUUM ANALYZE impressions")
            for _ in range(3 * AT_ONCE):
                assert await met(store, "ada") == []
            rows = "SELECT now(), 'rec', 'user-' || n, '{x}', '', '', 'live' FROM generate_series(1, 5000) AS n"
            await asyncio.to_thread(database.ask, f"INSERT INTO impressions {rows}")
            for number in range(1, 3 * AT_ONCE):
                assert await met(store, f"user-{number}") == ["x"]

    asyncio.run(check())
    # Figures are there when the store's connections have ended.
    read = "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname LIKE 'impressions_%%'"
    assert database.ask(read) == [(0,)]


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (psycopg.OperationalError("the connection is closed"), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (errors.AdminShutdown(), True),
        (errors.CannotConnectNow(), True),
        (errors.UndefinedTable(), True),
        (errors.QueryCanceled(), False),
        (errors.LockNotAvailable(), False),
        (errors.InsufficientPrivilege(), False),
        (errors.CheckViolation(), False),
        (psycopg.DataError("NUL"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_schema_is_looked_up_again_when_connection_or_tables_are_lost_and_not_otherwise(
    error: Exception, lost: bool
) -> None:
    assert is_lost(error) is lost

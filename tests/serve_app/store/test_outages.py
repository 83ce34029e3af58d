"""Postgres that is away, hangs, refuses or comes back: what callers hear, and that nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from spotify_buddies.serve_app.embedded import postgres
from spotify_buddies.serve_app.errors import FeedbackUnavailable
from spotify_buddies.serve_app.store.actions import Feedback, StoredAction
from spotify_buddies.serve_app.store.commit import Committed
from spotify_buddies.serve_app.store.reactions import WEEKS_ATTACHED, Reactions
from spotify_buddies.serve_app.store.store import Store
from tests.serve_app.store.storing import ACTION, opened, run, store_all, stored_at_last
from tests.waiting import until


def test_a_database_restored_without_our_tables_gets_them_again(database: Any) -> None:
    async def main() -> None:
        async with opened(database.url) as store:
            assert (await store.store(ACTION)).new
            # In a thread: the store's own upkeep may hold the tables, and must be able to go on.
            await asyncio.to_thread(drop_all, database)
            await asyncio.to_thread(database.ask, "CREATE SCHEMA public")
            assert await store.store(ACTION) == StoredAction(new=True, reactions=5)

    run(main())


def drop_all(database: Any) -> None:
    """Drop every table, again where Postgres ended that for the upkeep's sake: the two may lock each other out."""
    for attempt in range(10):
        try:
            database.ask("DROP SCHEMA public CASCADE")
            return
        except psycopg.errors.DeadlockDetected:
            if attempt == 9:
                raise


def test_a_database_that_refuses_to_write_is_unavailable_until_it_does_not(database: Any) -> None:
    async def main() -> None:
        async with opened(database.url) as store:
            with psycopg.connect(database.url, autocommit=True) as connection:
                connection.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
                try:
                    with pytest.raises(FeedbackUnavailable, match="ReadOnlySqlTransaction"):
                        await store.store(ACTION)
                finally:
                    connection.execute("SET default_transaction_read_only = off")
                    connection.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
            assert (await store.store(ACTION)).new

    run(main())


def test_a_store_that_was_never_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(FeedbackUnavailable) as error:
        run(store_all(f"postgresql://postgres@/postgres?host={tmp_path}", [ACTION], timeout_s=0.5))
    assert error.value.retry_after_s > 0


def test_a_store_whose_host_is_no_name_is_unavailable() -> None:
    with pytest.raises(FeedbackUnavailable, match="OperationalError"):
        run(store_all("postgresql://me@a..b/likes", [ACTION], 1.0))


def test_a_server_that_does_not_answer_is_unavailable_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts nobody, so that nobody is answered
        url = f"postgresql://postgres@127.0.0.1:{listening.getsockname()[1]}/postgres"
        with pytest.raises(FeedbackUnavailable, match=r"no answer within 0\.5 s"):
            run(store_all(url, [ACTION], timeout_s=0.5))


def test_a_lock_held_by_somebody_else_ends_in_unavailable_and_stores_nothing(database: Any) -> None:
    run(store_all(database.url, [replace(ACTION, idempotency_key="other")]))
    with psycopg.connect(database.url) as blocker:
        blocker.execute("LOCK TABLE reactions")
        with pytest.raises(FeedbackUnavailable):
            run(store_all(database.url, [ACTION], timeout_s=0.5))
    assert database.count("feedback") == 1


def test_a_store_that_dies_is_unavailable_and_works_again_when_it_is_back(data_dir: Path) -> None:
    async def main() -> None:
        first = postgres(data_dir)
        url = first.__enter__()
        async with opened(url) as store:
            assert (await store.store(ACTION)).new
            await asyncio.to_thread(first.__exit__, None, None, None)
            with pytest.raises(FeedbackUnavailable):
                await store.store(replace(ACTION, idempotency_key="key-2"))
            with postgres(data_dir) as again:
                assert again == url
                assert await store.store(ACTION) == StoredAction(new=False, reactions=5)
                assert await store.store(replace(ACTION, idempotency_key="key-2")) == StoredAction(True, 5)

    run(main())


def test_a_server_that_hangs_is_unavailable_within_the_timeout(data_dir: Path) -> None:
    async def main() -> None:
        with postgres(data_dir) as url:
            postmaster = psutil.Process(int((data_dir / "postmaster.pid").read_text().split()[0]))
            async with opened(url, 1.0) as store:
                assert await stored_at_last(store, ACTION) == 5
                hung = [postmaster, *postmaster.children(recursive=True)]
                for process in hung:
                    process.suspend()
                try:
                    with pytest.raises(FeedbackUnavailable, match="no answer within 1 s"):
                        await store.store(replace(ACTION, idempotency_key="key-2"))
                finally:
                    for process in hung:
                        process.resume()
                assert await stored_at_last(store, replace(ACTION, idempotency_key="key-3")) == 5

    run(main())


def test_whatever_happens_to_postgres_what_was_acknowledged_is_stored_and_nothing_is_stored_twice(
    data_dir: Path,
) -> None:
    acknowledged: list[str] = []

    async def writer(store: Store, name: int, stopping: asyncio.Event) -> None:
        n = 0
        while not stopping.is_set():
            action = replace(ACTION, idempotency_key=f"{name}-{n}", user_id=f"user-{name}")
            try:
                await store.store(action)
            except FeedbackUnavailable:
                await asyncio.sleep(0.02)
                continue
            acknowledged.append(action.idempotency_key)
            n += 1

    async def main() -> None:
        stopping = asyncio.Event()
        first = postgres(data_dir)
        url = first.__enter__()
        async with opened(url, 2.0) as store:
            writers = [asyncio.create_task(writer(store, name, stopping)) for name in range(16)]
            await until(lambda: len(acknowledged) > 50, "some feedback")
            await asyncio.to_thread(first.__exit__, None, None, None)
            in_outage = len(acknowledged)
            with postgres(data_dir) as again:
                await until(lambda: len(acknowledged) >= in_outage + 200, "feedback after the outage")
                stopping.set()
                await asyncio.gather(*writers)
                with psycopg.connect(again) as connection:
                    stored = [key for (key,) in connection.execute("SELECT idempotency_key FROM feedback")]
                    rows = connection.execute("SELECT count(*) FROM reactions").fetchone()
        assert sorted(stored) == sorted(acknowledged)
        assert rows == (5 * len(stored),)

    run(main())


@pytest.mark.parametrize(("attachments", "stored"), [(1, True), (2, True), (WEEKS_ATTACHED, True), (99, False)])
def test_a_batch_is_sent_again_for_each_week_that_is_attached_under_it(
    maintained: Any, monkeypatch: pytest.MonkeyPatch, attachments: int, stored: bool
) -> None:
    """Two tables get the week of a new database one after the other, and a batch can meet both."""
    left = iter(range(attachments))
    commit = Reactions._commit

    async def attached_meanwhile(self: Reactions, actions: Sequence[Feedback]) -> Committed:
        if next(left, None) is not None:
            raise psycopg.errors.CheckViolation("new row violates partition constraint")
        return await commit(self, actions)

    monkeypatch.setattr(Reactions, "_commit", attached_meanwhile)
    if stored:
        assert run(store_all(maintained.url, [ACTION])) == [StoredAction(new=True, reactions=5)]
    else:
        with pytest.raises(FeedbackUnavailable, match="CheckViolation"):
            run(store_all(maintained.url, [ACTION]))

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from clients.python import Client
from serve_app.embedded import postgres
from serve_app.errors import FeedbackUnavailable
from serve_app.feedback import Feedback, FeedbackStore, Stored, read_feedback
from serve_app.migrate import migrate, migrations
from serve_app.settings import ServeSettings

ACTION = Feedback("rec-1", "user-1", ("b", "a"), ("d", "c"), ("e",), "key-1", "7", "production")


@pytest.fixture
def database(postgres_url: str) -> str:
    """The session's server with no tables in it."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS reactions, feedback, schema_migrations")
    return postgres_url


def run(call: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(call)


async def store_all(url: str, actions: list[Feedback], timeout_s: float = 10.0) -> list[Stored]:
    async with FeedbackStore(url, timeout_s) as store:
        return list(await asyncio.gather(*(store.store(action) for action in actions)))


def count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row is not None
        return int(row[0])


def test_an_action_is_stored_with_one_row_per_playlist(database: str) -> None:
    assert run(store_all(database, [ACTION])) == [Stored(new=True, reactions=5)]
    rows = read_feedback(database, "rec-1")
    assert [(row.playlist_id, row.score) for row in rows] == [("a", 1), ("b", 1), ("c", 0), ("d", 0), ("e", -1)]
    assert {(row.user_id, row.model_version, row.arm) for row in rows} == {("user-1", "7", "production")}


def test_sixty_four_concurrent_retries_store_once(database: str) -> None:
    stored = run(store_all(database, [ACTION] * 64))
    assert sorted(stored, key=lambda s: not s.new) == [Stored(True, 5)] + [Stored(False, 5)] * 63
    assert count(database, "feedback") == 1
    assert count(database, "reactions") == 5


def test_a_key_used_again_stores_nothing_even_with_another_content(database: str) -> None:
    run(store_all(database, [ACTION]))
    other = replace(ACTION, liked=("z",), ignored=(), disliked=())
    assert run(store_all(database, [other])) == [Stored(new=False, reactions=5)]
    assert [row.playlist_id for row in read_feedback(database, "rec-1")] == ["a", "b", "c", "d", "e"]


def test_reading_what_was_never_stored_gives_nothing(database: str) -> None:
    assert read_feedback(database, "rec-1") == []
    run(store_all(database, [ACTION]))
    assert read_feedback(database, "rec-2") == []


def test_a_database_restored_without_our_tables_gets_them_again(database: str) -> None:
    async def main() -> None:
        async with FeedbackStore(database, 10.0) as store:
            assert (await store.store(ACTION)).new
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute("DROP TABLE reactions, feedback, schema_migrations")
            assert await store.store(ACTION) == Stored(new=True, reactions=5)

    run(main())


def test_a_database_that_refuses_to_write_is_unavailable_until_it_does_not(database: str) -> None:
    async def main() -> None:
        async with FeedbackStore(database, 10.0) as store:
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
                try:
                    with pytest.raises(FeedbackUnavailable, match="ReadOnlySqlTransaction"):
                        await store.store(ACTION)
                finally:
                    connection.execute("SET default_transaction_read_only = off")
                    connection.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
            assert (await store.store(ACTION)).new

    run(main())


def test_options_in_the_address_hold_beside_the_stores_own(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA mine")
        try:
            run(store_all(f"{database}&options=-c%20search_path%3Dmine", [ACTION]))
            assert count(database, "mine.feedback") == 1
        finally:
            connection.execute("DROP SCHEMA mine CASCADE")


def test_the_longest_wait_is_shorter_than_the_deadline_of_the_python_client() -> None:
    deadline_s = inspect.signature(Client).parameters["timeout_s"].default
    assert ServeSettings().feedback_timeout_s <= 0.8 * deadline_s


def test_migrations_are_applied_once_however_many_start_together(database: str) -> None:
    async def one() -> list[int]:
        connection = await psycopg.AsyncConnection.connect(database, autocommit=True)
        async with connection:
            return await migrate(connection)

    async def several() -> list[list[int]]:
        return list(await asyncio.gather(*(one() for _ in range(8))))

    numbers = [number for number, _ in migrations()]
    assert sorted(run(several())) == [[]] * 7 + [numbers]
    assert count(database, "schema_migrations") == len(numbers)


def test_a_store_that_was_never_there_is_unavailable_within_the_timeout(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(FeedbackUnavailable) as error:
        run(store_all(f"postgresql://postgres@/postgres?host={tmp_path}", [ACTION], timeout_s=0.5))
    assert time.monotonic() - started < 2.0
    assert error.value.retry_after_s > 0


def test_a_server_that_does_not_answer_is_unavailable_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts nobody, so that nobody is answered
        url = f"postgresql://postgres@127.0.0.1:{listening.getsockname()[1]}/postgres"
        started = time.monotonic()
        with pytest.raises(FeedbackUnavailable):
            run(store_all(url, [ACTION], timeout_s=0.5))
    assert time.monotonic() - started < 3.0


def test_a_lock_held_by_somebody_else_ends_in_unavailable_and_stores_nothing(database: str) -> None:
    run(store_all(database, [replace(ACTION, idempotency_key="other")]))
    with psycopg.connect(database) as blocker:
        blocker.execute("LOCK TABLE feedback")
        with pytest.raises(FeedbackUnavailable):
            run(store_all(database, [ACTION], timeout_s=0.5))
    assert count(database, "feedback") == 1


def test_a_store_that_dies_is_unavailable_and_works_again_when_it_is_back(data_dir: Path) -> None:
    async def main() -> None:
        first = postgres(data_dir)
        url = first.__enter__()
        async with FeedbackStore(url, 2.0) as store:
            assert (await store.store(ACTION)).new
            await asyncio.to_thread(first.__exit__, None, None, None)
            with pytest.raises(FeedbackUnavailable):
                await store.store(replace(ACTION, idempotency_key="key-2"))
            with postgres(data_dir) as again:
                assert again == url
                assert await store.store(ACTION) == Stored(new=False, reactions=5)
                assert await store.store(replace(ACTION, idempotency_key="key-2")) == Stored(True, 5)

    run(main())


def test_a_server_that_hangs_is_unavailable_within_the_timeout(data_dir: Path) -> None:
    async def main() -> None:
        with postgres(data_dir) as url:
            postmaster = psutil.Process(int((data_dir / "postmaster.pid").read_text().split()[0]))
            async with FeedbackStore(url, 1.0) as store:
                assert (await store.store(ACTION)).new
                hung = [postmaster, *postmaster.children(recursive=True)]
                for process in hung:
                    process.suspend()
                try:
                    started = time.monotonic()
                    with pytest.raises(FeedbackUnavailable, match="no answer within 1 s"):
                        await store.store(replace(ACTION, idempotency_key="key-2"))
                    assert time.monotonic() - started < 2.0
                finally:
                    for process in hung:
                        process.resume()
                assert (await store.store(ACTION)) == Stored(new=False, reactions=5)

    run(main())

from __future__ import annotations

import asyncio
import inspect
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from spotify_buddies.clients.python import Client
from spotify_buddies.serve_app.embedded import postgres
from spotify_buddies.serve_app.errors import FeedbackUnavailable
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.store.actions import Feedback, Snooze, StoredAction
from spotify_buddies.serve_app.store.commit import commit
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.migrate import migrate, migrations
from spotify_buddies.serve_app.store.report import read_feedback
from spotify_buddies.serve_app.store.store import Store, StoreSettings

ACTION = Feedback("rec-1", "user-1", ("b", "a"), ("d", "c"), ("e",), "key-1", "7", "production")


def run(call: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(call)


async def store_all(url: str, actions: list[Feedback], timeout_s: float = 10.0) -> list[StoredAction]:
    async with opened(url, timeout_s) as store:
        return list(await asyncio.gather(*(store.store(action) for action in actions)))


def opened(url: str, timeout_s: float) -> Store:
    return Store(url, StoreSettings(timeout_s=timeout_s))


def test_an_action_is_stored_with_one_row_per_playlist(database: Any) -> None:
    assert run(store_all(database.url, [ACTION])) == [StoredAction(new=True, reactions=5)]
    rows = read_feedback(database.url, "rec-1")
    assert [(row.playlist_id, row.score) for row in rows] == [("a", 1), ("b", 1), ("c", 0), ("d", 0), ("e", -1)]
    assert {(row.user_id, row.model_version, row.arm) for row in rows} == {("user-1", "7", "production")}


def test_sixty_four_concurrent_retries_store_once(database: Any) -> None:
    stored = run(store_all(database.url, [ACTION] * 64))
    assert sorted(stored, key=lambda s: not s.new) == [StoredAction(True, 5)] + [StoredAction(False, 5)] * 63
    assert database.count("feedback") == 1
    assert database.count("reactions") == 5


def test_reading_what_was_never_stored_gives_nothing(database: Any) -> None:
    assert read_feedback(database.url, "rec-1") == []
    run(store_all(database.url, [ACTION]))
    assert read_feedback(database.url, "rec-2") == []


def test_a_database_restored_without_our_tables_gets_them_again(database: Any) -> None:
    async def main() -> None:
        async with opened(database.url, 10.0) as store:
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
        async with opened(database.url, 10.0) as store:
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


def test_options_in_the_address_hold_beside_the_stores_own(database: Any) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA mine")
        try:
            assert run(store_all(f"{database.url}&options=-c%20search_path%3Dmine", [ACTION]))[0].new
            assert database.count("mine.feedback") == 1
        finally:
            connection.execute("DROP SCHEMA mine CASCADE")


def test_the_longest_wait_is_shorter_than_the_deadline_of_the_python_client() -> None:
    deadline_s = inspect.signature(Client).parameters["timeout_s"].default
    assert ServeSettings().feedback_timeout_s <= 0.8 * deadline_s


def test_migrations_are_applied_once_however_many_start_together(database: Any) -> None:
    async def one() -> list[int]:
        connection = await psycopg.AsyncConnection.connect(database.url, autocommit=True)
        async with connection:
            return await migrate(connection)

    async def several() -> list[list[int]]:
        return list(await asyncio.gather(*(one() for _ in range(8))))

    numbers = [number for number, _ in migrations()]
    assert sorted(run(several())) == [[]] * 7 + [numbers]
    assert database.count("schema_migrations") == len(numbers)


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
        async with opened(url, 2.0) as store:
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
                assert (await store.store(ACTION)) == StoredAction(new=False, reactions=5)

    run(main())


def test_what_waits_together_is_committed_together_and_each_gets_its_own_answer(database: Any, telemetry: Any) -> None:
    actions = [replace(ACTION, idempotency_key=f"key-{i}", liked=tuple(f"p{j}" for j in range(i))) for i in range(50)]

    async def main() -> list[StoredAction]:
        async with Store(database.url, StoreSettings(10.0), telemetry) as store:
            return list(await asyncio.gather(*(store.store(action) for action in actions)))

    assert run(main()) == [StoredAction(new=True, reactions=i + 3) for i in range(50)]
    assert sum(telemetry.batches) == 50
    assert len(telemetry.batches) < 10
    assert telemetry.feedback == {"accepted": 50, "duplicate": 0, "reused": 0}


@pytest.mark.parametrize("words", [("liked", "disliked"), ("disliked", "liked")])
def test_of_what_is_committed_together_the_last_word_counts(database: Any, telemetry: Any, words: Any) -> None:
    empty = replace(ACTION, liked=(), ignored=(), disliked=())
    actions = [replace(empty, idempotency_key=word, **{word: ("x",)}) for word in words]

    async def main() -> list[str]:
        async with Store(database.url, StoreSettings(10.0), telemetry) as store:
            await store.store(replace(empty, disliked=("x",)))
            await asyncio.gather(*(store.store(action) for action in actions))
            return list(store.blocked(["user-1"], datetime.now(UTC)).get(0, ()))

    assert run(main()) == (["x"] if words[-1] == "disliked" else [])
    assert telemetry.batches == [1, 2]
    assert database.ask("SELECT disliked FROM blocks") == [(words[-1] == "disliked",)]


def test_a_key_that_was_stored_says_nothing_of_blocks_even_beside_a_new_one(database: Any) -> None:
    first = replace(ACTION, idempotency_key="1", liked=("x",), ignored=(), disliked=())
    run(store_all(database.url, [first]))
    run(store_all(database.url, [replace(ACTION, idempotency_key="2", liked=(), ignored=(), disliked=("x",))]))
    stored = run(store_all(database.url, [first, replace(ACTION, liked=())]))
    assert stored == [StoredAction(new=False, reactions=1), StoredAction(new=True, reactions=3)]
    assert database.ask("SELECT playlist_id FROM blocks WHERE disliked ORDER BY 1") == [("e",), ("x",)]


def test_a_plan_made_while_blocks_were_few_does_not_read_many(database: Any) -> None:
    many = "INSERT INTO blocks (user_id, playlist_id, disliked) SELECT 'eve', g, true FROM generate_series(1, 20000) g"

    async def main() -> None:
        connection = await connect(database.url, connect_s=10.0)
        async with connection:
            await migrate(connection)
            for number in range(10):
                await commit(connection, [replace(ACTION, idempotency_key=str(number), disliked=())])
            database.ask(many)
            await commit(connection, [replace(ACTION, disliked=())])
            await connection.execute("SELECT pg_stat_force_next_flush()")

    run(main())
    ((read,),) = database.ask("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'blocks'")
    assert read < 20_000


def test_a_transaction_that_waits_for_a_lock_does_not_hold_up_the_next(database: Any, until: Any) -> None:
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    async def main() -> None:
        async with opened(database.url, 20.0) as store:
            assert (await store.store(ACTION)).new
            with psycopg.connect(database.url) as blocker:
                blocker.execute("INSERT INTO feedback (idempotency_key, at, rows) VALUES ('locked', now(), 1)")
                locked = asyncio.create_task(store.store(replace(ACTION, idempotency_key="locked")))
                await until(lambda: len(database.ask(waits)) == 1)
                for number in range(10):
                    assert (await store.store(replace(ACTION, idempotency_key=f"free-{number}"))).new
                assert not locked.done()
                blocker.rollback()
                assert (await locked).new

    run(main())
    assert database.count("feedback") == 12


def test_a_row_that_the_database_refuses_fails_alone(database: Any) -> None:
    actions = [replace(ACTION, idempotency_key=f"key-{i}") for i in range(20)]
    actions[7] = replace(actions[7], user_id="nul\0")
    actions[13] = replace(actions[13], wishes=(Snooze("p", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))),))

    async def main() -> list[Any]:
        async with opened(database.url, 10.0) as store:
            return list(await asyncio.gather(*(store.store(action) for action in actions), return_exceptions=True))

    answers = run(main())
    refused = [i for i, answer in enumerate(answers) if isinstance(answer, FeedbackUnavailable)]
    assert refused[0] == 7
    stored = [answer for answer in answers if isinstance(answer, StoredAction)]
    assert len(stored) == 20 - len(refused)
    assert database.count("feedback") == len(stored)
    assert database.count("reactions") == 5 * len(stored)


def test_an_action_that_nobody_waits_for_any_more_is_not_sent(database: Any) -> None:
    async def main() -> None:
        async with opened(database.url, 10.0) as store:
            await store.store(ACTION)
            task = asyncio.create_task(store.store(replace(ACTION, idempotency_key="left")))
            await asyncio.sleep(0)
            task.cancel()
            await store.store(replace(ACTION, idempotency_key="stayed"))

    run(main())
    assert {key for (key,) in database.ask("SELECT idempotency_key FROM feedback")} == {"key-1", "stayed"}


WRITER = """
import asyncio, sys
from spotify_buddies.serve_app.store.actions import Feedback, Snooze
from spotify_buddies.serve_app.store.store import Store, StoreSettings
from datetime import datetime, timezone

async def main(url, name):
    later = datetime(2900, 1, 1, tzinfo=timezone.utc)
    async with Store(url, StoreSettings(timeout_s=30.0)) as store:
        async def write(writer):
            new = 0
            for n in range(12):
                mine = [f"list-{(writer * 7 + n * 3 + i) % 9}" for i in range(4)]
                # Half of the keys are sent by both processes; all of them are about the same few listeners.
                key = f"shared-{writer}-{n}" if n % 2 else f"{name}-{writer}-{n}"
                action = Feedback(f"rec-{n}", f"user-{(writer + n) % 5}", (mine[0],), (mine[1],), (mine[2],), key, "7",
                    "production", (Snooze(mine[3], later),))
                new += (await store.store(action)).new
            return new
        print(sum(await asyncio.gather(*(write(writer) for writer in range(32)))))
asyncio.run(main(*sys.argv[1:]))
"""


def test_sixty_four_writers_in_two_processes_over_the_same_listeners_neither_deadlock_nor_store_twice(
    database: Any,
) -> None:
    run(store_all(database.url, []))
    before = database.ask("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    command = [sys.executable, "-c", WRITER, database.url]
    processes = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("a", "b")]
    new = [int(process.communicate(timeout=120)[0]) for process in processes]
    # 32 writers with 6 keys of their own in each process, and 32 x 6 keys that both sent.
    assert sum(new) == 2 * 32 * 6 + 32 * 6 == database.count("feedback")
    assert database.count("reactions") == 3 * sum(new)
    assert database.count("wishes") == sum(new)
    assert database.ask("SELECT count(*) FROM feedback WHERE rows <> 4") == [(0,)]
    assert database.ask("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == before


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
            await asyncio.sleep(0.3)
            await asyncio.to_thread(first.__exit__, None, None, None)
            in_outage = len(acknowledged)
            with postgres(data_dir) as again:
                while len(acknowledged) < in_outage + 200:
                    await asyncio.sleep(0.01)
                stopping.set()
                await asyncio.gather(*writers)
                with psycopg.connect(again) as connection:
                    stored = [key for (key,) in connection.execute("SELECT idempotency_key FROM feedback")]
                    rows = connection.execute("SELECT count(*) FROM reactions").fetchone()
        assert sorted(stored) == sorted(acknowledged)
        assert rows == (5 * len(stored),)

    run(main())

"""Feedback as it is stored: once, whole, with its blocks, whoever writes beside it."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from spotify_buddies.clients.python import Client
from spotify_buddies.serve_app.errors import FeedbackUnavailable
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.store.actions import Snooze, StoredAction
from spotify_buddies.serve_app.store.commit import commit
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.migrate import migrate, migrations
from spotify_buddies.serve_app.store.report import read_feedback
from spotify_buddies.serve_app.store.store import Store
from tests.serve_app.store.storing import ACTION, PATIENT, opened, run, store_all
from tests.waiting import until


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


def test_what_waits_together_is_committed_together_and_each_gets_its_own_answer(database: Any, telemetry: Any) -> None:
    actions = [replace(ACTION, idempotency_key=f"key-{i}", liked=tuple(f"p{j}" for j in range(i))) for i in range(50)]

    async def main() -> list[StoredAction]:
        async with Store(database.url, PATIENT, telemetry) as store:
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
        async with Store(database.url, PATIENT, telemetry) as store:
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
        connection = await connect(database.url, connect_s=60.0)
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


def test_a_transaction_that_waits_for_a_lock_does_not_hold_up_the_next(maintained: Any) -> None:
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    async def main() -> None:
        async with opened(maintained.url) as store:
            assert (await store.store(ACTION)).new
            with psycopg.connect(maintained.url) as blocker:
                blocker.execute("INSERT INTO feedback (idempotency_key, at, rows) VALUES ('locked', now(), 1)")
                locked = asyncio.create_task(store.store(replace(ACTION, idempotency_key="locked")))
                await until(lambda: len(maintained.ask(waits)) == 1, "what the store does by itself")
                for number in range(10):
                    assert (await store.store(replace(ACTION, idempotency_key=f"free-{number}"))).new
                assert not locked.done()
                blocker.rollback()
                assert (await locked).new

    run(main())
    assert maintained.count("feedback") == 12


def test_a_row_that_the_database_refuses_fails_alone(database: Any) -> None:
    actions = [replace(ACTION, idempotency_key=f"key-{i}") for i in range(20)]
    actions[7] = replace(actions[7], user_id="nul\0")
    actions[13] = replace(actions[13], snoozes=(Snooze("p", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))),))

    async def main() -> list[Any]:
        async with opened(database.url) as store:
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
        async with opened(database.url) as store:
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
    async with Store(url, StoreSettings(timeout_s=60.0)) as store:
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
    maintained: Any,
) -> None:
    database = maintained
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

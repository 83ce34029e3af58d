"""What an idempotency key stands for: one action of one caller."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from spotify_buddies.serve_app.errors import KeyReused
from spotify_buddies.serve_app.store.actions import Feedback, Snooze, StoredAction
from spotify_buddies.serve_app.store.commit import commit
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.migrate import migrate, migrations
from spotify_buddies.serve_app.store.report import read_feedback
from spotify_buddies.serve_app.store.store import Store
from tests.serve_app.store.storing import PATIENT

UNTIL = datetime(2030, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
ACTION = Feedback(
    "rec-1",
    "user-1",
    ("b", "a"),
    ("d", "c"),
    ("e",),
    "key-1",
    "7",
    "production",
    (Snooze("w", UNTIL), Snooze("v", UNTIL)),
)
OTHERS = [
    (replace(ACTION, user_id="user-2"), "user_id"),
    (replace(ACTION, recommendation_id="rec-2"), "recommendation_id"),
    (replace(ACTION, liked=("a",)), "liked"),
    (replace(ACTION, liked=()), "liked"),
    (replace(ACTION, ignored=("d", "c", "x")), "ignored"),
    (replace(ACTION, disliked=("f",)), "disliked"),
    (replace(ACTION, snoozes=(Snooze("w", UNTIL),)), "do_not_recommend"),
    (replace(ACTION, snoozes=(Snooze("w", UNTIL), Snooze("v", UNTIL + timedelta(microseconds=1)))), "do_not_recommend"),
]


def store_all(database: Any, actions: Sequence[Feedback], telemetry: Any = None) -> list[Any]:
    """Each answer or error, in order; all are sent at once."""

    async def send() -> list[Any]:
        async with Store(database.url, PATIENT, telemetry) as store:
            return list(await asyncio.gather(*(store.store(action) for action in actions), return_exceptions=True))

    return asyncio.run(send())


@pytest.mark.parametrize(("other", "field"), OTHERS)
def test_another_action_under_a_stored_key_is_refused_by_the_name_of_what_differs(
    database: Any, other: Feedback, field: str
) -> None:
    assert store_all(database, [ACTION]) == [StoredAction(new=True, reactions=7)]
    (error,) = store_all(database, [other])
    assert isinstance(error, KeyReused)
    assert error.fields == (field,)
    assert {row.user_id for row in read_feedback(database.url, "rec-1")} == {"user-1"}
    assert (database.count("feedback"), database.count("reactions"), database.count("wishes")) == (1, 5, 2)


def test_every_field_that_differs_is_named(database: Any) -> None:
    store_all(database, [ACTION])
    (error,) = store_all(database, [Feedback("r", "u", ("x",), (), (), "key-1")])
    assert error.fields == ("user_id", "recommendation_id", "liked", "ignored", "disliked", "do_not_recommend")
    assert "liked" in str(error)


def test_a_repetition_is_one_in_any_order_and_without_version_and_arm(database: Any) -> None:
    there = timezone(timedelta(hours=5))
    snoozes = (Snooze("v", UNTIL.astimezone(there)), Snooze("w", UNTIL))
    again = replace(ACTION, liked=("a", "b"), ignored=("c", "d"), snoozes=snoozes, model_version="", arm="unspecified")
    assert store_all(database, [ACTION, again]) == [StoredAction(True, 7), StoredAction(False, 7)]
    assert store_all(database, [again]) == [StoredAction(False, 7)]


def test_of_two_actions_with_one_key_in_one_batch_the_first_is_stored_and_the_neighbours_too(
    database: Any, telemetry: Any
) -> None:
    other = replace(ACTION, liked=("z",))
    neighbours = [replace(ACTION, idempotency_key=f"n{i}") for i in range(3)]
    found = store_all(database, [neighbours[0], ACTION, other, neighbours[1], ACTION, neighbours[2]], telemetry)
    assert [type(one) for one in found] == [
        StoredAction,
        StoredAction,
        KeyReused,
        StoredAction,
        StoredAction,
        StoredAction,
    ]
    assert [one.new for one in found if isinstance(one, StoredAction)] == [True, True, True, False, True]
    assert found[2].fields == ("liked",)
    assert telemetry.batches == [6]
    assert telemetry.feedback == {"accepted": 4, "duplicate": 1, "reused": 1}
    assert [row.playlist_id for row in read_feedback(database.url, "rec-1") if row.playlist_id == "z"] == []


def test_in_a_batch_all_are_compared_with_what_was_stored_before(database: Any) -> None:
    other = replace(ACTION, liked=("z",))
    store_all(database, [ACTION])
    found = store_all(database, [other, ACTION, other, replace(other, idempotency_key="new")])
    assert [type(one) for one in found] == [KeyReused, StoredAction, KeyReused, StoredAction]
    assert (found[1], found[3]) == (StoredAction(False, 7), StoredAction(True, 6))


def test_keys_belong_to_their_caller(database: Any) -> None:
    other = replace(ACTION, user_id="user-2", caller="radio")
    assert store_all(database, [ACTION, other]) == [StoredAction(True, 7), StoredAction(True, 7)]
    assert store_all(database, [other, replace(ACTION, caller="shop")]) == [
        StoredAction(False, 7),
        StoredAction(True, 7),
    ]
    (error,) = store_all(database, [replace(ACTION, caller="radio")])
    assert error.fields == ("user_id",)
    assert database.ask("SELECT caller FROM feedback ORDER BY 1") == [("",), ("radio",), ("shop",)]


def test_of_many_different_actions_that_race_for_one_key_one_is_stored(database: Any) -> None:
    """Over connections of their own, so that most learn of the first only when they run into it."""

    async def one(number: int) -> StoredAction:
        async with await connect(database.url, connect_s=60.0) as connection:
            await migrate(connection)
            committed = await commit(connection, [replace(ACTION, user_id=f"user-{number}")])
            return committed.stored[0]

    async def race() -> list[StoredAction]:
        return list(await asyncio.gather(*(one(number) for number in range(12))))

    found = asyncio.run(race())
    assert sorted(stored.differs for stored in found) == [(), *[("user_id",)] * 11]
    assert [stored.new for stored in found if not stored.differs] == [True]


@pytest.fixture
def before(database: Any) -> Any:
    """The database as the migrations before this one left it, with one stored action."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE schema_migrations (number int PRIMARY KEY, applied_at timestamptz)")
        for number, sql in itertools.takewhile(lambda migration: migration[0] < 4, migrations()):
            connection.execute(sql.encode())
            connection.execute("INSERT INTO schema_migrations VALUES (%s, now())", (number,))
        connection.execute(
            "INSERT INTO feedback (idempotency_key, at, rows) VALUES ('key-1', now(), 3), ('k2', now(), 1)"
        )
    return database


def test_a_key_from_before_fingerprints_stands_for_any_action_without_a_caller(before: Any) -> None:
    other = replace(ACTION, user_id="user-2")
    assert store_all(before, [other, ACTION]) == [StoredAction(False, 3), StoredAction(False, 3)]
    assert store_all(before, [replace(ACTION, caller="radio")]) == [StoredAction(True, 7)]
    kept = before.ask("SELECT caller, idempotency_key, rows, fingerprint IS NULL FROM feedback ORDER BY 1, 2")
    assert kept == [("", "k2", 1, True), ("", "key-1", 3, True), ("radio", "key-1", 7, False)]

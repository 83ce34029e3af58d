"""Version and arm of feedback whose caller does not say them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from spotify_buddies.serve_app.store.actions import Feedback, StoredAction
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.late_attribution import attribute_late
from spotify_buddies.serve_app.store.database.maintain import Retention, maintain
from spotify_buddies.serve_app.store.database.migrate import migrate
from spotify_buddies.serve_app.store.report import read_feedback
from spotify_buddies.serve_app.store.store import Store
from tests.serve_app.store.storing import PATIENT
from tests.waiting import until

UNSAID = Feedback("rec-ada", "ada", ("x",), (), (), "key")
GIVEN = "INSERT INTO impressions VALUES (%s, 'rec-ada', 'ada', '{x}', '7', 'canary', 'live')"


def origins(database: Any) -> list[tuple[str, str]]:
    return [(row.model_version, row.arm) for row in read_feedback(database.url, "rec-ada")]


def test_feedback_gets_version_and_arm_of_the_list_as_soon_as_that_is_given(
    database: Any, telemetry: Any, shown: Any
) -> None:
    """In the replica that answered, though the list is not written yet."""

    async def check() -> None:
        async with Store(database.url, PATIENT, telemetry) as store:
            store.record(shown(["bob", "ada"], [1]))
            assert store.impressions_waiting == 2
            assert await store.store(UNSAID) == StoredAction(new=True, reactions=1)

    asyncio.run(check())
    assert origins(database) == [("7", "production")]
    assert telemetry.attribution == {"resolved": 1}


def test_feedback_gets_version_and_arm_of_a_list_that_another_replica_gave(
    database: Any, telemetry: Any, shown: Any
) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT) as other, Store(database.url, PATIENT, telemetry) as store:
            other.record(replace(shown(["ada"], [1]), arm="canary"))
            await until(lambda: other.impressions_waiting == 0, "what the store does by itself")
            await store.store(UNSAID)
            again = await store.store(UNSAID)
            assert again == StoredAction(new=False, reactions=1)

    asyncio.run(check())
    assert origins(database) == [("7", "canary")]
    assert telemetry.attribution == {"resolved": 1}


def test_half_of_a_pair_is_replaced_by_the_pair_of_the_list(database: Any, shown: Any) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT) as store:
            store.record(shown(["ada"], [1]))
            await store.store(replace(UNSAID, model_version="6", idempotency_key="version"))
            await store.store(replace(UNSAID, arm="canary", idempotency_key="arm"))

    asyncio.run(check())
    assert origins(database) == [("7", "production")] * 2


def test_what_the_caller_says_is_kept(database: Any, telemetry: Any, shown: Any) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT, telemetry) as store:
            store.record(shown(["ada"], [1]))
            await store.store(replace(UNSAID, model_version="6", arm="canary"))

    asyncio.run(check())
    assert origins(database) == [("6", "canary")]
    assert telemetry.attribution == {}


@pytest.mark.parametrize("about", [{"recommendation_id": "rec-bob"}, {"user_id": "eve"}, {"user_id": "nul\u2028"}])
def test_feedback_without_a_list_of_that_user_is_stored_unresolved(
    database: Any, telemetry: Any, shown: Any, about: dict[str, str]
) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT, telemetry) as store:
            store.record(shown(["ada"], [1]))
            assert (await store.store(replace(UNSAID, **about))).new

    asyncio.run(check())
    assert database.ask("SELECT model_version, arm FROM reactions") == [("", "unspecified")]
    assert telemetry.attribution == {"unresolved": 1}


def test_lists_that_cannot_be_read_hold_no_feedback_up(maintained: Any, telemetry: Any) -> None:
    async def check() -> None:
        async with Store(maintained.url, replace(PATIENT, attribution_s=0.1), telemetry) as store:
            await store.store(replace(UNSAID, idempotency_key="first"))
            with psycopg.connect(maintained.url) as sorting:
                await asyncio.to_thread(sorting.execute, "LOCK TABLE impressions IN ACCESS EXCLUSIVE MODE")
                assert (await store.store(UNSAID)).new

    asyncio.run(check())
    assert telemetry.attribution == {"unresolved": 2}


async def connected(url: str) -> psycopg.AsyncConnection:
    connection = await connect(url, connect_s=60.0)
    await migrate(connection)
    return connection


def stored_before_its_list(database: Any, age: timedelta) -> None:
    """A feedback of that age whose list is written only now."""
    moment = datetime.now(UTC) - age

    async def store() -> None:
        async with Store(database.url, PATIENT, clock=lambda: moment) as store:
            await store.store(UNSAID)

    asyncio.run(store())
    assert origins(database) == [("", "unspecified")]
    database.ask(GIVEN, moment)


def test_a_list_that_is_written_after_its_feedback_resolves_it_late_and_once(database: Any) -> None:
    stored_before_its_list(database, timedelta(hours=1))

    async def resolve() -> list[int]:
        async with await connected(database.url) as connection:
            back = [timedelta(minutes=30), timedelta(hours=2), timedelta(hours=2)]
            return [await attribute_late(connection, one) for one in back]

    assert asyncio.run(resolve()) == [0, 1, 0]
    assert origins(database) == [("7", "canary")]


async def upkeep(database: Any) -> Any:
    async with await connected(database.url) as connection:
        return await maintain(connection, Retention())


def test_the_upkeep_resolves_what_waits_for_its_list(database: Any) -> None:
    asyncio.run(upkeep(database))
    stored_before_its_list(database, timedelta(days=1))
    assert asyncio.run(upkeep(database)).attributed == 1
    assert origins(database) == [("7", "canary")]


def test_the_upkeep_leaves_reactions_to_the_replica_that_works_on_them_and_ends(database: Any) -> None:
    asyncio.run(upkeep(database))
    stored_before_its_list(database, timedelta(days=1))
    with psycopg.connect(database.url) as other:
        other.execute("SELECT FROM reactions FOR UPDATE")
        done = asyncio.run(upkeep(database))
        assert done.attributed == 0
    assert database.ask("SELECT done_at > now() - interval '1 minute' FROM store_work WHERE name = 'maintain'")[0][0]
    assert asyncio.run(upkeep(database)).attributed == 1


def test_every_look_of_the_upkeep_resolves_recent_feedback(database: Any, telemetry: Any) -> None:
    """Though the daily work is done already."""
    asyncio.run(upkeep(database))
    stored_before_its_list(database, timedelta(hours=1))

    async def look() -> None:
        async with Store(database.url, PATIENT, telemetry):
            await until(lambda: telemetry.attribution.get("late") == 1, "what the store does by itself")

    asyncio.run(look())
    assert origins(database) == [("7", "canary")]

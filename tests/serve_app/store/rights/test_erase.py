"""A listener is planted everywhere and erased; then nothing holds the id, and a new history begins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.build import local
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.store import follow
from spotify_buddies.serve_app.store.impressions import writer
from spotify_buddies.serve_app.store.rights import erase as erasing
from spotify_buddies.serve_app.store.rights.erase import Receipt
from spotify_buddies.serve_app.store.store import Store
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Budgets
from tests.serve_app.store.conftest import Counting
from tests.serve_app.store.rights.planted import (
    ID,
    KEY,
    OTHER,
    Planted,
    action,
    actions,
    in_files,
    in_postgres,
    in_redis,
)
from tests.serve_app.store.storing import PATIENT
from tests.waiting import WITHIN_S, until

# The listener stands there before the erasure, the default partitions among them.
TABLES = {
    "public.blocks", "public.feedback", "public.impressions_default", "public.reactions_default",
    "public.wishes_default",
}  # fmt: skip


@asynccontextmanager
async def two_replicas(url: str, telemetry: Any = None) -> AsyncIterator[tuple[Store, Store]]:
    first = Store(url, PATIENT, telemetry, erasure_key=KEY, name="first")
    second = Store(url, PATIENT, telemetry, erasure_key=KEY, name="second")
    async with first, second:
        yield first, second


def blocked(store: Store, user_id: str = ID) -> list[str]:
    return sorted(store.blocked([user_id], datetime.now(UTC)).get(0, ()))


async def erase(planted: Planted, **given: Any) -> Receipt:
    return await asyncio.to_thread(erasing.erase, planted.places, ID, **{"within_s": WITHIN_S, **given})


def test_nothing_holds_the_id_of_an_erased_listener(
    planted: Planted, maintained: Any, shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = Counting()

    async def check() -> None:
        async with two_replicas(maintained.url, telemetry) as (first, second):
            for user_id in (ID, OTHER):
                for said in actions(user_id):
                    await first.store(said)
            await until(lambda: blocked(second) == ["list-3", "list-5"], "the other replica follows")
            first.record(shown([ID, OTHER], [1, 2]))
            await until(lambda: first.impressions_waiting == 0, "impressions are written")
            # The next lists wait in the replica while the erasure is done.
            monkeypatch.setattr(writer, "PAUSE_S", 1.5)
            first.record(shown([OTHER], [1]))
            await until(lambda: first.impressions_waiting == 0, "the writer pauses from here on")
            first.record(shown([ID, OTHER, ID], [3, 4]))
            before = set(in_postgres(maintained.url, ID))
            assert before >= TABLES
            assert sum("impressions" in table for table in before) == 5, "the whole, three weeks and the default"
            assert len(in_redis(planted.redis, ID)) >= 5
            assert in_files(planted.places.state_dir, ID) == ["retrain/2026-11/blocks.parquet"]

            receipt = await erase(planted)

            assert (receipt.left, receipt.confirmed) == ([], ("first", "second"))
            assert first.impressions_waiting == 3, "they wait still"
            await until(lambda: blocked(second) == [] == blocked(first), "blocks are gone in every replica")
            await until(lambda: first.impressions_waiting == 0, "what waited is written")
            assert telemetry.impressions["erased"] == 2
            assert_rows(receipt)
            searched(planted, maintained.url)
            assert blocked(second, OTHER) == ["list-3", "list-5"]
        searched(planted, maintained.url)

    asyncio.run(check())
    assert maintained.ask("SELECT count(*) FROM impressions WHERE user_id = %s", OTHER) == [(7,)]
    assert maintained.ask("SELECT count(*) FROM reactions WHERE user_id = %s", OTHER) == [(4,)]
    assert planted.jobs.begin("both") == pb.RecommendRequest(user_ids=[OTHER]).SerializeToString()
    answer = pb.RecommendResponse.FromString(planted.jobs.answer("answered") or b"")
    assert [one.user_id for one in answer.recommendations] == [OTHER]


def assert_rows(receipt: Receipt) -> None:
    assert receipt.rows["postgres"] == {
        "feedback": 3, "reactions": 4, "wishes": 2, "blocks": 2, "impressions": 5,
    }  # fmt: skip
    assert receipt.rows["redis"] == {"daily_lists": 1, "jobs": 3, "answers": 1}
    assert receipt.rows["extracts"] == {"2026-11/blocks.parquet": 2}
    assert ID not in json.dumps(receipt.to_json())


def searched(planted: Planted, url: str) -> None:
    assert in_postgres(url, ID) == []
    assert in_redis(planted.redis, ID) == []
    assert in_files(planted.places.state_dir, ID) == []


def test_an_extract_keeps_its_other_rows_and_its_manifest_tells_of_the_new_file(planted: Planted) -> None:
    asyncio.run(erase(planted))
    folder = planted.places.state_dir / "retrain" / "2026-11"
    import hashlib

    assert pq.read_table(folder / "blocks.parquet").column("liked").to_pylist() == ["b", "c", "e"]
    sha256 = hashlib.sha256((folder / "blocks.parquet").read_bytes()).hexdigest()
    assert json.loads((folder / "manifest.json").read_text()) == {
        "files": {"blocks.parquet": {"sha256": sha256, "rows": 3}}, "erased_rows": 2,
    }  # fmt: skip


def test_a_file_beside_the_extracts_that_holds_the_id_is_left_and_said(planted: Planted) -> None:
    odd = planted.places.state_dir / "retrain" / "notes.txt"
    odd.write_text(f"look at {ID}")
    receipt = asyncio.run(erase(planted))
    assert len(receipt.left) == 1
    assert str(odd) in receipt.left[0]


def service(engine: Engine, store: Store, counted_listeners: int = 0) -> Service:
    budgets = Budgets(5.0, 5.0, counted_listeners)
    return Service(engine, model="m", budgets=budgets, feedback=store, daily=None, telemetry=Silent(), history=store)


async def answered(made: Service, **asked: Any) -> list[pb.Recommendation]:
    encoded = await made.recommend(pb.RecommendRequest(**asked))
    return list(pb.RecommendResponse.FromString(encoded.SerializeToString()).recommendations)


def said_of(one: pb.Recommendation) -> list[tuple[str, float]]:
    return [(playlist.playlist_id, playlist.score) for playlist in one.playlists]


def test_an_erased_listener_is_answered_as_unknown_and_others_as_before(
    planted: Planted, maintained: Any, engine: Engine
) -> None:
    async def check() -> None:
        async with two_replicas(maintained.url) as (store, _):
            made = service(engine, store)
            before = await answered(made, user_ids=[ID, OTHER])
            assert [one.source for one in before] == [pb.SOURCE_LIVE] * 2
            await erase(planted)
            (stranger,) = await answered(made, user_ids=["nobody-knows"])
            (alone,) = await answered(made, user_ids=[ID])
            both = await answered(made, user_ids=[OTHER, ID, OTHER])
            many = await answered(made, user_ids=[OTHER] * 70 + [ID])
            assert alone.user_id == ID
            for one in (alone, both[1], many[-1]):
                assert (one.source, said_of(one)) == (stranger.source, said_of(stranger))
            assert said_of(both[0]) == said_of(both[2]) == said_of(many[0]) == said_of(before[1])

    asyncio.run(check())


@pytest.mark.parametrize("counted_listeners", [0, 50_000], ids=["ranked as many are", "answered alone"])
def test_a_taste_under_the_id_of_an_erased_listener_is_a_strangers_taste(
    planted: Planted, maintained: Any, engine: Engine, counted_listeners: int
) -> None:
    """The bundle knows what the listener owns, which is near to the listener's songs and must never come back."""
    bundle = engine.bundle
    row = int(bundle.user_ids.find([ID])[0])
    songs = bundle.user_songs.indices[bundle.user_songs.indptr[row] : bundle.user_songs.indptr[row + 1]]
    named = [pb.Song(name=pb.SongName(title=f"Song {song}", artist=f"Artist {song % 11}")) for song in songs]

    async def check() -> None:
        async with two_replicas(maintained.url) as (store, _):
            made = service(engine, store, counted_listeners)
            made.use_neighbours(local(engine))

            async def asked(user_id: str) -> Any:
                (one,) = await answered(made, tastes=[pb.Taste(user_id=user_id, songs=named)], limit=100)
                return said_of(one)

            stranger = await asked("nobody-knows")
            assert await asked(ID) != stranger, "while the listener is known, own playlists are left out"
            await erase(planted)
            assert await asked(ID) == stranger

    asyncio.run(check())


def test_a_replica_that_starts_later_answers_as_unknown_too(planted: Planted, maintained: Any, engine: Engine) -> None:
    asyncio.run(erase(planted))

    async def check() -> None:
        async with two_replicas(maintained.url) as (store, _):
            assert store.erased([OTHER, ID]) == [1]
            (alone,) = await answered(service(engine, store), user_ids=[ID])
            assert alone.source == pb.SOURCE_POPULAR

    asyncio.run(check())


def test_feedback_after_the_erasure_begins_a_new_history_and_retries_of_the_old_do_not_come_back(
    planted: Planted, maintained: Any
) -> None:
    async def check() -> None:
        async with two_replicas(maintained.url) as (first, second):
            for said in actions(ID):
                await first.store(said)
            await erase(planted)
            for said in actions(ID):
                again = await second.store(said)
                assert (again.new, again.reactions, again.differs) == (False, 0, ())
            assert in_postgres(maintained.url, ID) == []
            assert (await second.store(action(ID, "fresh", disliked=("list-4",)))).new
            await until(lambda: blocked(first) == ["list-4"] == blocked(second), "the new dislike holds everywhere")

    asyncio.run(check())
    assert maintained.ask("SELECT playlist_id FROM reactions WHERE user_id = %s", ID) == [("list-4",)]


def test_a_replica_that_missed_the_notification_lets_go_of_the_blocks_all_the_same(
    planted: Planted, maintained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spotify_buddies.serve_app.store.rights.follow import ErasureFollower

    monkeypatch.setattr(ErasureFollower, "_hear", lambda self, notice: None)
    monkeypatch.setattr(follow, "POLL_S", 0.05)

    async def check() -> None:
        async with two_replicas(maintained.url) as (first, second):
            for said in actions(ID):
                await first.store(said)
            await until(lambda: blocked(second) == ["list-3", "list-5"], "the other replica follows")
            receipt = await erase(planted)
            assert receipt.confirmed == ("first", "second")
            assert blocked(first) == [] == blocked(second), "a confirmation comes after the blocks are loaded again"

    asyncio.run(check())


def test_a_process_without_the_key_does_not_count_as_one_that_honours_the_erasure(
    planted: Planted, maintained: Any
) -> None:
    async def check() -> None:
        async with Store(maintained.url, PATIENT, name="keyless"):
            receipt = await erase(planted)
            assert receipt.confirmed == ()
            assert receipt.left == ["keyless has another key, or none, and cannot tell who is meant"]

    asyncio.run(check())


def test_a_silent_process_is_named_and_not_waited_for(planted: Planted, maintained: Any) -> None:
    maintained.ask("INSERT INTO erasure_followers VALUES ('gone', now() - interval '1 minute', 0, NULL)")
    receipt = asyncio.run(erase(planted))
    assert len(receipt.left) == 1
    assert receipt.left[0].startswith("gone has been silent for ")


def test_an_erasure_that_is_repeated_finds_nothing_and_the_table_names_nobody(
    planted: Planted, maintained: Any
) -> None:
    first, second = asyncio.run(erase(planted)), asyncio.run(erase(planted))
    assert second.number > first.number
    assert second.listener == first.listener
    assert set(second.rows["postgres"].values()) == {0}
    assert second.rows["redis"] == {"daily_lists": 0, "jobs": 0, "answers": 0}
    assert maintained.count("erasures") == 1


def test_lists_of_the_time_after_the_erasure_are_written(planted: Planted, maintained: Any, shown: Any) -> None:
    async def check() -> None:
        async with two_replicas(maintained.url) as (first, _):
            await erase(planted)
            first.record(shown([ID], [1], datetime.now(UTC) + timedelta(minutes=1)))
            await until(lambda: first.impressions_waiting == 0, "it is written")

    asyncio.run(check())
    assert maintained.ask("SELECT count(*) FROM impressions WHERE user_id = %s", ID) == [(1,)]

"""Counts of an arm: numbers worked by hand, and the row they become."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.counts import unpack
from spotify_buddies.serve_app.ranking.query import Query, Source
from spotify_buddies.serve_app.store.database.migrate import migrate
from spotify_buddies.serve_app.versions.answers import Answers
from spotify_buddies.serve_app.versions.counts import EDGES_MS, SIZES, ArmCounter
from tests.serve_app.bundles import PLAYLISTS


def test_edges_go_from_a_tenth_of_a_millisecond_to_ten_seconds_ten_a_decade() -> None:
    assert (EDGES_MS[0], EDGES_MS[10], EDGES_MS[-1], len(EDGES_MS)) == (0.1, 1.0, 10_000.0, 51)
    assert list(EDGES_MS) == sorted(EDGES_MS)


def test_a_call_at_an_edge_counts_below_it_and_a_longer_one_above_all() -> None:
    counts = ArmCounter("canary", "2", 1)
    for seconds in (0.001, 0.00101, 0.0, 11.0):
        counts.time(seconds)
    row = counts.row()
    assert {bucket: n for bucket, n in enumerate(row.latencies) if n} == {0: 1, 10: 1, 11: 1, len(EDGES_MS): 1}


def test_latencies_are_kept_by_the_number_of_users_too() -> None:
    counts = ArmCounter("canary", "2", 1)
    for users in (1, 2, 3, 4, 512, 513, 1_000):
        counts.time(0.001, users)
    row = counts.row()
    wide = len(EDGES_MS) + 1
    classes = [row.sized_latencies[first : first + wide] for first in range(0, len(row.sized_latencies), wide)]
    assert (len(classes), SIZES[:3], SIZES[-1]) == (len(SIZES) + 1, (1, 2, 4), 512)
    assert [sum(one) for one in classes] == [1, 1, 2, 0, 0, 0, 0, 0, 0, 1, 2]
    assert tuple(map(sum, zip(*classes, strict=True))) == row.latencies


def test_the_users_of_a_call_are_squared_over_all_its_parts() -> None:
    counts = ArmCounter("canary", "2", 1)
    call = counts.begin()
    call.answered(3)
    call.failed(2)
    call.answered(4)
    counts.begin().answered(5)
    counts.fail(1)
    row = counts.row()
    assert (row.errors, row.asked_squares, row.answered_squares) == (3, 9**2 + 5**2 + 1, 7**2 + 5**2)


def test_only_the_first_part_of_a_call_is_timed() -> None:
    counts = ArmCounter("canary", "2", 1)
    call = counts.begin()
    for _ in range(3):
        call.time(0.001, 10)
    assert sum(counts.row().latencies) == 1


def test_lists_are_counted_by_what_they_hold(answers: Callable[..., Answers]) -> None:
    made = answers("1")
    counts = ArmCounter("production", "1", PLAYLISTS)
    ask = Query(user_ids=("user-1", "nobody", "user-2"), limit=3)
    answered = asyncio.run(made.rank_and_encode(ask, made.exclude(ask)))
    made.note(answered, counts)
    counts.fail(2)
    row = counts.row()
    assert (row.listeners, row.cold, row.empty, row.errors) == (3, 1, 0, 2)
    assert row.shown is not None
    shown = np.flatnonzero(unpack(row.shown, PLAYLISTS))
    (ranked,) = answered.batches[0].ranked
    assert ranked.lists.sources == (Source.LIVE, Source.POPULAR, Source.LIVE)
    assert shown.tolist() == sorted(set(ranked.lists.rows.ravel().tolist()) - {-1})


def test_a_user_without_any_playlist_counts_as_empty(answers: Callable[..., Answers]) -> None:
    made = answers("1")
    counts = ArmCounter("production", "1", PLAYLISTS)
    ask = Query(user_ids=("user-1",), exclude_playlist_ids=tuple(f"list-{n}" for n in range(PLAYLISTS)))
    made.note(asyncio.run(made.rank_and_encode(ask, made.exclude(ask))), counts)
    row = counts.row()
    assert (row.listeners, row.empty) == (1, 1)
    assert row.shown is not None
    assert not unpack(row.shown, PLAYLISTS).any()


def test_playlists_shown_are_left_out_of_a_row_where_they_are_the_same() -> None:
    counts = ArmCounter("canary", "2", 9)
    assert counts.row().shown is not None
    assert counts.row(whole=False).shown is None
    assert counts.row().shown is not None


def test_rows_replace_those_of_before_and_keep_the_playlists_that_are_left_out(postgres_url: str) -> None:
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
            await migrate(connection)
            await connection.execute("TRUNCATE rollout_counts")
            counts = ArmCounter("canary", "2", 9)
            counts.time(0.5)
            await ledger.count(connection, 4, "r-1", [counts.row()])
            counts.fail(3)
            row = counts.row(whole=False)
            assert row.shown is None
            await ledger.count(connection, 4, "r-1", [row])
            cursor = await connection.execute(
                "SELECT generation, replica, arm, version, errors, latencies, shown, asked_squares, answered_squares,"
                " sized_latencies FROM rollout_counts"
            )
            (stored,) = await cursor.fetchall()
            assert stored[:5] == (4, "r-1", "canary", "2", 3)
            assert tuple(stored[5]) == row.latencies
            assert unpack(stored[6], 9).tolist() == [False] * 9
            assert (*stored[7:9], tuple(stored[9])) == (9, 0, row.sized_latencies)

    asyncio.run(work())

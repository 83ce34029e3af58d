"""Lists that Postgres cannot hold: left out and counted, and never under another id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.store.impressions.copy_format import CopyEncoder
from spotify_buddies.serve_app.store.store import Store
from spotify_buddies.trainer.bundle import StringTable
from tests.serve_app.store.storing import PATIENT

BAD = ["a\0b", "a\ud800b", "a\udfffb"]


def encoded(encoder: CopyEncoder, shown: Shown) -> bytes:
    return b"".join(encoder.encode([encoder.fit(shown)], 500))


@pytest.mark.parametrize("bad", BAD)
def test_only_the_list_of_the_bad_id_is_left_out(shown: Callable[..., Shown], bad: str) -> None:
    encoder, at = CopyEncoder(), datetime.now(UTC)
    both = shown(["ada", bad, "bob"], [1, 2], at)
    good = shown(["ada", "bob"], [1, 2], at)
    assert encoder.fit(both).user_ids == ("ada", "bob")
    assert encoded(encoder, both) == encoded(encoder, good)
    named = replace(both, user_ids=("ada", "eve", "bob"), recommendation_ids=("rec-ada", bad, "rec-bob"))
    assert encoded(encoder, named) == encoded(encoder, good)


@pytest.mark.parametrize("bad", BAD)
def test_lists_with_a_bad_playlist_are_left_out_and_those_without_are_kept(
    shown: Callable[..., Shown], bad: str
) -> None:
    both = replace(shown(["ada", "bob"], [1, 2]), playlist_ids=["x", "y", bad])
    assert CopyEncoder().fit(both).user_ids == ()
    both.rows[1, :2] = (0, 1)
    assert CopyEncoder().fit(both).user_ids == ("bob",)
    # What is not filled is not looked at.
    both.counts[0] = 1
    assert CopyEncoder().fit(both).user_ids == ("ada", "bob")


def test_a_packed_table_is_looked_through_for_nul(shown: Callable[..., Shown]) -> None:
    both = replace(shown(["ada", "bob"], [1]), playlist_ids=StringTable.of(["x", "", "a\0b", "", "y"]))
    both.rows[:, 0] = (2, 4)
    assert CopyEncoder().fit(both).user_ids == ("bob",)


def test_an_answer_of_a_version_with_a_bad_name_is_left_out(shown: Callable[..., Shown]) -> None:
    assert CopyEncoder().fit(replace(shown(["ada"], [1]), model_version="\0")).user_ids == ()


def test_an_answer_that_can_be_stored_is_taken_as_it_is(shown: Callable[..., Shown]) -> None:
    for answer in (shown(["ada", "Zoë \U0001f3b5"], [1]), shown([], [])):
        assert CopyEncoder().fit(answer) is answer


def test_what_cannot_be_stored_is_counted_and_nobody_inherits_it(
    database: Any, telemetry: Any, shown: Callable[..., Shown]
) -> None:
    async def check() -> None:
        async with Store(database.url, PATIENT, telemetry) as store:
            store.record(shown(["ada", *BAD], [1]))
            store.record(shown(BAD[:1], [2]))

    asyncio.run(check())
    assert database.ask("SELECT user_id, playlist_ids FROM impressions") == [("ada", ["list-1"])]
    assert telemetry.impressions == {"unstorable": 4, "written": 1}

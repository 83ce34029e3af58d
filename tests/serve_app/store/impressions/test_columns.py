"""What a list is stored with, as Postgres reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.ranking.query import Skipped, Source
from spotify_buddies.serve_app.store.store import Store
from tests.serve_app.store.storing import PATIENT

Make = Callable[..., Shown]
# FNV-1a of 64 bits over rows, by hand.
BASIS, PRIME = 0xCBF29CE484222325, 0x100000001B3


def fnv(*rows: int) -> bytes:
    folded = BASIS
    for row in rows:
        folded = (folded ^ row) * PRIME % 2**64
    return folded.to_bytes(8, "big")


def stored(database: Any, columns: str, answers: Sequence[Shown]) -> list[tuple[Any, ...]]:
    async def write() -> None:
        async with Store(database.url, PATIENT) as store:
            for answer in answers:
                store.record(answer)

    asyncio.run(write())
    rows: list[tuple[Any, ...]] = database.ask(f'SELECT {columns} FROM impressions ORDER BY user_id COLLATE "C"')
    return rows


def test_what_is_not_known_is_null(database: Any, shown: Make) -> None:
    columns = "scores, propensities, skipped, candidates, asked, computed"
    assert stored(database, columns, [shown(["ada"], [1, 2])]) == [(None,) * 6]


def test_scores_and_propensities_stand_beside_their_playlists(database: Any, shown: Make) -> None:
    scores = np.array([[0.5, -0.25, 9.0], [1e-30, 3.0e38, 9.0]], np.float32)
    both = replace(shown(["ada", "bob"], [1, 2]), scores=scores, propensities=np.full((2, 3), 0.125, np.float32))
    both.counts[1] = 1
    drawn = replace(shown(["cyd"], [3]), scores=np.array([[7.0, 0.0]], np.float32))
    empty = replace(shown(["dan"], [3]), scores=np.zeros((1, 2), np.float32), counts=np.zeros(1, np.int32))
    columns = "playlist_ids, scores::float8[], propensities::float8[]"
    assert stored(database, columns, [both, drawn, empty, shown(["eve"], [4])]) == [
        (["list-1", "list-2"], [0.5, -0.25], [0.125, 0.125]),
        (["list-1"], [float(np.float32(1e-30))], [0.125]),
        (["list-3"], [7.0], None),
        ([], [], None),
        (["list-4"], None, None),
    ]


def test_skipped_steps_have_the_names_of_the_answer(database: Any, shown: Make) -> None:
    steps = ((), (Skipped.SEEN, Skipped.NEIGHBOUR_SEARCH), (Skipped.DAILY_LIST,), tuple(Skipped))
    answers = [replace(shown(["a", "b", "c", "d"], [1]), skipped=steps), replace(shown(["e"], [1]), skipped=((),))]
    assert stored(database, "skipped", answers) == [
        (None,), (["neighbour_search", "seen"],), (["daily_list"],), (["neighbour_search", "daily_list", "seen"],),
        (None,),
    ]  # fmt: skip


def test_lists_of_the_day_say_when_they_were_computed(database: Any, shown: Make) -> None:
    sources = (Source.LIVE, Source.DAILY)
    dated = replace(shown(["a", "b"], [1]), sources=sources, computed=1_795_866_612)
    undated = replace(shown(["c", "d"], [1]), sources=sources)
    assert stored(database, "extract(epoch FROM computed)::bigint", [dated, undated]) == [
        (None,), (1_795_866_612,), (None,), (None,),
    ]  # fmt: skip


def test_candidates_are_hashed_in_their_order(database: Any, shown: Make) -> None:
    held = Csr.from_rows([np.array([5, 3]), np.array([], np.int32), np.array([3, 5])], 10)
    known = replace(shown(["a", "b", "c", "d"], [1]), held=held, held_rows=np.array([0, 1, 2, -1], np.int32))
    # Candidates that were found for the answer count before those that the version holds.
    found = np.array([0, int.from_bytes(fnv(9), "big")], np.uint64)
    cold = replace(shown(["e", "f"], [1]), held=held, held_rows=np.array([0, 0], np.int32), candidates=found)
    assert stored(database, "candidates", [known, cold]) == [
        (fnv(5, 3),), (fnv(),), (fnv(3, 5),), (None,), (fnv(5, 3),), (fnv(9),),
    ]  # fmt: skip
    assert fnv(5, 3) != fnv(3, 5)


def test_what_was_asked_is_shared_by_a_call_and_a_taste_is_its_lists_own(database: Any, shown: Make) -> None:
    tastes = replace(shown(["a", "b", "c"], [1]), asked=b"\0all", tastes=(b"+1", None, b"+3" * 9_000))
    users = replace(shown(["d", "e"], [1]), asked=b"")
    assert stored(database, "asked", [tastes, users, shown(["f"], [1])]) == [
        (b"\0all+1",), (None,), (b"\0all" + b"+3" * 9_000,), (b"",), (b"",), (None,),
    ]  # fmt: skip


def test_a_list_that_cannot_be_stored_takes_its_columns_with_it(database: Any, shown: Make) -> None:
    held = Csr.from_rows([np.array([row]) for row in range(3)], 10)
    both = replace(
        shown(["a", "b\0", "c"], [1]), scores=np.arange(6, dtype=np.float32).reshape(3, 2),
        propensities=np.full((3, 2), 0.5, np.float32), skipped=((), (), (Skipped.SEEN,)), held=held,
        held_rows=np.arange(3, dtype=np.int32), candidates=np.zeros(3, np.uint64), asked=b"x",
        tastes=(b"1", b"2", b"3"),
    )  # fmt: skip
    assert stored(database, "user_id, scores, propensities, skipped, candidates, asked", [both]) == [
        ("a", [0.0], [0.5], None, fnv(0), b"x1"),
        ("c", [4.0], [0.5], ["seen"], fnv(2), b"x3"),
    ]

"""Answers for many users: streamed in parts, in the order asked, and ranked in threads."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType
from typing import Any

import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.errors import InvalidRequest
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Mode, Query, Taste
from spotify_buddies.serve_app.versions.batch_ranking import AT_ONCE
from spotify_buddies.serve_app.versions.rotation import Rotation
from tests.serve_app.bundles import NO_PAIRING
from tests.serve_app.versions.remembered import TASTE, Memory, answers, ask, ids, service, stream


@pytest.mark.parametrize(("count", "size", "firsts"), [(1, 1, [0]), (5, 2, [0, 2, 4]), (4, 2, [0, 2]), (3, 1000, [0])])
def test_a_stream_gives_every_user_once_in_the_order_asked(
    engine: Engine, count: int, size: int, firsts: list[int]
) -> None:
    users = [f"user-{i}" for i in range(count)]
    parts = stream(engine, user_ids=users, part_size=size)
    assert [part.first for part in parts] == firsts
    assert all(len(part.recommendations) <= size for part in parts)
    streamed = [r for part in parts for r in part.recommendations]
    assert [r.user_id for r in streamed] == users
    assert [ids(r) for r in streamed] == [ids(r) for r in ask(answers(engine), user_ids=users)]


def test_a_stream_keeps_tastes_and_bad_users_at_their_places(engine: Engine) -> None:
    parts = stream(engine, user_ids=["user-1", "", "user-2"], tastes=[TASTE, pb.Taste(user_id="bad")], part_size=2)
    places = [(r.user_id, r.error.field) for part in parts for r in part.recommendations]
    assert places == [("user-1", ""), ("", "user_ids[1]"), ("user-2", ""), ("user-1", ""), ("bad", "tastes[1].songs")]
    assert [part.first for part in parts] == [0, 2, 4]


def test_a_large_part_and_a_large_request_are_ranked_in_smaller_ones(engine: Engine) -> None:
    users = [f"user-{i % 60}" for i in range(700)]
    (part,) = stream(engine, user_ids=users, part_size=1000)
    assert [r.user_id for r in part.recommendations] == users
    assert [r.user_id for r in ask(answers(engine), user_ids=users)] == users


RANKING = {"rank_known", "rank_candidates", "rank_tastes", "rank_cold", "explain", "encode"}


def on_the_event_loop(made: Rotation, query: Query) -> set[str]:
    """Steps of the ranking that the event loop's own thread runs for a query."""
    seen: set[str] = set()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and "/serve_app/ranking/" in frame.f_code.co_filename:
            seen.add(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        ask(made, query)
    finally:
        sys.setprofile(before)
    return seen & RANKING


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.DAILY])
@pytest.mark.parametrize(
    ("user_id", "taste"),
    [("user-1", None), (f"user-{NO_PAIRING}", None), (None, Taste("", ("SO0004",)))],
    ids=["paired", "without candidates", "taste"],
)
def test_many_are_ranked_in_threads_and_few_on_the_event_loop(
    engine: Engine, mode: Mode, user_id: str | None, taste: Taste | None
) -> None:
    def query(count: int) -> Query:
        return Query((user_id,) * count if user_id else (), (taste,) * count if taste else (), mode=mode)

    made = answers(engine)
    assert on_the_event_loop(made, query(AT_ONCE)) >= {"explain", "encode"}
    assert on_the_event_loop(made, query(AT_ONCE + 1)) == set()


def test_a_stream_that_nobody_reads_on_stops_ranking(engine: Engine) -> None:
    history = Memory()

    async def first_of_many() -> None:
        parts = service(engine, history).recommend_stream(
            pb.RecommendStreamRequest(request=pb.RecommendRequest(user_ids=["user-1"] * 50), part_size=5)
        )
        async for _ in parts:
            break
        await parts.aclose()

    asyncio.run(first_of_many())
    assert [len(shown.user_ids) for shown in history.shown] == [5]


def test_a_stream_of_bad_users_alone_is_an_invalid_request(engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match=r"request\.user_ids\[0\]"):
        stream(engine, user_ids=[""], part_size=2)

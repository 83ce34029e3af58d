"""What a whole answer holds: who must not get what, what was skipped, what is remembered, and how it comes in parts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.daily.run import run_daily
from spotify_buddies.serve_app.errors import HistoryUnavailable, InvalidRequest
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.ranking.query import ExcludeSeen, Mode, Query, Taste
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.batch_ranking import AT_ONCE
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from tests.serve_app.conftest import NO_PAIRING

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TASTE = pb.Taste(user_id="user-1", songs=[pb.Song(song_id="SO0004")])


@dataclass
class Memory:
    """A history in memory. met: user to [(playlist, when, how)]; wait: never answer; away: cannot be read."""

    disliked: dict[str, list[str]] = field(default_factory=dict)
    met: dict[str, list[tuple[str, datetime, str]]] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    wait: bool = False
    away: bool = False
    asked: int = 0
    times: list[datetime] = field(default_factory=list)

    def blocked(self, user_ids: Sequence[str], now: datetime) -> Mapping[int, Sequence[str]]:
        self.times.append(now)
        return {i: self.disliked[user] for i, user in enumerate(user_ids) if user in self.disliked}

    async def seen(
        self, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool
    ) -> Mapping[int, Sequence[str]]:
        self.asked += 1
        if self.wait:
            await asyncio.Event().wait()
        if self.away:
            raise HistoryUnavailable("down")
        wanted = [how for how, asked in (("shown", shown), ("liked", liked)) if asked]
        return {
            i: [playlist for playlist, at, how in self.met[user] if at >= since and how in wanted]
            for i, user in enumerate(user_ids)
            if user in self.met
        }

    def record(self, shown: Shown) -> None:
        self.shown.append(shown)


def answers(engine: Engine, history: Memory | None = None, **given: Any) -> Rotation:
    budgets = Budgets(neighbours_s=0.05, store_s=0.05 if history and history.wait else 5.0)
    made = Answers(
        engine, budgets=budgets, history=history, telemetry=Silent(), now=lambda: NOW, **{"daily": None, **given}
    )
    return Rotation(Assignment(ArmAnswers(made)))


def ask(made: Rotation, query: Query | None = None, **fields: Any) -> list[pb.Recommendation]:
    wanted = query or decode_query(pb.RecommendRequest(**fields))
    return list(pb.RecommendResponse.FromString(asyncio.run(made.route(wanted))).recommendations)


def ids(answer: pb.Recommendation) -> list[str]:
    return [p.playlist_id for p in answer.playlists]


def best(engine: Engine, user: str, count: int) -> list[str]:
    lists = engine.rank_known([user], count, np.empty(0, np.int32))
    return [f"list-{row}" for row in lists.rows[0]]


def test_a_bad_listener_carries_its_error_at_its_place_and_the_others_are_answered(engine: Engine) -> None:
    history = Memory()
    bad = pb.Taste(user_id="y", songs=[pb.Song()])
    found = ask(answers(engine, history), user_ids=["", "user-1", "x" * 129, "user-2"], tastes=[TASTE, bad, TASTE])
    assert [r.user_id for r in found] == ["", "user-1", "x" * 129, "user-2", "user-1", "y", "user-1"]
    assert [r.error.field for r in found] == ["user_ids[0]", "", "user_ids[2]", "", "", "tastes[1].songs[0]", ""]
    assert [(r.error.code, bool(r.error.message)) for r in found if r.HasField("error")] == [(3, True)] * 3
    for r in found:
        assert r.HasField("error") == (not r.recommendation_id) == (not r.playlists) == (not r.model_version)
    assert [shown.user_ids for shown in history.shown] == [("user-1", "user-2"), ("user-1", "user-1")]


def test_at_most_two_of_one_owner_unless_said_otherwise(engine: Engine) -> None:
    made = answers(engine)
    owners = [p.owner_id for p in ask(made, user_ids=["user-39"], limit=100)[0].playlists]
    assert max(map(owners.count, owners)) == 2
    owners = [p.owner_id for p in ask(made, user_ids=["user-39"], limit=100, max_per_owner=1)[0].playlists]
    assert len(set(owners)) == len(owners)
    owners = [p.owner_id for p in ask(made, user_ids=["user-39"], limit=100, max_per_owner=100)[0].playlists]
    assert max(map(owners.count, owners)) == 3


def test_dislikes_are_honoured_without_being_asked_for_and_without_waiting(engine: Engine) -> None:
    first, second, third = best(engine, "user-39", 3)
    history = Memory(disliked={"user-39": [first, third, "not in this model"]}, wait=True)
    call = answers(engine, history).route(decode_query(pb.RecommendRequest(user_ids=["user-1", "user-39"])))
    with pytest.raises(StopIteration) as finished:
        call.send(None)
    other, found = pb.RecommendResponse.FromString(finished.value.value).recommendations
    assert ids(other)[0] == best(engine, "user-1", 1)[0]
    assert ids(found)[0] == second
    assert not {first, third} & set(ids(found))
    assert list(found.skipped) == []
    assert (history.asked, history.times) == (0, [NOW])


def test_a_dislike_counts_for_the_taste_of_the_same_listener(engine: Engine) -> None:
    first = ids(ask(answers(engine), tastes=[TASTE])[0])[0]
    found = ask(answers(engine, Memory(disliked={"user-1": [first]})), user_ids=["user-2"], tastes=[TASTE])
    assert first not in ids(found[1])


def test_what_was_seen_within_the_window_does_not_come_back(engine: Engine) -> None:
    first, second, third, fourth = best(engine, "user-39", 4)
    history = Memory(
        met={
            "user-39": [
                (first, NOW - timedelta(seconds=9), "shown"),
                (second, NOW - timedelta(seconds=11), "shown"),
                (third, NOW - timedelta(seconds=1), "liked"),
            ]
        }
    )
    made = answers(engine, history)

    def with_seen(seen: ExcludeSeen | None) -> list[str]:
        (found,) = ask(made, Query(("user-39",), exclude_seen=seen, max_per_owner=100))
        assert list(found.skipped) == []
        return ids(found)

    assert with_seen(ExcludeSeen(10.0))[:2] == [second, fourth]
    assert with_seen(ExcludeSeen(60.0))[:1] == [fourth]
    assert with_seen(ExcludeSeen(60.0, liked=False))[:2] == [third, fourth]
    assert with_seen(ExcludeSeen(60.0, shown=False))[:3] == [first, second, fourth]
    assert with_seen(None)[:4] == [first, second, third, fourth]


def test_dislikes_and_what_was_seen_add_up(engine: Engine) -> None:
    first, second, third = best(engine, "user-39", 3)
    history = Memory(disliked={"user-39": [second]}, met={"user-39": [(first, NOW, "shown")]})
    query = Query(("nobody", "user-39"), exclude_seen=ExcludeSeen(10.0), max_per_owner=100)
    assert ids(ask(answers(engine, history), query)[1])[0] == third


@pytest.mark.parametrize("history", [Memory(wait=True), Memory(away=True), None])
def test_a_history_that_does_not_answer_is_skipped_with_the_label_and_dislikes_hold(
    engine: Engine, history: Memory | None
) -> None:
    first, second = best(engine, "user-39", 2)
    if history is not None:
        history.disliked = {"user-39": [first]}
    fields: dict[str, Any] = {"exclude_seen": pb.ExcludeSeen(window=Duration(seconds=60))}
    known, cold = ask(answers(engine, history), user_ids=["user-39"], tastes=[TASTE], mode=pb.MODE_DAILY, **fields)
    assert list(known.skipped) == [pb.SKIPPED_DAILY_LIST, pb.SKIPPED_SEEN]
    assert list(cold.skipped) == [pb.SKIPPED_NEIGHBOUR_SEARCH, pb.SKIPPED_DAILY_LIST, pb.SKIPPED_SEEN]
    assert ids(known)[0] == (second if history else first)


def test_the_rules_hold_for_the_list_of_the_day(engine: Engine, redis_url: str) -> None:
    with Redis.from_url(redis_url) as store:
        store.flushdb()
        run_daily(engine.bundle, "7", store, model="m", now=datetime.now(UTC), ttl_s=100)
    first, second = best(engine, "user-39", 2)
    history = Memory(disliked={"user-39": [first]})

    async def call() -> bytes:
        async with AsyncRedis.from_url(redis_url) as daily:
            made = answers(engine, history, daily=daily)
            return await made.route(decode_query(pb.RecommendRequest(user_ids=["user-39"], mode=pb.MODE_DAILY)))

    (found,) = pb.RecommendResponse.FromString(asyncio.run(call())).recommendations
    (live,) = ask(answers(engine, history), user_ids=["user-39"])
    assert (found.source, list(found.skipped)) == (pb.SOURCE_DAILY, [])
    assert ids(found) == ids(live)
    assert ids(found)[0] == second


def test_what_is_answered_is_remembered_as_it_was_sent(engine: Engine) -> None:
    history = Memory()
    found = ask(answers(engine, history), user_ids=["user-1", "nobody"], tastes=[TASTE], limit=3)
    known, cold = history.shown
    assert (known.user_ids, cold.user_ids) == (("user-1", "nobody"), ("user-1",))
    sent = [*known.recommendation_ids, *cold.recommendation_ids]
    assert sent == [r.recommendation_id for r in found]
    assert [int(s) for s in (*known.sources, *cold.sources)] == [r.source for r in found]
    for shown, listeners in ((known, found[:2]), (cold, found[2:])):
        assert (shown.model_version, shown.arm, shown.at) == ("7", "production", NOW)
        for i, answer in enumerate(listeners):
            assert [shown.playlist_ids[int(row)] for row in shown.rows[i, : shown.counts[i]]] == ids(answer)


@pytest.mark.parametrize(("count", "size", "firsts"), [(1, 1, [0]), (5, 2, [0, 2, 4]), (4, 2, [0, 2]), (3, 1000, [0])])
def test_a_stream_gives_every_listener_once_in_the_order_asked(
    engine: Engine, count: int, size: int, firsts: list[int]
) -> None:
    users = [f"user-{i}" for i in range(count)]
    parts = stream(engine, user_ids=users, part_size=size)
    assert [part.first for part in parts] == firsts
    assert all(len(part.recommendations) <= size for part in parts)
    streamed = [r for part in parts for r in part.recommendations]
    assert [r.user_id for r in streamed] == users
    assert [ids(r) for r in streamed] == [ids(r) for r in ask(answers(engine), user_ids=users)]


def test_a_stream_keeps_tastes_and_bad_listeners_at_their_places(engine: Engine) -> None:
    parts = stream(engine, user_ids=["user-1", "", "user-2"], tastes=[TASTE, pb.Taste(user_id="bad")], part_size=2)
    found = [(r.user_id, r.error.field) for part in parts for r in part.recommendations]
    assert found == [("user-1", ""), ("", "user_ids[1]"), ("user-2", ""), ("user-1", ""), ("bad", "tastes[1].songs")]
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


def test_a_stream_of_bad_listeners_alone_is_an_invalid_request(engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match=r"request\.user_ids\[0\]"):
        stream(engine, user_ids=[""], part_size=2)


def service(engine: Engine, history: Memory | None = None) -> Service:
    budgets = Budgets(0.05, 0.05)
    return Service(engine, model="m", budgets=budgets, feedback=None, daily=None, telemetry=Silent(), history=history)


def stream(engine: Engine, *, part_size: int, **fields: Any) -> list[pb.RecommendStreamResponse]:
    request = pb.RecommendStreamRequest(request=pb.RecommendRequest(**fields), part_size=part_size)

    async def call() -> list[pb.RecommendStreamResponse]:
        return [
            pb.RecommendStreamResponse.FromString(part.SerializeToString())
            async for part in service(engine).recommend_stream(request)
        ]

    return asyncio.run(call())

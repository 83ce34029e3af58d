"""Whole answers: who must not get what, what was skipped, and what is remembered."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.daily.run import run_daily
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import ExcludeSeen, Query
from tests.serve_app.versions.remembered import NOW, TASTE, Memory, answers, ask, best, ids


def test_a_bad_user_carries_its_error_at_its_place_and_the_others_are_answered(engine: Engine) -> None:
    history = Memory()
    bad = pb.Taste(user_id="y", songs=[pb.Song()])
    answered = ask(answers(engine, history), user_ids=["", "user-1", "x" * 129, "user-2"], tastes=[TASTE, bad, TASTE])
    assert [r.user_id for r in answered] == ["", "user-1", "x" * 129, "user-2", "user-1", "y", "user-1"]
    assert [r.error.field for r in answered] == ["user_ids[0]", "", "user_ids[2]", "", "", "tastes[1].songs[0]", ""]
    assert [(r.error.code, bool(r.error.message)) for r in answered if r.HasField("error")] == [(3, True)] * 3
    for r in answered:
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
    other, disliking = pb.RecommendResponse.FromString(finished.value.value).recommendations
    assert ids(other)[0] == best(engine, "user-1", 1)[0]
    assert ids(disliking)[0] == second
    assert not {first, third} & set(ids(disliking))
    assert list(disliking.skipped) == []
    assert (history.asked, history.times) == (0, [NOW])


def test_a_dislike_counts_for_the_taste_of_the_same_user(engine: Engine) -> None:
    first = ids(ask(answers(engine), tastes=[TASTE])[0])[0]
    answered = ask(answers(engine, Memory(disliked={"user-1": [first]})), user_ids=["user-2"], tastes=[TASTE])
    assert first not in ids(answered[1])


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
        (answered,) = ask(made, Query(("user-39",), exclude_seen=seen, max_per_owner=100))
        assert list(answered.skipped) == []
        return ids(answered)

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

    (daily_list,) = pb.RecommendResponse.FromString(asyncio.run(call())).recommendations
    (live,) = ask(answers(engine, history), user_ids=["user-39"])
    assert (daily_list.source, list(daily_list.skipped)) == (pb.SOURCE_DAILY, [])
    assert ids(daily_list) == ids(live)
    assert ids(daily_list)[0] == second


def test_what_is_answered_is_remembered_as_it_was_sent(engine: Engine) -> None:
    history = Memory()
    answered = ask(answers(engine, history), user_ids=["user-1", "nobody"], tastes=[TASTE], limit=3)
    known, cold = history.shown
    assert (known.user_ids, cold.user_ids) == (("user-1", "nobody"), ("user-1",))
    sent = [*known.recommendation_ids, *cold.recommendation_ids]
    assert sent == [r.recommendation_id for r in answered]
    assert [int(s) for s in (*known.sources, *cold.sources)] == [r.source for r in answered]
    for shown, sent_lists in ((known, answered[:2]), (cold, answered[2:])):
        assert (shown.model_version, shown.arm, shown.at) == ("7", "production", NOW)
        for i, answer in enumerate(sent_lists):
            assert [shown.playlist_ids[int(row)] for row in shown.rows[i, : shown.counts[i]]] == ids(answer)

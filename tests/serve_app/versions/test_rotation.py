"""Arms in one call: each user gets what a call alone would, in the order asked, under the version that answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.daily.run import run_daily
from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.ranking.query import ExcludeSeen, Query
from spotify_buddies.serve_app.versions.answers import Answers
from spotify_buddies.serve_app.versions.arms import canaries
from spotify_buddies.serve_app.versions.counts import ArmCounter
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from spotify_buddies.trainer.bundle import open_bundle
from tests.serve_app.bundles import PLAYLISTS
from tests.serve_app.versions.conftest import USER_IDS, lists

PRODUCTION, CANARY = pb.ARM_PRODUCTION, pb.ARM_CANARY
Make = Callable[..., Answers]


class Memory:
    """Remembers what was shown, and what one listener dislikes."""

    def __init__(self, disliked: Mapping[str, Sequence[str]] | None = None) -> None:
        self.shown: list[Shown] = []
        self._disliked = disliked or {}

    def blocked(self, user_ids: Sequence[str], now: datetime) -> Mapping[int, Sequence[str]]:
        return {i: self._disliked[user] for i, user in enumerate(user_ids) if user in self._disliked}

    def erased(self, user_ids: Sequence[str]) -> Sequence[int]:
        return ()

    async def seen(
        self, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool
    ) -> Mapping[int, Sequence[str]]:
        return self.blocked(user_ids, since)

    def record(self, shown: Shown) -> None:
        self.shown.append(shown)


class Broken(Answers):
    """A version whose code fails at every call."""

    async def rank_and_encode(self, *given: Any, **named: Any) -> Any:
        raise IndexError("made up")


def counted(answers: Answers, arm: str) -> ArmAnswers:
    return ArmAnswers(answers, ArmCounter(arm, answers.version, PLAYLISTS))


def rotation(production: Answers, canary: Answers | None = None, share: float = 0.5) -> Rotation:
    side = None if canary is None else counted(canary, "canary")
    return Rotation(Assignment(counted(production, "production"), side, share, "salt", None, 4))


def ask(made: Rotation, query: Query) -> list[tuple[Any, ...]]:
    return lists(asyncio.run(made.route(query)))


@pytest.mark.parametrize("count", [1, 2, 7, 60, 700])
def test_answers_across_arms_are_those_of_each_user_alone_in_the_order_asked(answers: Make, count: int) -> None:
    made = rotation(answers("1"), answers("2"))
    user_ids = tuple((USER_IDS * 12)[:count])
    together = ask(made, Query(user_ids=user_ids))
    alone = {user_id: ask(made, Query(user_ids=(user_id,)))[0] for user_id in set(user_ids)}
    assert together == [alone[user_id] for user_id in user_ids]
    arms = canaries(user_ids, "salt", 0.5)
    assert [(row[1], row[2]) for row in together] == [("2", CANARY) if c else ("1", PRODUCTION) for c in arms]


def test_the_arms_answer_as_their_versions_do_alone(answers: Make) -> None:
    together = ask(rotation(answers("1"), answers("2")), Query(user_ids=tuple(USER_IDS)))
    one, two = (ask(rotation(answers(v)), Query(user_ids=tuple(USER_IDS))) for v in ("1", "2"))
    chosen = canaries(USER_IDS, "salt", 0.5)
    assert 0 < chosen.sum() < len(USER_IDS)
    assert [row[3] for row in together] == [b[3] if c else a[3] for a, b, c in zip(one, two, chosen, strict=True)]
    assert [row[3] for row in one] != [row[3] for row in two]


def test_tastes_and_the_refused_keep_their_places_across_arms(answers: Make) -> None:
    taste = [pb.Taste(user_id=u, songs=[pb.Song(song_id="SO0004")]) for u in ("user-3", "", "user-4", "user-5")]
    bad = pb.Taste(user_id="y", songs=[pb.Song()])
    request = pb.RecommendRequest(user_ids=["", "user-1", "x" * 129, "user-2"], tastes=[*taste[:2], bad, *taste[2:]])
    answered = ask(rotation(answers("1"), answers("2")), decode_query(request))
    assert [row[0] for row in answered] == ["", "user-1", "x" * 129, "user-2", "user-3", "", "y", "user-4", "user-5"]
    assert [row[5] for row in answered] == ["user_ids[0]", "", "user_ids[2]", "", "", "", "tastes[2].songs[0]", "", ""]
    named = ["user-1", "user-2", "user-3", "", "user-4", "user-5"]
    expected = [("2", CANARY) if c else ("1", PRODUCTION) for c in canaries(named, "salt", 0.5)]
    assert len(set(expected)) == 2
    assert [(row[1], row[2]) for row in answered if not row[5]] == expected
    assert expected[3] == ("1", PRODUCTION)


def test_with_everybody_in_the_canary_the_refused_keep_their_places(answers: Make) -> None:
    query = decode_query(pb.RecommendRequest(user_ids=["", "user-1", ""]))
    answered = ask(rotation(answers("1"), answers("2"), 1.0), query)
    assert [(row[0], row[1]) for row in answered] == [("", ""), ("user-1", "2"), ("", "")]


def test_a_stream_goes_to_both_arms_part_by_part(answers: Make) -> None:
    made = rotation(answers("1"), answers("2"))

    async def work() -> list[tuple[int, bytes]]:
        return [part async for part in made.stream(Query(user_ids=tuple(USER_IDS)), 7)]

    parts = asyncio.run(work())
    assert [first for first, _ in parts] == list(range(0, 60, 7))
    assert [row for _, data in parts for row in lists(data)] == ask(made, Query(user_ids=tuple(USER_IDS)))


def test_what_must_not_come_back_does_not_in_either_arm(answers: Make) -> None:
    full = [row for row in ask(rotation(answers("1"), answers("2")), Query(tuple(USER_IDS))) if len(row[3]) >= 3]
    for version, others in (("1", "2"), ("2", "1")):
        user, *_, found_before, _, _ = next(row for row in full if row[1] == version)
        other = next(row[0] for row in full if row[1] == others)
        first, second, third = (playlist for playlist, _ in found_before[:3])
        memory = Memory({user: [first]})
        made = rotation(answers("1", history=memory), answers("2", history=memory))
        query = Query(user_ids=(other, user), exclude_playlist_ids=(second,), exclude_seen=ExcludeSeen(60.0))
        answer = ask(made, query)[1]
        assert answer[1] == version
        assert answer[3][0][0] == third
        assert not {first, second} & {playlist for playlist, _ in answer[3]}


def test_what_was_shown_is_remembered_with_version_and_arm(answers: Make) -> None:
    memory = Memory()
    ask(rotation(answers("1", history=memory), answers("2", history=memory)), Query(user_ids=tuple(USER_IDS)))
    chosen = canaries(USER_IDS, "salt", 0.5)
    shown = {(one.model_version, one.arm): list(one.user_ids) for one in memory.shown}
    assert shown == {
        ("1", "production"): [u for u, c in zip(USER_IDS, chosen, strict=True) if not c],
        ("2", "canary"): [u for u, c in zip(USER_IDS, chosen, strict=True) if c],
    }


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_canary_that_raises_is_answered_by_production_and_counted(answers: Make, share: float) -> None:
    memory = Memory()
    sound = answers("2")
    broken = Broken(sound.engine, **{**vars_of(sound), "history": memory})
    production = answers("1", history=memory)
    made = rotation(production, broken, share)
    answered = ask(made, Query(user_ids=tuple(USER_IDS)))
    expected = ask(rotation(answers("1")), Query(user_ids=tuple(USER_IDS)))
    assert answered == expected
    assert {row[2] for row in answered} == {PRODUCTION}
    assert {(one.model_version, one.arm) for one in memory.shown} == {("1", "production")}
    failed = int(canaries(USER_IDS, "salt", share).sum())
    side, main = made.current.canary, made.current.production
    assert side is not None
    assert side.counts is not None
    assert main.counts is not None
    assert (side.counts.row().errors, side.counts.row().listeners) == (failed, 0)
    assert (main.counts.row().errors, main.counts.row().listeners) == (0, len(USER_IDS))
    # Production answers its own users and the canary's in one call.
    assert (side.counts.row().asked_squares, side.counts.row().answered_squares) == (failed**2, 0)
    assert main.counts.row().answered_squares == len(USER_IDS) ** 2


def vars_of(made: Answers) -> dict[str, Any]:
    return {"budgets": made._budgets, "daily": None, "telemetry": made._telemetry}


def test_an_error_of_production_is_counted_and_passed_on(answers: Make) -> None:
    sound = answers("1")
    made = rotation(Broken(sound.engine, **{**vars_of(sound), "history": None}))
    with pytest.raises(IndexError):
        ask(made, Query(user_ids=("user-1", "user-2")))
    counts = made.current.production.counts
    assert counts is not None
    assert counts.row().errors == 2


def test_all_parts_of_a_stream_are_one_call(answers: Make) -> None:
    made = rotation(answers("1"), answers("2"))

    async def work() -> None:
        for _ in range(2):
            async for _ in made.stream(Query(user_ids=tuple(USER_IDS)), 7):
                pass

    asyncio.run(work())
    rows = [side.counts.row() for side in (made.current.canary, made.current.production) if side and side.counts]
    share = int(canaries(USER_IDS, "salt", 0.5).sum())
    assert [row.asked_squares for row in rows] == [2 * share**2, 2 * (60 - share) ** 2]
    assert [row.answered_squares for row in rows] == [row.asked_squares for row in rows]
    assert [sum(row.latencies) for row in rows] == [2, 2], "the parts of a stream are not independent"


def test_the_counts_of_the_arms_add_up_to_the_users(answers: Make) -> None:
    made = rotation(answers("1"), answers("2"))
    for _ in range(3):
        ask(made, Query(user_ids=tuple(USER_IDS)))
    side, main = made.current.canary, made.current.production
    assert side is not None
    assert side.counts is not None
    assert main.counts is not None
    rows = [main.counts.row(), side.counts.row()]
    share = int(canaries(USER_IDS, "salt", 0.5).sum())
    assert [row.listeners for row in rows] == [3 * (60 - share), 3 * share]
    assert [sum(row.latencies) for row in rows] == [3, 3]
    assert rows[0].cold + rows[1].cold == 3, "one user has no candidates"


def test_with_a_canary_known_users_of_one_arm_are_answered_without_waiting(answers: Make) -> None:
    made = rotation(answers("1"), answers("2"))
    for user_id in USER_IDS[:8]:
        call = made.route(Query(user_ids=(user_id,)))
        with pytest.raises(StopIteration) as finished:
            call.send(None)
        assert lists(finished.value.value)[0][0] == user_id


def test_a_canary_never_answers_with_productions_list_of_the_day(answers: Make, redis_url: str, versions: Any) -> None:
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        run_daily(open_bundle(versions["1"]), "1", client, model="m", now=datetime.now(UTC), ttl_s=100)

    async def work() -> list[pb.Recommendation]:
        async with AsyncRedis.from_url(redis_url) as daily:
            made = rotation(answers("1", daily=daily), answers("2", daily=daily))
            request = pb.RecommendRequest(user_ids=USER_IDS[:50], mode=pb.MODE_DAILY)
            return list(pb.RecommendResponse.FromString(await made.route(decode_query(request))).recommendations)

    answered = asyncio.run(work())
    chosen = canaries(USER_IDS[:50], "salt", 0.5)
    for one, canary in zip(answered, chosen, strict=True):
        if canary:
            assert (one.arm, one.model_version, one.source) == (CANARY, "2", pb.SOURCE_LIVE)
            assert list(one.skipped) == [pb.SKIPPED_DAILY_LIST]
        else:
            assert (one.arm, one.model_version, one.source) == (PRODUCTION, "1", pb.SOURCE_DAILY)

"""Lists of both versions in one call: rules, reasons, counts and what is remembered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.versions.answers import Answers
from spotify_buddies.serve_app.versions.arms import canaries
from spotify_buddies.serve_app.versions.counts import ArmCounter
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from tests.serve_app.bundles import PLAYLISTS
from tests.serve_app.versions.conftest import USER_IDS
from tests.serve_app.versions.remembered import Memory

Make = Callable[..., Answers]


class Broken(Answers):
    """A version whose ranking fails at every call."""

    async def rank(self, *given: Any, **named: Any) -> Any:
        raise IndexError("made up")


def counted(answers: Answers, arm: str) -> ArmAnswers:
    return ArmAnswers(answers, ArmCounter(arm, answers.version, PLAYLISTS))


def rotation(production: Answers, canary: Answers, share: float = 0.5) -> Rotation:
    sides = counted(production, "production"), counted(canary, "canary")
    return Rotation(Assignment(*sides, share, "salt", None, 4, interleave=True))


def ask(made: Rotation, query: Query) -> list[pb.Recommendation]:
    return list(pb.RecommendResponse.FromString(asyncio.run(made.route(query))).recommendations)


def ids(answer: pb.Recommendation) -> list[str]:
    return [playlist.playlist_id for playlist in answer.playlists]


@pytest.mark.parametrize("count", [1, 2, 60, 700])
def test_a_share_of_the_users_gets_lists_of_both_and_all_others_productions(answers: Make, count: int) -> None:
    users = tuple((USER_IDS * 12)[:count])
    alone = Query(user_ids=users, limit=10)
    production, canary = (ask(Rotation(Assignment(ArmAnswers(answers(v)))), alone) for v in ("1", "2"))
    mixed = ask(rotation(answers("1"), answers("2")), alone)
    assert [answer.user_id for answer in mixed] == list(users)
    assert len({answer.recommendation_id for answer in mixed}) == count
    for chosen, mine, theirs, answer in zip(canaries(users, "salt", 0.5), production, canary, mixed, strict=True):
        assert answer.model_version == "1"
        if not chosen:
            assert answer.arm == pb.ARM_PRODUCTION
            assert ids(answer) == ids(mine)
            assert not any(playlist.picked_by for playlist in answer.playlists)
            continue
        assert answer.arm == pb.ARM_INTERLEAVED
        whose = {"1": {p.playlist_id: p for p in mine.playlists}, "2": {p.playlist_id: p for p in theirs.playlists}}
        for playlist in answer.playlists:
            expected = whose[playlist.picked_by][playlist.playlist_id]
            # Score, reason, title and what found it are those of who picked it.
            expected.picked_by = playlist.picked_by
            assert playlist == expected
        picked = Counter(playlist.picked_by for playlist in answer.playlists)
        if len(mine.playlists) == len(theirs.playlists) == 10:
            assert abs(picked["1"] - picked["2"]) <= 1


def test_the_rules_of_a_request_hold_for_the_common_list(answers: Make) -> None:
    owner = {f"list-{row}": row % 40 if row % 10 != 9 else None for row in range(PLAYLISTS)}
    memory = Memory(disliked={user: [f"list-{row}" for row in range(0, 120, 7)] for user in USER_IDS})
    query = Query(user_ids=tuple(USER_IDS), limit=20, max_per_owner=1, exclude_playlist_ids=("list-3", "list-8"))
    versions = answers("1", history=memory), answers("2", history=memory)
    sources = Counter[str]()
    for answer in ask(rotation(*versions, share=1.0), query):
        listed = ids(answer)
        owners = Counter(owner[playlist] for playlist in listed if owner[playlist] is not None)
        assert len(set(listed)) == len(listed)
        assert max(owners.values(), default=0) <= 1
        assert not {"list-3", "list-8", *memory.disliked["user-1"]} & set(listed)
        sources.update(playlist.picked_by for playlist in answer.playlists)
    assert min(sources["1"], sources["2"]) > 100


def test_tastes_and_the_refused_keep_their_places(answers: Make) -> None:
    taste = [pb.Taste(user_id=u, songs=[pb.Song(song_id="SO0004")]) for u in ("user-3", "", "user-4")]
    request = pb.RecommendRequest(user_ids=["", "user-1", "user-2"], tastes=taste)
    answered = ask(rotation(answers("1"), answers("2"), share=1.0), decode_query(request))
    assert [answer.user_id for answer in answered] == ["", "user-1", "user-2", "user-3", "", "user-4"]
    arms = [answer.arm for answer in answered]
    both, alone = pb.ARM_INTERLEAVED, pb.ARM_PRODUCTION
    assert arms == [0, both, both, both, alone, both]
    assert [answer.error.field for answer in answered] == ["user_ids[0]", "", "", "", "", ""]


def test_both_arms_are_counted_with_the_lists_that_they_would_have_sent(answers: Make) -> None:
    made = rotation(answers("1"), answers("2"))
    ask(made, Query(user_ids=tuple(USER_IDS), limit=5))
    production, canary = (side.counts for side in (made.current.production, made.current.canary) if side is not None)
    assert production is not None
    assert canary is not None
    share = int(canaries(USER_IDS, "salt", 0.5).sum())
    assert (production.row().listeners, canary.row().listeners) == (60, share)
    assert (production.row().errors, canary.row().errors) == (0, 0)
    # One call of both: production is timed for its own users, the canary for its ranking.
    assert [sum(side.row().latencies) for side in (production, canary)] == [1, 1]


def test_where_the_canary_fails_production_answers_and_the_canary_is_charged(answers: Make) -> None:
    one = answers("1")
    broken = Broken.__new__(Broken)
    broken.__dict__.update(answers("2").__dict__)
    made = rotation(one, broken)
    answered = ask(made, Query(user_ids=tuple(USER_IDS)))
    assert {(answer.model_version, answer.arm) for answer in answered} == {("1", pb.ARM_PRODUCTION)}
    canary = made.current.canary
    assert canary is not None
    assert canary.counts is not None
    share = int(canaries(USER_IDS, "salt", 0.5).sum())
    assert (canary.counts.row().errors, canary.counts.row().listeners) == (share, 0)


def test_what_is_sent_is_what_is_remembered(answers: Make) -> None:
    memory = Memory()
    versions = answers("1", history=memory), answers("2", history=memory)
    users = tuple(USER_IDS[:9])
    answered = {a.recommendation_id: a for a in ask(rotation(*versions, share=1.0), Query(user_ids=users, limit=7))}
    (shown,) = memory.shown
    assert (shown.model_version, shown.arm, shown.user_ids) == ("1", "interleaved", users)
    for place, recommendation_id in enumerate(shown.recommendation_ids):
        sent, count = answered[recommendation_id], shown.counts[place]
        rows = shown.rows[place, :count]
        assert shown.picked_by is not None
        assert shown.scores is not None
        assert [shown.playlist_ids[row] for row in rows] == ids(sent)
        assert list(shown.picked_by[place]) == [playlist.picked_by for playlist in sent.playlists]
        assert shown.scores[place, :count].tolist() == [playlist.score for playlist in sent.playlists]
    some = shown.take([2, 5])
    assert some.picked_by == (shown.picked_by[2], shown.picked_by[5]) if shown.picked_by else False


def test_of_two_equal_versions_the_list_is_what_each_would_send(answers: Make) -> None:
    query = Query(user_ids=tuple(USER_IDS), limit=5)
    alone = ask(Rotation(Assignment(ArmAnswers(answers("1")))), query)
    assert [ids(a) for a in ask(rotation(answers("1"), answers("1"), share=1.0), query)] == [ids(a) for a in alone]

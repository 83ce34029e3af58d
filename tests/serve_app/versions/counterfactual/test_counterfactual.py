"""Which songs bring a playlist into a list: true of whole answers, asked for again as anybody can."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.build import local
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.counterfactual.answer import Limits
from tests.serve_app.bundles import NO_PAIRING
from tests.serve_app.versions.remembered import Memory

FOUND = pb.COUNTERFACTUAL_OUTCOME_FOUND
SEED = 20261128
GENEROUS = Limits(100_000, 60.0)


def answers(engine: Engine, limits: Limits = GENEROUS, *, searched: bool = True, **given: Any) -> Answers:
    fields: dict[str, Any] = {"history": None, "telemetry": Silent(), **given}
    made = Answers(engine, budgets=Budgets(60.0, 5.0, 50_000 if searched else 0, limits), daily=None, **fields)
    if searched:
        made.use_neighbours(local(engine))
    return made


@pytest.fixture(scope="module")
def generous(engine: Engine) -> Answers:
    return answers(engine)


def ask(made: Answers, **fields: Any) -> list[pb.Recommendation]:
    query = decode_query(pb.RecommendRequest(**fields))
    answered = asyncio.run(made.rank_and_encode(query, made.exclude(query)))
    return list(pb.RecommendResponse.FromString(answered.data).recommendations)


def asked(**fields: Any) -> pb.CounterfactualOptions:
    return pb.CounterfactualOptions(**fields)


def taste(engine: Engine, songs: Any, user_id: str = "") -> pb.Taste:
    titles, artists = engine.bundle.song_titles, engine.bundle.song_artists
    named = [pb.SongName(title=titles[song], artist=artists[song]) for song in songs]
    return pb.Taste(user_id=user_id, songs=[pb.Song(name=name) for name in named])


def ids(answer: pb.Recommendation) -> list[str]:
    return [playlist.playlist_id for playlist in answer.playlists]


def names(songs: Any) -> set[tuple[str, str]]:
    return {(song.title, song.artist) for song in songs}


def without(described: pb.Taste, left_out: set[tuple[str, str]]) -> pb.Taste:
    kept = [song for song in described.songs if (song.name.title, song.name.artist) not in left_out]
    assert len(kept) == len(described.songs) - len(left_out)
    return pb.Taste(user_id=described.user_id, songs=kept)


def check(made: Answers, described: pb.Taste, playlist: pb.RecommendedPlaylist, **fields: Any) -> None:
    """Ask for the taste with and without the songs: with all, without them, and with each one of them put back."""
    found = playlist.counterfactual
    left_out = names(found.songs)
    assert 1 <= len(left_out) == len(found.songs)
    variants = [described, without(described, left_out)]
    variants += [without(described, left_out - {name}) for name in sorted(left_out)]
    whole, dropped, *put_back = [ids(ask(made, tastes=[variant], **fields)[0]) for variant in variants]
    assert playlist.playlist_id in whole
    assert playlist.playlist_id not in dropped
    assert all(playlist.playlist_id in one for one in put_back)
    assert found.replaced_by == next((other for other in dropped if other not in whole), "")


def test_without_the_songs_the_list_lacks_it_and_with_any_one_put_back_has_it(
    engine: Engine, generous: Answers
) -> None:
    rng, sizes, bundle = np.random.default_rng(SEED), Counter[int](), engine.bundle
    for round_ in range(24):
        songs = rng.choice(bundle.manifest.songs, rng.integers(2, 40), replace=False)
        described = taste(engine, songs, f"user-{round_}" if round_ % 3 == 0 else "")
        fields: dict[str, Any] = {"limit": int(rng.integers(1, 12)), "max_per_owner": int(rng.integers(1, 4))}
        if round_ % 4 == 0:
            fields["exclude_playlist_ids"] = [f"list-{p}" for p in rng.choice(120, 10, replace=False)]
        options = asked(max_playlists=2, max_songs=int(rng.integers(1, 20)))
        (answer,) = ask(generous, tastes=[described], counterfactual=options, **fields)
        assert [p.HasField("counterfactual") for p in answer.playlists] == [i < 2 for i in range(len(answer.playlists))]
        for playlist in answer.playlists[:2]:
            found = playlist.counterfactual
            assert (found.outcome == FOUND) == bool(found.songs)
            assert len(found.songs) <= options.max_songs
            if found.outcome == FOUND:
                check(generous, described, playlist, **fields)
                sizes[len(found.songs)] += 1
    assert sum(sizes.values()) > 20
    assert len(sizes) > 3


def test_of_a_known_user_it_is_true_of_their_library_as_a_taste(engine: Engine, generous: Answers) -> None:
    outcomes, bundle = Counter[int](), engine.bundle
    for row in range(bundle.manifest.users):
        user = bundle.user_ids.table[row]
        described = taste(engine, bundle.user_songs.row(row).tolist(), user)
        (answer,) = ask(generous, user_ids=[user], counterfactual=asked(max_playlists=5))
        whole = ids(ask(generous, tastes=[described])[0])
        for playlist in answer.playlists:
            outcome = playlist.counterfactual.outcome
            outcomes[outcome] += 1
            assert (outcome == pb.COUNTERFACTUAL_OUTCOME_NOT_BY_SONGS) == (playlist.playlist_id not in whole)
            if outcome == FOUND and outcomes[FOUND] <= 10:
                check(generous, described, playlist)
    assert outcomes[FOUND] > 10
    assert outcomes[pb.COUNTERFACTUAL_OUTCOME_NOT_BY_SONGS] > 10


def test_of_single_songs_none_is_missed(engine: Engine, generous: Answers) -> None:
    rng, outcomes = np.random.default_rng(SEED), Counter[int]()
    for _ in range(10):
        described = taste(engine, rng.choice(engine.bundle.manifest.songs, 12, replace=False))
        (answer,) = ask(generous, tastes=[described], counterfactual=asked(max_songs=1))
        lists = {
            name: ids(ask(generous, tastes=[without(described, {name})])[0])
            for name in sorted((song.name.title, song.name.artist) for song in described.songs)
        }
        for playlist in answer.playlists[:3]:
            dropping = {name for name, listed in lists.items() if playlist.playlist_id not in listed}
            found = playlist.counterfactual
            outcomes[found.outcome] += 1
            assert names(found.songs) <= dropping
            assert (found.outcome == FOUND) == bool(dropping)
            assert found.outcome in (FOUND, pb.COUNTERFACTUAL_OUTCOME_NOT_FOUND)
    assert min(outcomes.values()) > 2
    assert len(outcomes) == 2


def test_the_rules_of_the_listener_hold_in_every_list(engine: Engine) -> None:
    described = taste(engine, range(0, 40, 2), "user-41")
    plain = ids(ask(answers(engine), tastes=[described], limit=10)[0])
    made = answers(engine, history=Memory(disliked={"user-41": plain[:8:2]}))
    (answer,) = ask(made, tastes=[described], limit=3, counterfactual=asked(max_songs=19))
    found = [p for p in answer.playlists if p.counterfactual.outcome == FOUND]
    assert found
    for playlist in found:
        check(made, described, playlist, limit=3)
        assert playlist.counterfactual.replaced_by not in plain[:8:2]


def test_playlists_can_be_named_and_others_are_left_alone(engine: Engine, generous: Answers) -> None:
    described = taste(engine, range(10, 30))
    listed = ids(ask(generous, tastes=[described])[0])
    options = asked(playlist_ids=[listed[3], "nobody's", listed[4]])
    (answer,) = ask(generous, tastes=[described], counterfactual=options)
    assert [p.HasField("counterfactual") for p in answer.playlists] == [False, False, False, True, True]
    assert not any(p.HasField("counterfactual") for p in ask(generous, tastes=[described])[0].playlists)


def test_each_user_of_a_call_has_their_own_and_errors_stay_where_they_are(engine: Engine, generous: Answers) -> None:
    tastes = [taste(engine, range(first, first + 20), f"t{first}") for first in (0, 30, 60)]
    bad = pb.Taste(user_id="bad", songs=[pb.Song()])
    together = ask(
        generous, user_ids=["user-1", "", "user-2"], tastes=[tastes[0], bad, *tastes[1:]], counterfactual=asked()
    )
    alone = [ask(generous, tastes=[one], counterfactual=asked())[0] for one in tastes]
    assert [r.user_id for r in together] == ["user-1", "", "user-2", "t0", "bad", "t30", "t60"]
    assert [r.HasField("error") for r in together] == [False, True, False, False, True, False, False]
    for one, other in zip([together[3], *together[5:]], alone, strict=True):
        assert [p.counterfactual for p in one.playlists] == [p.counterfactual for p in other.playlists]


def outcomes_of(made: Answers, **fields: Any) -> list[int]:
    options = asked(max_playlists=5, max_songs=3)
    return [p.counterfactual.outcome for r in ask(made, counterfactual=options, **fields) for p in r.playlists]


def test_who_has_too_few_known_songs_is_told_so(engine: Engine, generous: Answers) -> None:
    few = pb.COUNTERFACTUAL_OUTCOME_FEW_SONGS
    assert set(outcomes_of(generous, user_ids=["stranger"], tastes=[taste(engine, [3])])) == {few}
    gone = answers(engine, history=Memory(gone={"user-1"}))
    assert set(outcomes_of(gone, user_ids=["user-1"])) == {few}


def test_a_user_without_candidates_is_explained_too(generous: Answers) -> None:
    (answer,) = ask(generous, user_ids=[f"user-{NO_PAIRING}"], counterfactual=asked())
    assert answer.source == pb.SOURCE_COLD_NEIGHBOURS
    assert all(p.counterfactual.outcome for p in answer.playlists[:3])


def test_nothing_is_said_where_the_neighbours_do_not_answer(engine: Engine) -> None:
    made = answers(engine, searched=False)
    assert set(outcomes_of(made, tastes=[taste(engine, range(20))])) == {pb.COUNTERFACTUAL_OUTCOME_UNVERIFIED}


@pytest.mark.parametrize("limits", [Limits(4, 60.0), Limits(100_000, 1e-9)])
def test_what_a_call_may_not_take_it_does_not_take(engine: Engine, limits: Limits) -> None:
    made, described = answers(engine, limits), taste(engine, range(20))
    (answer,) = ask(made, tastes=[described], counterfactual=asked(max_playlists=5))
    assert {p.counterfactual.outcome for p in answer.playlists} == {pb.COUNTERFACTUAL_OUTCOME_BUDGET_SPENT}
    assert sum(p.counterfactual.rankings for p in answer.playlists) <= limits.rankings


def test_what_some_searches_do_not_use_is_for_those_that_need_more(engine: Engine, generous: Answers) -> None:
    asking: dict[str, Any] = {
        "tastes": [taste(engine, range(first, first + 20)) for first in (0, 30, 60)],
        "counterfactual": asked(max_playlists=4, max_songs=15),
    }

    def told(made: Answers) -> list[tuple[int, int, list[str]]]:
        found = [p.counterfactual for r in ask(made, **asking) for p in r.playlists if p.HasField("counterfactual")]
        return [(one.outcome, one.rankings, [song.title for song in one.songs]) for one in found]

    whole = told(generous)
    needed, most = sum(rankings for _, rankings, _ in whole), max(rankings for _, rankings, _ in whole)
    # Not one of equal shares would be enough for the longest search.
    assert most > needed // len(whole)
    assert [(o, songs) for o, _, songs in told(answers(engine, Limits(needed, 60.0)))] == [
        (o, songs) for o, _, songs in whole
    ]
    less = told(answers(engine, Limits(needed - 1, 60.0)))
    assert pb.COUNTERFACTUAL_OUTCOME_BUDGET_SPENT in [outcome for outcome, _, _ in less]
    assert sum(rankings for _, rankings, _ in less) <= needed - 1


def test_a_call_that_ends_early_stops_the_search(engine: Engine) -> None:
    entered, made = asyncio.Event(), answers(engine, searched=False)

    class Hanging:
        async def search(self, tastes: Csr, k: int) -> Csr:
            entered.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody waits any more")

    made.use_neighbours(Hanging())
    query = decode_query(pb.RecommendRequest(user_ids=["user-1"], counterfactual=asked()))

    async def check() -> None:
        call = asyncio.create_task(made.rank_and_encode(query, made.exclude(query)))
        await entered.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(check())


def test_searches_and_their_lists_are_counted(engine: Engine) -> None:
    class Counting(Silent):
        counted: ClassVar[list[tuple[str, int]]] = []

        def count_counterfactual(self, outcome: str, rankings: int) -> None:
            self.counted.append((outcome, rankings))

    made = answers(engine, telemetry=Counting())
    (answer,) = ask(made, tastes=[taste(engine, range(20))], counterfactual=asked())
    found = [p.counterfactual for p in answer.playlists[:3]]
    names = [pb.CounterfactualOutcome.Name(one.outcome).lower() for one in found]
    expected = [
        (name.removeprefix("counterfactual_outcome_"), one.rankings) for name, one in zip(names, found, strict=True)
    ]
    assert Counting.counted == expected

"""The truth of a world of weeks: a function of the seed, with the drift that was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from spotify_buddies.clients.simulate.audience import AudienceError
from spotify_buddies.clients.simulate.clicks import Clicks
from spotify_buddies.clients.simulate.weeks.command import default_start
from spotify_buddies.clients.simulate.weeks.days import BOT_VISITS, Calendar
from spotify_buddies.clients.simulate.weeks.people import PeopleSettings
from spotify_buddies.clients.simulate.weeks.source import WorldSource, open_source
from spotify_buddies.clients.simulate.weeks.truth import WeekTruth, truth_of
from spotify_buddies.clients.simulate.weeks.world import World, WorldSettings
from spotify_buddies.foundation.arrays.csr import Csr
from tests.clients.simulate.conftest import PlantedTaste

# Few likes and themes: a genre of the planted data set has 20 playlists.
SETTINGS = WorldSettings(weeks=4, likes=4, themes=6, fashion=4, drift=0.5, people=PeopleSettings(newcomers=0.1))
MONDAY = datetime(2026, 10, 12, tzinfo=UTC)
MakeWorld = Callable[..., World]


@pytest.fixture(scope="module")
def source(planted_taste: PlantedTaste) -> WorldSource:
    return open_source(planted_taste.dataset)


@pytest.fixture(scope="module")
def make(source: WorldSource) -> MakeWorld:
    return lambda seed=1, **changed: World(source, replace(SETTINGS, **changed), seed)


def everything(world: World) -> list[tuple[str, frozenset[str]]]:
    return [(one.user_id, world.likes(one.user_id, week)) for one in world.listeners for week in range(one.first, 4)]


def test_a_seed_is_a_world_in_whatever_order_it_is_asked(make: MakeWorld) -> None:
    one, two, other = make(), make(), make(seed=2)
    last = one.likes(one.listeners[7].user_id, 3)
    assert two.likes(two.listeners[7].user_id, 0) == one.likes(one.listeners[7].user_id, 0)
    assert two.likes(two.listeners[7].user_id, 3) == last
    assert everything(one) == everything(two)
    assert everything(one) != everything(other)
    calendar = Calendar(MONDAY, 50)
    assert calendar.visits(one, 9) == calendar.visits(two, 9) != calendar.visits(other, 9)


@pytest.mark.parametrize("drift", [0.0, 0.3, 0.5, 1.0])
def test_the_stated_share_of_the_likes_is_another_in_the_next_week(make: MakeWorld, drift: float) -> None:
    world = make(drift=drift, new_playlists=0.0, people=PeopleSettings(newcomers=0.0, leaving=0.0))
    shares = []
    for listener in world.listeners:
        before, after = (world.likes(listener.user_id, week) for week in (1, 2))
        assert len(before) == len(after) == 4
        shares.append(len(before - after) / 4)
    # Of 240 listeners with 4 likes each: a standard error of at most 0.5 / 4 / sqrt(240) = 0.008.
    assert np.mean(shares) == pytest.approx(drift, abs=0.03)
    assert truth_of(world, 2, Clicks(), 5).changed == pytest.approx(np.mean(shares))


def test_likes_that_come_are_near_in_taste_and_shared_by_people_of_that_taste(make: MakeWorld) -> None:
    world = make(new_playlists=0.0)
    near = come = 0
    of_genre = [Counter[str]() for _ in range(6)]
    for listener in (one for one in world.listeners if not one.new):
        genre = int(listener.user_id.removeprefix("user-")) % 6
        for name in world.likes(listener.user_id, 1) - world.likes(listener.user_id, 0):
            come += 1
            if int(name.removeprefix("playlist-")) % 6 == genre:
                near += 1
                of_genre[genre][name] += 1
    # A quarter wanders off to the next theme, which is of another genre.
    assert near / come == pytest.approx(0.75, abs=0.1)
    # Four of the 20 playlists of a genre are in fashion; by chance they would be a fifth of what comes. Some know them.
    assert all(sum(n for _, n in names.most_common(4)) > 0.5 * names.total() for names in of_genre)
    assert come > 300


def test_what_training_saw_is_not_liked_anew_and_what_it_did_not_is_liked_at_first(make: MakeWorld) -> None:
    world = make(new_playlists=0.0)
    for listener in (one for one in world.listeners if not one.new):
        known = set(world.names(listener.known))
        assert all(known.isdisjoint(world.likes(listener.user_id, week)) for week in range(4))
        assert set(world.names(listener.held)) <= world.likes(listener.user_id, 0)


def test_new_playlists_are_liked_from_their_week_on_and_not_before(make: MakeWorld) -> None:
    world = make(new_playlists=0.5)
    arrived = [set(world.arrivals(week)) for week in range(4)]
    assert arrived[0] == set()
    assert sum(map(len, arrived)) == 60 == len(set.union(*arrived))
    liked = [
        set().union(*(world.likes(one.user_id, week) for one in world.listeners if one.first <= week))
        for week in range(4)
    ]
    for week in range(1, 4):
        assert all(arrived[week].isdisjoint(liked[before]) for before in range(week))
        assert arrived[week] & liked[week]


def test_people_come_and_go(make: MakeWorld) -> None:
    world = make(people=PeopleSettings(most=200, newcomers=0.1, leaving=0.2))
    new = [one for one in world.listeners if one.new]
    assert [sum(one.first == week for one in new) for week in range(4)] == [0, 20, 20, 20]
    assert all(one.user_id.startswith("new-1-") and not one.known for one in new)
    present = [set(world.present(week).tolist()) for week in range(4)]
    assert len(present[0]) == 200
    # Who has left does not come back; of 200 about a fifth, with a standard error of 5.7, leave after the first week.
    assert len(present[0] - present[1]) == pytest.approx(40, abs=25)
    assert (present[0] - present[1]).isdisjoint(present[2] | present[3])
    assert all(1 <= len(world.tastes(place)) <= 100 for place, one in enumerate(world.listeners) if one.new)
    truth = truth_of(world, 1, Clicks(), 5)
    assert (truth.arrived, truth.left) == (20, len(present[0] - present[1]))


def test_weekends_have_more_visits_another_mood_and_bots_as_many_as_ever(make: MakeWorld) -> None:
    world, calendar = make(), Calendar(MONDAY, 2_000)
    days = [calendar.visits(world, day) for day in range(7)]
    assert [calendar.is_weekend(day) for day in range(7)] == [False] * 5 + [True] * 2
    people = [sum(coming.place >= 0 for coming in day) for day in days]
    # A standard error of sqrt(10000) / 5 and sqrt(6000) / 2, by 1.5 the ratio's is about 0.024.
    assert np.mean(people[5:]) / np.mean(people[:5]) == pytest.approx(1.5, abs=0.1)
    assert [sum(coming.place < 0 for coming in day) for day in days] == [3 * BOT_VISITS] * 7
    assert len({coming.user_id for coming in days[0] if coming.place < 0}) == 3
    for number, day in enumerate(days):
        times = [coming.at for coming in day]
        assert times == sorted(times)
        assert all(time.date() == calendar.date(number).date() for time in times)
    moods = [tuple(world.likes_on(place, 0, weekend=end) for end in (False, True)) for place in range(240)]
    assert all(one | two <= world.likes(world.listeners[i].user_id, 0) for i, (one, two) in enumerate(moods))
    differ = sum(len(one ^ two) for one, two in moods) / (240 * 4)
    # 15 of 100 likes are of weekends alone and as many of other days alone: a standard error of 0.015.
    assert differ == pytest.approx(0.3, abs=0.06)


def test_who_follows_the_drift_earns_more_than_who_does_not_and_than_what_is_popular(make: MakeWorld) -> None:
    world = make(drift=0.3)
    weeks: list[WeekTruth] = [truth_of(world, week, Clicks(), 5) for week in range(4)]
    assert weeks[0].follows == weeks[0].stale
    for week in weeks:
        assert week.oracle > week.follows > week.popular
        assert week.oracle > week.stale
    assert weeks[3].follows > 1.2 * weeks[3].stale
    assert weeks[1].stale > weeks[2].stale > weeks[3].stale


def test_the_ceiling_is_what_the_click_model_gives_a_list_of_likes(make: MakeWorld) -> None:
    world = make(drift=0.0, people=PeopleSettings(newcomers=0.0, leaving=0.0))
    # Everything is looked at and liked where it is to the taste: 5 places, of which as many are filled as there are
    # likes of the day, 85 of 100 of the four.
    rate = truth_of(world, 0, Clicks(p_true=1.0, p_noise=0.0, falling=0.0), 5).oracle
    assert rate == pytest.approx(0.85 * 4 / 5, abs=0.03)


def test_where_no_song_is_shared_there_is_no_world(source: WorldSource) -> None:
    nothing = Csr.from_rows([[] for _ in source.playlist_ids], source.user_songs.columns)
    with pytest.raises(AudienceError, match="shares a song"):
        World(replace(source, playlist_songs=nothing), SETTINGS, 1)


def test_the_weeks_end_with_the_last_whole_one() -> None:
    saturday = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
    assert default_start(saturday, 6) == datetime(2026, 10, 12, tzinfo=UTC)
    assert default_start(datetime(2026, 11, 23, tzinfo=UTC), 1) == datetime(2026, 11, 16, tzinfo=UTC)

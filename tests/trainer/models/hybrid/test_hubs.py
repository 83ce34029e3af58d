"""Hubs of the taste: a playlist that is near to everybody loses half of what it is near, in one dimension."""

import numpy as np
import pytest

from spotify_buddies.trainer.models.hybrid import hubs
from spotify_buddies.trainer.models.hybrid.hubs import NEAREST, hub_dimension, nearness
from spotify_buddies.trainer.models.hybrid.taste import unit

TASTE, PEOPLE = 24, 300


@pytest.fixture(scope="module")
def tastes():
    """Users, and a playlist near to each; of what all users have in common playlists have more or less."""
    rng = np.random.default_rng(4)
    own, *noise = rng.standard_normal((3, PEOPLE, TASTE)).astype(np.float32)
    common = 1.5 * rng.standard_normal(TASTE).astype(np.float32)
    share = 2 * rng.random((PEOPLE, 1)).astype(np.float32)
    return 2 * unit(own + 0.9 * noise[0] + common), 2 * unit(own + 0.9 * noise[1] + share * common)


def test_nearness_is_the_mean_score_of_the_nearest_people(tastes, monkeypatch):
    monkeypatch.setattr(hubs, "_TOGETHER", 7)
    users, playlists = tastes
    scores = users @ playlists.T
    assert nearness(users, playlists, 1) == pytest.approx(np.sort(scores, axis=0)[-NEAREST:].mean(axis=0), abs=1e-5)
    assert nearness(users[:4], playlists, 1) == pytest.approx(scores[:4].mean(axis=0), abs=1e-5)


def test_people_find_their_own_and_the_lists_of_all_show_more(tastes):
    users, playlists = tastes
    asks, loss = hub_dimension(users, playlists, 1)
    found = []
    for scores in (users @ playlists.T, users @ playlists.T + asks[:, None] * loss):
        first = np.argsort(-scores, axis=1)[:, :5]
        found.append(((first == np.arange(PEOPLE)[:, None]).any(axis=1).mean(), np.unique(first).size))
    assert found[1][0] > found[0][0] + 0.03
    assert found[1][1] > found[0][1]


def test_people_without_a_taste_stay_equally_near_to_all_and_say_nothing_of_nearness(tastes):
    users, playlists = tastes
    asks, loss = hub_dimension(np.vstack([users, np.zeros((5, TASTE), np.float32)]), playlists, 1)
    assert asks.tolist() == [1] * PEOPLE + [0] * 5
    assert loss.tobytes() == hub_dimension(users, playlists, 1)[1].tobytes()
    assert loss == pytest.approx(-nearness(users, playlists, 1) / 2)


def test_nobody_with_a_taste_lowers_nothing(tastes):
    users, playlists = tastes
    assert not nearness(0 * users, playlists, 1).any()


def test_of_very_many_people_some_are_drawn_by_the_seed(tastes, monkeypatch):
    whole = nearness(*tastes, 1)
    monkeypatch.setattr(hubs, "MOST_PEOPLE", 200)
    drawn = nearness(*tastes, 1)
    assert drawn.tobytes() == nearness(*tastes, 1).tobytes() != nearness(*tastes, 2).tobytes()
    assert (drawn <= whole + 1e-5).all()
    assert np.corrcoef(drawn, whole)[0, 1] > 0.9

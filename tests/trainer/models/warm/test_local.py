"""Rates among those of the same taste, against a double loop."""

from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.warm import local
from spotify_buddies.trainer.models.warm.local import GLOBAL, LOCAL, NEIGHBOURS, OWN, WIDTH, LocalRates, Looks

USERS, PLAYLISTS, TASTE = 40, 25, 6


def looks_of(looks: np.ndarray, likes: np.ndarray) -> Looks:
    """From tables (U, P); what is 0 in `looks` is no entry."""
    rows = Csr.from_rows([np.flatnonzero(row) for row in looks], looks.shape[1])
    at = np.repeat(np.arange(len(looks)), rows.counts), rows.indices
    return Looks(Csr(rows.indptr, rows.indices, rows.columns, looks[at].astype(np.float32)), likes[at])


def some_looks(rng: np.random.Generator, people: int = USERS) -> tuple[np.ndarray, np.ndarray]:
    looks = np.zeros((USERS, PLAYLISTS), np.float32)
    looks[:people] = rng.uniform(0.3, 3, (people, PLAYLISTS)) * (rng.random((people, PLAYLISTS)) < 0.3)
    looks[:, -1] = 0
    likes = (looks * (rng.random(looks.shape) < 0.4) * rng.random(looks.shape)).astype(np.float32)
    return looks, likes


def by_loops(taste: np.ndarray, looks: np.ndarray, likes: np.ndarray, most: int = NEIGHBOURS) -> np.ndarray:
    """The logarithms of the rates, one user, neighbour and playlist at a time."""
    people = [user for user in range(len(looks)) if looks[user].any()]
    overall = likes.sum() / max(looks.sum(), 1e-9)
    common = [(likes[:, p].sum() + GLOBAL * overall) / (looks[:, p].sum() + GLOBAL) for p in range(looks.shape[1])]
    out = np.empty(looks.shape)
    for user in range(len(looks)):
        cosines = {}
        for other in people:
            length = np.linalg.norm(taste[user]) * np.linalg.norm(taste[other])
            cosines[other] = float(taste[user] @ taste[other] / length) if length else 0.0
        nearest = sorted(cosines, key=lambda other: -cosines[other])[:most]
        weights = {other: np.exp((cosines[other] - cosines[nearest[0]]) / WIDTH) for other in nearest}
        if user in weights:
            weights[user] = OWN
        for playlist in range(looks.shape[1]):
            liked, looked = LOCAL * common[playlist], LOCAL
            for other, weight in weights.items():
                liked += weight * likes[other, playlist]
                looked += weight * looks[other, playlist]
            out[user, playlist] = np.log(max(liked / looked, 1e-6))
    return out


@pytest.mark.parametrize(("seed", "people"), [(1, USERS), (2, 12), (3, 1)])
def test_the_scores_are_those_of_a_double_loop(seed: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(USERS, TASTE)).astype(np.float32)
    taste[5] = 0
    looks, likes = some_looks(rng, people)
    rates = LocalRates(taste, looks_of(looks, likes))
    found = rates.scores(np.arange(USERS))
    assert (found.shape, found.dtype) == ((USERS, PLAYLISTS), np.float32)
    np.testing.assert_allclose(found, by_loops(taste, looks, likes), atol=1e-5)
    # Any rows, in any order.
    np.testing.assert_array_equal(rates.scores(np.array([7, 3, 7])), found[[7, 3, 7]])
    assert rates.factors() is None


def test_no_more_than_the_nearest_count(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    taste = rng.normal(size=(USERS, TASTE)).astype(np.float32)
    looks, likes = some_looks(rng)
    monkeypatch.setattr(local, "NEIGHBOURS", 7)
    found = LocalRates(taste, looks_of(looks, likes)).scores(np.arange(USERS))
    np.testing.assert_allclose(found, by_loops(taste, looks, likes, 7), atol=1e-5)
    assert np.abs(found - by_loops(taste, looks, likes)).max() > 1e-2


def test_the_length_of_a_taste_says_nothing() -> None:
    rng = np.random.default_rng(5)
    taste = rng.normal(size=(USERS, TASTE)).astype(np.float32)
    seen = looks_of(*some_looks(rng))
    longer = taste * rng.uniform(0.1, 9, (USERS, 1)).astype(np.float32)
    one, two = (LocalRates(vectors, seen).scores(np.arange(USERS)) for vectors in (taste, longer))
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_where_nobody_looked_there_is_the_rate_of_everything() -> None:
    rng = np.random.default_rng(6)
    taste = rng.normal(size=(USERS, TASTE)).astype(np.float32)
    looks, likes = some_looks(rng)
    found = LocalRates(taste, looks_of(looks, likes)).scores(np.arange(USERS))
    np.testing.assert_allclose(np.exp(found[:, -1]), likes.sum() / looks.sum(), rtol=1e-5)


def test_without_looks_every_score_is_the_same_number() -> None:
    nothing = np.zeros((USERS, PLAYLISTS), np.float32)
    found = LocalRates(np.ones((USERS, TASTE), np.float32), looks_of(nothing, nothing)).scores(np.arange(3))
    assert found.shape == (3, PLAYLISTS)
    assert np.isfinite(found).all()
    assert np.ptp(found) == 0


def test_what_one_did_oneself_outweighs_a_neighbour_of_the_same_taste() -> None:
    looks, likes = np.zeros((2, USERS, PLAYLISTS), np.float32)
    # Two people of one taste see both playlists as often; each likes another one, every time.
    looks[:2, :2] = 2
    likes[0, 0] = likes[1, 1] = 2
    taste = np.zeros((USERS, TASTE), np.float32)
    taste[:, 0] = 1
    found = np.exp(LocalRates(taste, looks_of(looks, likes)).scores(np.arange(3)))
    common = (2 + GLOBAL * 0.5) / (4 + GLOBAL)
    own = (OWN * 2 + LOCAL * common) / (OWN * 2 + 2 + LOCAL)
    other = (2 + LOCAL * common) / (OWN * 2 + 2 + LOCAL)
    np.testing.assert_allclose(found[:2, :2], [[own, other], [other, own]], rtol=1e-5)
    # Whoever did nothing takes both alike.
    np.testing.assert_allclose(found[2, :2], (2 + LOCAL * common) / (4 + LOCAL), rtol=1e-5)


def test_a_neighbour_counts_less_the_further_it_is_beyond_the_nearest_one() -> None:
    looks, likes = np.zeros((2, 3, 2), np.float32)
    looks[1, 0] = likes[1, 0] = looks[2, 1] = likes[2, 1] = 1
    # The asked one is at cosines 0.8 and 0.65 of the two who looked: lower by WIDTH, so 1 / e of the weight.
    taste = np.array([[1, 0], [0.8, 0.6], [0.65, np.sqrt(1 - 0.65**2)]], np.float32)
    (found,) = np.exp(LocalRates(taste, looks_of(looks, likes)).scores(np.array([0])))
    np.testing.assert_allclose(found, 1, rtol=1e-5)
    likes[:] = 0
    likes[1, 0] = 1
    (found,) = np.exp(LocalRates(taste, looks_of(looks, likes)).scores(np.array([0])))
    common = GLOBAL * 0.5 / (1 + GLOBAL)
    assert found[1] == pytest.approx(LOCAL * common / (np.exp(-1) + LOCAL), rel=1e-4)

"""Places that are drawn at random: how often each playlist comes, and what is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking.catalogue import Library, wanted_genres
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.kernels.exploring import draw_place
from spotify_buddies.serve_app.ranking.kernels.weighing import divergence
from spotify_buddies.serve_app.ranking.query import RankedLists, Source, Taste
from spotify_buddies.serve_app.ranking.rules import Draws, Exploration, Policy, Rules
from spotify_buddies.trainer.bundle import write_bundle
from tests.serve_app.bundles import PLAYLISTS, SONGS, USERS, make_bundle, parts
from tests.serve_app.reference import overlap

NONE = np.empty(0, np.int32)
EPSILON, LUCE = Exploration(Policy.EPSILON, 0.4, 3), Exploration(Policy.PLACKETT_LUCE, 0.5, 4)
LISTS, LIMIT, USER = 20_000, 4, 3
# Lists that begin alike, below which nothing is said of how they go on.
ENOUGH = 400
Window = Callable[[list[int]], list[tuple[int, float]]]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Candidates that are in each other's way: of few owners, near copies, and parts of one another."""
    directory = tmp_path_factory.mktemp("crowded")
    make_bundle(directory)
    made, rng = parts(directory / "index"), np.random.default_rng(4)
    sketches = made.sketches.copy()
    sketches[1::4, :48] = sketches[::4, :48]
    songs = [np.sort(rng.choice(SONGS, rng.integers(3, 30), replace=False)) for _ in range(PLAYLISTS)]
    owner = (np.arange(PLAYLISTS) % 12 + 20).astype(np.int32)
    made = replace(
        made, sketches=sketches, playlist_songs=Csr.from_rows(songs, SONGS), owner=owner,
        owned=Csr.from_rows([np.flatnonzero(owner == user) for user in range(USERS)], PLAYLISTS),
        candidates=Csr.from_rows([np.arange(40) if user < 20 else [] for user in range(USERS)], PLAYLISTS),
    )  # fmt: skip
    return Engine(write_bundle(directory / "crowded", made), "1")


def drawn_ids(count: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(16 * count)


def explored(engine: Engine, exploration: Exploration, lists: int = LISTS, **rules: Any) -> RankedLists:
    blocked = Csr.from_rows([[5, 17]] * lists, PLAYLISTS)
    how = Rules(blocked=blocked, draws=Draws.of(exploration, drawn_ids(lists)), **rules)
    return engine.rank_known([f"user-{USER}"] * lists, LIMIT, np.array([2, 11], np.int32), how)


def admits(engine: Engine, rules: Rules, before: list[int], playlist: int) -> bool:
    """The rules once more, plain."""
    bundle, songs = engine.bundle, engine.bundle.playlist_songs
    assert songs is not None
    mine = set(songs.row(playlist).tolist())
    for other in before:
        theirs = set(songs.row(other).tolist())
        if overlap(bundle, playlist, other) > rules.max_song_overlap:
            return False
        if rules.max_song_containment < 1 and len(mine & theirs) > rules.max_song_containment * min(
            len(mine), len(theirs)
        ):
            return False
    same = sum(bundle.owner[other] == bundle.owner[playlist] for other in before)
    return bool(playlist not in before and same < rules.max_per_owner)


def window_of(engine: Engine, rules: Rules, top: int) -> Window:
    """The window of a place as its definition says: the playlists and what orders them, best first."""
    bundle, catalogue = engine.bundle, engine.catalogue
    allowed = [p for p in bundle.candidates.row(USER).tolist() if p not in (2, 5, 11, 17) and bundle.owner[p] != USER]
    scores = bundle.playlist_factors[allowed] @ bundle.user_factors[USER]
    a, c = rules.adventurous, rules.calibration
    values = dict(zip(allowed, scores.tolist(), strict=True))
    shares = np.zeros(3)
    if a or c:
        scaled = (scores - scores.min()) / (scores.max() - scores.min())
        values = {p: (1 - a) * v + a * catalogue.novelty[p] for p, v in zip(allowed, scaled.tolist(), strict=True)}
    if c:
        users = np.array([USER], np.int32)
        shares = wanted_genres(bundle, Library(bundle.user_songs, users), rules)[0]

    def value(playlist: int, before: list[int]) -> float:
        genre = int(catalogue.genre[playlist]) if c else -1
        if genre < 0:
            return float((1 - c) * values[playlist])
        taken, places = sum(int(catalogue.genre[other]) == genre for other in before), len(before) + 1
        wanted = float(shares[genre])
        gain = divergence(wanted, taken / places) - divergence(wanted, (taken + 1) / places)
        return float((1 - c) * values[playlist] + c * gain)

    def window(before: list[int]) -> list[tuple[int, float]]:
        open_ = [(p, value(p, before)) for p in allowed if admits(engine, rules, before, p)]
        return sorted(open_, key=lambda entry: -entry[1])[:top]

    return window


def chances(exploration: Exploration, window: list[tuple[int, float]]) -> dict[int, float]:
    """The probability of each playlist of a window."""
    names, values = zip(*window, strict=True)
    if exploration.policy is Policy.EPSILON:
        even = exploration.parameter / len(names)
        return {p: even + (1 - exploration.parameter) * (k == 0) for k, p in enumerate(names)}
    weights = np.exp((np.array(values) - values[0]) / exploration.parameter)
    return dict(zip(names, (weights / weights.sum()).tolist(), strict=True))


@pytest.mark.parametrize("exploration", [EPSILON, LUCE], ids=["epsilon", "plackett-luce"])
@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"max_per_owner": 1, "max_song_overlap": 0.5, "max_song_containment": 0.6},
        {"max_per_owner": 1, "max_song_containment": 0.6, "adventurous": 0.6},
        {"max_per_owner": 2, "max_song_overlap": 0.5, "adventurous": 0.2, "calibration": 0.5},
    ],
    ids=["no rules", "rules", "adventurous", "calibrated"],
)
def test_playlists_come_as_often_as_their_propensity_says(
    crowded: Engine, exploration: Exploration, rules: dict[str, Any]
) -> None:
    lists = explored(crowded, exploration, **rules)
    assert lists.propensities is not None
    assert set(lists.sources) == {Source.LIVE}
    assert (lists.counts == LIMIT).all()
    window = window_of(crowded, Rules(**rules), exploration.top)
    statistic, freedom, compared = 0.0, 0, 0
    for rank in range(LIMIT):
        begins, groups = np.unique(lists.rows[:, :rank], axis=0, return_inverse=True)
        sizes = np.bincount(groups.ravel())
        for group in np.flatnonzero(sizes >= ENOUGH):
            mine = groups.ravel() == group
            found = Counter(lists.rows[mine, rank].tolist())
            expected = chances(exploration, window(begins[group].tolist()))
            assert found.keys() <= expected.keys()
            for playlist in found:
                said = lists.propensities[mine & (lists.rows[:, rank] == playlist), rank]
                assert said == pytest.approx(expected[playlist], rel=1e-4)
            # Those that are to come less than five times are one class.
            kept = [p for p, chance in expected.items() if chance * sizes[group] >= 5]
            counts = np.array([*(found[p] for p in kept), sizes[group] - sum(found[p] for p in kept)], float)
            wanted = np.array([expected[p] for p in kept]) * sizes[group]
            wanted = np.append(wanted, max(sizes[group] - wanted.sum(), 0.0))
            some = wanted > 1e-6
            statistic += float(((counts[some] - wanted[some]) ** 2 / wanted[some]).sum())
            freedom += int(some.sum()) - 1
            compared += 1
    assert compared > 10
    assert stats.chi2.sf(statistic, freedom) > 1e-3


@pytest.mark.parametrize("rules", [{}, {"max_per_owner": 1, "max_song_containment": 0.6}, {"calibration": 0.7}])
def test_a_window_of_one_gives_the_list_that_is_not_drawn(crowded: Engine, rules: dict[str, Any]) -> None:
    user_ids = [f"user-{user}" for user in range(USERS)]
    plain = crowded.rank_known(user_ids, 30, NONE, Rules(**rules))
    draws = Draws.of(Exploration(Policy.EPSILON, 1.0, 1), drawn_ids(USERS))
    drawn = crowded.rank_known(user_ids, 30, NONE, Rules(**rules, draws=draws))
    assert {*plain.sources} == {Source.LIVE, Source.POPULAR}
    np.testing.assert_array_equal(drawn.rows, plain.rows)
    np.testing.assert_array_equal(drawn.scores, plain.scores)
    np.testing.assert_array_equal(drawn.source_numbers, plain.source_numbers)
    assert plain.propensities is None
    assert drawn.propensities is not None
    assert (drawn.propensities == 1).all()


def test_lists_of_tastes_and_popular_ones_are_drawn_too(crowded: Engine) -> None:
    draws = Draws.of(EPSILON, drawn_ids(300))
    nobody = crowded.rank_known(["nobody"] * 300, 3, NONE, Rules(draws=draws))
    assert {*nobody.sources} == {Source.POPULAR}
    assert {*nobody.rows[:, 0].tolist()} == {*crowded.bundle.popular[:3].tolist()}
    tastes = [Taste("", ("SO0004", "SO0006"))] * 300
    near = Csr(np.arange(301) * 2, np.tile([25, 30], 300).astype(np.int32), USERS, np.ones(600, np.float32))
    lists = crowded.rank_tastes(tastes, crowded.find_songs(tastes), near, 3, NONE, Rules(draws=draws))
    assert {*lists.sources} == {Source.COLD_NEIGHBOURS}
    # Nobody is near, and all songs are of genre 1.
    near = Csr(np.zeros(301, np.int64), NONE, USERS, np.empty(0, np.float32))
    tastes = [Taste("", ("SO0040", "SO0042"))] * 300
    of_genre = crowded.rank_tastes(tastes, crowded.find_songs(tastes), near, 3, NONE, Rules(draws=draws))
    assert {*of_genre.sources} == {Source.POPULAR_IN_GENRE}
    assert {*of_genre.rows[:, 0].tolist()} == {*crowded.bundle.genre_popular.row(1)[:3].tolist()}
    for some in (nobody, lists, of_genre):
        assert some.propensities is not None
        best = Counter(some.rows[:, 0].tolist()).most_common(1)[0][0]
        first = some.rows[:, 0] == best
        assert some.propensities[first, 0] == pytest.approx(0.6 + 0.4 / 3)
        assert some.propensities[~first, 0] == pytest.approx(0.4 / 3)


def test_a_place_with_one_playlist_left_is_sure(crowded: Engine) -> None:
    others = np.arange(2, PLAYLISTS, dtype=np.int32)
    lists = crowded.rank_known(["user-3"] * 200, 5, others, Rules(draws=Draws.of(EPSILON, drawn_ids(200))))
    assert (lists.counts == 2).all()
    assert {*lists.rows[:, 0].tolist()} == {0, 1}
    assert lists.propensities is not None
    assert (lists.propensities[:, 0] < 1).all()
    assert (lists.propensities[:, 1] == 1).all()


def test_a_list_depends_on_its_own_id_alone(crowded: Engine) -> None:
    ids = drawn_ids(50)
    together = crowded.rank_known(["user-3"] * 50, 6, NONE, Rules(draws=Draws.of(LUCE, ids)))
    for place in (0, 31, 49):
        alone = crowded.rank_known(["user-3"], 6, NONE, Rules(draws=Draws.of(LUCE, ids[16 * place : 16 * place + 16])))
        np.testing.assert_array_equal(alone.rows[0], together.rows[place])
        assert alone.propensities is not None
        assert together.propensities is not None
        np.testing.assert_array_equal(alone.propensities[0], together.propensities[place])


def test_a_draw_is_by_inversion_and_safe_at_its_ends() -> None:
    values = np.array([3.0, 2.0, 2.0])
    weights = np.exp((values - 3.0) / 0.5)
    shares = weights / weights.sum()
    for drawn in np.linspace(0, 1, 501)[:-1].tolist():
        place, chance = draw_place(Policy.PLACKETT_LUCE, 0.5, values, drawn)
        assert place == np.searchsorted(np.cumsum(shares), drawn, side="right")
        assert chance == pytest.approx(shares[place])
    last = np.nextafter(1.0, 0.0)
    assert draw_place(Policy.EPSILON, 1.0, values, last) == (2, pytest.approx(1 / 3))
    # So cold that the others have no weight: they are never drawn.
    assert draw_place(Policy.PLACKETT_LUCE, 1e-9, values, last) == (0, 1.0)
    assert draw_place(Policy.PLACKETT_LUCE, 1.0, np.array([np.inf, 1.0]), last) == (0, 1.0)
    assert draw_place(Policy.EPSILON, 0.5, values[:1], 0.1) == (0, 1.0)


def test_an_exploration_is_read_again() -> None:
    for exploration in (EPSILON, Exploration(Policy.PLACKETT_LUCE, 1e-7, 1_000)):
        assert Exploration.read(exploration.field[4:]) == exploration
        assert len(exploration.field) == 15
    with pytest.raises(ValueError, match="an exploration has 11 bytes, not 3"):
        Exploration.read(b"abc")

"""The team draft itself: picks by hand, rules between the teams, and the coins of an id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking.encoding import draw_ids
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import RankedLists, Source
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.serve_app.versions.interleaving import kernels
from spotify_buddies.serve_app.versions.interleaving.draft import CANARY, PRODUCTION, coins_of, draft
from spotify_buddies.trainer.bundle import open_bundle, write_bundle
from tests.serve_app.bundles import PLAYLISTS, USERS, parts

P, C = PRODUCTION, CANARY
NOBODY = Csr(np.zeros(1, np.int64), np.empty(0, np.int32), 1)


def drafted(
    mine: Sequence[int], theirs: Sequence[int], coin: int, *, limit: int = 4, most: int = 100,
    owners: Sequence[Sequence[int]] | None = None, clashes: Sequence[tuple[int, int]] = (),
) -> list[tuple[int, int]]:  # fmt: skip
    """The picks of one listener: the team and the playlist of each."""
    width = max(len(mine), len(theirs))
    ids = np.full((2, 1, width), -1, np.int64)
    ids[0, 0, : len(mine)], ids[1, 0, : len(theirs)] = mine, theirs
    owned = np.full((2, 1, width), -1, np.int64) if owners is None else np.array(owners, np.int64)[:, None, :]
    clash = np.zeros((1, width, width), np.bool_)
    for pair in clashes:
        clash[0, pair[0], pair[1]] = True
    teams, places, counts = np.zeros((1, limit), np.int8), np.zeros((1, limit), np.int32), np.zeros(1, np.int32)
    sizes = np.array([[len(mine)], [len(theirs)]], np.int64)
    kernels.draft(ids, owned, sizes, clash, np.array([coin], np.uint64), most, teams, places, counts)
    return [(int(t), int(ids[t, 0, p])) for t, p in zip(teams[0, : counts[0]], places[0, : counts[0]], strict=True)]


def test_in_each_round_a_coin_decides_who_picks_first_and_each_takes_its_best_that_is_left() -> None:
    # Coins from the lowest bit on: production begins the first round, the canary the second.
    assert drafted([1, 2, 3, 4], [2, 5, 1, 6], 0b10) == [(P, 1), (C, 2), (C, 5), (P, 3)]
    assert drafted([1, 2, 3, 4], [2, 5, 1, 6], 0b01) == [(C, 2), (P, 1), (P, 3), (C, 5)]


def test_equal_lists_come_out_as_they_are_whatever_the_coins() -> None:
    for coin in range(4):
        picks = drafted([1, 2, 3, 4], [1, 2, 3, 4], coin)
        assert [playlist for _, playlist in picks] == [1, 2, 3, 4]
        assert [team for team, _ in picks].count(C) == 2


def test_when_a_team_has_nothing_left_the_other_one_fills_the_list() -> None:
    assert drafted([1, 2, 3, 4], [1], 0b0) == [(P, 1), (P, 2), (P, 3), (P, 4)]
    assert drafted([], [7, 8], 0b0) == [(C, 7), (C, 8)]
    assert drafted([], [], 0b0) == []


def test_an_owner_has_no_more_places_than_in_a_list_of_one_version() -> None:
    owners = [[9, 9, 8, 8], [9, 9, 7, 7]]
    # 11 of the canary is the second of owner 9 and fits; 2, production's next, would be the third.
    assert drafted([1, 2, 3, 4], [11, 12, 13, 14], 0, most=2, owners=owners) == [(P, 1), (C, 11), (P, 3), (C, 13)]


def test_what_is_too_near_to_a_pick_of_the_other_team_is_passed_over_by_both() -> None:
    # The canary's first is near production's first, production's second near the canary's second.
    assert drafted([1, 2, 3], [11, 12, 13], 0, limit=4, clashes=[(0, 0), (1, 1)]) == [(P, 1), (C, 12), (P, 3), (C, 13)]


def test_the_coins_are_those_of_the_id_and_both_teams_begin_equally_often() -> None:
    drawn = np.random.default_rng(4).bytes(16 * 20_000)
    coins = coins_of(drawn)
    assert coins_of(drawn[16:32])[0] == coins[1]
    ones = (coins[:, None] >> np.arange(52, dtype=np.uint64)) & np.uint64(1)
    # Of 52 fair coins, each thrown 20,000 times, none is 5 standard deviations off.
    assert np.abs(ones.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(20_000)


@pytest.fixture(scope="module")
def pair(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, Engine]:
    """Two versions with the same playlists in another order, of which the canary's last is unknown to production."""
    made = parts(bundle_dir.parent / "index")
    rng = np.random.default_rng(3)
    sketches = rng.integers(0, 256, made.sketches.shape, dtype=np.uint8)
    sketches[1] = sketches[0]
    directory = tmp_path_factory.mktemp("pair")
    order = np.arange(PLAYLISTS)[::-1]
    ids = [f"list-{row}" for row in order]
    ids[0] = "list-new"
    one = replace(made, sketches=sketches)
    two = replace(
        made, sketches=sketches[order], owner=made.owner[order], playlist_ids=ids,
        owned=Csr.from_rows([np.flatnonzero(made.owner[order] == user) for user in range(USERS)], PLAYLISTS),
    )  # fmt: skip
    return (
        Engine(open_bundle(write_bundle(directory / "1", one).directory), "1"),
        Engine(open_bundle(write_bundle(directory / "2", two).directory), "2"),
    )


def ranked(engine: Engine, ids: Sequence[str], limit: int = 3) -> RankedLists:
    table = list(engine.playlist_ids)
    rows = np.full((1, limit), -1, np.int32)
    rows[0, : len(ids)] = [table.index(name) for name in ids]
    scores = np.zeros((1, limit), np.float32)
    scores[0, : len(ids)] = np.arange(len(ids), 0, -1)
    count = np.array([len(ids)], np.int32)
    return RankedLists(("u",), rows, scores, count, (Source.LIVE,), ((),), (0,), NOBODY, np.array([-1], np.int32))


def names(pair: tuple[Engine, Engine], mine: RankedLists, theirs: RankedLists, rules: Rules) -> list[str]:
    made = draft(*pair, mine, theirs, rules, np.zeros(1, np.uint64))
    picked = zip(made.teams[0, : made.counts[0]].tolist(), made.places[0, : made.counts[0]].tolist(), strict=True)
    return [f"{'PC'[team]} {pair[team].playlist_ids[(mine, theirs)[team].rows[0, place]]}" for team, place in picked]


def test_playlists_are_the_same_by_id_whatever_their_rows(pair: tuple[Engine, Engine]) -> None:
    mine, theirs = (ranked(engine, ["list-3", "list-4", "list-5"]) for engine in pair)
    assert names(pair, mine, theirs, Rules()) == ["P list-3", "C list-4", "P list-5"]


def test_a_copy_of_a_pick_of_the_other_version_is_left_out(pair: tuple[Engine, Engine]) -> None:
    mine, theirs = ranked(pair[0], ["list-0", "list-4"]), ranked(pair[1], ["list-1", "list-5"])
    assert names(pair, mine, theirs, Rules()) == ["P list-0", "C list-1", "P list-4"]
    assert names(pair, mine, theirs, Rules(max_song_overlap=0.8)) == ["P list-0", "C list-5", "P list-4"]


def test_of_a_playlist_that_production_does_not_know_the_owner_counts(pair: tuple[Engine, Engine]) -> None:
    # The new one stands where list-119 would: nobody owns it. Its neighbour list-118 is user-38's, as list-78 is.
    mine = ranked(pair[0], ["list-38", "list-78", "list-5"])
    theirs = ranked(pair[1], ["list-new", "list-118", "list-7"])
    assert names(pair, mine, theirs, Rules(max_per_owner=1)) == ["P list-38", "C list-new", "P list-5"]


def test_picks_of_a_team_are_its_own_list_thinned_out(engine: Engine) -> None:
    users = [f"user-{row}" for row in range(20)]
    mine = engine.rank_known(users, 8, np.empty(0, np.int32))
    theirs = engine.rank_known(users[::-1], 8, np.empty(0, np.int32))
    made = draft(engine, engine, mine, theirs, Rules(max_per_owner=2), coins_of(draw_ids(20)))
    for lists, team in ((mine, P), (theirs, C)):
        picks = made.picks(lists, team)
        assert picks.counts.tolist() == [(made.teams[i, : made.counts[i]] == team).sum() for i in range(20)]
        for i, count in enumerate(picks.counts.tolist()):
            whole = lists.rows[i, : lists.counts[i]].tolist()
            places = [whole.index(row) for row in picks.rows[i, :count].tolist()]
            assert places == sorted(places)
            assert (picks.rows[i, count:] == -1).all()
            assert picks.scores[i, :count].tolist() == lists.scores[i, places].tolist()

"""The search for songs to leave out, over made-up lists that change in any direction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pytest

from spotify_buddies.serve_app.versions.counterfactual.search import (
    Allowance,
    Listed,
    Lists,
    Outcome,
    SearchEnded,
    Songs,
    find,
)

PLAYLIST = 5


def lists(holds: Callable[[Songs], bool]) -> tuple[Lists, list[Songs]]:
    """Lists that hold the playlist where `holds` says so of the songs that are left out; and what was ranked."""
    ranked: list[Songs] = []

    async def rank(sets: Sequence[Songs]) -> list[Listed]:
        ranked.extend(sets)
        return [Listed((1, PLAYLIST, 3), (3.0, 2.0, 1.0)) if holds(one) else Listed((1, 3), (3.0, 1.0)) for one in sets]

    return Lists(rank), ranked


def allowance(rankings: int = 10_000) -> Allowance:
    return Allowance(rankings, time.monotonic() + 60)


def found(held: Lists, pool: Sequence[int], most: int, left: Allowance | None = None) -> tuple[int, ...]:
    return asyncio.run(find(held, PLAYLIST, pool, most, left or allowance()))


def test_every_finding_drops_the_playlist_and_no_song_of_it_can_be_spared() -> None:
    rng, sizes, ends = np.random.default_rng(3), set(), set()
    for _ in range(300):
        count = int(rng.integers(2, 9))
        sets = [frozenset(c) for size in range(count) for c in combinations(range(count), size)]
        # Nothing orders these: a set may drop the playlist that a larger one does not.
        answers = dict(zip(sets, rng.random(len(sets)) < rng.choice([0.3, 0.8, 0.97]), strict=True))
        answers[frozenset()] = True
        held, ranked = lists(answers.__getitem__)
        most = int(rng.integers(1, count))
        try:
            songs = frozenset(found(held, list(rng.permutation(count).tolist()), most))
        except SearchEnded as ended:
            ends.add(ended.outcome)
            assert all(answers[one] for one in ranked)
        else:
            sizes.add(len(songs))
            assert 1 <= len(songs) <= most
            assert not answers[songs]
            assert all(answers[songs - {song}] for song in songs)
            assert {songs, *(songs - {song} for song in songs)} <= set(ranked)
        assert len(ranked) == len(set(ranked)) == held.computed
    assert len(sizes) > 2
    assert ends == {Outcome.NOT_FOUND}


def test_the_songs_that_matter_are_found_among_many() -> None:
    needed = frozenset((3, 17, 22))
    held, ranked = lists(lambda left_out: not needed <= left_out)
    assert frozenset(found(held, range(40), 32)) == needed
    assert len(ranked) < 40 + 3 * 32
    with pytest.raises(SearchEnded, match="NOT_FOUND"):
        found(lists(lambda left_out: not needed <= left_out)[0], range(40), 3)


def test_a_playlist_that_is_not_in_the_list_with_all_songs_is_not_searched_for() -> None:
    held, ranked = lists(lambda _: False)
    with pytest.raises(SearchEnded, match="NOT_BY_SONGS"):
        found(held, range(5), 4)
    assert ranked == [frozenset()]


def test_what_was_ranked_for_one_playlist_is_not_ranked_again_for_the_next() -> None:
    held, ranked = lists(lambda left_out: not left_out >= {1, 2})
    first = found(held, range(6), 4)
    before = len(ranked)
    assert found(held, range(6), 4, allowance(0)) == first
    assert len(ranked) == before


def test_an_allowance_ends_a_search_before_it_is_exceeded() -> None:
    needed = frozenset((3, 7))
    held, ranked = lists(lambda left_out: not needed <= left_out)
    whole = len(ranked) if found(held, range(20), 10) else 0
    for rankings in range(whole):
        less, done = lists(lambda left_out: not needed <= left_out)
        with pytest.raises(SearchEnded, match="BUDGET_SPENT"):
            found(less, range(20), 10, allowance(rankings))
        assert len(done) <= rankings
    late = Allowance(1_000, time.monotonic() - 1)
    with pytest.raises(SearchEnded, match="BUDGET_SPENT"):
        found(lists(lambda _: True)[0], range(20), 10, late)
    assert allowance(90).share(4).rankings == 22

"""The search for a set of songs without which a list lacks a playlist, and none of which can be spared.

Known as a counterfactual explanation of a recommender (Ghazimatin et al., PRINCE, WSDM 2020; Tran et al., ACCENT, SIGIR
2021). Those estimate how scores change; here every set is ranked again, and what was not ranked is not said.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

Songs = frozenset[int]
NOTHING: Songs = frozenset()
# Lists that are computed between two looks at the time.
AT_ONCE = 32


class Outcome(IntEnum):
    """What a search found; numbers as in the proto."""

    FOUND = 1
    NOT_FOUND = 2
    FEW_SONGS = 3
    NOT_BY_SONGS = 4
    BUDGET_SPENT = 5
    UNVERIFIED = 6


class Listed(NamedTuple):
    """A list: playlist rows, best first, and their scores."""

    rows: tuple[int, ...]
    scores: tuple[float, ...]


# From sets of songs that are left out to the lists without them, in order. Unverified: one could not be computed.
RankWithout = Callable[[Sequence[Songs]], Awaitable[Sequence[Listed]]]


class SearchEnded(Exception):
    """A search ends without a finding; outcome says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


class Unverified(SearchEnded):
    """A list could not be computed as it would be sent."""

    def __init__(self) -> None:
        super().__init__(Outcome.UNVERIFIED)


@dataclass
class Allowance:
    """Rankings and time that are left. until: by time.monotonic."""

    rankings: int
    until: float

    def share(self, of: int) -> Allowance:
        """An equal share for the first of so many searches; `spend` what it used."""
        now = time.monotonic()
        return Allowance(self.rankings // of, now + max(0.0, self.until - now) / of)

    def spend(self, rankings: int) -> None:
        """Take so many rankings. SearchEnded: there are not so many left, or the time is over."""
        if rankings > self.rankings or time.monotonic() > self.until:
            raise SearchEnded(Outcome.BUDGET_SPENT)
        self.rankings -= rankings


@dataclass
class Lists:
    """The lists of one listener without some songs, each computed once. computed: how many were."""

    rank: RankWithout
    computed: int = 0
    _known: dict[Songs, Listed] = field(default_factory=dict)

    async def without(self, sets: Sequence[Songs], allowance: Allowance) -> list[Listed]:
        """The list without each of the sets. SearchEnded: the allowance does not reach, or one cannot be computed."""
        missing = [one for one in dict.fromkeys(sets) if one not in self._known]
        for first in range(0, len(missing), AT_ONCE):
            part = missing[first : first + AT_ONCE]
            allowance.spend(len(part))
            self.computed += len(part)
            self._known.update(zip(part, await self.rank(part), strict=True))
        return [self._known[one] for one in sets]


async def find(lists: Lists, playlist: int, pool: Sequence[int], most: int, allowance: Allowance) -> tuple[int, ...]:
    """Songs without which the list lacks the playlist, and each of which, put back, brings it back; most telling first.

    pool: songs to try, distinct, the most promising first; most: how many at most, fewer than the listener has.
    SearchEnded: nothing was found, see its outcome.
    """
    (whole,) = await lists.without([NOTHING], allowance)
    if playlist not in whole.rows:
        raise SearchEnded(Outcome.NOT_BY_SONGS)
    singles = await lists.without([frozenset((song,)) for song in pool], allowance)
    order = sorted(range(len(pool)), key=lambda i: (_hold(singles[i], playlist), i))
    ordered = [pool[i] for i in order]
    dropped = await _grow(lists, playlist, ordered, most, allowance)
    needed = await _shrink(lists, playlist, dropped, ordered, allowance)
    return tuple(song for song in ordered if song in needed)


async def _grow(lists: Lists, playlist: int, ordered: Sequence[int], most: int, allowance: Allowance) -> Songs:
    """A short beginning of `ordered` without which the list lacks the playlist: doubled until it does, then halved."""
    longest = min(most, len(ordered))
    sizes = [size for size in (1, 2, 4, 8, 16, 32) if size < longest] + [longest] * (longest > 0)
    enough, short = 0, 0
    for size in sizes:
        if await _drops(lists, playlist, frozenset(ordered[:size]), allowance):
            enough = size
            break
        short = size
    if not enough:
        raise SearchEnded(Outcome.NOT_FOUND)
    while enough - short > 1:
        middle = (enough + short) // 2
        if await _drops(lists, playlist, frozenset(ordered[:middle]), allowance):
            enough = middle
        else:
            short = middle
    return frozenset(ordered[:enough])


async def _shrink(lists: Lists, playlist: int, songs: Songs, ordered: Sequence[int], allowance: Allowance) -> Songs:
    """The songs without those that can be spared. Lists need not change in one direction, so it looks at all again."""
    while len(songs) > 1:
        tried = [song for song in ordered if song in songs]
        without = await lists.without([songs - {song} for song in tried], allowance)
        spare = [song for song, listed in zip(tried, without, strict=True) if playlist not in listed.rows]
        if not spare:
            return songs
        rest = songs.difference(spare)
        if len(spare) > 1 and rest and await _drops(lists, playlist, rest, allowance):
            songs = rest
        else:
            # The one that told the least.
            songs -= {spare[-1]}
    return songs


async def _drops(lists: Lists, playlist: int, songs: Songs, allowance: Allowance) -> bool:
    (listed,) = await lists.without([songs], allowance)
    return playlist not in listed.rows


def _hold(listed: Listed, playlist: int) -> float:
    """How well a playlist holds its place in a list: 1 at the top, 0 at the end, -1 where it is not in it."""
    if playlist not in listed.rows:
        return -1.0
    best, worst = max(listed.scores), min(listed.scores)
    return (listed.scores[listed.rows.index(playlist)] - worst) / (best - worst) if best > worst else 0.0

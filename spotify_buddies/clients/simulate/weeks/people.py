"""The listeners of a world: users of the data set, and new ones whom no model knows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.clients.simulate.weeks.source import WorldSource
from spotify_buddies.foundation.arrays.seeds import derive, generator

Array = npt.NDArray[Any]

# Share of another user's songs that a new listener has, and the most of them.
SHARE = (0.5, 0.8)
MOST_SONGS = 100
# Standard deviation of the logarithm of how often listeners come.
UNEVEN = 0.8
NEVER = 1 << 30


@dataclass(frozen=True)
class PeopleSettings:
    """most: users of the data set that take part. newcomers: new listeners of a week, as a share of these.

    leaving: probability of a listener not to come back in the next week. bots: those who like everything.
    """

    most: int = 2_000
    newcomers: float = 0.05
    leaving: float = 0.03
    bots: int = 3


@dataclass(frozen=True)
class Listener:
    """songs: song rows. held: rows of playlists liked in the data set that training has not seen; known: that it has.

    first, last: weeks, there from the first until before the last. new: unknown to the data set. weight: how often
    this one comes, beside the others.
    """

    user_id: str
    songs: tuple[int, ...]
    held: tuple[int, ...]
    known: tuple[int, ...]
    first: int
    last: int
    new: bool
    weight: float


def people(source: WorldSource, settings: PeopleSettings, weeks: int, seed: int) -> tuple[Listener, ...]:
    """The users of the data set that take part, by row, then the new listeners by week."""
    rng = generator(seed, "people")
    able = np.flatnonzero(source.user_songs.counts > 0)
    chosen = np.sort(rng.permutation(able)[: settings.most])
    old = [_old(source, row, settings, seed) for row in chosen.tolist()]
    others = np.setdiff1d(able, chosen)
    donors, count = (others if others.size else able), math.ceil(settings.newcomers * chosen.size)
    new = [
        _new(source, int(rng.choice(donors)), f"new-{seed}-{week}-{number}", week, settings, seed)
        for week in range(1, weeks)
        for number in range(count)
    ]
    return (*old, *new)


def _old(source: WorldSource, row: int, settings: PeopleSettings, seed: int) -> Listener:
    known, held = source.audience.rows_of(row)
    user_id, songs = source.user_ids[row], tuple(source.user_songs.row(row).tolist())
    last, weight = _habits(user_id, 0, settings, seed)
    return Listener(user_id, songs, held, known, 0, last, new=False, weight=weight)


def _new(source: WorldSource, donor: int, user_id: str, week: int, settings: PeopleSettings, seed: int) -> Listener:
    """Somebody with a part of the songs of another user, and a like of theirs where there is one."""
    rng = generator(seed, f"new/{user_id}")
    songs = source.user_songs.row(donor)
    count = min(MOST_SONGS, max(1, round(float(rng.uniform(*SHARE)) * songs.size)))
    some = np.sort(rng.choice(songs, count, replace=False))
    _, held = source.audience.rows_of(donor)
    last, weight = _habits(user_id, week, settings, seed)
    return Listener(user_id, tuple(some.tolist()), held, (), week, last, new=True, weight=weight)


def _habits(user_id: str, first: int, settings: PeopleSettings, seed: int) -> tuple[int, float]:
    """The week in which somebody is gone, and the weight."""
    rng = np.random.default_rng(derive(seed, f"habits/{user_id}"))
    stays = int(rng.geometric(settings.leaving)) if settings.leaving > 0 else NEVER
    return first + stays, float(rng.lognormal(0.0, UNEVEN))

"""The truth of a world that changes: who is there in a week, and what they like.

Tastes move together, as fashions do: in every week some playlists of each theme are in fashion, and the likes that come
are among those of a listener's own theme, or of the theme next to it. So what people did last week says something of
what people near them will like. Everything is a function of the seed, the week and the listener.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.clients.python import Song
from spotify_buddies.clients.simulate.audience import AudienceError
from spotify_buddies.clients.simulate.weeks.people import Listener, PeopleSettings, people
from spotify_buddies.clients.simulate.weeks.source import WorldSource, nearness, themes
from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import derive, generator

Array = npt.NDArray[Any]

# First likes are drawn of so many times as many of the nearest playlists.
NEAR = 4
# Of the likes that come, the share that comes from the theme next to the listener's own.
WANDERING = 0.25
# Percent of the likes that hold on weekends alone, and as many on other days alone.
MOODY = 15


@dataclass(frozen=True)
class WorldSettings:
    """weeks: from the first, 0. likes: of a listener at a time; drift: the share of them that others replace in a week.

    themes: kinds of taste; fashion: playlists of each that are in fashion in a week. new_playlists: share of all that
    come in one of the weeks after the first.
    """

    weeks: int = 6
    likes: int = 12
    drift: float = 0.3
    themes: int = 12
    fashion: int = 8
    new_playlists: float = 0.1
    people: PeopleSettings = field(default_factory=PeopleSettings)


class World:
    """The world of a seed over a data set. AudienceError: the data set holds too little for one."""

    def __init__(self, source: WorldSource, settings: WorldSettings, seed: int) -> None:
        self._source, self.settings, self.seed = source, settings, seed
        self.listeners: tuple[Listener, ...] = people(source, settings.people, settings.weeks, seed)
        songs = Csr.from_rows([np.asarray(listener.songs) for listener in self.listeners], source.user_songs.columns)
        self._near = nearness(songs, source.playlist_songs)
        if not self._near.nnz:
            raise AudienceError("no listener shares a song with a playlist; build the data set from more of both")
        self._themes = themes(self._near, settings.themes, derive(seed, "themes") % 2**32)
        self._comes = self._arrivals()
        self._known = [frozenset(listener.known) for listener in self.listeners]
        self.likes_of = cache(self._likes_of)
        self._fashion_of = cache(self._fashion)

    @cached_property
    def places(self) -> dict[str, int]:
        """The place in `listeners` by user id."""
        return {listener.user_id: place for place, listener in enumerate(self.listeners)}

    def likes(self, user_id: str, week: int) -> frozenset[str]:
        """The ids of all that a listener likes in a week, whatever the day. KeyError: nobody has this id."""
        return frozenset(self.names(self.likes_of(self.places[user_id], week)))

    def likes_on(self, place: int, week: int, *, weekend: bool) -> frozenset[str]:
        """The ids of what a listener likes on a weekend, or on another day, of a week."""
        return frozenset(self.names(self.in_mood(place, week, weekend=weekend)))

    def in_mood(self, place: int, week: int, *, weekend: bool) -> tuple[int, ...]:
        """The rows of these, in the order in which they came to be liked."""
        barred = range(MOODY) if weekend else range(MOODY, 2 * MOODY)
        user_id = self.listeners[place].user_id
        liked = self.likes_of(place, week)
        return tuple(row for row in liked if derive(self.seed, f"mood/{user_id}/{row}") % 100 not in barred)

    def names(self, rows: Sequence[int]) -> list[str]:
        """The ids of playlists."""
        return [self._source.playlist_ids[row] for row in rows]

    def present(self, week: int) -> Array:
        """The places of who is there in a week, ascending."""
        return np.array([p for p, one in enumerate(self.listeners) if one.first <= week < one.last], np.int64)

    def arrivals(self, week: int) -> list[str]:
        """The ids of the playlists that come in a week; none in the first, whose playlists were there before."""
        return self.names(np.flatnonzero(self._comes == week).tolist()) if week > 0 else []

    def nearest(self, place: int, week: int) -> list[int]:
        """The rows of the playlists nearest to a listener's songs that are there, best first, without the known."""
        span = slice(int(self._near.indptr[place]), int(self._near.indptr[place + 1]))
        rows, near = self._near.indices[span], self._near.data[span]
        order = np.lexsort((rows, -near))
        known = self._known[place]
        return [row for row in rows[order].tolist() if self._comes[row] <= week and row not in known]

    def tastes(self, place: int) -> list[Song]:
        """The songs that a listener names."""
        return [song for row in self.listeners[place].songs if (song := self._source.songs[row]) != Song()]

    def _arrivals(self) -> Array:
        """The week in which each playlist comes; 0: it was there before."""
        rng = generator(self.seed, "arrivals")
        count, weeks = len(self._source.playlist_ids), self.settings.weeks
        comes = np.zeros(count, np.int64)
        if weeks > 1:
            new = rng.choice(count, round(self.settings.new_playlists * count), replace=False)
            comes[new] = rng.integers(1, weeks, new.size)
        return comes

    def _likes_of(self, place: int, week: int) -> tuple[int, ...]:
        """The rows that a listener likes in a week, those that came first first. Before the first week: of it."""
        listener = self.listeners[place]
        if week <= max(0, listener.first):
            return self._first_likes(place)
        before = self.likes_of(place, week - 1)
        rng = generator(self.seed, f"drift/{week}/{listener.user_id}")
        fade = math.floor(self.settings.drift * len(before) + rng.random())
        come = self._coming(place, week, set(before), fade, rng)
        gone = {before[i] for i in rng.choice(len(before), len(come), replace=False)}
        return (*(row for row in before if row not in gone), *come)

    def _first_likes(self, place: int) -> tuple[int, ...]:
        listener, count = self.listeners[place], self.settings.likes
        week = max(0, listener.first)
        near = self.nearest(place, week)[: NEAR * count]
        held = [row for row in listener.held if self._comes[row] <= week][:count]
        others = [row for row in near if row not in held]
        rng = generator(self.seed, f"first/{listener.user_id}")
        weights = 1.0 / np.arange(1, len(others) + 1)
        drawn = min(count - len(held), len(others))
        picked = rng.choice(len(others), drawn, replace=False, p=weights / weights.sum()) if drawn else ()
        return (*held, *(others[i] for i in picked))

    def _coming(self, place: int, week: int, liked: set[int], count: int, rng: np.random.Generator) -> list[int]:
        """Rows that a listener begins to like: in fashion in one of two themes; where too few are, near ones."""
        barred = liked | self._known[place]
        own, other = ([r for r in self._fashion_of(theme, week) if r not in barred] for theme in self._homes(place))
        wandering = min(int(rng.binomial(count, WANDERING)), len(other))
        chosen = [int(r) for r in rng.choice(other, wandering, replace=False)] if wandering else []
        own = [row for row in own if row not in chosen]
        staying = min(count - len(chosen), len(own))
        chosen += [int(r) for r in rng.choice(own, staying, replace=False)] if staying else []
        if len(chosen) < count:
            spare = [row for row in self.nearest(place, week) if row not in barred and row not in chosen]
            chosen += spare[: count - len(chosen)]
        return chosen

    def _fashion(self, theme: int, week: int) -> tuple[int, ...]:
        """The rows in fashion in a theme in a week; at most half of them are new ones of the week."""
        rng = generator(self.seed, f"fashion/{week}/{theme}")
        of_theme, count = self._themes == theme, self.settings.fashion
        new = rng.permutation(np.flatnonzero(of_theme & (self._comes == week)))[: math.ceil(count / 2)].tolist()
        old = rng.permutation(np.flatnonzero(of_theme & (self._comes < week))).tolist()
        return tuple((new + old)[:count])

    def _homes(self, place: int) -> tuple[int, int]:
        """The theme of most that is near a listener, and the next one."""
        span = slice(int(self._near.indptr[place]), int(self._near.indptr[place + 1]))
        sums = np.bincount(self._themes[self._near.indices[span]], self._near.data[span], self.settings.themes)
        first, second, *_ = np.argsort(-sums, kind="stable") if sums.size > 1 else (0, 0)
        return int(first), int(second)

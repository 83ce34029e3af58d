"""The days of a world: when people come, and in which mood."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from spotify_buddies.clients.simulate.clicks import Clicks
from spotify_buddies.clients.simulate.weeks.world import World
from spotify_buddies.foundation.arrays.seeds import generator

DAY = timedelta(days=1)
DAYS = 7
# On a weekend more people come, and they look further down their lists.
WEEKEND_VOLUME = 1.5
WEEKEND_FALLING = 0.6
# Visits of a bot on a day.
BOT_VISITS = 20
# Visits by hour of the day, UTC: a night, a morning and an evening.
_HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 7, 8, 6, 5, 5, 6, 6, 5, 5, 6, 8, 10, 11, 11, 9, 6, 4], np.float64)


@dataclass(frozen=True)
class Coming:
    """A visit. at: when. place: of the listener in the world, -1 for a bot. number: of the visit on its day, from 0."""

    at: datetime
    place: int
    number: int
    user_id: str


@dataclass(frozen=True)
class Calendar:
    """start: the first moment, UTC. visits_per_day: expected of people, on a day that is no weekend."""

    start: datetime
    visits_per_day: float

    def date(self, day: int) -> datetime:
        """The first moment of a day, from 0."""
        return self.start + day * DAY

    def is_weekend(self, day: int) -> bool:
        """Saturdays and Sundays."""
        return self.date(day).weekday() >= 5

    def visits(self, world: World, day: int) -> list[Coming]:
        """The visits of a day in the order of time; the same for a seed, whatever days came before."""
        rng = generator(world.seed, f"day/{day}")
        present = world.present(day // DAYS)
        weights = np.array([world.listeners[place].weight for place in present.tolist()])
        expected = self.visits_per_day * (WEEKEND_VOLUME if self.is_weekend(day) else 1.0)
        count = int(rng.poisson(expected)) if present.size else 0
        who = rng.choice(present, count, p=weights / weights.sum()).tolist() if count else []
        bots = [-1 - bot for bot in range(world.settings.people.bots) for _ in range(BOT_VISITS)]
        hours = rng.choice(_HOURS.size, len(who) + len(bots), p=_HOURS / _HOURS.sum())
        seconds = np.round(3_600 * (hours + rng.random(hours.size)), 3)
        order = np.argsort(seconds, kind="stable")
        places = [*who, *bots]
        return [
            Coming(self.date(day) + timedelta(seconds=float(seconds[i])), max(places[i], -1), number,
                   _name(world, places[i]))
            for number, i in enumerate(order.tolist())
        ]  # fmt: skip


def mood_of(clicks: Clicks, *, weekend: bool) -> Clicks:
    """How people look and like on a day."""
    return replace(clicks, falling=clicks.falling * WEEKEND_FALLING) if weekend else clicks


def _name(world: World, place: int) -> str:
    return world.listeners[place].user_id if place >= 0 else f"bot-{world.seed}-{-place}"

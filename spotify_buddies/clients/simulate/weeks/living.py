"""A day of a world against a service: every visit at its own time, as fast as the service answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np

from spotify_buddies.clients.python import (
    AsyncClient,
    BuddiesError,
    ExcludeSeen,
    InvalidRequest,
    Recommendation,
    Taste,
)
from spotify_buddies.clients.simulate.audience import SimulatedUser
from spotify_buddies.clients.simulate.clicks import Clicks
from spotify_buddies.clients.simulate.tally import VisitTally
from spotify_buddies.clients.simulate.weeks.days import DAYS, Calendar, Coming, mood_of
from spotify_buddies.clients.simulate.weeks.world import World
from spotify_buddies.foundation.arrays.seeds import generator

# Somebody reacts so many seconds after the answer.
REACTS_S = (10.0, 120.0)


@dataclass(frozen=True)
class LivingPlan:
    """limit: playlists in a list. callers: most visits at a time. exclude_known: leave out what training saw liked.

    unseen_days: leave out what was shown in so many days before; 0: nothing.
    """

    limit: int = 5
    callers: int = 64
    exclude_known: bool = True
    unseen_days: int = 0
    clicks: Clicks = field(default_factory=Clicks)


@dataclass
class DayTally:
    """One day. people, bots: apart, since a bot's likes say nothing of a version."""

    people: VisitTally = field(default_factory=VisitTally)
    bots: VisitTally = field(default_factory=VisitTally)

    def to_json(self) -> dict[str, Any]:
        """The counts of people, by version and arm; of bots: visits, likes and errors."""
        bots = self.bots.arms.values()
        return {
            **self.people.to_json(),
            "bots": {
                "visits": self.bots.visits, "likes": sum(arm.likes for arm in bots), "errors": self.bots.errors,
            },
        }  # fmt: skip


class WrongTime(Exception):
    """The service does not accept the time of a visit; args[0] says why."""


async def live(
    client: AsyncClient, world: World, calendar: Calendar, day: int, plan: LivingPlan, tally: DayTally
) -> None:
    """The visits of a day, begun in the order of time and counted in `tally` as they end. WrongTime."""
    room = asyncio.Semaphore(plan.callers)
    visitor = _Visitor(client, world, plan, mood_of(plan.clicks, weekend=calendar.is_weekend(day)))

    try:
        async with asyncio.TaskGroup() as group:
            for coming in calendar.visits(world, day):
                await room.acquire()
                rng = generator(world.seed, f"visit/{day}/{coming.number}")
                task = group.create_task(visitor.visit(coming, day, calendar.is_weekend(day), tally, rng))
                task.add_done_callback(lambda _: room.release())
    except* WrongTime as errors:
        raise WrongTime(str(errors.exceptions[0])) from errors


@dataclass(frozen=True)
class _Visitor:
    client: AsyncClient
    world: World
    plan: LivingPlan
    clicks: Clicks

    async def visit(self, coming: Coming, day: int, weekend: bool, tally: DayTally, rng: np.random.Generator) -> None:
        """Ask, look, react."""
        counts = tally.bots if coming.place < 0 else tally.people
        counts.visits += 1
        answer = await self._ask(coming, counts)
        if answer is None:
            return
        shown = [playlist.playlist_id for playlist in answer.playlists]
        liked = self._like(coming, shown, day, weekend, rng)
        counts.show(answer, len(liked))
        if not shown:
            return
        at = coming.at + timedelta(seconds=round(float(rng.uniform(*REACTS_S)), 3))
        try:
            await self.client.feedback(
                answer, user_id=coming.user_id, liked=liked, ignored=[one for one in shown if one not in liked], at=at
            )
        except BuddiesError:
            counts.of(answer).errors += 1

    def _like(self, coming: Coming, shown: list[str], day: int, weekend: bool, rng: np.random.Generator) -> list[str]:
        if coming.place < 0:
            return shown
        likes = self.world.likes_on(coming.place, day // DAYS, weekend=weekend)
        return self.clicks.like(SimulatedUser(coming.user_id, likes, ()), shown, rng)

    async def _ask(self, coming: Coming, counts: VisitTally) -> Recommendation | None:
        """A user of the data set by id; a new one by the songs, whatever the version may know by now."""
        listener = self.world.listeners[coming.place] if coming.place >= 0 else None
        songs = self.world.tastes(coming.place) if listener is not None and listener.new else []
        unseen = ExcludeSeen(timedelta(days=self.plan.unseen_days)) if self.plan.unseen_days else None
        known = self.world.names(listener.known) if listener is not None and self.plan.exclude_known else []
        try:
            (answer,) = await self.client.recommend(
                () if songs else [coming.user_id], tastes=[Taste(songs, coming.user_id)] if songs else (),
                limit=self.plan.limit, exclude_playlist_ids=known, explain=False, exclude_seen=unseen,
                at=coming.at,
            )  # fmt: skip
        except InvalidRequest as error:
            if any("buddies-event-time" in violation.field for violation in error.violations):
                raise WrongTime(str(error)) from error
            counts.failed[error.code] += 1
            return None
        except BuddiesError as error:
            counts.failed[error.code] += 1
            return None
        if answer.error is not None:
            counts.failed[answer.error.code] += 1
            return None
        return answer

"""Visits of simulated users: each asks for a list and reacts to it, over the service's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from spotify_buddies.clients.python import AsyncClient, BuddiesError, Recommendation
from spotify_buddies.clients.simulate.audience import Audience, SimulatedUser
from spotify_buddies.clients.simulate.clicks import Clicks
from spotify_buddies.clients.simulate.tally import VisitTally


@dataclass(frozen=True)
class VisitPlan:
    """One window. visits: expected in over_s seconds, 0 for all at once; callers: most visits at a time.

    exclude_known: leave out what the user liked before, as an app does that shows new things. seed, window: of the
    users, times and moods that are drawn.
    """

    visits: float = 1_000.0
    over_s: float = 0.0
    limit: int = 5
    callers: int = 64
    exclude_known: bool = True
    seed: int = 1
    window: int = 0
    clicks: Clicks = field(default_factory=Clicks)


def arrivals(plan: VisitPlan, rng: np.random.Generator) -> Iterator[float]:
    """Seconds from the start at which users come, ascending: a Poisson process over the window."""
    count = int(rng.poisson(plan.visits))
    # Given their number, the times of a Poisson process are uniform.
    yield from np.sort(rng.random(count) * plan.over_s).tolist()


async def simulate(
    client: AsyncClient, audience: Audience, plan: VisitPlan, tally: VisitTally, on_visit: Callable[[VisitTally], None]
) -> None:
    """One window of visits, counted in `tally` as they end; a cancelled window is counted until then.

    The same seed gives the same users at the same times with the same moods, whatever the service answers.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    room = asyncio.Semaphore(plan.callers)
    # One seed for the times, and one for each visit: answers come in any order.
    times, moods = np.random.SeedSequence([plan.seed, plan.window]).spawn(2)

    def done(_: asyncio.Task[None]) -> None:
        room.release()
        on_visit(tally)

    async with asyncio.TaskGroup() as group:
        for at_s in arrivals(plan, np.random.default_rng(times)):
            await asyncio.sleep(max(0.0, start + at_s - loop.time()))
            (mood,) = moods.spawn(1)
            await room.acquire()
            task = group.create_task(_visit(client, audience, plan, tally, np.random.default_rng(mood)))
            task.add_done_callback(done)


async def _visit(
    client: AsyncClient, audience: Audience, plan: VisitPlan, tally: VisitTally, rng: np.random.Generator
) -> None:
    tally.visits += 1
    user = audience.draw(rng)
    answer = await _ask(client, user, plan, tally)
    if answer is None:
        return
    shown = [playlist.playlist_id for playlist in answer.playlists]
    liked = plan.clicks.like(user, shown, rng)
    tally.show(answer, len(liked))
    if not shown:
        return
    try:
        # The visit ends here: what was not liked by now was ignored.
        await client.feedback(answer, liked=liked, ignored=[name for name in shown if name not in liked])
    except BuddiesError:
        tally.of(answer).errors += 1


async def _ask(client: AsyncClient, user: SimulatedUser, plan: VisitPlan, tally: VisitTally) -> Recommendation | None:
    excluded = user.known if plan.exclude_known else ()
    try:
        (answer,) = await client.recommend(
            [user.user_id], limit=plan.limit, exclude_playlist_ids=excluded, explain=False
        )
    except BuddiesError as error:
        tally.failed[error.code] += 1
        return None
    if answer.error is not None:
        tally.failed[answer.error.code] += 1
        return None
    return answer

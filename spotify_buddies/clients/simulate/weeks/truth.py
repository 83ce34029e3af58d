"""What lists would earn in a week by the truth of the world: the most, the least, and what time does between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spotify_buddies.clients.simulate.clicks import Clicks
from spotify_buddies.clients.simulate.weeks.days import WEEKEND_VOLUME, mood_of
from spotify_buddies.clients.simulate.weeks.world import World


@dataclass(frozen=True)
class WeekTruth:
    """One week. Like rates are expected likes per playlist shown of people who come as often as they do.

    oracle: of lists that know what everybody likes today: nothing earns more. follows: that know the week before.
    stale: that know the first week, and never learn. popular: the same list for all, of what most like this week: more
    than any model of popularity earns. Lists of new people, where there is nothing to know yet: what is nearest to
    their songs. changed: share of the likes of the week before that are gone. present, arrived, left: listeners;
    new_playlists: those that come.
    """

    week: int
    oracle: float
    follows: float
    stale: float
    popular: float
    changed: float
    present: int
    arrived: int
    left: int
    new_playlists: int

    def to_json(self) -> dict[str, Any]:
        """All of it, rates with 6 digits."""
        return {name: round(v, 6) if isinstance(v, float) else v for name, v in asdict(self).items()}


def truth_of(world: World, week: int, clicks: Clicks, limit: int) -> WeekTruth:
    """The truth of a week; a pure function of the world, without a service."""
    present = world.present(week).tolist()
    popular = _popular(world, week, present, limit)
    lists: dict[str, list[Sequence[int]]] = {
        "follows": [_known_then(world, place, week, max(week - 1, 0)) for place in present],
        "stale": [_known_then(world, place, week, 0) for place in present],
        "popular": [popular] * len(present),
    }
    rates = {name: _rate(world, week, present, some, clicks, limit) for name, some in lists.items()}
    before = set(world.present(week - 1).tolist()) if week else set(present)
    return WeekTruth(
        week=week,
        oracle=_rate(world, week, present, None, clicks, limit),
        **rates,
        changed=_changed(world, week, [place for place in present if world.listeners[place].first < week]),
        present=len(present),
        arrived=len(set(present) - before),
        left=len(before - set(present)),
        new_playlists=len(world.arrivals(week)),
    )


def _known_then(world: World, place: int, week: int, then: int) -> Sequence[int]:
    listener = world.listeners[place]
    return world.likes_of(place, then) if not listener.new or listener.first <= then else world.nearest(place, week)


def _popular(world: World, week: int, present: Iterable[int], limit: int) -> list[int]:
    counts = Counter(row for place in present for row in world.likes_of(place, week))
    return [row for row, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]]


def _rate(
    world: World, week: int, present: Sequence[int], lists: Sequence[Sequence[int]] | None, clicks: Clicks, limit: int
) -> float:
    """Expected likes per playlist shown; None: lists of what is liked. A weekend has two of the seven days."""
    ranks = np.arange(1, limit + 1)
    total = weights = 0.0
    for weekend, days in ((False, 5.0), (True, 2.0 * WEEKEND_VOLUME)):
        looked = ranks ** -mood_of(clicks, weekend=weekend).falling
        for number, place in enumerate(present):
            liked = world.in_mood(place, week, weekend=weekend)
            shown = (liked if lists is None else lists[number])[:limit]
            hits = np.zeros(limit, np.bool_)
            hits[: len(shown)] = np.isin(shown, liked)
            weight = days * world.listeners[place].weight
            total += weight * float(looked @ np.where(hits, clicks.p_true, clicks.p_noise)) / limit
            weights += weight
    return total / weights if weights else 0.0


def _changed(world: World, week: int, stayed: Sequence[int]) -> float:
    """The mean over listeners who were there before."""
    if not week or not stayed:
        return 0.0
    shares = []
    for place in stayed:
        before = set(world.likes_of(place, week - 1))
        shares.append(len(before - set(world.likes_of(place, week))) / len(before) if before else 0.0)
    return float(np.mean(shares))

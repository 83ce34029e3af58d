"""How old lists were when they were shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spotify_buddies.serve_app.online.evaluation.read import ListsOf

# The source whose lists are computed before they are asked for.
AHEAD = "daily"
_MINUTE_S = 60.0


@dataclass(frozen=True)
class Freshness:
    """Age of the lists of one source when they were shown, in seconds, whole minutes; None: nobody says of any.

    lists: those that say when they were computed; unknown: the others, of an earlier release, or with an event's time
    before it. Lists of other sources are computed when they are asked for.
    """

    lists: int
    unknown: int
    median_s: float | None
    p95_s: float | None


def freshness(lists: Sequence[ListsOf]) -> dict[str, Freshness]:
    """By source, for those that compute ahead; empty for none. Quantiles: the inverse of the distribution function."""
    found = {}
    for source in sorted({of.source for of in lists if of.source == AHEAD or of.age is not None}):
        ages: dict[int, int] = {}
        unknown = 0
        for of in lists:
            if of.source == source and (of.age is None or of.age < 0):
                unknown += of.lists
            elif of.source == source and of.age is not None:
                ages[of.age] = ages.get(of.age, 0) + of.lists
        minutes = np.array(sorted(ages), np.int64)
        below = np.cumsum([ages[age] for age in minutes.tolist()])
        total = int(below[-1]) if below.size else 0
        median, p95 = (
            _MINUTE_S * int(minutes[np.searchsorted(below, share * total)]) if total else None for share in (0.5, 0.95)
        )
        found[source] = Freshness(total, unknown, median, p95)
    return found

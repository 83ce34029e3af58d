"""Who answers whom: the versions in rotation, the arm of every listener, and one answer in the order asked.

A call reads the assignment once and keeps it to its end, so a swap never mixes two generations in one list, and a
version that left the rotation lives as long as the last call that uses it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.ranking.encoding import encode_refused, merge
from spotify_buddies.serve_app.ranking.query import Arm, Query
from spotify_buddies.serve_app.versions.answers import Answered, Answers
from spotify_buddies.serve_app.versions.arms import canaries
from spotify_buddies.serve_app.versions.counts import ArmCounter
from spotify_buddies.serve_app.versions.shadow import Shadow

Array = npt.NDArray[Any]
# What is excluded, as rows of each version that a call has asked so far.
Excluded = dict[Answers, Array]

# A failing canary is written about this often; every failure is counted.
SAY_EVERY_S = 10.0
_REFUSED = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answering:
    """A version that answers, and what it does; counts: None without a generation."""

    answers: Answers
    counts: ArmCounter | None = None


@dataclass(frozen=True)
class Assignment:
    """What is served. canary: None where nobody gets it. generation: 0 is what the replica was started with; since
    then, in UTC.
    """

    production: Answering
    canary: Answering | None = None
    share: float = 0.0
    salt: str = ""
    shadow: Shadow | None = None
    generation: int = 0
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class _Part:
    answered: Answered
    by: Answering


class Rotation:
    """Answers queries with what is assigned now. Assigning is one reference: no call sees half of it."""

    def __init__(self, assigned: Assignment) -> None:
        self.current = assigned
        self._said = -SAY_EVERY_S

    async def route(self, query: Query) -> bytes:
        """One Recommendation per listener in the order asked, as fields of a RecommendResponse."""
        return await self._route_part(query, {})

    async def stream(self, query: Query, part_size: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """The same in parts: the place of the first listener of each, and the fields. Others get a turn in between.

        Each part is answered with what is assigned when it is its turn.
        """
        excluded: Excluded = {}
        for first in range(0, len(query), part_size):
            if first:
                await asyncio.sleep(0)
            yield first, await self._route_part(query.part(first, part_size), excluded)

    async def _route_part(self, query: Query, excluded: Excluded) -> bytes:
        now = self.current
        chosen = None if now.canary is None else _chosen(query, now)
        if now.canary is None or chosen is None or not chosen.any():
            part = await _by(now.production, Arm.PRODUCTION, query, excluded)
            data, parts = part.answered.data, [part]
        elif chosen.all() and not query.refused:
            part = await self._canary(now, now.canary, query, excluded)
            data, parts = part.answered.data, [part]
        else:
            data, parts = await self._both(now, now.canary, query, chosen, excluded)
        for part in parts:
            part.by.answers.note(part.answered, part.by.counts)
            if now.shadow is not None and part.by is now.production:
                now.shadow.offer(part.answered)
        return data

    async def _both(
        self, now: Assignment, canary: Answering, query: Query, chosen: Array, excluded: Excluded
    ) -> tuple[bytes, list[_Part]]:
        """The listeners of a call by arm, and their answers in the order asked."""
        parts: list[_Part | None] = [None, None]
        work = []
        if not chosen.all():
            work.append(_by(now.production, Arm.PRODUCTION, query.only(~chosen), excluded))
        work.append(self._canary(now, canary, query.only(chosen), excluded))
        parts[2 - len(work) :] = await asyncio.gather(*work)
        which = np.full(len(query), _REFUSED, np.int64)
        answered = np.ones(len(query), np.bool_)
        answered[[refused.place for refused in query.refused]] = False
        which[answered] = chosen
        messages = [b"" if part is None else part.answered.data for part in parts]
        messages.append(b"".join(map(encode_refused, query.refused)))
        return merge(messages, which), [part for part in parts if part is not None]

    async def _canary(self, now: Assignment, canary: Answering, query: Query, excluded: Excluded) -> _Part:
        """The canary's answer; where it fails, production's, under production's name."""
        try:
            return await _by(canary, Arm.CANARY, query, excluded)
        except Exception as error:  # noqa: BLE001 - whatever a canary does, listeners are answered
            if time.monotonic() - self._said > SAY_EVERY_S:
                self._said = time.monotonic()
                _log.exception("canary %s fails (%s); production answers", canary.answers.version, type(error).__name__)
            return await _by(now.production, Arm.PRODUCTION, query, excluded)


async def _by(side: Answering, arm: Arm, query: Query, excluded: Excluded) -> _Part:
    """One arm's answer, timed; what it raises is counted as its error."""
    started = time.perf_counter()
    try:
        rows = excluded.get(side.answers)
        if rows is None:
            rows = excluded[side.answers] = side.answers.exclude(query)
        answered = await side.answers.rank_and_encode(query, rows, arm)
    except Exception:
        if side.counts is not None:
            side.counts.fail(len(query) - len(query.refused))
        raise
    except asyncio.CancelledError:
        _time(side, started)
        raise
    _time(side, started)
    return _Part(answered, side)


def _time(side: Answering, started: float) -> None:
    if side.counts is not None:
        side.counts.time(time.perf_counter() - started)


def _chosen(query: Query, now: Assignment) -> Array:
    """Whether the canary answers each of the user_ids and then tastes, bool."""
    user_ids = (*query.user_ids, *(taste.user_id for taste in query.tastes)) if query.tastes else query.user_ids
    return canaries(user_ids, now.salt, now.share)

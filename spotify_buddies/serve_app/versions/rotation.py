"""Versions in rotation: the arm of every user of a call, and one answer in the order asked.

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

from spotify_buddies.serve_app.ranking.encoding import Answered, encode_refused, merge
from spotify_buddies.serve_app.ranking.query import Arm, Query
from spotify_buddies.serve_app.versions.answers import Answers
from spotify_buddies.serve_app.versions.arms import canaries
from spotify_buddies.serve_app.versions.counts import ArmCounter, CallCounter
from spotify_buddies.serve_app.versions.interleaving.both import Interleaved, interleave, rank_production
from spotify_buddies.serve_app.versions.shadow import Shadow

Array = npt.NDArray[Any]

# A failing canary is logged at most this often; every failure is counted.
LOG_EVERY_S = 10.0
# The place of the refused in what _both merges, behind the arms.
_REFUSED = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArmAnswers:
    """A version that answers, and its counters; counts: None without a generation."""

    answers: Answers
    counts: ArmCounter | None = None


@dataclass(frozen=True)
class Assignment:
    """The versions that are served. canary: None where nobody gets it. interleave: its share of the users gets lists
    drafted from both versions. generation: 0 is what the replica was started with; since then, in UTC.
    """

    production: ArmAnswers
    canary: ArmAnswers | None = None
    share: float = 0.0
    salt: str = ""
    shadow: Shadow | None = None
    generation: int = 0
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    interleave: bool = False


@dataclass(frozen=True)
class _Part:
    """An answer to some users of a call: one arm's, or drafted for production and the canary."""

    answered: Answered
    by: ArmAnswers
    users: int

    def note(self, call: _Call, shadow: Shadow | None) -> None:
        """Count and remember what is sent. shadow: compares itself with what production answers."""
        self.by.answers.note(self.answered, self.by.counts)
        if (counter := call.count(self.by)) is not None:
            counter.answered(self.users)
        if shadow is not None and self.answered.arm is Arm.PRODUCTION:
            shadow.offer(self.answered)


@dataclass(frozen=True)
class _DraftedPart:
    answered: Interleaved
    sides: tuple[ArmAnswers, ArmAnswers]
    users: int

    def note(self, call: _Call, shadow: Shadow | None) -> None:
        """As _Part.note, for both arms; the shadow is compared with whole answers of production only."""
        del shadow
        production, canary = self.sides
        self.answered.note(production.counts, canary.counts)
        for counter in map(call.count, self.sides):
            if counter is not None:
                counter.answered(self.users)


class _Call:
    """One call of a client, over all parts of a stream. excluded: rows of each version that the call asked so far."""

    def __init__(self) -> None:
        self.excluded: dict[Answers, Array] = {}
        self._counters: dict[ArmCounter, CallCounter] = {}

    def rows(self, side: ArmAnswers, query: Query) -> Array:
        """What the call excludes, as rows of a side's version."""
        rows = self.excluded.get(side.answers)
        if rows is None:
            rows = self.excluded[side.answers] = side.answers.exclude(query)
        return rows

    def count(self, side: ArmAnswers) -> CallCounter | None:
        """The counter of this call in the arm of `side`; None where nothing is counted."""
        if side.counts is None:
            return None
        if side.counts not in self._counters:
            self._counters[side.counts] = side.counts.begin()
        return self._counters[side.counts]


class Rotation:
    """Answers queries with what is assigned now. Assigning is one reference: no call sees half of it."""

    def __init__(self, assigned: Assignment) -> None:
        self.current = assigned
        self._logged = -LOG_EVERY_S

    async def route(self, query: Query) -> bytes:
        """One Recommendation per user in the order asked, as fields of a RecommendResponse."""
        return await self._route_part(query, _Call())

    async def stream(self, query: Query, part_size: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """The same in parts: the place of the first user of each, and the fields. Other calls get a turn in between.

        Each part is answered with what is assigned when it is its turn.
        """
        call = _Call()
        for first in range(0, len(query), part_size):
            if first:
                await asyncio.sleep(0)
            yield first, await self._route_part(query.part(first, part_size), call)

    async def _route_part(self, query: Query, call: _Call) -> bytes:
        now = self.current
        parts: list[_Part | _DraftedPart]
        chosen = None if now.canary is None else _chosen(query, now)
        if now.canary is None or chosen is None or not chosen.any():
            parts = [await _by(now.production, Arm.PRODUCTION, query, call)]
            data = parts[0].answered.data
        elif chosen.all() and not query.refused:
            parts = [await self._canary(now, now.canary, query, call)]
            data = parts[0].answered.data
        else:
            data, parts = await self._both(now, now.canary, query, chosen, call)
        for part in parts:
            part.note(call, now.shadow)
        return data

    async def _both(
        self, now: Assignment, canary: ArmAnswers, query: Query, chosen: Array, call: _Call
    ) -> tuple[bytes, list[_Part | _DraftedPart]]:
        """The users of a call by arm, and their answers in the order asked."""
        asked = self._canary(now, canary, query.only(chosen), call)
        parts: list[_Part | _DraftedPart]
        if chosen.all():
            parts = [await asked]
            messages = [b"", parts[0].answered.data]
        else:
            others = _by(now.production, Arm.PRODUCTION, query.only(~chosen), call)
            parts = list(await asyncio.gather(others, asked))
            messages = [part.answered.data for part in parts]
        messages.append(b"".join(map(encode_refused, query.refused)))
        # For each place of the call the message that holds its answer: 0 production's, 1 the canary's, 2 the refused.
        which = np.full(len(query), _REFUSED, np.int64)
        answered = np.ones(len(query), np.bool_)
        answered[[refused.place for refused in query.refused]] = False
        which[answered] = chosen
        return merge(messages, which), parts

    async def _canary(self, now: Assignment, canary: ArmAnswers, query: Query, call: _Call) -> _Part | _DraftedPart:
        """The canary's answer, or both versions'; where the canary fails, production's, under production's name."""
        try:
            if now.interleave and query.counterfactual is None:
                return await _by_both(now.production, canary, query, call)
            if now.interleave:  # which songs would change a list of two versions, neither can say
                return await _by(now.production, Arm.PRODUCTION, query, call)
            return await _by(canary, Arm.CANARY, query, call)
        except Exception as error:  # noqa: BLE001 - whatever a canary does, users are answered
            if time.monotonic() - self._logged > LOG_EVERY_S:
                self._logged = time.monotonic()
                _log.exception("canary %s fails (%s); production answers", canary.answers.version, type(error).__name__)
            return await _by(now.production, Arm.PRODUCTION, query, call)


async def _by(side: ArmAnswers, arm: Arm, query: Query, call: _Call) -> _Part:
    """One arm's answer, timed; an exception is counted as its error."""
    started = time.perf_counter()
    users = len(query) - len(query.refused)
    counter = call.count(side) if users else None
    try:
        answered = await side.answers.rank_and_encode(query, call.rows(side, query), arm)
    except Exception:
        if counter is not None:
            counter.failed(users)
        raise
    except asyncio.CancelledError:
        if counter is not None:
            counter.time(time.perf_counter() - started, users)
        raise
    if counter is not None:
        counter.time(time.perf_counter() - started, users)
    return _Part(answered, side, users)


async def _by_both(production: ArmAnswers, canary: ArmAnswers, query: Query, call: _Call) -> _DraftedPart:
    """Lists drafted from both versions. Each is timed by its ranking; an exception of the canary is its error."""
    users, counter, other = len(query), call.count(canary), call.count(production)
    started = time.perf_counter()
    ranked = await rank_production(production.answers, query, call.rows(production, query))
    if other is not None:
        other.time(time.perf_counter() - started, users)
    started = time.perf_counter()
    try:
        drafted = await interleave(production.answers, canary.answers, ranked, call.rows(canary, query))
    except Exception:
        if counter is not None:
            counter.failed(users)
        raise
    except asyncio.CancelledError:
        if counter is not None:
            counter.time(time.perf_counter() - started, users)
        raise
    if counter is not None:
        counter.time(drafted.seconds, users)
    return _DraftedPart(drafted, (production, canary), users)


def _chosen(query: Query, now: Assignment) -> Array:
    """Whether the canary answers each of the user_ids and then tastes, bool."""
    user_ids = (*query.user_ids, *(taste.user_id for taste in query.tastes)) if query.tastes else query.user_ids
    return canaries(user_ids, now.salt, now.share)

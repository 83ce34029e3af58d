"""Reading the figures of a canary from Postgres.

Counts are a few small rows and are read at every look. Like rates and coverage are expensive reads: after each of them
the reader waits twenty times as long as it took, so that they cost Postgres a twentieth of a processor at most. All
functions take a connection in autocommit mode whose schema is up to date, and raise psycopg.Error.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import psycopg

from spotify_buddies.serve_app.generations.state import Generation
from spotify_buddies.serve_app.rollout.gates.listeners import Split
from spotify_buddies.serve_app.rollout.gates.measures import ArmFigures, Measures, StepCounts
from spotify_buddies.serve_app.rollout.gates.preference import Credits
from spotify_buddies.serve_app.rollout.gates.read_preference import read_credits
from spotify_buddies.serve_app.rollout.gates.read_split import known, read_split, was_blocked
from spotify_buddies.serve_app.rollout.gates.sequential import LikeRates, Likes, Returned, StepLikes
from spotify_buddies.serve_app.rollout.gates.verdict import Position
from spotify_buddies.serve_app.settings.gates import GateSettings

CANARY, PRODUCTION = "canary", "production"
# Seconds between two expensive reads; after one that the server cancelled for its length.
SPACING_S, SPACING_FACTOR, AGAIN_S = 1.0, 20.0, 60.0

# Generations that differ in something else (a pause, another shadow) belong to the same canary, and to the same step.
_POSITION = """
WITH active AS (
  SELECT number, coalesce(decided_at, at) AS since, (production, canary, salt) IS NOT DISTINCT FROM
    (%(production)s, %(canary)s, %(salt)s) AS same, share
  FROM rollout_generations WHERE state = 'active' AND number <= %(number)s
), others AS (
  SELECT coalesce(max(number) FILTER (WHERE NOT same), 0) AS canary,
    coalesce(max(number) FILTER (WHERE NOT same OR share IS DISTINCT FROM %(share)s), 0) AS step
  FROM active
)
SELECT min(since) FILTER (WHERE number > others.canary), min(since) FILTER (WHERE number > others.step),
  min(number) FILTER (WHERE number > others.step),
  array_agg(since ORDER BY number) FILTER (WHERE number > others.canary),
  array_agg(share ORDER BY number) FILTER (WHERE number > others.canary)
FROM active, others
"""
# A replica of a release that did not count calls leaves the squares out: each user is taken for a call, as it did.
_COUNTS = """
SELECT arm, listeners, errors, empty, cold, sized_latencies, coalesce(asked_squares, listeners + errors),
  coalesce(answered_squares, listeners)
FROM rollout_counts
WHERE generation BETWEEN %s AND %s AND ((arm = 'canary' AND version = %s) OR (arm = 'production' AND version = %s))
"""
_SHOWN = """
SELECT arm, shown FROM rollout_counts
WHERE generation BETWEEN %s AND %s AND ((arm = 'canary' AND version = %s) OR (arm = 'production' AND version = %s))
"""
# Pairs of steps, the earlier one first: of a step with itself the users of that step and their squared rates, of two
# steps the users who reacted in both. The last rows count the distinct users of each arm.
_LIKES = """
WITH rates AS MATERIALIZED (
  SELECT arm, width_bucket(at, %(starts)s::timestamptz[]) - 1 AS step, user_id,
    avg((score = 1)::int)::double precision AS rate, count(*) AS reactions
  FROM reactions
  WHERE at >= %(since)s
    AND ((arm = 'canary' AND model_version = %(canary)s) OR (arm = 'production' AND model_version = %(production)s))
  GROUP BY arm, step, user_id
)
SELECT one.arm, one.step, other.step, count(*), sum(one.rate), sum(other.rate), sum(one.rate * other.rate),
  sum(one.reactions)::bigint
FROM rates AS one JOIN rates AS other ON one.arm = other.arm AND one.user_id = other.user_id AND one.step <= other.step
GROUP BY one.arm, one.step, other.step
UNION ALL
SELECT arm, NULL, NULL, count(DISTINCT user_id), 0, 0, 0, 0 FROM rates GROUP BY arm
"""


@dataclass
class ReadingState:
    """State between two looks at a canary; without it likes are read anew, and the recent errors start anew."""

    step: tuple[int, str] | None = None
    looks: deque[tuple[datetime, StepCounts, StepCounts]] = field(default_factory=deque)
    likes: LikeRates = field(default_factory=LikeRates)
    coverage: dict[str, int] = field(default_factory=dict)
    split: Split = field(default_factory=Split)
    credited: Credits = field(default_factory=Credits)
    # By time.monotonic.
    due: float = 0.0
    split_due: float = 0.0


async def read_position(connection: psycopg.AsyncConnection, generation: Generation) -> tuple[Position, int]:
    """Since when the canary and its share are live, and the first generation of the step."""
    wanted = generation.wanted
    cursor = await connection.execute(
        _POSITION,
        {
            "number": generation.number, "production": wanted.production, "canary": wanted.canary,
            "salt": wanted.salt, "share": wanted.share,
        },
    )  # fmt: skip
    (row,) = await cursor.fetchall()
    canary_since, step_since, first, since, shares = row
    if first is None:
        raise ValueError(f"generation {generation.number} is not active; gates judge what takes traffic")
    starts = tuple(one for number, one in enumerate(since) if number == 0 or shares[number] != shares[number - 1])
    return Position(wanted.share, canary_since, step_since, wanted.paused, starts, wanted.interleave), first


async def read_measures(
    connection: psycopg.AsyncConnection,
    generation: Generation,
    position: Position,
    first: int,
    settings: GateSettings,
    edges_ms: Sequence[float],
    reading: ReadingState,
    now: datetime,
) -> Measures:
    """Both arms at `now`. first: generation that began the step."""
    wanted = generation.wanted
    if reading.step != (first, wanted.salt):
        # Likes of another canary must not be taken for this one's; of the same canary they are read anew as well.
        reading.step, reading.due, reading.split_due = None, 0.0, 0.0
        reading.looks.clear()
        reading.likes, reading.coverage, reading.credited = LikeRates(), {}, Credits()
        reading.split = known(await was_blocked(connection, generation, first), settings.split_alpha)
        reading.step = (first, wanted.salt)
    counts = await read_counts(connection, generation, first)
    if time.monotonic() >= reading.due:
        await _read_slowly(connection, generation, position, first, settings, reading)
    if settings.split_gate and time.monotonic() >= reading.split_due:
        await _read_split(connection, generation, position, reading)
    before = _look_back(reading, counts, settings.error_window_s, now)
    arms = {
        arm: ArmFigures(counts[arm], counts[arm].since(before[arm]), reading.coverage.get(arm))
        for arm in (CANARY, PRODUCTION)
    }
    return Measures(arms[CANARY], arms[PRODUCTION], tuple(edges_ms), reading.likes, reading.split, reading.credited)


async def read_counts(connection: psycopg.AsyncConnection, generation: Generation, first: int) -> dict[str, StepCounts]:
    """Both arms of the generations from `first` to this one, all replicas together.

    Latencies are those of one release's size classes, the one that counted most calls.
    """
    cursor = await connection.execute(_COUNTS, _step(generation, first))
    rows = await cursor.fetchall()
    sizes = _sizes([row[5] for row in rows])
    return {arm: _sum([row[1:] for row in rows if row[0] == arm], sizes) for arm in (CANARY, PRODUCTION)}


async def read_coverage(connection: psycopg.AsyncConnection, generation: Generation, first: int) -> dict[str, int]:
    """Distinct playlists of each arm in those generations; arms without counts are left out."""
    cursor = await connection.execute(_SHOWN, _step(generation, first))
    shown: dict[str, np.ndarray] = {}
    async for arm, packed in cursor:
        bits = np.frombuffer(zlib.decompress(packed), np.uint8)
        known = shown.get(arm, bits)
        size = max(known.size, bits.size)
        whole = np.zeros(size, np.uint8)
        whole[: known.size] = known
        whole[: bits.size] |= bits
        shown[arm] = whole
    return {arm: int(np.bitwise_count(bits).sum()) for arm, bits in shown.items()}


async def read_likes(
    connection: psycopg.AsyncConnection, generation: Generation, starts: Sequence[datetime]
) -> LikeRates:
    """Users who reacted to each arm, each with the like rate of their reactions in a step.

    starts: of the strata, ascending, at least one (Position.strata). A reaction belongs to that in which it came.
    """
    wanted = generation.wanted
    names = {"canary": wanted.canary, "production": wanted.production}
    cursor = await connection.execute(_LIKES, {"starts": list(starts), "since": starts[0], **names})
    likes: dict[tuple[str, int], Likes] = {}
    users, returned = {}, []
    for arm, first, second, count, *sums, reactions in await cursor.fetchall():
        if first is None:
            users[arm] = count
        elif first == second:
            likes[arm, first] = Likes(count, sums[0], sums[2], reactions)
        else:
            returned.append(Returned(arm == CANARY, first, second, count, *sums))
    steps = tuple(
        StepLikes(likes.get((CANARY, step), Likes()), likes.get((PRODUCTION, step), Likes()))
        for step in range(len(starts))
    )
    return LikeRates(steps, tuple(returned), users.get(CANARY, 0), users.get(PRODUCTION, 0))


async def _read_slowly(
    connection: psycopg.AsyncConnection,
    generation: Generation,
    position: Position,
    first: int,
    settings: GateSettings,
    reading: ReadingState,
) -> None:
    started = time.monotonic()
    try:
        if position.interleave:
            reading.credited = await read_credits(connection, generation, position.canary_since)
        else:
            reading.likes = await read_likes(connection, generation, position.strata(settings.reaction_delay_s))
        reading.coverage = await read_coverage(connection, generation, first)
    except psycopg.errors.QueryCanceled:
        # Errors are still judged; the figures of the last read stay, and the gates that need more wait.
        reading.due = time.monotonic() + AGAIN_S
        return
    reading.due = _next(started)


async def _read_split(
    connection: psycopg.AsyncConnection, generation: Generation, position: Position, reading: ReadingState
) -> None:
    started = time.monotonic()
    try:
        reading.split = await read_split(connection, generation, position.step_since, reading.split)
    except psycopg.errors.QueryCanceled:
        reading.split_due = time.monotonic() + AGAIN_S
        return
    reading.split_due = _next(started)


def _next(started: float) -> float:
    ended = time.monotonic()
    return ended + max(SPACING_S, SPACING_FACTOR * (ended - started))


def _look_back(
    reading: ReadingState, counts: dict[str, StepCounts], window_s: float, now: datetime
) -> dict[str, StepCounts]:
    """The counts of the youngest look that is at least the window ago, and keep these; at first: nothing."""
    reading.looks.append((now, counts[CANARY], counts[PRODUCTION]))
    while len(reading.looks) > 1 and (now - reading.looks[1][0]).total_seconds() >= window_s:
        reading.looks.popleft()
    looked_at, canary, production = reading.looks[0]
    if (now - looked_at).total_seconds() < window_s:
        return {CANARY: StepCounts(), PRODUCTION: StepCounts()}
    return {CANARY: canary, PRODUCTION: production}


def _step(generation: Generation, first: int) -> tuple[int, int, str | None, str]:
    return first, generation.number, generation.wanted.canary, generation.wanted.production


def _sizes(latencies: Sequence[Sequence[int] | None]) -> int:
    """The length of latency counts, for both arms: in a rolling release, replicas may count other size classes.

    Of several lengths the one with most calls, the longest among equals; 0 where none was counted.
    """
    calls: dict[int, int] = {}
    for counts in filter(None, latencies):
        calls[len(counts)] = calls.get(len(counts), 0) + sum(counts)
    return max(calls, key=lambda length: (calls[length], length), default=0)


def _sum(rows: Sequence[tuple[Any, ...]], sizes: int) -> StepCounts:
    answers, errors, empty, cold, asked_squares, answered_squares = (
        sum(int(row[column]) for row in rows) for column in (0, 1, 2, 3, 5, 6)
    )
    # Others are taken as of the release that did not count by size: their classes cannot be added to these.
    sized = [row[4] for row in rows if row[4] and len(row[4]) == sizes]
    latencies = tuple(sum(counts) for counts in zip(*sized, strict=True))
    return StepCounts(answers, errors, empty, cold, latencies, asked_squares, answered_squares)

"""One version's answers: what must not come back, the ranking, the reasons, the bytes. Which version: rollout/."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.daily.read import Reader, read_daily
from spotify_buddies.serve_app.errors import HistoryUnavailable
from spotify_buddies.serve_app.neighbours.client import Neighbours
from spotify_buddies.serve_app.ranking import cold
from spotify_buddies.serve_app.ranking.encoding import Encoder, draw_ids, encode_refused, merge
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.history import History, Shown
from spotify_buddies.serve_app.ranking.query import (
    Arm,
    Mode,
    Query,
    RankedLists,
    Reasons,
    Refused,
    Rules,
    Skipped,
    Source,
)
from spotify_buddies.serve_app.ranking.reasons import explain
from spotify_buddies.serve_app.telemetry.metrics import Telemetry

Array = npt.NDArray[Any]
Blocked = Mapping[int, Sequence[str]]

# Nearest users asked for per taste.
NEAREST = 100
# Listeners ranked on the event loop, where others wait for half a millisecond; more go to threads, the kernels being
# free of Python's lock, in pieces.
AT_ONCE = 64
PIECE = 512
PROCESSORS = os.cpu_count() or 1
# Songs of tastes looked up on the event loop, about a millisecond's worth; more go to a thread.
FIND_AT_ONCE = 200


@dataclass(frozen=True)
class Budgets:
    """Longest waits for what an answer can do without, in seconds."""

    neighbours_s: float
    store_s: float


@dataclass(frozen=True)
class Ranked:
    """Lists with their reasons (None: not wanted) and the random bytes of their ids, 16 each."""

    lists: RankedLists
    drawn: bytes
    reasons: Reasons | None


@dataclass(frozen=True)
class Batch:
    """A part of a query and its answer: the fields of a RecommendResponse, and what they were made of.

    blocked: what must not come back, by place among user_ids and then tastes.
    """

    query: Query
    data: bytes
    ranked: Sequence[Ranked]
    blocked: Sequence[Blocked]


@dataclass(frozen=True)
class Answered:
    """The answer to a whole query, piece by piece, in the order asked."""

    pieces: Sequence[Batch]
    arm: Arm

    @property
    def data(self) -> bytes:
        """The fields of a RecommendResponse."""
        return self.pieces[0].data if len(self.pieces) == 1 else b"".join(piece.data for piece in self.pieces)


class AnswerCounter(Protocol):
    """Counts what an arm answers."""

    def add(self, lists: RankedLists, sources: Sequence[int]) -> None:
        """Lists that are sent; sources: how many came from each, by its number."""


class Answers:
    """Answers queries with one engine. For known users in live mode nothing is awaited."""

    def __init__(
        self,
        engine: Engine,
        *,
        budgets: Budgets,
        daily: Reader | None,
        history: History | None,
        telemetry: Telemetry,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.engine = engine
        self._encoder = Encoder(engine)
        self._budgets = budgets
        self._daily = daily
        self._history = history
        self._telemetry = telemetry
        self._now = now
        self._neighbours: Neighbours | None = None

    def use_neighbours(self, neighbours: Neighbours) -> None:
        """Ask these for tastes; before, every taste is answered with what is popular."""
        self._neighbours = neighbours

    def warm_up(self) -> None:
        """Compile every kernel of the request path and map the pages of the bundle."""
        for lists in self.engine.warm_up():
            data = self._encoder.encode(lists, draw_ids(len(lists)), explain(self.engine, lists))
            merge([data, b""], np.zeros(len(lists), np.int64))

    async def answer(self, query: Query, excluded: Array, arm: Arm = Arm.PRODUCTION) -> Answered:
        """Every listener in the order asked; nothing is counted or remembered before `note`.

        excluded: from `exclude`. At once, or where they are many in pieces, as many at a time as there are processors.
        """
        if len(query) <= AT_ONCE:
            return Answered((await self._piece(query, excluded, arm),), arm)
        places = asyncio.Semaphore(PROCESSORS)

        async def piece(first: int) -> Batch:
            async with places:
                return await self._piece(query.part(first, PIECE), excluded, arm)

        return Answered(await asyncio.gather(*map(piece, range(0, len(query), PIECE))), arm)

    @property
    def version(self) -> str:
        """The version that answers."""
        return self.engine.version

    def exclude(self, query: Query) -> Array:
        """What must not come back for anybody, as rows of this version."""
        return self.engine.find_playlists(query.exclude_playlist_ids)

    def note(self, answered: Answered, tally: AnswerCounter | None) -> None:
        """Count and remember what is sent."""
        for piece in answered.pieces:
            for some in piece.ranked:
                self._note(some, answered.arm, tally)

    async def _piece(self, query: Query, excluded: Array, arm: Arm) -> Batch:
        blocked, skipped = await self._blocked(query)
        known = len(query.user_ids)
        rules = self.rules(query, blocked, 0, known)
        if query.mode is Mode.LIVE and known and not query.tastes:
            work = partial(self._rank_live, query, excluded, rules, skipped, arm)
            ranked, data, lists, places = work() if known <= AT_ONCE else await asyncio.to_thread(work)
            if places.size:
                lists = await self._rank_cold(lists, places, excluded, rules)
                ranked = [self._finish(lists, query, skipped)]
                data = self._encode(ranked, query.refused, arm)
        else:
            ranked = []
            if known:
                ranked.append(self._finish(await self._rank_known(query, excluded, rules), query, skipped))
            if query.tastes:
                rules = self.rules(query, blocked, known, len(query.tastes))
                ranked.append(self._finish(await self._rank_tastes(query, excluded, rules), query, skipped))
            data = self._encode(ranked, query.refused, arm)
        return Batch(query, data, ranked, blocked)

    def _rank_live(
        self, query: Query, excluded: Array, rules: Rules, skipped: tuple[Skipped, ...], arm: Arm
    ) -> tuple[list[Ranked], bytes, RankedLists, Array]:
        """The whole of a piece that waits for nobody; any thread may do it.

        Where listeners have no candidates left, only the lists and the places of those listeners: they are ranked as
        tastes are, which waits.
        """
        started = time.perf_counter()
        lists = self.engine.rank_known(query.user_ids, query.limit, excluded, rules)
        self._telemetry.time_inference(time.perf_counter() - started)
        places = cold.without_list(self.engine.bundle, lists)
        if places.size:
            return [], b"", lists, places
        ranked = [self._finish(lists, query, skipped)]
        return ranked, self._encode(ranked, query.refused, arm), lists, places

    async def _blocked(self, query: Query) -> tuple[Sequence[Blocked], tuple[Skipped, ...]]:
        """What must not come back, by place among user_ids and then tastes; and SEEN where that could not be read."""
        history, seen = self._history, query.exclude_seen
        if history is None:
            return (), (Skipped.SEEN,) if seen else ()
        user_ids = (*query.user_ids, *(taste.user_id for taste in query.tastes))
        now = self._now()
        blocked = history.blocked(user_ids, now)
        if seen is None:
            return (blocked,), ()
        try:
            async with asyncio.timeout(self._budgets.store_s):
                since = now - timedelta(seconds=seen.window_s)
                met = await history.seen(user_ids, since, shown=seen.shown, liked=seen.liked)
        except (TimeoutError, HistoryUnavailable):
            return (blocked,), (Skipped.SEEN,)
        return (blocked, met), ()

    def rules(self, query: Query, blocked: Sequence[Blocked], first: int, count: int) -> Rules:
        """The rules for `count` listeners from place `first` on; what is blocked for them as rows of this version."""
        last = first + count
        here = [{at - first: ids for at, ids in found.items() if first <= at < last} for found in blocked if found]
        return Rules(self.engine.block(count, *here), query.max_per_owner, query.max_song_overlap)

    async def _rank_known(self, query: Query, excluded: Array, rules: Rules) -> RankedLists:
        lists = self.engine.rank_known(query.user_ids, query.limit, excluded, rules)
        if query.mode is Mode.DAILY:
            lists = await read_daily(self.engine, self._daily, lists, excluded, self._budgets.store_s, rules)
        places = cold.without_list(self.engine.bundle, lists)
        return await self._rank_cold(lists, places, excluded, rules) if places.size else lists

    async def _rank_cold(self, lists: RankedLists, places: Array, excluded: Array, rules: Rules) -> RankedLists:
        """The lists with those at `places`, of listeners without candidates, ranked as tastes are."""
        users, limit = lists.song_rows[places], lists.rows.shape[1]
        found = await self._nearest(cold.libraries(self.engine.bundle, users))
        blocked = None if rules.blocked is None else rules.blocked.take(places)
        ranked = self.engine.rank_cold(users, found.near, limit, excluded, replace(rules, blocked=blocked))
        self._count(found, ranked)
        rows, scores, counts = lists.rows.copy(), lists.scores.copy(), lists.counts.copy()
        rows[places], scores[places], counts[places] = ranked.rows, ranked.scores, ranked.counts
        sources, skipped = list(lists.sources), list(lists.skipped)
        for at, source in zip(places.tolist(), ranked.sources, strict=True):
            sources[at] = source
            if found.near is None:
                skipped[at] = (Skipped.NEIGHBOUR_SEARCH, *skipped[at])
        return replace(lists, rows=rows, scores=scores, counts=counts, sources=tuple(sources), skipped=tuple(skipped))

    async def _nearest(self, songs: Csr) -> cold.Found:
        users = self.engine.bundle.manifest.users
        return await cold.find_neighbours(self._neighbours, songs, NEAREST, users, self._budgets.neighbours_s)

    def _count(self, found: cold.Found, lists: RankedLists) -> None:
        for step, count in cold.steps(found, lists).items():
            self._telemetry.count_cold(step, count)

    async def _rank_tastes(self, query: Query, excluded: Array, rules: Rules) -> RankedLists:
        if sum(len(taste.songs) for taste in query.tastes) <= FIND_AT_ONCE:
            found = self.engine.find_songs(query.tastes)
        else:
            found = await asyncio.to_thread(self.engine.find_songs, query.tastes)
        near = await self._nearest(found.songs)
        lists = self.engine.rank_tastes(query.tastes, found, near.near, query.limit, excluded, rules)
        self._count(near, lists)
        # Nobody computed a list for a taste ahead.
        return _label(lists, (Skipped.DAILY_LIST,)) if query.mode is Mode.DAILY else lists

    def _finish(self, lists: RankedLists, query: Query, skipped: tuple[Skipped, ...]) -> Ranked:
        lists = _label(lists, skipped)
        drawn = draw_ids(len(lists))
        reasons = explain(self.engine, lists) if query.explain else None
        return Ranked(lists, drawn, reasons)

    def _note(self, ranked: Ranked, arm: Arm, tally: AnswerCounter | None) -> None:
        sources = np.bincount(ranked.lists.source_numbers).tolist()
        for number, count in enumerate(sources):
            if count:
                self._telemetry.count_lists(Source(number).name, count)
        if tally is not None:
            tally.add(ranked.lists, sources)
        if self._history is not None:
            self._history.record(self._shown(ranked.lists, ranked.drawn, arm))

    def _shown(self, lists: RankedLists, drawn: bytes, arm: Arm) -> Shown:
        digits = drawn.hex()
        return Shown(
            user_ids=lists.user_ids,
            recommendation_ids=tuple(digits[at : at + 32] for at in range(0, len(digits), 32)),
            sources=lists.sources,
            rows=lists.rows,
            counts=lists.counts,
            playlist_ids=self.engine.playlist_ids,
            model_version=self.engine.version,
            arm=arm.label,
            at=self._now(),
        )

    def _encode(self, ranked: Sequence[Ranked], refused: Sequence[Refused], arm: Arm) -> bytes:
        """Lists and refusals, each at its place."""
        parts: list[bytes] = []
        first = 0
        for passed, wrong in enumerate(refused):
            parts += self._encode_range(ranked, first, wrong.place - passed, arm)
            parts.append(encode_refused(wrong))
            first = wrong.place - passed
        parts += self._encode_range(ranked, first, sum(len(some.lists) for some in ranked), arm)
        return b"".join(parts)

    def _encode_range(self, ranked: Sequence[Ranked], first: int, last: int, arm: Arm) -> list[bytes]:
        parts = []
        for some in ranked:
            size = len(some.lists)
            start, stop = max(first, 0), min(last, size)
            if start < stop:
                parts.append(self._encoder.encode(some.lists, some.drawn, some.reasons, start, stop, arm=arm))
            first, last = first - size, last - size
        return parts


def _label(lists: RankedLists, steps: tuple[Skipped, ...]) -> RankedLists:
    return replace(lists, skipped=tuple((*skipped, *steps) for skipped in lists.skipped)) if steps else lists

"""The ranking of one batch of users and tastes: a few on the event loop, many in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.counted import CountedSearch
from spotify_buddies.serve_app.daily.read import Reader, fetch, prefer_daily
from spotify_buddies.serve_app.neighbours.client import Neighbours
from spotify_buddies.serve_app.neighbours.nearest import Nearest, Searches
from spotify_buddies.serve_app.ranking import cold
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Mode, Query, RankedLists, Skipped, Taste
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.serve_app.ranking.song_lookup import TasteSongs
from spotify_buddies.serve_app.telemetry.metrics import Telemetry

Array = npt.NDArray[Any]
Given = ParamSpec("Given")
Result = TypeVar("Result")

# Users ranked on the event loop, where other calls wait for half a millisecond. More go to threads: the kernels run
# without Python's lock.
AT_ONCE = 64
# Songs of tastes looked up on the event loop, about a millisecond's worth. More go to a thread.
FIND_AT_ONCE = 200
# Nearest users asked for per taste.
NEAREST = 100


class Run(Protocol):
    """A place for work that only computes: `here`, or asyncio.to_thread."""

    async def __call__(self, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """What work(*args, **kwargs) returns."""


async def here(work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Run work on the event loop, without giving others a turn."""
    return work(*args, **kwargs)


def run_for(users: int) -> Run:
    """Where the work for so many users runs."""
    return here if users <= AT_ONCE else asyncio.to_thread


class BatchRanker:
    """Ranks the user_ids and the tastes of a batch. Awaits nothing where `run` is `here` and nothing is read.

    neighbours_s, daily_s: longest waits for the search and for the lists of the day, in seconds. counted: the song
    lists in which small tastes are searched with; None: the neighbours are asked for all.
    """

    def __init__(
        self,
        engine: Engine,
        daily: Reader | None,
        telemetry: Telemetry,
        *,
        neighbours_s: float,
        daily_s: float,
        counted: CountedSearch | None = None,
    ) -> None:
        self._engine = engine
        self._daily = daily
        self._neighbours_s = neighbours_s
        self._daily_s = daily_s
        self._telemetry = telemetry
        self.neighbours: Neighbours | None = None
        self.counted = counted

    async def rank_users(self, query: Query, excluded: Array, rules: Rules, run: Run) -> RankedLists:
        """The lists of query.user_ids, in order, by Engine.rank_known, Engine.rank_cold and, in daily mode, as stored.

        excluded: playlist rows, ascending.
        """
        timed = query.mode is Mode.LIVE and not query.tastes
        lists = await run(self._rank_known, query, excluded, rules, timed)
        if query.mode is Mode.DAILY:
            stored = await fetch(self._engine, self._daily, lists.song_rows, self._daily_s)
            lists = await run(prefer_daily, self._engine, lists, stored, excluded, rules)
        places = cold.without_list(self._engine.bundle, lists)
        return await self._rank_cold(lists, places, excluded, rules, run) if places.size else lists

    async def rank_tastes(self, query: Query, excluded: Array, rules: Rules, run: Run) -> RankedLists:
        """The lists of query.tastes, in order, by Engine.rank_tastes. excluded: playlist rows, ascending."""
        few = sum(len(taste.songs) for taste in query.tastes) <= FIND_AT_ONCE
        taste_songs = await (run if few else asyncio.to_thread)(self._engine.find_songs, query.tastes)
        nearest = await self._find_nearest(taste_songs.songs)
        lists = await (run if self._engine.is_cheap(len(query.tastes)) else asyncio.to_thread)(
            self._engine.rank_tastes, query.tastes, taste_songs, nearest.users, query.limit, excluded, rules
        )
        self._count_cold(nearest, lists)
        lists = replace(lists, skipped=_skipped(nearest))
        # Nobody precomputed a list for a taste.
        return lists.skip((Skipped.DAILY_LIST,)) if query.mode is Mode.DAILY else lists

    async def rank_songs(
        self, user_id: str, songs: Csr, limit: int, excluded: Array, rules: Rules, run: Run
    ) -> tuple[RankedLists, bool]:
        """Lists of one user described by each row of songs, as of tastes; and whether a search of neighbours failed."""
        nearest = await self._find_nearest(songs)
        tastes, known = (Taste(user_id, ()),) * songs.rows, TasteSongs(songs, (0,) * songs.rows)
        lists = await run(self._engine.rank_tastes, tastes, known, nearest.users, limit, excluded, rules)
        return lists, bool(nearest.failed.any())

    def _rank_known(self, query: Query, excluded: Array, rules: Rules, timed: bool) -> RankedLists:
        started = time.perf_counter()
        lists = self._engine.rank_known(query.user_ids, query.limit, excluded, rules)
        if timed:
            self._telemetry.time_inference(time.perf_counter() - started)
        return lists

    async def _rank_cold(
        self, lists: RankedLists, places: Array, excluded: Array, rules: Rules, run: Run
    ) -> RankedLists:
        """The lists with those at `places`, of users without candidates, ranked as tastes are."""
        users, limit = lists.song_rows[places], lists.rows.shape[1]
        nearest = await self._find_nearest(await run(cold.libraries, self._engine.bundle, users))
        ranked = await (run if self._engine.is_cheap(len(users)) else asyncio.to_thread)(
            self._engine.rank_cold, users, nearest.users, limit, excluded, rules.take(places)
        )
        self._count_cold(nearest, ranked)
        return _with_cold(lists, places, replace(ranked, skipped=_skipped(nearest)))

    async def _find_nearest(self, songs: Csr) -> Nearest:
        searches = Searches(self.neighbours, self.counted, self._neighbours_s)
        nearest = await searches.find(songs, NEAREST, self._engine.bundle.manifest.users)
        for where, tastes in nearest.searches():
            self._telemetry.count_searches(where, tastes)
        return nearest

    def _count_cold(self, nearest: Nearest, lists: RankedLists) -> None:
        for step, count in cold.steps(nearest, lists).items():
            self._telemetry.count_cold(step, count)


def _skipped(nearest: Nearest) -> tuple[tuple[Skipped, ...], ...]:
    return tuple((Skipped.NEIGHBOUR_SEARCH,) if failed else () for failed in nearest.failed.tolist())


def _with_cold(lists: RankedLists, places: Array, ranked: RankedLists) -> RankedLists:
    """The lists, with ranked[i] at places[i] and its skipped steps before what was skipped already."""
    rows, scores, counts = lists.rows.copy(), lists.scores.copy(), lists.counts.copy()
    rows[places], scores[places], counts[places] = ranked.rows, ranked.scores, ranked.counts
    sources, steps = list(lists.sources), list(lists.skipped)
    for place, source, skipped in zip(places.tolist(), ranked.sources, ranked.skipped, strict=True):
        sources[place] = source
        steps[place] = (*skipped, *steps[place])
    bits = lists.candidate_sources
    if bits is not None and ranked.candidate_sources is not None:
        bits = bits.copy()
        bits[places] = ranked.candidate_sources
    propensities = lists.propensities
    if propensities is not None and ranked.propensities is not None:
        propensities = propensities.copy()
        propensities[places] = ranked.propensities
    folded = np.zeros(len(lists), np.uint64)
    if ranked.candidates is not None:
        folded[places] = ranked.candidates
    return replace(
        lists, rows=rows, scores=scores, counts=counts, sources=tuple(sources), skipped=tuple(steps),
        candidate_sources=bits, candidates=folded, propensities=propensities,
    )  # fmt: skip

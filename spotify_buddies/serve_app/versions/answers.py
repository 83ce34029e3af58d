"""One version's answers: what must not come back, the ranking, the reasons, the bytes. Which version: rollout/."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from spotify_buddies.pairing.neighbours.counted import CountedSearch
from spotify_buddies.serve_app.daily.read import Reader
from spotify_buddies.serve_app.neighbours.client import Neighbours
from spotify_buddies.serve_app.neighbours.nearest import LOCAL
from spotify_buddies.serve_app.ranking.cold import steps_of
from spotify_buddies.serve_app.ranking.encoding import (
    Answered,
    Batch,
    Encoder,
    Ranked,
    Shared,
    SingleAnswers,
    TasteAnswers,
    draw_ids,
    encode_ordered,
    ids_of,
    merge,
)
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.history import Blocked, History, Past, Shown, read_blocked
from spotify_buddies.serve_app.ranking.query import Arm, Mode, Query, RankedLists, Skipped
from spotify_buddies.serve_app.ranking.reasons import explain, tie
from spotify_buddies.serve_app.ranking.rules import Draws, Exploration, Rules
from spotify_buddies.serve_app.telemetry.metrics import Telemetry
from spotify_buddies.serve_app.versions.batch_ranking import AT_ONCE, FIND_AT_ONCE, NEAREST, BatchRanker, here, run_for
from spotify_buddies.serve_app.versions.counterfactual.answer import DEFAULTS, Counterfactuals, Limits
from spotify_buddies.serve_app.versions.sent.remember import count_sent, record

Array = npt.NDArray[Any]

# Users of a batch, where a query has more than are ranked at once.
BATCH_USERS = 512
PROCESSORS = os.cpu_count() or 1
_NEVER: Mapping[Arm, Exploration] = MappingProxyType({})


@dataclass(frozen=True)
class Budgets:
    """Longest waits for what an answer can do without, in seconds.

    counted_listeners: how many listeners the songs of a taste may have in total for its neighbours to be counted in
    this process; 0: the index is asked for all. counterfactual: what one call may take for these.
    """

    neighbours_s: float
    store_s: float
    counted_listeners: int = 0
    counterfactual: Limits = DEFAULTS


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
        explorations: Mapping[Arm, Exploration] = _NEVER,
        draw: Callable[[int], bytes] = draw_ids,
    ) -> None:
        """explorations: how the places of an arm's live lists are drawn. draw: as draw_ids."""
        self.engine = engine
        self._explorations, self._draw = explorations, draw
        most, bundle = budgets.counted_listeners, engine.bundle
        counted = CountedSearch.open(bundle.index, bundle.user_songs, most) if most else None
        self._ranker = BatchRanker(
            engine, daily, telemetry, neighbours_s=budgets.neighbours_s, daily_s=budgets.store_s, counted=counted
        )
        self._counterfactuals = Counterfactuals(engine, self._ranker, budgets.counterfactual, telemetry)
        self._encoder = Encoder(engine)
        shared = Shared.of(engine, self._encoder)
        self._single = SingleAnswers(engine, shared)
        self._tastes = None if counted is None else TasteAnswers(engine, shared, counted, NEAREST)
        self._budgets = budgets
        self._history = history
        self._telemetry = telemetry
        self._now = now

    def use_neighbours(self, neighbours: Neighbours) -> None:
        """Ask these for tastes; before, every taste is answered with what is popular."""
        self._ranker.neighbours = neighbours

    def warm_up(self) -> None:
        """Compile every kernel of the request path and map the pages of the bundle."""
        for lists in self.engine.warm_up():
            reasons = explain(self.engine, lists)
            # Also where nothing was left to look for: numba compiles it now, not for the first who needs it.
            tie(self.engine, lists, reasons)
            data = self._encoder.encode(lists, draw_ids(len(lists)), reasons)
            merge([data, b""], np.zeros(len(lists), np.int64))
        for exploration in self._explorations.values():
            self.engine.warm_up(Rules(draws=Draws.of(exploration, draw_ids(1))))
        for explained in (True, False):
            self._single.answer("", 1, np.empty(0, np.int32), Rules(), draw_ids(1), Arm.PRODUCTION, explained=explained)
        if self._tastes is not None:
            self._tastes.warm_up()

    async def rank_and_encode(self, query: Query, excluded: Array, arm: Arm = Arm.PRODUCTION) -> Answered:
        """Every user and taste in the order asked; nothing is counted or remembered before `note`.

        excluded: from `exclude`. Few are one batch; many are several, as many at a time as there are processors.
        """
        answered = await self._rank_and_encode(query, excluded, arm)
        if query.counterfactual is None:
            return answered
        return await self._counterfactuals.add(answered, excluded, self.rules)

    async def _rank_and_encode(self, query: Query, excluded: Array, arm: Arm) -> Answered:
        if self._explorations and arm in self._explorations and query.mode is Mode.LIVE:
            return await self._in_batches(query, excluded, arm, self._explorations[arm])
        if query.is_single and (batch_of_one := self._answer_single(query, excluded, arm)) is not None:
            return Answered((batch_of_one,), arm)
        if query.is_single_taste and (batch_of_one := await self._answer_taste(query, excluded, arm)) is not None:
            return Answered((batch_of_one,), arm)
        return await self._in_batches(query, excluded, arm, None)

    async def _in_batches(self, query: Query, excluded: Array, arm: Arm, exploration: Exploration | None) -> Answered:
        if len(query) <= AT_ONCE:
            return Answered((await self._batch(query, excluded, arm, exploration),), arm)
        places = asyncio.Semaphore(PROCESSORS)

        async def batch(first: int) -> Batch:
            async with places:
                return await self._batch(query.part(first, BATCH_USERS), excluded, arm, exploration)

        return Answered(await asyncio.gather(*map(batch, range(0, len(query), BATCH_USERS))), arm)

    @property
    def version(self) -> str:
        """The version that answers."""
        return self.engine.version

    def exclude(self, query: Query) -> Array:
        """What must not come back for anybody, as rows of this version."""
        return self.engine.find_playlists(query.exclude_playlist_ids)

    def note(self, answered: Answered, tally: AnswerCounter | None) -> None:
        """Count and remember what is sent."""
        for batch in answered.batches:
            for ranked in batch.ranked:
                self.count(ranked.lists, tally)
                if self._history is not None:
                    shown = self.show(ranked.lists, ranked.drawn, answered.arm, batch.query, batch.exploration)
                    self.remember(shown)

    def rules(self, query: Query, blocked: Sequence[Blocked], first: int, count: int) -> Rules:
        """The rules for `count` users from place `first` on; what is blocked for them as rows of this version."""
        last = first + count
        here = [{place - first: ids for place, ids in b.items() if first <= place < last} for b in blocked if b]
        return Rules(
            self.engine.block(count, *here), query.max_per_owner, query.max_song_overlap, query.max_song_containment,
            query.adventurous, query.calibration, self._hidden(query.ids(first, last)),
        )  # fmt: skip

    def _hidden(self, user_ids: Sequence[str]) -> Sequence[int]:
        """Places of erased users."""
        return () if self._history is None else self._history.erased(user_ids)

    def _answer_single(self, query: Query, excluded: Array, arm: Arm) -> Batch | None:
        """As _batch, for one known user in one step; None: the user's songs have to be searched with first."""
        blocked = () if self._history is None else (self._history.blocked(query.user_ids, query.at or self._now()),)
        rules, drawn, started = self.rules(query, blocked, 0, 1), draw_ids(1), time.perf_counter()
        if rules.hidden:
            return None
        answer = self._single.answer(
            query.user_ids[0], query.limit, excluded, rules, drawn, arm, explained=query.explain
        )
        if answer is None:
            return None
        self._telemetry.time_inference(time.perf_counter() - started)
        data, lists = answer
        return Batch(query, data, (Ranked(lists, drawn, None),), blocked)

    async def _answer_taste(self, query: Query, excluded: Array, arm: Arm) -> Batch | None:
        """As _batch, for one taste whose neighbours are counted at once; None: a thread counts them, or the index."""
        tastes, taste = self._tastes, query.tastes[0]
        # Hundreds of names are looked up in a thread, as those of many tastes are.
        if tastes is None or len(taste.songs) > FIND_AT_ONCE or not (found := tastes.count(taste)).counted:
            return None
        blocked = () if self._history is None else (self._history.blocked((taste.user_id,), query.at or self._now()),)
        rules, drawn = self.rules(query, blocked, 0, 1), draw_ids(1)
        if rules.hidden:
            return None
        near = await (here if tastes.is_cheap else asyncio.to_thread)(tastes.nearest, taste, found, excluded, rules)
        data, lists = tastes.answer(
            taste, found, near, query.limit, excluded, rules, drawn, arm, explained=query.explain
        )
        if found.songs.size:
            self._telemetry.count_searches(LOCAL, 1)
        for step in steps_of(lists.sources[0], found=found.near.size > 0):
            self._telemetry.count_cold(step, 1)
        return Batch(query, data, (Ranked(lists, drawn, None),), blocked)

    async def _batch(self, query: Query, excluded: Array, arm: Arm, exploration: Exploration | None) -> Batch:
        past = await self.read_past(query)
        lists, drawn = await self.rank(query, excluded, past, exploration)
        ranked, data = await run_for(len(query))(self._finish, query, lists, drawn, past.skipped, arm)
        return Batch(query, data, ranked, past.blocked, exploration)

    async def read_past(self, query: Query) -> Past:
        """What must not come back for the listeners of a query, the same for every version."""
        return await read_blocked(self._history, query, query.at or self._now(), self._budgets.store_s)

    async def rank(
        self, query: Query, excluded: Array, past: Past, exploration: Exploration | None = None
    ) -> tuple[list[RankedLists], list[bytes]]:
        """The lists of user_ids, then those of tastes, where there are any, without reasons and bytes; the random bytes
        of their ids, which places are drawn with.
        """
        blocked, run = past.blocked, run_for(len(query))
        # Nothing blocked, as for nearly all, has nothing to look up: not worth a thread's start.
        run_rules = run if any(blocked) else here
        known, lists, drawn = len(query.user_ids), [], []
        ranker = self._ranker
        for first, count, rank in ((0, known, ranker.rank_users), (known, len(query.tastes), ranker.rank_tastes)):
            if not count:
                continue
            rules = await run_rules(self.rules, query, blocked, first, count)
            drawn.append(self._draw(count))
            if exploration is not None:
                rules = replace(rules, draws=Draws.of(exploration, drawn[-1]))
            lists.append(await rank(query, excluded, rules, run))
        return lists, drawn

    def _finish(
        self,
        query: Query,
        lists: Sequence[RankedLists],
        drawn: Sequence[bytes],
        skipped: tuple[Skipped, ...],
        arm: Arm,
    ) -> tuple[list[Ranked], bytes]:
        """The lists with ids and reasons, and the bytes; any thread may do it."""
        ranked = []
        for some, ids in zip(lists, drawn, strict=True):
            labelled = some.skip(skipped)
            reasons = explain(self.engine, labelled) if query.explain else None
            ranked.append(Ranked(labelled, ids, reasons))
        return ranked, encode_ordered(self._encoder, ranked, query.refused, arm)

    def encode(self, lists: RankedLists, drawn: bytes, arm: Arm, *, explained: bool) -> bytes:
        """Lists, with their reasons where `explained`, as fields of a RecommendResponse; any thread may do it."""
        return self._encoder.encode(lists, drawn, explain(self.engine, lists) if explained else None, arm=arm)

    def count(self, lists: RankedLists, tally: AnswerCounter | None) -> None:
        """Count lists that are sent."""
        sources = count_sent(self._telemetry, lists)
        if tally is not None:
            tally.add(lists, sources)

    def show(
        self, lists: RankedLists, drawn: bytes, arm: Arm, query: Query, exploration: Exploration | None = None
    ) -> Shown:
        """Lists that are sent, to be remembered. drawn: the random bytes of their ids."""
        return Shown.of(
            lists, ids_of(drawn), query, self.engine.bundle, model_version=self.engine.version, arm=arm,
            at=query.at or self._now(), exploration=exploration,
        )  # fmt: skip

    def remember(self, shown: Shown) -> None:
        """Remember what is sent, where anything is."""
        if self._history is not None:
            record(self._history, self._telemetry, shown)

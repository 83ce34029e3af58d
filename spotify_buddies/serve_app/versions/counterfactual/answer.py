"""Counterfactuals written into an answer that was ranked and encoded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking import cold
from spotify_buddies.serve_app.ranking.encoding import Answered, Batch
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.history import Blocked
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.serve_app.telemetry.metrics import Telemetry
from spotify_buddies.serve_app.versions.batch_ranking import BatchRanker
from spotify_buddies.serve_app.versions.counterfactual.search import (
    Allowance,
    Listed,
    Lists,
    Outcome,
    SearchEnded,
    Songs,
    Unverified,
    find,
)
from spotify_buddies.serve_app.versions.counterfactual.songs import ListenerSongs

Array = npt.NDArray[Any]
# The rules for `count` users from place `first` on: of a query, what is blocked in it, first and count.
RulesOf = Callable[[Query, Sequence[Blocked], int, int], Rules]

# Fewer, and no taste is left without one of them.
LEAST_SONGS = 2


@dataclass(frozen=True)
class Limits:
    """Lists that are computed for the counterfactuals of one query, and the longest that it may take, in seconds."""

    rankings: int = 600
    within_s: float = 0.5


DEFAULTS = Limits()


class _Listener(NamedTuple):
    """One listener of an answer: place among user_ids and then tastes, id, songs as rows, and the message."""

    place: int
    user_id: str
    songs: Array
    answer: pb.Recommendation


class _Search(NamedTuple):
    """One playlist of a listener's list; lists: those of the listener."""

    listener: _Listener
    lists: Lists
    playlist: pb.RecommendedPlaylist


class Counterfactuals:
    """Searches counterfactuals with one engine.

    It holds nothing of the Answers that hold it: a version is freed with its last reference, without a collection.
    """

    def __init__(self, engine: Engine, ranker: BatchRanker, limits: Limits, telemetry: Telemetry) -> None:
        self._engine, self._ranker, self._limits = engine, ranker, limits
        self._songs, self._telemetry = ListenerSongs(engine.bundle), telemetry

    async def add(self, answered: Answered, excluded: Array, rules: RulesOf) -> Answered:
        """The answer with a counterfactual for each playlist that its queries ask for. Others get their turns.

        excluded: playlist rows, ascending. rules: Answers.rules of the same version. Every search has an equal share of
        what is left of the limits; what some do not use is for those that need more.
        """
        left = Allowance(self._limits.rankings, time.monotonic() + self._limits.within_s)
        return replace(answered, batches=[await self._add(batch, excluded, rules, left) for batch in answered.batches])

    async def _add(self, batch: Batch, excluded: Array, rules: RulesOf, left: Allowance) -> Batch:
        message = pb.RecommendResponse.FromString(batch.data)
        searches: list[_Search] = []
        for listener in self._listeners(batch, message):
            own = rules(batch.query, batch.blocked, listener.place, 1)
            lists = Lists(self._rank_of(batch.query, listener, excluded, own))
            searches += [_Search(listener, lists, playlist) for playlist in _chosen(batch.query, listener.answer)]
        waiting: list[_Search] = searches
        ended = len(waiting)
        while waiting and ended:
            short = []
            for number, search in enumerate(waiting):
                share = left.share(len(waiting) - number)
                before = share.rankings
                if not await self._search(batch.query, search, share):
                    short.append(search)
                left.rankings -= before - share.rankings
            # Each list is computed once, so that a search goes on where it ended.
            waiting, ended = short, len(waiting) - len(short)
        for search in searches:
            found = search.playlist.counterfactual
            self._telemetry.count_counterfactual(Outcome(found.outcome).name.lower(), found.rankings)
        return replace(batch, data=message.SerializeToString())

    def _listeners(self, batch: Batch, message: pb.RecommendResponse) -> Iterator[_Listener]:
        answers = iter([answer for answer in message.recommendations if not answer.HasField("error")])
        bundle, place = self._engine.bundle, 0
        for ranked in batch.ranked:
            lists = ranked.lists
            for user_id, row in zip(lists.user_ids, lists.song_rows.tolist(), strict=True):
                songs = np.empty(0, np.int32)
                if row >= 0:
                    known = lists.songs is bundle.user_songs
                    songs = cold.libraries(bundle, np.array([row])).row(0) if known else lists.songs.row(row)
                yield _Listener(place, user_id, np.asarray(songs), next(answers))
                place += 1

    def _rank_of(self, query: Query, listener: _Listener, excluded: Array, rules: Rules) -> Callable[..., Any]:
        songs, columns = listener.songs, self._engine.bundle.manifest.songs

        async def rank(sets: Sequence[Songs]) -> list[Listed]:
            kept = await asyncio.to_thread(_without, songs, sets, columns)
            lists, failed = await self._ranker.rank_songs(
                listener.user_id, kept, query.limit, excluded, _for_all(rules, len(sets)), asyncio.to_thread
            )
            if failed:
                raise Unverified
            counts = lists.counts.tolist()
            return [
                Listed(tuple(rows[:count]), tuple(scores[:count]))
                for rows, scores, count in zip(lists.rows.tolist(), lists.scores.tolist(), counts, strict=True)
            ]

        return rank

    async def _search(self, query: Query, search: _Search, share: Allowance) -> bool:
        """Write the counterfactual of one playlist into it; whether the share reached."""
        listener, lists, playlist = search
        found, before = playlist.counterfactual, lists.computed
        (row,) = self._engine.find_playlists([playlist.playlist_id]).tolist()
        try:
            if query.counterfactual is None or listener.songs.size < LEAST_SONGS:
                raise SearchEnded(Outcome.FEW_SONGS)
            most = min(query.counterfactual.max_songs, listener.songs.size - 1)
            pool = await asyncio.to_thread(self._songs.pool, listener.songs, row, most)
            songs = await find(lists, row, pool, most, share)
            found.outcome = pb.CounterfactualOutcome.ValueType(Outcome.FOUND)
            found.songs.extend(map(self._songs.message, songs))
            whole, without = await lists.without([frozenset(), frozenset(songs)], share)
            new = [other for other in without.rows if other not in whole.rows]
            found.replaced_by = self._engine.playlist_ids[new[0]] if new else ""
        except SearchEnded as ended:
            found.outcome = pb.CounterfactualOutcome.ValueType(ended.outcome)
        found.rankings += lists.computed - before
        return found.outcome != pb.COUNTERFACTUAL_OUTCOME_BUDGET_SPENT


def _chosen(query: Query, answer: pb.Recommendation) -> list[pb.RecommendedPlaylist]:
    asked = query.counterfactual
    if asked is None:
        return []
    named = [p for p in answer.playlists if p.playlist_id in asked.playlist_ids] if asked.playlist_ids else None
    return list(answer.playlists if named is None else named)[: asked.max_playlists]


def _without(songs: Array, sets: Sequence[Songs], columns: int) -> Csr:
    """The songs without each of the sets."""
    return Csr.from_rows([songs[~np.isin(songs, list(left_out))] for left_out in sets], columns)


def _for_all(rules: Rules, count: int) -> Rules:
    """The rules of one user for so many lists of the same one."""
    blocked = None if rules.blocked is None else rules.blocked.take(np.zeros(count, np.int64))
    return replace(rules, blocked=blocked, hidden=range(count) if rules.hidden else ())

"""The memory of users as the ranking needs it: what must not come back, and what was shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol, cast

import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.errors import HistoryUnavailable
from spotify_buddies.serve_app.ranking.query import Arm, Query, RankedLists, Skipped, Source
from spotify_buddies.serve_app.ranking.rules import Exploration
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]
# Playlist ids that must not come back, by place of the user in a query.
Blocked = Mapping[int, Sequence[str]]


@dataclass(frozen=True)
class Shown:
    """The lists of one answer, as they were sent, columnar: they are split into rows off the request path.

    user_ids, recommendation_ids, sources: one entry per user. rows int32 (n, limit) playlist rows, best first, of
    which counts[i] are filled; playlist_ids: the ids by row. at: when, in UTC.

    What follows may be missing. scores float32 (n, limit), of rows. propensities float32 (n, limit): the probability
    that the playlist stood at its rank, given the places before it; None: each is 1. skipped: the steps that were left
    out, one entry per user. candidates: uint64 (n,), hashes (kernels.fold_lists) of candidates that were found for this
    answer; 0: none were. held, held_rows int32 (n,): the candidates that the version holds and each user's row in them,
    -1 for none; their hashes are made where the rows are written, many in one call, since they follow from the version
    alone. asked: what was asked, a serialized buddies.v1.RecommendRequest without its users, and how places were drawn
    where they were (rules.FIELD); None: it was too long. tastes: one entry per user, the bytes of a field that follow
    `asked`: the taste without its user_id; None: it was too long. computed: when the lists of source DAILY were
    computed, in Unix seconds; None: there are none, or nobody says. picked_by: one entry per user, the version that
    picked each playlist of a list drafted from two; None: model_version made it.
    """

    user_ids: tuple[str, ...]
    recommendation_ids: tuple[str, ...]
    sources: tuple[Source, ...]
    rows: Array
    counts: Array
    playlist_ids: Sequence[str]
    model_version: str
    arm: str
    at: datetime
    scores: Array | None = None
    propensities: Array | None = None
    skipped: tuple[tuple[Skipped, ...], ...] | None = None
    candidates: Array | None = None
    held: Csr | None = None
    held_rows: Array | None = None
    asked: bytes | None = None
    tastes: tuple[bytes | None, ...] | None = None
    computed: int | None = None
    picked_by: tuple[tuple[str, ...], ...] | None = None

    @classmethod
    def of(
        cls,
        lists: RankedLists,
        recommendation_ids: tuple[str, ...],
        query: Query,
        bundle: Bundle,
        *,
        model_version: str,
        arm: Arm,
        at: datetime,
        exploration: Exploration | None,
    ) -> Shown:
        """Lists that a query was answered with. exploration: how their places were drawn; None: they were not."""
        # Of users the rows of their songs are those of their candidates too; of tastes they are not.
        known = lists.songs is bundle.user_songs
        asked, playlist_ids = query.asked, cast("Sequence[str]", bundle.playlist_ids.table)
        if asked is not None and exploration is not None:
            asked += exploration.field
        return cls(
            lists.user_ids, recommendation_ids, lists.sources, lists.rows, lists.counts, playlist_ids,
            model_version=model_version, arm=arm.label, at=at,
            scores=lists.scores, propensities=lists.propensities, skipped=lists.skipped, candidates=lists.candidates,
            computed=lists.computed,
            held=bundle.candidates if known else None, held_rows=lists.song_rows if known else None,
            asked=asked, tastes=None if known else tuple([taste.asked for taste in query.tastes]),
        )  # fmt: skip

    @property
    def unasked(self) -> int:
        """How many lists are remembered without what was asked."""
        if self.asked is None:
            return len(self.user_ids)
        return 0 if self.tastes is None else self.tastes.count(None)

    def take(self, places: Sequence[int]) -> Shown:
        """The lists at these places alone."""
        chosen = list(places)

        def rows(array: Array | None) -> Array | None:
            return None if array is None else array[chosen]

        return replace(
            self,
            user_ids=tuple(self.user_ids[place] for place in chosen),
            recommendation_ids=tuple(self.recommendation_ids[place] for place in chosen),
            sources=tuple(self.sources[place] for place in chosen),
            rows=self.rows[chosen],
            counts=self.counts[chosen],
            scores=rows(self.scores),
            propensities=rows(self.propensities),
            skipped=None if self.skipped is None else tuple(self.skipped[place] for place in chosen),
            candidates=rows(self.candidates),
            held_rows=rows(self.held_rows),
            tastes=None if self.tastes is None else tuple(self.tastes[place] for place in chosen),
            picked_by=None if self.picked_by is None else tuple(self.picked_by[place] for place in chosen),
        )


class History(Protocol):
    """The memory of the service. Nothing here may hold up an answer: only `seen` awaits, and only when it is asked."""

    def blocked(self, user_ids: Sequence[str], now: datetime) -> Mapping[int, Sequence[str]]:
        """Playlist ids that must not come back now (disliked, or not wanted for a time), by place in user_ids.

        From memory; users without any are left out, so the mapping is mostly empty.
        """

    def erased(self, user_ids: Sequence[str]) -> Sequence[int]:
        """Places in user_ids of erased listeners, who are answered as if no version knew them; mostly none."""

    async def seen(
        self, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool
    ) -> Mapping[int, Sequence[str]]:
        """Playlist ids that were shown or liked since then, by place in user_ids. HistoryUnavailable: no answer."""

    def record(self, shown: Shown) -> None:
        """Remember an answer, in the background. Never blocks and never raises; what is lost is counted."""


class Past(NamedTuple):
    """What must not come back, by place among user_ids and then tastes. skipped: SEEN where that could not be read."""

    blocked: Sequence[Blocked]
    skipped: tuple[Skipped, ...] = ()


async def read_blocked(history: History | None, query: Query, now: datetime, within_s: float) -> Past:
    """What must not come back for the listeners of a query, as far as it can be read in time.

    history: None remembers nothing. Nothing is awaited where what was seen does not matter.
    """
    seen = query.exclude_seen
    if history is None:
        return Past((), (Skipped.SEEN,) if seen else ())
    user_ids = (*query.user_ids, *(taste.user_id for taste in query.tastes))
    blocked = history.blocked(user_ids, now)
    if seen is None:
        return Past((blocked,))
    try:
        async with asyncio.timeout(within_s):
            since = now - timedelta(seconds=seen.window_s)
            met = await history.seen(user_ids, since, shown=seen.shown, liked=seen.liked)
    except (TimeoutError, HistoryUnavailable):
        return Past((blocked,), (Skipped.SEEN,))
    return Past((blocked, met))

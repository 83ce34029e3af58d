"""The memory of users as the ranking needs it: what must not come back, and what was shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking.query import Skipped, Source

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Shown:
    """The lists of one answer, as they were sent, columnar: they are split into rows off the request path.

    user_ids, recommendation_ids, sources: one entry per user. rows int32 (n, limit) playlist rows, best first, of
    which counts[i] are filled; playlist_ids: the ids by row. at: when, in UTC.

    What follows may be missing. scores float32 (n, limit), of rows. propensities float32 (n, limit): the probability
    that the playlist stood at its rank; None: each is 1. skipped: the steps that were left out, one entry per user.
    candidates: uint64 (n,), hashes (kernels.fold_lists) of candidates that were found for this answer; 0: none were.
    held, held_rows int32 (n,): the candidates that the version holds and each user's row in them, -1 for none; their
    hashes are made where the rows are written, many in one call, since they follow from the version alone. asked: what
    was asked, a serialized buddies.v1.RecommendRequest without its users; None: it was too long. tastes: one entry per
    user, the bytes of a field that follow `asked`: the taste without its user_id; None: it was too long. picked_by: one
    entry per user, the version that picked each playlist of a list drafted from two; None: model_version made it.
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
    picked_by: tuple[tuple[str, ...], ...] | None = None

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

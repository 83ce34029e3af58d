"""Answers as they are sent, and what they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spotify_buddies.serve_app.ranking.encoding.ordered import Ranked
from spotify_buddies.serve_app.ranking.history import Blocked
from spotify_buddies.serve_app.ranking.query import Arm, Query
from spotify_buddies.serve_app.ranking.rules import Exploration


@dataclass(frozen=True)
class Batch:
    """A part of a query and its answer: the fields of a RecommendResponse, and what they were made of.

    blocked: what must not come back, by place among user_ids and then tastes. exploration: how places were drawn; None:
    they were not.
    """

    query: Query
    data: bytes
    ranked: Sequence[Ranked]
    blocked: Sequence[Blocked]
    exploration: Exploration | None = None


@dataclass(frozen=True)
class Answered:
    """The answer to a whole query, batch by batch, in the order asked."""

    batches: Sequence[Batch]
    arm: Arm

    @property
    def data(self) -> bytes:
        """The fields of a RecommendResponse."""
        return self.batches[0].data if len(self.batches) == 1 else b"".join(batch.data for batch in self.batches)

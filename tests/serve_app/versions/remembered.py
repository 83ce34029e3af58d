"""A history in memory, and answers of one version with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.errors import HistoryUnavailable
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TASTE = pb.Taste(user_id="user-1", songs=[pb.Song(song_id="SO0004")])


@dataclass
class Memory:
    """A history in memory.

    met: user to [(playlist, when, how)]; gone: erased; wait: never answer; away: cannot be read.
    """

    disliked: dict[str, list[str]] = field(default_factory=dict)
    met: dict[str, list[tuple[str, datetime, str]]] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    wait: bool = False
    away: bool = False
    asked: int = 0
    times: list[datetime] = field(default_factory=list)

    def blocked(self, user_ids: Sequence[str], now: datetime) -> Mapping[int, Sequence[str]]:
        self.times.append(now)
        return {i: self.disliked[user] for i, user in enumerate(user_ids) if user in self.disliked}

    def erased(self, user_ids: Sequence[str]) -> Sequence[int]:
        return [place for place, user_id in enumerate(user_ids) if user_id in self.gone]

    async def seen(
        self, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool
    ) -> Mapping[int, Sequence[str]]:
        self.asked += 1
        if self.wait:
            await asyncio.Event().wait()
        if self.away:
            raise HistoryUnavailable("down")
        wanted = [how for how, asked in (("shown", shown), ("liked", liked)) if asked]
        return {
            i: [playlist for playlist, when, how in self.met[user] if when >= since and how in wanted]
            for i, user in enumerate(user_ids)
            if user in self.met
        }

    def record(self, shown: Shown) -> None:
        self.shown.append(shown)


def answers(engine: Engine, history: Memory | None = None, **given: Any) -> Rotation:
    budgets = Budgets(neighbours_s=0.05, store_s=0.05 if history and history.wait else 5.0)
    made = Answers(
        engine, budgets=budgets, history=history, telemetry=Silent(), now=lambda: NOW, **{"daily": None, **given}
    )
    return Rotation(Assignment(ArmAnswers(made)))


def ask(made: Rotation, query: Query | None = None, **fields: Any) -> list[pb.Recommendation]:
    wanted = query or decode_query(pb.RecommendRequest(**fields))
    return list(pb.RecommendResponse.FromString(asyncio.run(made.route(wanted))).recommendations)


def ids(answer: pb.Recommendation) -> list[str]:
    return [p.playlist_id for p in answer.playlists]


def best(engine: Engine, user: str, count: int) -> list[str]:
    lists = engine.rank_known([user], count, np.empty(0, np.int32))
    return [f"list-{row}" for row in lists.rows[0]]


def service(engine: Engine, history: Memory | None = None) -> Service:
    budgets = Budgets(0.05, 0.05)
    return Service(engine, model="m", budgets=budgets, feedback=None, daily=None, telemetry=Silent(), history=history)


def stream(engine: Engine, *, part_size: int, **fields: Any) -> list[pb.RecommendStreamResponse]:
    request = pb.RecommendStreamRequest(request=pb.RecommendRequest(**fields), part_size=part_size)

    async def call() -> list[pb.RecommendStreamResponse]:
        return [
            pb.RecommendStreamResponse.FromString(part.SerializeToString())
            async for part in service(engine).recommend_stream(request)
        ]

    return asyncio.run(call())

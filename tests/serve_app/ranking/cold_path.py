"""Neighbour indexes that answer, fail or never do, and calls on the cold path with the steps they count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.errors import NeighboursUnavailable
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Taste
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Budgets
from tests.serve_app.bundles import USERS

NONE = np.empty(0, np.int32)
ROCK = Taste("x", ("SO0004", "SO0010"))  # songs 4 and 10, of genre 0


class Steps(Silent):
    def __init__(self) -> None:
        self.steps: dict[str, int] = {}
        self.searches: dict[str, int] = {}

    def count_cold(self, step: str, count: int) -> None:
        self.steps[step] = self.steps.get(step, 0) + count

    def count_searches(self, where: str, tastes: int) -> None:
        if tastes:
            self.searches[where] = self.searches.get(where, 0) + tastes


class Answering:
    def __init__(self, answer: Callable[[Csr, int], Awaitable[Csr]]) -> None:
        self.search = answer


def near(*users: int) -> Csr:
    cosines = np.linspace(1, 0.5, len(users)).astype(np.float32)
    return Csr(np.array([0, len(users)]), np.array(users, np.int32), USERS, cosines)


def answering(neighbours: Csr) -> Answering:
    async def answer(tastes: Csr, k: int) -> Csr:
        return neighbours

    return Answering(answer)


async def never(tastes: Csr, k: int) -> Csr:
    await asyncio.Event().wait()
    raise AssertionError


async def fail(tastes: Csr, k: int) -> Csr:
    raise NeighboursUnavailable("down")


def ask(
    engine: Engine, neighbours: Any, *, budget_s: float = 60.0, **fields: Any
) -> tuple[pb.RecommendResponse, dict[str, int]]:
    answered, telemetry = ask_counting(engine, neighbours, 0, budget_s=budget_s, **fields)
    return answered, telemetry.steps


def ask_counting(
    engine: Engine, neighbours: Any, listeners: int, *, budget_s: float = 60.0, **fields: Any
) -> tuple[pb.RecommendResponse, Steps]:
    """As ask, of a service that counts by itself the neighbours of tastes with up to so many listeners."""
    telemetry, budgets = Steps(), Budgets(budget_s, 0.05, listeners)
    service = Service(engine, model="m", budgets=budgets, feedback=None, daily=None, telemetry=telemetry)
    if neighbours is not None:
        service.use_neighbours(neighbours)
    encoded = asyncio.run(service.recommend(pb.RecommendRequest(**fields)))
    return pb.RecommendResponse.FromString(encoded.SerializeToString()), telemetry


def taste(*songs: str, user_id: str = "x") -> pb.Taste:
    return pb.Taste(user_id=user_id, songs=[pb.Song(song_id=song) for song in songs])

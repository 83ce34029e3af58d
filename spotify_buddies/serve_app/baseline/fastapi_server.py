"""The published way to serve: FastAPI in front of a pool with one worker process, which ranks; and Redis.

As the first system did it: the HTTP process validates JSON, hands the user ids to a process pool, waits, writes the
lists to the hash `playlist` in Redis, waits for that too, counts, and answers; a background task observes as many
values of a histogram as there are playlists, and a middleware times every request. Its Redis was reached over TCP; here
it is a unix socket.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import BackgroundTasks, FastAPI
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_fastapi_instrumentator import Instrumentator
from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis

PATH = "/api/playlist/recommend/"
# The hash in Redis: user id -> JSON list of playlist ids.
STORED = "playlist"


class Asked(BaseModel):
    """Body of a request."""

    # The published ids are numbers; here they are opaque strings.
    model_config = ConfigDict(coerce_numbers_to_str=True)

    user_ids: list[str]


class Recommended(BaseModel):
    """One user's part of an answer."""

    user_id: str
    playlists: list[str]


@dataclass(frozen=True)
class Ranking:
    """The work of the pool. open_model: once in each worker, with the bundle; rank: lists of ids for user ids."""

    open_model: Callable[[Path], None]
    rank: Callable[[list[str]], list[list[str]]]


class Metrics:
    """The published counts."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.asked = Counter("inference_requests_total", "Users asked for.", registry=registry)
        self.places = Histogram("inference_diversity", "Playlists that were recommended.", registry=registry)

    def observe(self, lists: list[list[str]]) -> None:
        """One value for each playlist."""
        for playlists in lists:
            for place in range(len(playlists)):
                self.places.observe(place)


def make_app(pool: Executor, ranking: Ranking, cache: Redis, ready: Callable[[], None]) -> FastAPI:
    """The application. pool: its workers have opened the ranking's model. ready: called once calls can be answered."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        await asyncio.get_running_loop().run_in_executor(pool, ranking.rank, [""])
        ready()
        yield
        await cache.aclose()

    app, metrics = FastAPI(lifespan=lifespan), Metrics()
    Instrumentator(registry=metrics.registry).instrument(app)

    @app.post(PATH)
    async def recommend(asked: Asked, later: BackgroundTasks) -> list[Recommended]:
        lists = await asyncio.get_running_loop().run_in_executor(pool, ranking.rank, asked.user_ids)
        found = list(zip(asked.user_ids, lists, strict=True))
        if found:
            await cache.hset(STORED, mapping={user: json.dumps(playlists) for user, playlists in found})
        later.add_task(metrics.observe, lists)
        metrics.asked.inc(len(lists))
        return [Recommended(user_id=user, playlists=playlists) for user, playlists in found]

    return app


def serve_fastapi(
    bundle: Path, ranking: Ranking, redis_url: str, host: str, port: int, ready: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM. ready: called with host:port once calls can be answered."""
    # A process of its own, not a fork of one with threads.
    spawning = multiprocessing.get_context("spawn")
    with (
        socket.create_server((host, port), backlog=2_048) as listener,
        ProcessPoolExecutor(1, spawning, ranking.open_model, (bundle,)) as pool,
    ):
        app = make_app(pool, ranking, Redis.from_url(redis_url), lambda: ready(f"{host}:{port}"))
        with suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])

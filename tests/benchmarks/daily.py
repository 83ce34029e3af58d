"""Lists of the day: users a second into a real Valkey on this machine, bytes a user, reading; beside one SET a user.

    python tests/benchmarks/daily.py                  100,000 users x 180,000 playlists x d 128 x 75 candidates, random
    python tests/benchmarks/daily.py --users 1000000  more of them
    python tests/benchmarks/daily.py --json

Both ways score every user and write the best 50 playlists; they take turns in one process on the same threads, the
figures are the medians of the rounds. One SET a user is what the first release did: an entry of row and score (8
bytes) for every playlist, a pipeline for every 1,000 users.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import processors
from spotify_buddies.serve_app.daily.kernels import best
from spotify_buddies.serve_app.daily.read import stored_lists
from spotify_buddies.serve_app.daily.run import run_daily
from spotify_buddies.serve_app.daily.score import inputs, score
from spotify_buddies.serve_app.daily.space import LENGTH, new_space
from spotify_buddies.serve_app.embedded import valkey
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.trainer.bundle import Bundle

SET_BLOCK = 1000
READS = 200


@dataclass(frozen=True)
class _Manifest:
    users: int
    playlists: int


@dataclass(frozen=True)
class _Arrays:
    """The part of a bundle that lists are made of."""

    user_factors: Any
    playlist_factors: Any
    candidates: Csr
    owner: Any
    manifest: _Manifest
    sha256: str = "0" * 64


@dataclass(frozen=True)
class _Engine:
    bundle: Bundle
    version: str = "7"


def made_up(users: int, playlists: int, dimension: int, candidates: int) -> Bundle:
    rng = np.random.default_rng(1)
    indices = rng.integers(0, playlists, users * candidates, dtype=np.int32)
    indptr = np.arange(users + 1, dtype=np.int64) * candidates
    factors = [rng.standard_normal((rows, dimension), np.float32) for rows in (users, playlists)]
    owner = rng.integers(0, users, playlists, dtype=np.int32)
    arrays = _Arrays(*factors, Csr(indptr, indices, playlists), owner, _Manifest(users, playlists))
    return cast(Bundle, arrays)


def one_set_a_user(bundle: Bundle, store: Redis) -> None:
    """As the first release wrote: one thread, 1,000 SETs with EX a pipeline; scored with the kernel of today."""
    users, entry = bundle.manifest.users, np.dtype([("row", "<i4"), ("score", "<f4")])
    for first in range(0, users, SET_BLOCK):
        rows = np.arange(first, min(first + SET_BLOCK, users), dtype=np.int32)
        rows_of, scores = np.full((rows.size, LENGTH), -1, np.int32), np.zeros((rows.size, LENGTH), np.float32)
        best(
            first, bundle.user_factors, bundle.candidates.indptr, bundle.candidates.indices, bundle.playlist_factors,
            bundle.owner, rows_of, scores,
        )  # fmt: skip
        counts = (rows_of >= 0).sum(axis=1)
        pipeline = store.pipeline(transaction=False)
        for i, row in enumerate(rows):
            entries = np.empty(int(counts[i]), entry)
            entries["row"], entries["score"] = rows_of[i, : counts[i]], scores[i, : counts[i]]
            pipeline.set(f"daily:7:0000000000000000:{row}", entries.tobytes(), ex=3600)
        pipeline.execute()


def blocks(bundle: Bundle, store: Redis) -> None:
    run_daily(bundle, "7", store, model="m", now=datetime.now(UTC), ttl_s=3600)


def taken(way: Callable[[Bundle, Redis], None], bundle: Bundle, store: Redis) -> tuple[float, float]:
    """Users a second, and bytes of the store a user."""
    store.flushall(asynchronous=False)
    started = time.perf_counter()
    way(bundle, store)
    seconds = time.perf_counter() - started
    return bundle.manifest.users / seconds, _bytes(store) / bundle.manifest.users


def _bytes(store: Redis) -> float:
    """MEMORY USAGE of all keys, by the mean of a thousand. The server's total also counts what it has not freed yet."""
    pipeline = store.pipeline(transaction=False)
    for key in islice(store.scan_iter(count=1000), 1000):
        pipeline.memory_usage(key)
    return statistics.mean(pipeline.execute()) * store.dbsize()


def read_ms(url: str, bundle: Bundle, store: Redis) -> dict[str, float]:
    """Median milliseconds of one read, of 1 and of 1,000 users, in both forms."""
    engine, rng = cast(Engine, _Engine(bundle)), np.random.default_rng(2)
    asked = {n: [rng.integers(0, bundle.manifest.users, n).astype(np.int32) for _ in range(READS)] for n in (1, 1000)}

    async def medians(read: Callable[[Any, Any], Any]) -> dict[int, float]:
        async with AsyncRedis.from_url(url) as client:
            return {
                n: statistics.median([await _timed(read, client, rows) for rows in many]) for n, many in asked.items()
            }

    async def lists(client: Any, rows: Any) -> Any:
        assert (await stored_lists(engine, client, rows)).counts.all()

    async def mget(client: Any, rows: Any) -> Any:
        assert None not in await client.mget([f"daily:7:0000000000000000:{row}" for row in rows])

    one_set_a_user(bundle, store)
    old = asyncio.run(medians(mget))
    blocks(bundle, store)
    new = asyncio.run(medians(lists))
    return {
        **{f"read_{n}_ms": round(ms, 3) for n, ms in new.items()},
        **{f"read_{n}_one_set_a_user_ms": round(ms, 3) for n, ms in old.items()},
    }


async def _timed(read: Callable[[Any, Any], Any], client: Any, rows: Any) -> float:
    started = time.perf_counter()
    await read(client, rows)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--playlists", type=int, default=180_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    bundle = made_up(given.users, given.playlists, dimension=128, candidates=75)
    score(inputs(bundle, new_space("7", bundle, "warm", now=datetime.now(UTC), ttl_s=1, block_users=8), (0,)), 0, 1)
    rounds_of: dict[str, list[tuple[float, float]]] = {"blocks": [], "one_set_a_user": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, valkey(Path(directory) / "v") as url:
        store = Redis.from_url(url)
        for _ in range(given.rounds):
            for name, way in {"one_set_a_user": one_set_a_user, "blocks": blocks}.items():
                rounds_of[name].append(taken(way, bundle, store))
        reading = read_ms(url, bundle, store)
        store.close()
    rates = {name: statistics.median(rate for rate, _ in rounds) for name, rounds in rounds_of.items()}
    result = {
        "users": given.users,
        "threads": processors(),
        "users_per_s": round(rates["blocks"]),
        "one_set_a_user_users_per_s": round(rates["one_set_a_user"]),
        "ratio": round(rates["blocks"] / rates["one_set_a_user"], 2),
        **{
            f"{name}_bytes_per_user": round(statistics.median(size for _, size in rounds))
            for name, rounds in rounds_of.items()
        },
        **reading,
    }
    print(json.dumps(result, indent=1) if given.json else "\n".join(f"{k}: {v:,}" for k, v in result.items()))


if __name__ == "__main__":
    main()

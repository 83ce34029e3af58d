"""Lists of the day: every listener scored ahead into Redis, read back under a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from redis.exceptions import RedisError

from pairing.progress import Progress, silent
from serve_app.engine import Engine
from serve_app.query import Lists, Rules, Skipped, Source

Array = npt.NDArray[Any]

# Longest list kept: a request for more is scored live where the list was cut.
LENGTH = 50
_ENTRY = np.dtype([("row", "<i4"), ("score", "<f4")])
_NO_RULES = Rules()


class Writer(Protocol):
    """The part of redis.Redis that is used to write."""

    def pipeline(self, transaction: bool = True) -> Any:
        """A pipeline of commands."""


class Reader(Protocol):
    """The part of redis.asyncio.Redis that is used to read."""

    def mget(self, keys: Sequence[str]) -> Any:
        """The values of keys, None where there is none."""


def key_space(engine: Engine) -> str:
    """Prefix of one version's keys. Holds the bundle's hash: rows mean something only within one bundle."""
    return f"daily:{engine.version}:{engine.bundle.sha256[:16]}:"


def write_daily(
    engine: Engine, redis: Writer, *, ttl_s: int, block_users: int = 1_000, progress: Progress = silent
) -> int:
    """Score every user of the bundle and write the best LENGTH playlists of each; returns the lists written.

    Users whose list would be the popular one are left out: reading falls back to scoring live. Per block one pipeline
    without a transaction. RedisError when the store is away; what was written stays until its TTL.
    """
    users = engine.bundle.manifest.users
    prefix = key_space(engine)
    written = 0
    for start in range(0, users, block_users):
        rows = np.arange(start, min(start + block_users, users), dtype=np.int32)
        lists = engine.rank_rows(rows, LENGTH)
        pipeline = redis.pipeline(transaction=False)
        for i, row in enumerate(rows):
            if lists.sources[i] is Source.LIVE:
                pipeline.set(f"{prefix}{row}", _pack(lists, i), ex=ttl_s)
                written += 1
        pipeline.execute()
        progress("daily lists", int(rows[-1]) + 1, users, "users")
    return written


async def read_daily(
    engine: Engine, redis: Reader | None, live: Lists, excluded: Array, budget_s: float, rules: Rules = _NO_RULES
) -> Lists:
    """Put the lists of the day in the place of live ones, where there are any.

    live: what Engine.rank_known answered for the same request. It stays, marked DAILY_LIST skipped, for a listener
    without a list of the day, for one whose list cannot fill the answer once the excluded are gone and the rules kept
    (nothing is left of it, or less than asked for and more was cut off when it was written), and for everybody when the
    store does not answer within budget_s.
    """
    stored = _unpack(await _fetch(engine, redis, live, budget_s), engine.bundle.manifest.playlists)
    limit = live.rows.shape[1]
    rows, scores, counts = engine.pick(replace(live, **stored), live.song_rows, limit, excluded, rules)
    missing = (counts == 0) | ((stored["counts"] >= LENGTH) & (counts < limit))
    rows[missing], scores[missing], counts[missing] = live.rows[missing], live.scores[missing], live.counts[missing]
    sources, skipped = list(live.sources), list(live.skipped)
    for i, lacks in enumerate(missing.tolist()):
        if lacks:
            skipped[i] = (*skipped[i], Skipped.DAILY_LIST)
        else:
            sources[i] = Source.DAILY
    return replace(live, rows=rows, scores=scores, counts=counts, sources=tuple(sources), skipped=tuple(skipped))


async def _fetch(engine: Engine, redis: Reader | None, live: Lists, budget_s: float) -> Sequence[bytes | None]:
    nothing: list[bytes | None] = [None] * len(live)
    if redis is None or not len(live):
        return nothing
    prefix = key_space(engine)
    try:
        async with asyncio.timeout(budget_s):
            # Row -1 has no key, so an unknown listener reads nothing.
            found: Sequence[bytes | None] = await redis.mget([f"{prefix}{row}" for row in live.song_rows])
            return found
    except (RedisError, OSError, TimeoutError):
        return nothing


def _pack(lists: Lists, at: int) -> bytes:
    entries = np.empty(int(lists.counts[at]), _ENTRY)
    entries["row"] = lists.rows[at, : entries.size]
    entries["score"] = lists.scores[at, : entries.size]
    return entries.tobytes()


def _unpack(values: Sequence[bytes | None], playlists: int) -> dict[str, Array]:
    """Stored lists as the rows, scores (lists, LENGTH) and counts of a Lists.

    The store is shared and outside our control: a value that cannot be ours counts as missing.
    """
    entries = np.zeros((len(values), LENGTH), _ENTRY)
    counts = np.zeros(len(values), np.int32)
    for i, value in enumerate(values):
        if not value or len(value) % _ENTRY.itemsize or len(value) > LENGTH * _ENTRY.itemsize:
            continue
        found = np.frombuffer(value, _ENTRY)
        if found["row"].min() >= 0 and found["row"].max() < playlists:
            entries[i, : found.size] = found
            counts[i] = found.size
    return {
        "rows": np.ascontiguousarray(entries["row"]),
        "scores": np.ascontiguousarray(entries["score"]),
        "counts": counts,
    }

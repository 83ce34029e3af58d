"""A listener's lists of the day in Redis; their layout: spotify_buddies/serve_app/daily/space.py.

Lists stand under rows of a version and hold no id, so the version's bundle says which one it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from redis import Redis

from spotify_buddies.trainer.bundle import Bundle

INDEX = "daily:spaces:*"
ENTRY_BYTES = 4

# The bundle with a hash; None: it is not on this machine.
FindBundle = Callable[[str], Bundle | None]


@dataclass(frozen=True)
class DailyList:
    """Where a list lies. start: its first byte. row: -1: the version does not know the listener.

    bundle: None: it is not on this machine, so it is unknown where the list lies.
    """

    version: str
    day: str
    expires: str
    key: str
    start: int
    bytes: int
    bundle: Bundle | None
    row: int


def daily_lists(redis: Redis, user_id: str, find: FindBundle) -> Iterator[DailyList]:
    """The listener's place in every run of every version that Redis holds. RedisError."""
    for index in redis.scan_iter(match=INDEX, count=1_000):
        for raw in cast("dict[bytes, bytes]", redis.hgetall(index)).values():
            space = json.loads(raw)
            version, sha256, block = space["version"], space["sha256"], space["block_users"]
            bundle = find(sha256)
            row = -1 if bundle is None else int(bundle.user_ids.find([user_id])[0])
            size = space["length"] * ENTRY_BYTES
            yield DailyList(
                version, space["name"], space["expires"],
                f"daily:{{{version}-{sha256[:16]}}}:{space['name']}:{row // block}",
                row % block * size, size, bundle, row,
            )  # fmt: skip


def read_list(redis: Redis, one: DailyList) -> list[str]:
    """The playlists of a list, best first; empty where there is none. RedisError."""
    if one.bundle is None or one.row < 0:
        return []
    data = cast(bytes, redis.getrange(one.key, one.start, one.start + one.bytes - 1))
    rows = np.frombuffer(data[: len(data) // ENTRY_BYTES * ENTRY_BYTES], "<i4")
    ids = one.bundle.playlist_ids.table
    return [ids[row] for row in rows.tolist() if 0 <= row < len(ids)]


def erase_list(redis: Redis, one: DailyList) -> bool:
    """Put an empty list in its place; whether there was one. RedisError."""
    if not read_list(redis, one):
        return False
    # Readers take rows of -1 for no list; the value keeps its time to live.
    redis.setrange(one.key, one.start, cast(str, b"\xff" * one.bytes))
    return True

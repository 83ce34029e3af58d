"""The key space of one run in Redis, and the layout of its lists.

A run writes one key space: blocks of users in the order of their rows. Each block is one string of fixed-width lists,
so that Redis spends next to nothing on keys, and one list is a GETRANGE. A pointer of the version names the key space
that readers use. It is set once every block is there, so nobody reads half a run. All keys of a version share a hash
tag, and so a node of a Redis cluster.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from spotify_buddies.trainer.bundle import Bundle

# Playlists kept for each user: more than one request asks for, so that reading can leave some out.
LENGTH = 50
# Users of one block: 200 KiB a value.
BLOCK_USERS = 1024
ENTRY_BYTES = 4


class DailyError(Exception):
    """The lists of the day cannot be written or read; the message says what to do."""


@dataclass(frozen=True)
class Space:
    """One run's lists.

    version, sha256: the model version and the hash of its bundle; rows mean something only within one bundle.
    name: the day in UTC, with ".2" and so on for further runs of it. users: lists, one a row. length: entries of a
    list. block_users: lists of a block. created, expires: UTC; all keys of the run expire at one moment.
    complete: readers may use it. lists: how many users have one, known when it is complete.
    """

    version: str
    sha256: str
    name: str
    users: int
    created: datetime
    expires: datetime
    length: int = LENGTH
    block_users: int = BLOCK_USERS
    complete: bool = False
    lists: int = 0

    @property
    def field(self) -> str:
        """Its name in the index of all key spaces."""
        return f"{self.version}:{self.sha256[:16]}:{self.name}"

    @property
    def pointer(self) -> str:
        """The key that says which key space of the version is read."""
        return pointer(self.version, self.sha256)

    @property
    def pointed(self) -> str:
        """Value of the pointer when this one is read: name, users of a block, entries of a list, created.

        created: Unix seconds; a pointer of an earlier release ends before it.
        """
        return f"{self.name} {self.block_users} {self.length} {int(self.created.timestamp())}"

    def is_read(self, value: bytes | None) -> bool:
        """Whether this value of the pointer names it; one of an earlier release does so without the time."""
        return value is not None and value.split()[:3] == self.pointed.encode().split()[:3]

    @property
    def counts(self) -> str:
        """The hash of the finished blocks: users with a list, by block."""
        return f"{prefix(self.version, self.sha256)}{self.name}:lists"

    @property
    def blocks(self) -> int:
        """How many blocks hold the lists."""
        return -(-self.users // self.block_users)

    @property
    def expires_ms(self) -> int:
        """When its keys expire, in Unix milliseconds."""
        return round(self.expires.timestamp() * 1000)

    def key(self, block: int) -> str:
        """The key of a block."""
        return f"{prefix(self.version, self.sha256)}{self.name}:{block}"

    def rows(self, block: int) -> tuple[int, int]:
        """First and last user row of a block, last exclusive."""
        return block * self.block_users, min((block + 1) * self.block_users, self.users)

    def block_bytes(self, block: int) -> int:
        """Length of a finished block's value."""
        first, last = self.rows(block)
        return (last - first) * self.length * ENTRY_BYTES

    def finished(self, lists: int) -> Space:
        """The same with every block there."""
        return replace(self, complete=True, lists=lists)

    def to_json(self) -> str:
        """For the index."""
        return json.dumps(asdict(self), default=datetime.isoformat)


def new_space(version: str, bundle: Bundle, name: str, *, now: datetime, ttl_s: int, block_users: int) -> Space:
    """A key space that begins now and lives for ttl_s."""
    expires = now + timedelta(seconds=ttl_s)
    return Space(version, bundle.sha256, name, bundle.manifest.users, now, expires, block_users=block_users)


def from_json(text: bytes | str) -> Space | None:
    """An entry of the index; None: another release wrote it, in a form that this one does not know."""
    try:
        values: dict[str, Any] = json.loads(text)
        for name in ("created", "expires"):
            values[name] = datetime.fromisoformat(values[name]).astimezone(UTC)
        return Space(**values)
    except (ValueError, TypeError, KeyError):
        return None


def prefix(version: str, sha256: str) -> str:
    """Common prefix of all keys of a version."""
    return f"daily:{{{version}-{sha256[:16]}}}:"


def pointer(version: str, sha256: str) -> str:
    """The key that says which key space of a version is read."""
    return f"{prefix(version, sha256)}current"


def index(model: str) -> str:
    """The hash of all key spaces of a model, so that nobody has to search the store for keys."""
    return f"daily:spaces:{model}"

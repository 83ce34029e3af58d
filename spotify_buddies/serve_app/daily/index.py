"""The index of all key spaces: their states, sizes and removal. Redis is never searched for keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from spotify_buddies.serve_app.daily.space import Space, from_json, index

# Keys unlinked in one round trip. The server frees them in the background.
UNLINK_KEYS = 200


class ListStore(Protocol):
    """The part of redis.Redis that writing and looking at lists uses."""

    def pipeline(self, transaction: bool = True) -> Any:
        """A pipeline of commands."""

    def hgetall(self, name: str) -> Any:
        """All fields of a hash."""

    def hset(self, name: str, key: str, value: str) -> Any:
        """Set a field of a hash."""


@dataclass(frozen=True)
class SpaceState:
    """A key space as Redis holds it.

    blocks: complete ones. stored_bytes: memory that Redis uses for them. read: whether the pointer names this one.
    """

    space: Space
    blocks: int
    stored_bytes: int
    read: bool


def read_index(store: ListStore, model: str) -> list[Space]:
    """Every key space of a model, oldest first. Entries of an unknown form are left out."""
    spaces = (from_json(value) for value in store.hgetall(index(model)).values())
    return sorted((space for space in spaces if space is not None), key=lambda space: (space.created, space.name))


def look(store: ListStore, model: str) -> Iterator[SpaceState]:
    """Every key space and what Redis holds of it, oldest first."""
    for space in read_index(store, model):
        pipeline = store.pipeline(transaction=False)
        pipeline.get(space.pointer)
        for block in range(space.blocks):
            pipeline.strlen(space.key(block))
        for block in range(space.blocks):
            pipeline.memory_usage(space.key(block))
        pointed, *numbers = pipeline.execute()
        lengths, sizes = numbers[: space.blocks], numbers[space.blocks :]
        whole = sum(length == space.block_bytes(block) for block, length in enumerate(lengths))
        yield SpaceState(space, whole, sum(size or 0 for size in sizes), space.is_read(pointed))


def remove(store: ListStore, model: str, spaces: Sequence[Space]) -> None:
    """Unlink key spaces in batches, then their entries; a pointer only when it names one of them.

    The entry goes last, so that the next run repeats a removal that was cut off.
    """
    for space in spaces:
        keys = [*(space.key(block) for block in range(space.blocks)), space.counts]
        pipeline = store.pipeline(transaction=False)
        pipeline.get(space.pointer)
        (pointed,) = pipeline.execute()
        if space.is_read(pointed):
            keys.insert(0, space.pointer)
        for first in range(0, len(keys), UNLINK_KEYS):
            pipeline = store.pipeline(transaction=False)
            pipeline.unlink(*keys[first : first + UNLINK_KEYS])
            pipeline.execute()
        pipeline = store.pipeline(transaction=False)
        pipeline.hdel(index(model), space.field)
        pipeline.execute()

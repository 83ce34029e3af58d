"""The index of all key spaces: what is there, how much it takes, and its removal. The store is never searched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from spotify_buddies.serve_app.daily.space import Space, from_json, index

# Keys unlinked in one trip. The server frees them in the background.
UNLINK_KEYS = 200


class Store(Protocol):
    """The part of redis.Redis that is used."""

    def pipeline(self, transaction: bool = True) -> Any:
        """A pipeline of commands."""

    def hgetall(self, name: str) -> Any:
        """All fields of a hash."""


@dataclass(frozen=True)
class SpaceState:
    """A key space as it is. blocks: there in full; stored_bytes: the store's memory for them; read: by the pointer."""

    space: Space
    blocks: int
    stored_bytes: int
    read: bool


def read_index(store: Store, model: str) -> list[Space]:
    """Every key space of a model, oldest first. Entries of an unknown form are left out."""
    found = (from_json(value) for value in store.hgetall(index(model)).values())
    return sorted((space for space in found if space is not None), key=lambda space: (space.created, space.name))


def look(store: Store, model: str) -> Iterator[SpaceState]:
    """Every key space with what the store holds of it, oldest first."""
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
        yield SpaceState(space, whole, sum(size or 0 for size in sizes), pointed == space.pointed.encode())


def remove(store: Store, model: str, spaces: Sequence[Space]) -> None:
    """Unlink key spaces, in batches, and then their entries; a pointer goes only when it names one of them.

    A removal that is cut off is repeated by the next run: the entry goes last.
    """
    for space in spaces:
        keys = [*(space.key(block) for block in range(space.blocks)), space.counts]
        pipeline = store.pipeline(transaction=False)
        pipeline.get(space.pointer)
        if pipeline.execute() == [space.pointed.encode()]:
            keys.insert(0, space.pointer)
        for first in range(0, len(keys), UNLINK_KEYS):
            pipeline = store.pipeline(transaction=False)
            pipeline.unlink(*keys[first : first + UNLINK_KEYS])
            pipeline.execute()
        pipeline = store.pipeline(transaction=False)
        pipeline.hdel(index(model), space.field)
        pipeline.execute()

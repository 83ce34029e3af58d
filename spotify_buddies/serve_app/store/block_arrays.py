"""Blocks as sorted arrays, about 24 bytes each, and how changes become new ones. Nothing here changes in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Expired blocks stay in memory this long, so that a change that arrives late still meets the newer state.
KEEP_EXPIRED_S = 3_600
# Tables with fewer names are not worth compacting.
FEW_NAMES = 1_000

# Playlist ids and their state (until, change number), by hash of the user id.
Layer = dict[int, dict[str, tuple[int, int]]]


@dataclass(frozen=True)
class NameTable:
    """Playlist ids by number, as UTF-8. offsets int64 (n + 1,), data: all bytes, one id after the other."""

    offsets: Array
    data: bytes

    def __getitem__(self, number: int) -> str:
        return self.data[self.offsets[number] : self.offsets[number + 1]].decode()

    def __len__(self) -> int:
        return self.offsets.size - 1

    @classmethod
    def of(cls, strings: Iterable[str]) -> NameTable:
        """Pack strings in their order."""
        encoded = [string.encode() for string in strings]
        return cls(_offsets([len(item) for item in encoded]), b"".join(encoded))

    def numbers_of(self, wanted: Iterable[str]) -> dict[str, int]:
        """The numbers of those wanted names that are in the table."""
        sought = set(wanted)
        return {name: number for number in range(len(self)) if (name := self[number]) in sought}

    def extended(self, names: Sequence[str]) -> NameTable:
        """The table with new names behind its own."""
        added = NameTable.of(names)
        return NameTable(np.concatenate([self.offsets, added.offsets[1:] + self.offsets[-1]]), self.data + added.data)

    def only(self, numbers: Array) -> NameTable:
        """The names with these numbers, in this order."""
        lengths = np.diff(self.offsets)[numbers]
        offsets = _offsets(lengths)
        # Every byte's place in the old data: where its name begins there, and how far into the name it is.
        places = np.repeat(self.offsets[numbers] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return NameTable(offsets, np.frombuffer(self.data, np.uint8)[places].tobytes())


@dataclass(frozen=True)
class SortedBlocks:
    """Blocks sorted by user: users int64 hashes, playlists int32 numbers of names, until uint32, numbers int64.

    until and number: as in Change.
    """

    users: Array
    playlists: Array
    until: Array
    numbers: Array
    names: NameTable

    def __len__(self) -> int:
        return self.users.size

    @cached_property
    def view(self) -> memoryview:
        """The users for bisect, which is slow on numpy's scalars."""
        view: memoryview = self.users.data
        return view

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        arrays = (self.users, self.playlists, self.until, self.numbers, self.names.offsets)
        return sum(array.nbytes for array in arrays) + len(self.names.data)

    def without(self, gone: Mapping[int, int]) -> SortedBlocks:
        """The same blocks, without those of these users whose number is smaller than the one given."""
        kept = np.ones(len(self), bool)
        for hashed, number in gone.items():
            first, last = np.searchsorted(self.users, hashed, "left"), np.searchsorted(self.users, hashed, "right")
            kept[first:last] = self.numbers[first:last] > number
        if kept.all():
            return self
        return SortedBlocks(self.users[kept], self.playlists[kept], self.until[kept], self.numbers[kept], self.names)

    def of(self, hashed: int, start: int) -> Iterator[tuple[str, int, int]]:
        """Playlist, until and number of one user's blocks; start: the first of them."""
        view, size = self.view, len(self.view)
        while start < size and view[start] == hashed:
            yield self.names[self.playlists[start]], int(self.until[start]), int(self.numbers[start])
            start += 1


def nothing() -> SortedBlocks:
    """No block at all."""
    return pack((), (), (), (), NameTable.of(()))


def pack(
    users: Sequence[int] | Array,
    playlists: Sequence[int] | Array,
    until: Sequence[int] | Array,
    numbers: Sequence[int] | Array,
    names: NameTable,
) -> SortedBlocks:
    """Sort by user; of several states of one (user, playlist) keep the one with the greatest change number."""
    columns = (
        np.asarray(users, np.int64), np.asarray(playlists, np.int32),
        np.asarray(until, np.uint32), np.asarray(numbers, np.int64),
    )  # fmt: skip
    order = np.lexsort((columns[3], columns[1], columns[0]))
    who, what = columns[0][order], columns[1][order]
    last = np.ones(order.size, bool)
    last[:-1] = (who[1:] != who[:-1]) | (what[1:] != what[:-1])
    kept = order[last]
    return SortedBlocks(columns[0][kept], columns[1][kept], columns[2][kept], columns[3][kept], names)


def merge(blocks: SortedBlocks, layer: Layer, now: float) -> SortedBlocks:
    """New arrays: the blocks that have not expired, and the layer's changes. Names that no block holds go."""
    alive = blocks.until.astype(np.int64) + KEEP_EXPIRED_S > now
    changes = [(who, what, *state) for who, states in layer.items() for what, state in states.items()]
    changed_names = list(dict.fromkeys(what for _, what, _, _ in changes))
    number_of = blocks.names.numbers_of(changed_names)
    new_names = [name for name in changed_names if name not in number_of]
    number_of.update({name: len(blocks.names) + place for place, name in enumerate(new_names)})
    return _compacted(
        pack(
            np.concatenate([blocks.users[alive], np.array([who for who, *_ in changes], np.int64)]),
            np.concatenate([blocks.playlists[alive], np.array([number_of[what] for _, what, *_ in changes], np.int32)]),
            np.concatenate([blocks.until[alive], np.array([until for _, _, until, _ in changes], np.uint32)]),
            np.concatenate([blocks.numbers[alive], np.array([number for *_, number in changes], np.int64)]),
            blocks.names.extended(new_names),
        )
    )


def _compacted(blocks: SortedBlocks) -> SortedBlocks:
    """The same blocks without dead names, once those are more than half: each name is then copied twice on average."""
    if len(blocks.names) < FEW_NAMES:
        return blocks
    used, numbers = np.unique(blocks.playlists, return_inverse=True)
    if 2 * used.size >= len(blocks.names):
        return blocks
    return replace(blocks, playlists=numbers.astype(np.int32), names=blocks.names.only(used))


def _offsets(lengths: Sequence[int] | Array) -> Array:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets

"""What must not come back, in memory: about 24 bytes a block, and next to no time for listeners without any.

Three layers, as in a log-structured table: sorted arrays, what changed since, and, while the two become new arrays,
what changed meanwhile. Of several states of one (listener, playlist) the one with the greatest change number holds, so
it does not matter in which order changes arrive. Listeners are kept as 64-bit hashes (a stranger's block for one
listener in 2**64 / blocks); playlists as text, once each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.store.actions import Change

Array = npt.NDArray[Any]

# Changes that make new arrays worth their sort.
MANY = 20_000
# What has run out is kept this long in memory, so that a change that comes late finds what it is older than.
RUN_OUT_S = 3_600
# Listeners from which on numpy's search of all of them is faster than one search each.
FEW = 8

Layer = dict[int, dict[str, tuple[int, int]]]
_EMPTY: dict[int, list[str]] = {}


@dataclass(frozen=True)
class Names:
    """Strings by number, as UTF-8. offsets int64 (n + 1,), data: all bytes, one after the other."""

    offsets: Array
    data: bytes

    def __getitem__(self, number: int) -> str:
        return self.data[self.offsets[number] : self.offsets[number + 1]].decode()

    def __len__(self) -> int:
        return self.offsets.size - 1

    @classmethod
    def of(cls, strings: Iterable[str]) -> Names:
        """Pack strings in their order."""
        encoded = [string.encode() for string in strings]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(item) for item in encoded], out=offsets[1:])
        return cls(offsets, b"".join(encoded))


@dataclass(frozen=True)
class Held:
    """Blocks sorted by listener: listeners int64 hashes, playlists int32 numbers of names, until uint32, numbers int64.

    until and number: as in Change.
    """

    listeners: Array
    playlists: Array
    until: Array
    numbers: Array
    names: Names

    def __len__(self) -> int:
        return self.listeners.size

    @cached_property
    def view(self) -> memoryview:
        """The listeners for bisect, which is slow on numpy's scalars."""
        view: memoryview = self.listeners.data
        return view

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        arrays = (self.listeners, self.playlists, self.until, self.numbers, self.names.offsets)
        return sum(array.nbytes for array in arrays) + len(self.names.data)

    def of(self, hashed: int, start: int) -> Iterator[tuple[str, int, int]]:
        """Playlist, until and number of one listener's blocks; start: the first of them."""
        view, size = self.view, len(self.view)
        while start < size and view[start] == hashed:
            yield self.names[self.playlists[start]], int(self.until[start]), int(self.numbers[start])
            start += 1


def nothing() -> Held:
    """No block at all."""
    return pack((), (), (), (), Names.of(()))


def pack(
    listeners: Sequence[int] | Array,
    playlists: Sequence[int] | Array,
    until: Sequence[int] | Array,
    numbers: Sequence[int] | Array,
    names: Names,
) -> Held:
    """Sort by listener; of several states of one (listener, playlist) keep the one with the greatest number."""
    columns = (
        np.asarray(listeners, np.int64), np.asarray(playlists, np.int32),
        np.asarray(until, np.uint32), np.asarray(numbers, np.int64),
    )  # fmt: skip
    order = np.lexsort((columns[3], columns[1], columns[0]))
    who, what = columns[0][order], columns[1][order]
    last = np.ones(order.size, bool)
    last[:-1] = (who[1:] != who[:-1]) | (what[1:] != what[:-1])
    kept = order[last]
    return Held(columns[0][kept], columns[1][kept], columns[2][kept], columns[3][kept], names)


def merge(held: Held, layer: Layer, now: float) -> Held:
    """New arrays with the layer's changes in them, without what has run out and what `held` already knew as lifted."""
    alive = held.until.astype(np.int64) + RUN_OUT_S > now
    changes = [(who, what, *state) for who, states in layer.items() for what, state in states.items()]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(what for _, what, _, _ in changes))}
    known = _find(held.names, numbers)
    fresh = [name for name in numbers if name not in known]
    known.update({name: len(held.names) + at for at, name in enumerate(fresh)})
    added = Names.of(fresh)
    names = Names(
        np.concatenate([held.names.offsets, added.offsets[1:] + held.names.offsets[-1]]), held.names.data + added.data
    )
    return pack(
        np.concatenate([held.listeners[alive], np.array([who for who, *_ in changes], np.int64)]),
        np.concatenate([held.playlists[alive], np.array([known[what] for _, what, *_ in changes], np.int32)]),
        np.concatenate([held.until[alive], np.array([until for _, _, until, _ in changes], np.uint32)]),
        np.concatenate([held.numbers[alive], np.array([number for *_, number in changes], np.int64)]),
        names,
    )


def _find(names: Names, wanted: Iterable[str]) -> dict[str, int]:
    """The numbers of the names that are there."""
    sought = set(wanted)
    return {name: number for number in range(len(names)) if (name := names[number]) in sought}


class Blocklist:
    """The table; used from one thread, the event loop's."""

    def __init__(self) -> None:
        self._held = nothing()
        self._freezing: Layer = {}
        self._changed: Layer = {}
        self._changes = 0

    def __len__(self) -> int:
        """States in memory, run out and lifted ones that are still known among them."""
        return len(self._held) + self._changes + sum(map(len, self._freezing.values()))

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, and about that of the changes since."""
        return self._held.nbytes + 400 * (len(self) - len(self._held))

    @property
    def due(self) -> bool:
        """Whether there are enough changes to make new arrays."""
        return self._changes > max(MANY, len(self._held) // 20)

    def apply(self, changes: Iterable[Change]) -> None:
        """Take changes in, in any order; an older one than what is known changes nothing."""
        for change in changes:
            states = self._changed.setdefault(hash(change.user_id), {})
            known = states.get(change.playlist_id)
            if known is None:
                self._changes += 1
            if known is None or known[1] < change.number:
                states[change.playlist_id] = (change.until, change.number)

    def find(self, user_ids: Sequence[str], now: float) -> dict[int, list[str]]:
        """Playlists that must not come back now (seconds since 1970), by place in user_ids; only those with any."""
        if not self._changed and not self._freezing and not len(self._held):
            return _EMPTY
        hashes = list(map(hash, user_ids))
        starts = self._starts(hashes)
        found: dict[int, list[str]] = {}
        view, size = self._held.view, len(self._held)
        for place, (hashed, start) in enumerate(zip(hashes, starts, strict=True)):
            in_held = start < size and view[start] == hashed
            if not in_held and hashed not in self._changed and hashed not in self._freezing:
                continue
            playlists = [name for name, (until, _) in self._states(hashed, start).items() if until > now]
            if playlists:
                found[place] = playlists
        return found

    def replace(self, held: Held) -> None:
        """Take over what was loaded. Changes that arrived meanwhile stay in force where they are newer."""
        self._held = held

    def freeze(self) -> tuple[Held, Layer]:
        """What `merge` makes new arrays of, away from the event loop; `thaw` takes them. One at a time."""
        self._freezing, self._changed, self._changes = self._changed, {}, 0
        return self._held, self._freezing

    def thaw(self, held: Held) -> None:
        """Put the new arrays in the place of what was frozen."""
        self._held, self._freezing = held, {}

    def _starts(self, hashes: Sequence[int]) -> Sequence[int]:
        if len(hashes) < FEW:
            return [bisect_left(self._held.view, hashed) for hashed in hashes]
        starts: list[int] = np.searchsorted(self._held.listeners, np.array(hashes, np.int64)).tolist()
        return starts

    def _states(self, hashed: int, start: int) -> dict[str, tuple[int, int]]:
        states = {name: (until, number) for name, until, number in self._held.of(hashed, start)}
        for layer in (self._freezing, self._changed):
            for name, state in layer.get(hashed, {}).items():
                if name not in states or states[name][1] < state[1]:
                    states[name] = state
        return states

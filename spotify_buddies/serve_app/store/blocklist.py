"""Playlists that must not come back, in memory; next to no time for users without any.

Three layers, as in a log-structured table: sorted arrays, what changed since, and, while the two become new arrays,
what changed meanwhile. Of several states of one (user, playlist) the one with the greatest change number holds, so it
does not matter in which order changes arrive. Users are kept as 64-bit hashes (a stranger's block for one user in
2**64 / blocks); playlists as text, once each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np

from spotify_buddies.serve_app.store.actions import Change
from spotify_buddies.serve_app.store.block_arrays import Layer, SortedBlocks, nothing

# Changes that make new arrays worth their sort.
MANY = 20_000
# From so many users on, numpy's search for all of them is faster than one search each.
FEW = 8

_EMPTY: dict[int, list[str]] = {}


class Blocklist:
    """The table; used from one thread, the event loop's."""

    def __init__(self) -> None:
        self._arrays = nothing()
        self._freezing: Layer = {}
        self._changed: Layer = {}
        self._changes = 0
        # What arrives while the database is read anew: the reading may not contain it.
        self._arriving: Layer | None = None
        # Users who were erased, and the change number of that: older states of theirs count no more.
        self._gone: dict[int, int] = {}
        self._gone_before: dict[int, int] = {}
        self._sweep = False

    def __len__(self) -> int:
        """States in memory, expired and lifted ones that are still known among them."""
        return len(self._arrays) + _count(self._freezing) + self._changes

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, and about that of the changes since."""
        return self._arrays.nbytes + 400 * (len(self) - len(self._arrays))

    @property
    def due(self) -> bool:
        """Whether there are enough changes to make new arrays."""
        return self._sweep or self._changes > max(MANY, len(self._arrays) // 20)

    def apply(self, changes: Iterable[Change]) -> None:
        """Take changes in, in any order; one that is older than what is known changes nothing."""
        for change in changes:
            if self._gone and change.number < self._gone.get(hash(change.user_id), 0):
                continue
            self._changes += _put(self._changed, change)
            if self._arriving is not None:
                _put(self._arriving, change)

    def find(self, user_ids: Sequence[str], now: float) -> dict[int, list[str]]:
        """Playlists that must not come back now (seconds since 1970), by place in user_ids; only those with any."""
        if not self._changed and not self._freezing and not len(self._arrays):
            return _EMPTY
        hashes = list(map(hash, user_ids))
        starts = self._starts(hashes)
        blocked: dict[int, list[str]] = {}
        view, size = self._arrays.view, len(self._arrays)
        for place, (hashed, start) in enumerate(zip(hashes, starts, strict=True)):
            in_arrays = start < size and view[start] == hashed
            if not in_arrays and hashed not in self._changed and hashed not in self._freezing:
                continue
            after = self._gone.get(hashed, 0) if self._gone else 0
            states = self._states(hashed, start)
            playlists = [name for name, (until, number) in states.items() if until > now and number > after]
            if playlists:
                blocked[place] = playlists
        return blocked

    def forget(self, user_id: str, number: int) -> None:
        """Let go of all states of a user with a smaller number: the user was erased. The next `freeze` frees them."""
        hashed = hash(user_id)
        self._gone[hashed] = max(number, self._gone.get(hashed, 0))
        self._sweep = True
        self._changes -= _drop(self._changed, hashed, number)
        if self._arriving is not None:
            _drop(self._arriving, hashed, number)

    def begin_reload(self) -> None:
        """Remember apart what changes from now on; call it before the database is read."""
        self._arriving, self._gone_before = {}, dict(self._gone)

    def replace(self, blocks: SortedBlocks) -> None:
        """Take what was read as the truth. Only changes that arrived since `begin_reload` stay beside it.

        Older ones must go: the row of a block that was lifted long ago is not read any more, and in a database that was
        restored numbers begin again below those known here.
        """
        self._arrays = blocks
        self._freezing, self._changed = {}, self._arriving or {}
        self._changes, self._arriving = _count(self._changed), None
        self._gone = {who: number for who, number in self._gone.items() if self._gone_before.get(who) != number}
        self._sweep = bool(self._gone)

    def freeze(self) -> tuple[SortedBlocks, Layer]:
        """What `merge` makes new arrays of, away from the event loop; `thaw` takes them. One at a time."""
        if self._sweep:
            self._arrays, self._sweep = self._arrays.without(self._gone), False
        self._freezing, self._changed, self._changes = self._changed, {}, 0
        return self._arrays, self._freezing

    def thaw(self, blocks: SortedBlocks) -> None:
        """Put the new arrays in the place of what was frozen."""
        self._arrays, self._freezing = blocks, {}

    def _starts(self, hashes: Sequence[int]) -> Sequence[int]:
        if len(hashes) < FEW:
            return [bisect_left(self._arrays.view, hashed) for hashed in hashes]
        starts: list[int] = np.searchsorted(self._arrays.users, np.array(hashes, np.int64)).tolist()
        return starts

    def _states(self, hashed: int, start: int) -> dict[str, tuple[int, int]]:
        states = {name: (until, number) for name, until, number in self._arrays.of(hashed, start)}
        for layer in (self._freezing, self._changed):
            for name, state in layer.get(hashed, {}).items():
                if name not in states or states[name][1] < state[1]:
                    states[name] = state
        return states


def _put(layer: Layer, change: Change) -> bool:
    """Note the change unless a later one is known; whether its (user, playlist) is new in the layer."""
    states = layer.setdefault(hash(change.user_id), {})
    known = states.get(change.playlist_id)
    if known is None or known[1] < change.number:
        states[change.playlist_id] = (change.until, change.number)
    return known is None


def _drop(layer: Layer, hashed: int, number: int) -> int:
    """Take a user's states with a smaller number out of a layer; returns how many."""
    states = layer.get(hashed, {})
    old = [name for name, (_, held) in states.items() if held < number]
    for name in old:
        del states[name]
    if not states:
        layer.pop(hashed, None)
    return len(old)


def _count(layer: Layer) -> int:
    return sum(map(len, layer.values()))

"""The versions that a replica holds: loaded beside the traffic, one at a time, and kept while they are wanted."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from spotify_buddies.foundation.process.low_priority import low_priority_thread
from spotify_buddies.serve_app.generations.state import Held, Load
from spotify_buddies.trainer.registry.registry import RegistryUnavailable

Item = TypeVar("Item")

# Wait before a version is tried again: the registry was unreachable; anything else.
AWAY_S, FAILED_S = 2.0, 30.0
# How long one Python thread may keep others waiting while a version is loaded. Python's default of 5 ms, several times
# per call, is what callers would notice of a load.
TURN_S = 0.0001
# Most calls that began with a dropped version have ended by then; while one has not, it is looked at again.
LINGER_S = 5.0
_log = logging.getLogger(__name__)


@contextmanager
def beside_calls() -> Iterator[None]:
    """Let threads take shorter turns inside the block; at its end exempt all objects of now from garbage collection.

    A full collection walks every object of the process, Ray's too, and no call is answered during it.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        gc.freeze()


@dataclass(frozen=True)
class Loaded(Generic[Item]):
    """A version that is open, warm and checked. sha256: of its bundle; message: a note for operators."""

    item: Item
    sha256: str
    message: str = ""


@dataclass(frozen=True)
class _Entry(Generic[Item]):
    """A version and its state. again: by time.monotonic, when a version that is not loaded is tried again."""

    held: Held
    item: Item | None = None
    again: float = 0.0


class VersionTable(Generic[Item]):
    """Versions by number; for one event loop.

    changed: set whenever a state changes; one reader waits for it and clears it.
    """

    def __init__(self) -> None:
        self._load: Callable[[str], Loaded[Item]] | None = None
        self._entries: dict[str, _Entry[Item]] = {}
        self._wanted: tuple[str, ...] = ()
        self._loading: asyncio.Task[None] | None = None
        self._thread = low_priority_thread("load")
        self._closed = False
        self.changed = asyncio.Event()

    @property
    def held(self) -> dict[str, Held]:
        """Every version and its state, in the order in which they came."""
        return {version: entry.held for version, entry in self._entries.items()}

    def get(self, version: str) -> Item | None:
        """The version, where it is READY."""
        entry = self._entries.get(version)
        return None if entry is None else entry.item

    def has(self, versions: Sequence[str]) -> bool:
        """Whether all of them are READY."""
        return all(self.get(version) is not None for version in versions)

    def load_with(self, load: Callable[[str], Loaded[Item]]) -> None:
        """Open versions with this function, in a thread; without it none is ever loaded.

        It raises RegistryUnavailable for a version that cannot be fetched now, which is tried again; any other error
        makes the version FAILED.
        """
        self._load = load

    def put(self, version: str, loaded: Loaded[Item]) -> None:
        """Hold a version that is loaded already."""
        held = Held(Load.READY, datetime.now(UTC), loaded.message, loaded.sha256)
        self._set(version, _Entry(held, loaded.item))

    def want(self, versions: Sequence[str], *, anew: bool = False) -> None:
        """Keep these versions, drop all others, and load the missing ones, in this order.

        anew: failed ones are tried again at once. A dropped version lives as long as somebody else refers to it, and at
        least LINGER_S.
        """
        self._wanted = tuple(versions)
        for version in [version for version in self._entries if version not in versions]:
            self._drop(self._entries.pop(version))
        if anew:
            for version in [version for version, entry in self._entries.items() if entry.held.state is Load.FAILED]:
                del self._entries[version]
        if self._load is not None and (self._loading is None or self._loading.done()) and self._next() is not None:
            self._loading = asyncio.create_task(self._load_missing(self._load))

    async def close(self) -> None:
        """Stop loading. A thread that loads now ends by itself, and its version is dropped."""
        self._wanted, self._closed = (), True
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        self._thread.shutdown(wait=False)

    def _drop(self, entry: _Entry[Item]) -> None:
        """Close a version in the loading thread: to unmap 330 MB takes 6 ms, in which this loop would answer nobody."""
        if entry.item is not None:
            held = [entry.item]
            asyncio.get_running_loop().call_later(LINGER_S, self._let_go, held)

    def _let_go(self, held: list[Item]) -> None:
        if self._closed:
            held.clear()
        elif sys.getrefcount(held[0]) > 2:  # not this list and the argument alone: a call, or the rotation, has it
            asyncio.get_running_loop().call_later(LINGER_S, self._let_go, held)
        else:
            self._thread.submit(held.clear)

    def _next(self) -> str | None:
        now = time.monotonic()
        for version in self._wanted:
            entry = self._entries.get(version)
            if entry is None or (entry.item is None and entry.again <= now):
                return version
        return None

    async def _load_missing(self, load: Callable[[str], Loaded[Item]]) -> None:
        while (version := self._next()) is not None:
            entry = await self._open(load, version)
            if version in self._wanted:
                self._set(version, entry)
            else:
                self._drop(entry)
            del entry  # or the last one would live until the next is loaded

    async def _open(self, load: Callable[[str], Loaded[Item]], version: str) -> _Entry[Item]:
        before = self._entries.get(version)
        if before is None or before.held.state is not Load.LOADING:
            self._set(version, _Entry(Held(Load.LOADING, datetime.now(UTC)), again=float("inf")))
        try:
            with beside_calls():
                loaded = await asyncio.get_running_loop().run_in_executor(self._thread, load, version)
        except RegistryUnavailable as error:
            _log.warning("version %s waits: %s", version, error)
            return _Entry(Held(Load.LOADING, datetime.now(UTC), str(error)), again=time.monotonic() + AWAY_S)
        except Exception as error:  # noqa: BLE001 - the state shows the error
            message = str(error).partition("\n")[0] or type(error).__name__
            _log.warning("version %s cannot be loaded: %s: %s", version, type(error).__name__, message)
            return _Entry(Held(Load.FAILED, datetime.now(UTC), message), again=time.monotonic() + FAILED_S)
        return _Entry(Held(Load.READY, datetime.now(UTC), loaded.message, loaded.sha256), loaded.item)

    def _set(self, version: str, entry: _Entry[Item]) -> None:
        self._entries[version] = entry
        self.changed.set()

"""Retention of bundles on this machine: versions that nothing names any more are deleted.

A bundle leaves its place in one rename, under the lock that `Shelf.fetch` takes, and is deleted afterwards: a crash in
between leaves nothing that looks like a bundle. A process that has mapped the files keeps them until it lets go, but
those it starts later open them by path: `in_use` keeps them there.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from spotify_buddies.serve_app.versions.fetch import Shelf

DAY_S = 86_400.0
# How often a bundle in use is marked: far more often than a day, the shortest time that bundles are kept.
MARK_EVERY_S = 3_600.0
# A bundle; its note; a download or a note that was not finished; a bundle that is being deleted. Nothing else in the
# directory is ours to delete.
_OURS = re.compile(r"([0-9]+)|\.([0-9]+)\.(?:json|partial|json\.partial|deleted)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BundleRetention:
    """Prunes a shelf. started: what new replicas open first, whatever is active by then, so its bundle always stays."""

    shelf: Shelf
    started: str
    days: float

    def __call__(self, keep: Collection[str]) -> list[str]:
        """See `prune`."""
        return prune(self.shelf, {*keep, self.started}, self.days)


@contextmanager
def in_use(bundles: Path, bundle: Path, every_s: float = MARK_EVERY_S) -> Iterator[None]:
    """Keep a bundle of this shelf until the block ends: its age begins anew, now and every hour.

    For processes that serve a version by its path and do not report it in Postgres. A bundle elsewhere is left as it
    is. bundles: the shelf's directory.
    """
    if bundle.resolve().parent != bundles.resolve():
        yield
        return
    ended = threading.Event()
    _mark(bundle)
    marking = threading.Thread(target=_mark_until, args=(bundle, every_s, ended), name="in use", daemon=True)
    marking.start()
    try:
        yield
    finally:
        ended.set()
        marking.join()


def _mark_until(bundle: Path, every_s: float, ended: threading.Event) -> None:
    while not ended.wait(every_s):
        _mark(bundle)


def _mark(bundle: Path) -> None:
    """Count as used now. The directory's own time, which says nothing about its files: no file is hashed again."""
    try:
        os.utime(bundle)
    except OSError as error:
        _log.warning("the bundle %s cannot be marked as in use: %s", bundle, error)


def prune(shelf: Shelf, keep: Collection[str], days: float, *, now: float | None = None) -> list[str]:
    """Delete versions outside `keep` that nobody fetched or used for this many days; returns their numbers, ascending.

    0 days keep everything. A version that some process is fetching is passed over. A bundle that the registry itself
    holds on this machine stays. now: seconds since the epoch. Blocks.
    """
    if days <= 0 or not shelf.bundles.is_dir():
        return []
    before = (time.time() if now is None else now) - days * DAY_S
    pruned = []
    for version in _stored(shelf.bundles):
        try:
            # What a crash left half deleted goes in any case; the version may have been fetched again since.
            _remove(_trash(shelf, version))
            if version not in keep and 0 < _used(shelf, version) < before and _delete(shelf, version, before):
                pruned.append(version)
        except OSError as error:
            _log.warning("the bundle of version %s cannot be deleted: %s", version, error)
    return pruned


def _delete(shelf: Shelf, version: str, before: float) -> bool:
    """Whether it was deleted; not when another process has its lock, or used it since it was looked at."""
    try:
        with shelf.locked(version, within_s=0):
            if _used(shelf, version) >= before:
                return False
            # The note goes first: a bundle without one is checked anew, a note without a bundle names nothing.
            shelf.note_path(version).unlink(missing_ok=True)
            bundle = shelf.bundles / version
            if bundle.exists():
                bundle.rename(_trash(shelf, version))
            for name in (f".{version}.deleted", f".{version}.partial", f".{version}.json.partial"):
                _remove(shelf.bundles / name)
    except Timeout:
        return False
    return True


def _stored(bundles: Path) -> list[str]:
    """Versions of which anything lies here, ascending. Links are not followed: nothing of ours is one."""
    matches = [_OURS.fullmatch(path.name) for path in bundles.iterdir() if not path.is_symlink()]
    return sorted({match[1] or match[2] for match in matches if match is not None}, key=int)


def _used(shelf: Shelf, version: str) -> float:
    """When the version was last downloaded, asked for, hashed or in use here: seconds since the epoch, 0 for never."""
    names = (version, shelf.note_path(version).name, f".{version}.partial", f".{version}.json.partial")
    return max((path.stat().st_mtime for name in names if (path := shelf.bundles / name).exists()), default=0.0)


def _trash(shelf: Shelf, version: str) -> Path:
    return shelf.bundles / f".{version}.deleted"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

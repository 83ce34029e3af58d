"""Pull: a folder becomes what a list in the store says, all or nothing."""

from __future__ import annotations

import hashlib
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyarrow import fs

from spotify_buddies.foundation.process.disk import size
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.foundation.stages.stage import hash_file, swap
from spotify_buddies.trainer.copies.places import PROBLEMS, Place
from spotify_buddies.trainer.copies.push import BLOCK_BYTES, LATEST, THREADS, Sent, list_path, object_path
from spotify_buddies.trainer.copies.snapshot import Entry, Snapshot, SnapshotError


def pull(
    place: Place, name: str, folder: Path, progress: Progress, *, snapshot_id: str | None = None, replace: bool = False
) -> Sent:
    """Make the folder hold a snapshot, the newest one without an id; a killed pull goes on where it was.

    Every file's hash is checked. Files that the folder holds already are not read again. replace: a folder that holds
    something else is replaced, once everything is here. SnapshotError: no such snapshot, a wrong hash, no room, or
    something else in the folder. PlaceError: the store refuses.
    """
    snapshot = _read(place, name, snapshot_id)
    here = Snapshot.of(folder, name) if folder.exists() else None
    if here is not None and here.files == snapshot.files:
        return Sent(name, snapshot.id, len(snapshot.files), snapshot.total_bytes, 0, 0)
    if here is not None and here.files and not replace:
        raise SnapshotError(f"{folder}: holds something else than {name} {snapshot.id}; move it, or add --replace")
    partial = folder.with_name(f".{folder.name}.{snapshot.id}.pull")
    known = {entry.sha256: folder / path for path, entry in (here.files if here else {}).items()}
    fetch = _Fetch(place, partial, known, progress, f"pulled of {name}")
    try:
        fetch.run(snapshot)
    except PROBLEMS as error:
        # What is here is kept: the same command goes on from it.
        raise place.refused(error) from error
    swap(partial, folder)
    return Sent(name, snapshot.id, len(snapshot.files), snapshot.total_bytes, fetch.moved, fetch.moved_bytes)


def _read(place: Place, name: str, snapshot_id: str | None) -> Snapshot:
    """The list of a snapshot. SnapshotError: there is none."""
    try:
        if snapshot_id is None:
            snapshot_id = _text(place, f"{place.path}/{name}/{LATEST}").decode("ascii", "replace").strip()
        path = list_path(place, name, snapshot_id)
        return Snapshot.read(_text(place, path), f"{place.address}/{name}/{snapshot_id}.json")
    except FileNotFoundError:
        which = f"snapshot {snapshot_id} of {name}" if snapshot_id else f"{name} that was pushed"
        raise SnapshotError(f"{place.address}: no {which} there; push it with `buddies data push`") from None
    except PROBLEMS as error:
        raise place.refused(error) from error


def _text(place: Place, path: str) -> bytes:
    if place.files.get_file_info(path).type != fs.FileType.File:
        raise FileNotFoundError(path)
    with place.files.open_input_stream(path, compression=None) as file:
        read: bytes = file.read()
    return read


class _Fetch:
    """Brings files into a folder. known: files of this machine by their hash."""

    def __init__(self, place: Place, folder: Path, known: dict[str, Path], progress: Progress, what: str) -> None:
        self._place, self._folder, self._known = place, folder, known
        self._progress, self._what = progress, what
        self._done, self._total, self._lock = 0, 0, threading.Lock()
        self.moved = self.moved_bytes = 0

    def run(self, snapshot: Snapshot) -> None:
        """All files of the snapshot, and no other. SnapshotError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for file in [file for file in self._folder.rglob("*") if file.is_file()]:
            if file.relative_to(self._folder).as_posix() not in snapshot.files:
                file.unlink()
        wanted = {path: entry for path, entry in snapshot.files.items() if not _holds(self._folder / path, entry)}
        first = {entry.sha256: path for path, entry in reversed(wanted.items())}
        others = {path: entry for path, entry in wanted.items() if first[entry.sha256] != path}
        self._total = sum(entry.bytes for entry in wanted.values())
        free = shutil.disk_usage(self._folder).free
        if self._total > free:
            problem = f"{size(self._total)} to pull, and {size(free)} free; make room there"
            raise SnapshotError(f"{self._folder.parent}: {problem}")
        self._progress(self._what, 0, self._total, "bytes")
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda path: self._one(path, wanted[path]), first.values()))
        for path, entry in others.items():
            self._known[entry.sha256] = self._folder / first[entry.sha256]
            self._one(path, entry)

    def _one(self, path: str, entry: Entry) -> None:
        to = self._folder / path
        to.parent.mkdir(parents=True, exist_ok=True)
        if (known := self._known.get(entry.sha256)) is not None:
            shutil.copy2(known, to)
            if _holds(to, entry):
                self._count(entry.bytes, moved=0)
                return
        partial = to.with_name(f".{to.name}.partial")
        digest = hashlib.sha256()
        source = object_path(self._place, entry.sha256)
        with self._place.files.open_input_stream(source, compression=None) as file, partial.open("wb") as out:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                out.write(block)
                self._count(len(block), moved=len(block))
        if digest.hexdigest() != entry.sha256:
            partial.unlink()
            raise SnapshotError(
                f"{self._place.address}: {source} does not hold what was pushed as {path!r} (its sha256 differs); "
                "remove it there, and push again from where the file is whole"
            )
        partial.replace(to)
        with self._lock:
            self.moved += 1

    def _count(self, size: int, *, moved: int) -> None:
        with self._lock:
            self._done += size
            self.moved_bytes += moved
            self._progress(self._what, min(self._done, self._total), self._total, "bytes")


def _holds(path: Path, entry: Entry) -> bool:
    return path.is_file() and path.stat().st_size == entry.bytes and hash_file(path) == entry.sha256

"""Push: the files of a folder become objects by their hash, and the list of them is written last."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.trainer.copies.places import PROBLEMS, Place
from spotify_buddies.trainer.copies.snapshot import Entry, Snapshot, SnapshotError

BLOCK_BYTES = 1 << 22
THREADS = 8
LATEST = "latest"


@dataclass(frozen=True)
class Sent:
    """What a push or pull did. files, bytes: of the snapshot; moved, moved_bytes: of what was not there yet."""

    name: str
    snapshot: str
    files: int
    bytes: int
    moved: int
    moved_bytes: int


def object_path(place: Place, sha256: str) -> str:
    """Where the bytes of this hash lie."""
    return f"{place.path}/objects/{sha256[:2]}/{sha256}"


def list_path(place: Place, name: str, snapshot: str) -> str:
    """Where the list of a snapshot lies; `latest` names the newest one's id."""
    return f"{place.path}/{name}/{snapshot}.json"


def push(folder: Path, name: str, place: Place, progress: Progress) -> Sent:
    """Make the store hold what the folder holds, under its name; a killed push goes on where it was.

    Bytes that any earlier push has sent are not sent again. The list is written when all objects are there, so that
    nobody pulls a part. SnapshotError: the folder is not there or empty, or a file changed meanwhile. PlaceError: the
    store refuses.
    """
    snapshot = Snapshot.of(folder, name)
    if not snapshot.files:
        raise SnapshotError(f"{folder}: nothing to push; it is not there, or empty")
    wanted = {entry.sha256: (path, entry) for path, entry in snapshot.files.items()}
    try:
        missing = _missing(place, {sha256: entry for sha256, (_, entry) in wanted.items()})
        total = sum(entry.bytes for entry in missing.values())
        progress(f"pushed of {name}", 0, total, "bytes")
        sender = _Sender(place, progress, f"pushed of {name}", total)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda sha256: sender.send(folder / wanted[sha256][0], sha256), missing))
        write_text(place, list_path(place, name, snapshot.id), snapshot.to_json())
        write_text(place, f"{place.path}/{name}/{LATEST}", snapshot.id + "\n")
    except PROBLEMS as error:
        raise place.refused(error) from error
    return Sent(name, snapshot.id, len(snapshot.files), snapshot.total_bytes, len(missing), total)


def write_text(place: Place, path: str, text: str) -> None:
    """Write a small file, whole or not at all."""
    _make_parent(place, path)
    partial = f"{path}.partial" if place.is_local else path
    with place.files.open_output_stream(partial, compression=None) as file:
        file.write(text.encode())
    if place.is_local:
        place.files.move(partial, path)


def _missing(place: Place, entries: dict[str, Entry]) -> dict[str, Entry]:
    """Those of which the store has no object of the same size."""
    infos = place.files.get_file_info([object_path(place, sha256) for sha256 in entries])
    return {
        sha256: entry
        for (sha256, entry), info in zip(entries.items(), infos, strict=True)
        if info.type != fs.FileType.File or info.size != entry.bytes
    }


def _make_parent(place: Place, path: str) -> None:
    # An object store has no folders; to ask for one would make a bucket, which is its owner's affair.
    if place.is_local:
        place.files.create_dir(path.rpartition("/")[0], recursive=True)


class _Sender:
    """Sends files, from several threads."""

    def __init__(self, place: Place, progress: Progress, what: str, total: int) -> None:
        self._place, self._progress, self._what, self._total = place, progress, what, total
        self._done, self._lock = 0, threading.Lock()

    def send(self, path: Path, sha256: str) -> None:
        """Send one file. SnapshotError: it is not what was hashed; then the store does not keep it."""
        there = object_path(self._place, sha256)
        _make_parent(self._place, there)
        partial = f"{there}.{threading.get_native_id()}.partial" if self._place.is_local else there
        digest = hashlib.sha256()
        with path.open("rb") as file, self._place.files.open_output_stream(partial, compression=None) as out:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                out.write(block)
                self._count(len(block))
        if digest.hexdigest() != sha256:
            self._place.files.delete_file(partial)
            raise SnapshotError(f"{path}: changed while it was pushed; push again when nothing writes there")
        if partial != there:
            self._place.files.move(partial, there)

    def _count(self, size: int) -> None:
        with self._lock:
            self._done += size
            self._progress(self._what, min(self._done, self._total), self._total, "bytes")

"""What a folder holds: its files by name, each with its size and hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from spotify_buddies.foundation.stages.stage import hash_file

SCHEMA = 1
# Of the id: enough that two folders never share it by chance.
DIGITS = 16
THREADS = 4


class SnapshotError(Exception):
    """A list of files that cannot be read, or a folder whose files changed; the message says which."""


@dataclass(frozen=True)
class Entry:
    """A file. sha256: 64 hexadecimal digits."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """The files of a folder by their path below it, with slashes, ascending. name: of the folder, as dataset."""

    name: str
    files: Mapping[str, Entry]

    @classmethod
    def of(cls, folder: Path, name: str) -> Self:
        """Hash a folder's files; without hidden ones and links, which are locks and unfinished work. OSError."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        named = {path.relative_to(folder).as_posix(): path for path in paths}
        kept = {path: there for path, there in named.items() if not any(p.startswith(".") for p in path.split("/"))}
        with ThreadPoolExecutor(THREADS) as pool:
            hashes = pool.map(hash_file, kept.values())
            entries = [Entry(there.stat().st_size, sha256) for there, sha256 in zip(kept.values(), hashes, strict=True)]
        return cls(name, dict(sorted(zip(kept, entries, strict=True))))

    @property
    def id(self) -> str:
        """The same for the same files, wherever and whenever they were pushed."""
        listed = json.dumps({path: entry.sha256 for path, entry in self.files.items()}, sort_keys=True)
        return hashlib.sha256(listed.encode()).hexdigest()[:DIGITS]

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes for entry in self.files.values())

    def to_json(self) -> str:
        """A list for people and for `read`."""
        files = {path: {"bytes": entry.bytes, "sha256": entry.sha256} for path, entry in self.files.items()}
        return json.dumps({"schema": SCHEMA, "name": self.name, "files": files}, indent=1) + "\n"

    @classmethod
    def read(cls, text: bytes, where: str) -> Self:
        """The list from its JSON. SnapshotError: it is none, or a path in it leads out of the folder."""
        try:
            body = json.loads(text)
            if body["schema"] != SCHEMA:
                raise SnapshotError(f"{where}: of a later release (schema {body['schema']}); update this one")
            files = {str(path): Entry(int(one["bytes"]), str(one["sha256"])) for path, one in body["files"].items()}
            name = str(body["name"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SnapshotError(f"{where}: not a list of files ({type(error).__name__}: {error})") from error
        for path, entry in files.items():
            pure = PurePosixPath(path)
            if pure.is_absolute() or not pure.parts or any(part.startswith(".") for part in pure.parts):
                raise SnapshotError(f"{where}: {path!r} is no path below a folder")
            if len(entry.sha256) != 64 or not set(entry.sha256) <= set("0123456789abcdef") or entry.bytes < 0:
                raise SnapshotError(f"{where}: {path!r} has no sha256 and size")
        return cls(name, dict(sorted(files.items())))

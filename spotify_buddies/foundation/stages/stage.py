"""Stages: input files become a directory of output files, all or nothing, and unchanged ones are skipped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from spotify_buddies.foundation.process.disk import is_full, no_room, size
from spotify_buddies.foundation.process.memory import give_back_freed
from spotify_buddies.foundation.stages import usage

STAMP = "stage.json"
RELEASE = version("spotify-buddies")  # another release may compute otherwise
TIMINGS = "timings.json"


class StageError(Exception):
    """A stage cannot run or its output cannot be used; the message names the file and what to do."""


@dataclass(frozen=True)
class Stamp:
    """The record of a finished stage.

    key: hash of name, inputs, settings and release. inputs: what it was made from, each with its fingerprint. files:
    name to {"bytes", "sha256"}. statistics: numbers for people and reports. fingerprint: sha256 of the stamp, an input
    of later stages. reused: nothing had to be done.
    """

    directory: Path
    name: str
    key: str
    inputs: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]
    statistics: Mapping[str, Any]
    fingerprint: str
    reused: bool = False


def run(
    parent: Path,
    name: str,
    *,
    inputs: Mapping[str, str],
    settings: Mapping[str, Any],
    build: Callable[[Path], dict[str, Any]],
) -> Stamp:
    """Run `build` into parent/name unless it already holds the result of the same inputs and settings.

    build gets an empty directory, fills it and returns its statistics (JSON values). The directory is moved into
    place only when it is complete, so an interrupted stage leaves the last good result and starts over. What it cost
    (foundation.stages.usage) goes to parent/timings.json, because the stage's own files are the same byte for byte on
    every run. StageError: the disk is full; what was written of the stage is removed again.
    """
    key = _hash_json({"name": name, "inputs": dict(inputs), "settings": dict(settings), "release": RELEASE})
    target = parent / name
    _put_back(target)
    if (last := _read(target)) is not None and last.key == key and _complete(last):
        return replace(last, reused=True)
    partial = parent / f".{name}.partial"
    with _Unfinished(partial, name):
        # What an interrupted run left is of no use: a build expects an empty directory.
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        # What the stage before has freed is not to count as this one's.
        give_back_freed()
        used = usage.watch()
        statistics = build(partial)
        stamp = {
            "name": name,
            "key": key,
            "inputs": dict(inputs),
            "settings": dict(settings),
            "files": _described(partial),
            "statistics": statistics,
        }
        _write(partial / STAMP, stamp)
        swap(partial, target)
        _note_timing(parent, name, used())
    return load(parent, name, "run the stage again")


@dataclass(frozen=True)
class Writing:
    """A block of code that writes below `folder`: a full disk becomes a StageError that names it."""

    folder: Path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, StageError) and is_full(error):
            raise StageError(self.explain()) from error

    def explain(self) -> str:
        """The message: where there is no room, and what to do."""
        return f"{no_room(self.folder)}; free space there and rerun the command to resume"


@dataclass(frozen=True)
class _Unfinished(Writing):
    """The folder of a stage that runs: on a full disk it is given back, for a stage starts over in any case."""

    name: str

    def explain(self) -> str:
        """Remove the folder, and say so."""
        written = sum(path.stat().st_size for path in _files(self.folder))
        shutil.rmtree(self.folder, ignore_errors=True)
        return (
            f"{no_room(self.folder.parent)} now that the {size(written)} of the unfinished stage {self.name!r} are "
            "removed; free space there and rerun the command to resume with this stage"
        )


def load(parent: Path, name: str, advice: str) -> Stamp:
    """Read the stamp of a finished stage. StageError: there is none, which ends with `advice`, or it is not ours."""
    stamp = _read(parent / name)
    if stamp is None:
        raise StageError(f"{parent}: no finished stage {name!r} here; {advice}")
    return stamp


def load_chain(parent: Path, names: Iterable[str], advice: str) -> dict[str, Stamp]:
    """The stamps of these finished stages, by name, and of the ones beside them that they were made from.

    StageError: one is missing, or was made from another result of an earlier stage than lies beside it, which is what
    an interrupted rebuild leaves behind; the message ends with `advice`.
    """
    stamps: dict[str, Stamp] = {}

    def follow(name: str) -> None:
        if name in stamps:
            return
        stamps[name] = load(parent, name, advice)
        for earlier, fingerprint in sorted(stamps[name].inputs.items()):
            if not (parent / earlier / STAMP).exists():
                continue  # a raw file, or a stage of another folder
            follow(earlier)
            if stamps[earlier].fingerprint != fingerprint:
                raise StageError(f"{parent / name}: made from another {earlier!r} than lies beside it; {advice}")

    for name in names:
        follow(name)
    return stamps


def swap(new: Path, target: Path) -> None:
    """Replace the directory `target` by a new one; the old one is deleted only when the new one is there.

    Where that fails half way the old one comes back at once; where the process is killed, at the next swap or run.
    """
    _put_back(target)
    old = _set_aside(target)
    shutil.rmtree(old, ignore_errors=True)
    try:
        if target.exists():
            target.replace(old)
        new.replace(target)
    except BaseException:
        _put_back(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def hash_file(path: Path) -> str:
    """sha256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(directory: Path) -> Stamp | None:
    path = directory / STAMP
    if not path.exists():
        return None
    try:
        body = json.loads(path.read_bytes())
        return Stamp(
            directory,
            body["name"],
            body["key"],
            dict(body["inputs"]),
            body["files"],
            body["statistics"],
            hash_file(path),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"{path}: not a stage stamp ({error}); remove {directory} and run the stage again") from error


def _complete(stamp: Stamp) -> bool:
    paths = {name: stamp.directory / name for name in stamp.files}
    # Sizes alone: hashing tens of gigabytes would take as long as some stages.
    return all(path.exists() and path.stat().st_size == stamp.files[name]["bytes"] for name, path in paths.items())


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _described(directory: Path) -> dict[str, dict[str, Any]]:
    """Every file of a folder by its name in it; several are read at once."""
    paths = _files(directory)
    with ThreadPoolExecutor() as pool:
        described = pool.map(_describe, paths)
        return {path.relative_to(directory).as_posix(): one for path, one in zip(paths, described, strict=True)}


def _describe(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": hash_file(path)}


def _hash_json(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _write(path: Path, value: object) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())


def _set_aside(target: Path) -> Path:
    return target.parent / f".{target.name}.old"


def _put_back(target: Path) -> None:
    """Undo a swap that was cut off between its two moves."""
    if not target.exists() and _set_aside(target).exists():
        _set_aside(target).replace(target)


def _note_timing(parent: Path, name: str, timing: Mapping[str, float]) -> None:
    path = parent / TIMINGS
    timings = json.loads(path.read_bytes()) if path.exists() else {}
    timings[name] = dict(timing)
    scratch = path.with_suffix(".partial")
    _write(scratch, timings)
    scratch.replace(path)

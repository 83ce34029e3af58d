"""Notes of started processes, so that a run can stop what the one before it, killed, left running."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from spotify_buddies.foundation.process.children import stop_all

# An id, and the moment at which that process began: the kernel gives ids to others again.
Entry = tuple[int, float]


@dataclass(frozen=True)
class _Notes:
    """processes: those that were started. directory: what they write into, all of it theirs; None: there is none."""

    processes: list[Entry] = field(default_factory=list)
    directory: Path | None = None


@contextmanager
def noted(notes: Path, pid: int) -> Iterator[None]:
    """Keep a note of a started process while it runs, beside those of others in the same file."""
    entry = (pid, psutil.Process(pid).create_time())
    _write(notes, [*_read(notes).processes, entry])
    try:
        yield
    finally:
        others = [one for one in _read(notes).processes if one != entry]
        if others:
            _write(notes, others)
        else:
            forget(notes)


def note_session(notes: Path, directory: Path, processes: Iterable[psutil.Process]) -> None:
    """Replace the notes by those of one session: its processes, and the directory in which all of them have files."""
    started: list[Entry] = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            started.append((process.pid, process.create_time()))
    _write(notes, {"temp": str(directory), "processes": started})


def forget(notes: Path) -> None:
    """Remove the notes: what they name has ended by itself."""
    notes.unlink(missing_ok=True)


def stop_orphans(notes: Path) -> int:
    """Stop what is noted and still runs, with its children; returns how many processes. Without notes: 0.

    A noted directory is removed, after whoever has a file open there was stopped too. The caller holds the lock of the
    notes' directory: otherwise these belong to a run that is alive.
    """
    left = _read(notes)
    orphans = {process for entry in left.processes for process in _family(*entry)}
    if left.directory is not None:
        orphans |= users_of(left.directory)
    stop_all(orphans)
    if left.directory is not None:
        shutil.rmtree(left.directory, ignore_errors=True)
    forget(notes)
    return len(orphans)


def users_of(directory: Path) -> set[psutil.Process]:
    """Other processes of this user with a file open below a directory; each of Ray's has its log open."""
    below = f"{directory}{os.sep}"
    users = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.uids().real == os.getuid() and any(file.path.startswith(below) for file in process.open_files()):
                users.add(process)
    return users - {psutil.Process()}


def _family(pid: int, started: float) -> list[psutil.Process]:
    """A noted process and all below it; empty when it is gone, or another one has its id."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if process.create_time() == started:
            return [process, *process.children(recursive=True)]
    return []


def _read(notes: Path) -> _Notes:
    try:
        body: Any = json.loads(notes.read_bytes())
    except (FileNotFoundError, ValueError):
        return _Notes()
    # Two kinds of files, both older than this module: a list of processes, and a session.
    session: dict[str, Any] = {"processes": body} if isinstance(body, list) else body
    processes = [(int(pid), float(started)) for pid, started in session["processes"]]
    return _Notes(processes, Path(session["temp"]) if "temp" in session else None)


def _write(notes: Path, body: object) -> None:
    """Whole or not at all: half a note would hide the processes that it names."""
    partial = notes.with_name(f".{notes.name}.partial")
    partial.write_text(json.dumps(body))
    partial.replace(notes)

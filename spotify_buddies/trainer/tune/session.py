"""One search at a time in a state directory, and the end of what a killed one left running."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from spotify_buddies.foundation.process.children import stop_all
from spotify_buddies.foundation.process.private import NotPrivate, make_private
from spotify_buddies.trainer.tune.experiment import HOME, TuneError, write_json

_LOCK, _SESSION = "lock", "session.json"


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Hold the searches of a state directory until the block ends; a holder that was killed blocks nobody.

    TuneError names the process that holds them, or says that the directory is somebody else's.
    """
    try:
        make_private(state_dir)
    except NotPrivate as error:
        raise TuneError(str(error)) from error
    home = state_dir / HOME
    home.mkdir(parents=True, exist_ok=True)
    with (home / _LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise TuneError(
                f"a search already runs in {state_dir} (process {file.read().strip() or 'unknown'}); wait for it or "
                "stop it, or set BUDDIES_STATE_DIR to another place"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_locked(state_dir: Path) -> bool:
    """Whether a search runs in a state directory."""
    path = state_dir / HOME / _LOCK
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def note(state_dir: Path, temp: Path, processes: Iterable[psutil.Process]) -> None:
    """Remember a Ray session: its directory, and its processes with their start times, which tell apart reused ids."""
    started = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            started.append([process.pid, process.create_time()])
    write_json(state_dir / HOME / _SESSION, {"temp": str(temp), "processes": started})


def forget(state_dir: Path) -> None:
    """The session has ended by itself."""
    (state_dir / HOME / _SESSION).unlink(missing_ok=True)


def end_leftovers(state_dir: Path) -> int:
    """End what a killed search left running and remove its session's directory; returns how many processes.

    The kernel kills Ray's raylet and GCS with the process that started them. Its workers go on until they notice, a
    second or two in which they may write to a checkpoint, and its agents stay for good. The caller holds the lock.
    """
    path = state_dir / HOME / _SESSION
    if not path.exists():
        return 0
    body = json.loads(path.read_bytes())
    temp = Path(body["temp"])
    found = _noted(body["processes"]) | users_of(temp)
    stop_all(found)
    shutil.rmtree(temp, ignore_errors=True)
    path.unlink()
    return len(found)


def users_of(directory: Path) -> set[psutil.Process]:
    """The processes of this user that have a file open below a directory, as each of Ray's has its log."""
    below = f"{directory}{os.sep}"
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.uids().real == os.getuid() and any(file.path.startswith(below) for file in process.open_files()):
                found.add(process)
    return found - {psutil.Process()}


def _noted(processes: Iterable[tuple[int, float]]) -> set[psutil.Process]:
    found = set()
    for pid, started in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.create_time() == started:
                found.add(process)
    return found

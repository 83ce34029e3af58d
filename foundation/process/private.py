"""Directories that other users of the machine cannot enter."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# New files are for this user alone.
UMASK = 0o077
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private(directory: Path, group: int | None = None) -> None:
    """Make a directory, or what stands there already, closed to other users.

    group: may pass through all the same (execute, not read), for a server that runs as another user. OSError: it
    belongs to somebody else.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = directory.stat()
    if group is None or found.st_gid != group:
        wanted = stat.S_IMODE(found.st_mode) & ~_OTHERS | stat.S_IRWXU
    else:
        wanted = stat.S_IMODE(found.st_mode) & ~_OTHERS | stat.S_IRWXU | stat.S_IXGRP
    if stat.S_IMODE(found.st_mode) != wanted:
        directory.chmod(wanted)


def repair(directory: Path) -> int:
    """Close everything below a directory that belongs to this user; returns how many files and directories were open.

    What belongs to others (a database server's files), links, and what vanishes meanwhile is left as it is.
    """
    mended = 0
    for path in _below(directory):
        with suppress(FileNotFoundError):
            found = path.lstat()
            if found.st_uid == os.getuid() and not stat.S_ISLNK(found.st_mode) and found.st_mode & _OTHERS:
                path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
                mended += 1
    return mended


def open_to_others(directory: Path) -> bool:
    """Whether other users, beyond a group that may pass through, can do anything with a directory. Missing: no."""
    try:
        mode = directory.stat().st_mode
    except FileNotFoundError:
        return False
    return bool(mode & (_OTHERS & ~stat.S_IXGRP))


def _below(directory: Path) -> Iterator[Path]:
    """Every file and directory below, of directories that belong to this user."""
    for folder, folders, files in os.walk(directory):
        here = Path(folder)
        folders[:] = [name for name in folders if _is_mine(here / name)]
        yield from (here / name for name in (*folders, *files))


def _is_mine(directory: Path) -> bool:
    with suppress(FileNotFoundError):
        return directory.lstat().st_uid == os.getuid()
    return False

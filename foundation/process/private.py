"""Directories that other users of the machine cannot enter."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# New files are for this user alone.
UMASK = 0o077
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private(directory: Path) -> None:
    """Make a directory, or what stands there already, closed to other users. OSError: it belongs to somebody else.

    Who was let through (`let_through`) still is.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = directory.stat()
    wanted = stat.S_IMODE(found.st_mode) & ~(_OTHERS & ~_passage(found)) | stat.S_IRWXU
    if stat.S_IMODE(found.st_mode) != wanted:
        directory.chmod(wanted)


def let_through(path: Path) -> None:
    """Let this user's group pass through every directory above a path, without reading there, and nobody else.

    For a server that has this user's group and another user's id. A directory of another group that has rights there
    keeps it, and is opened for passing to everybody. OSError: a directory that cannot be passed is somebody else's.
    """
    group = os.getegid()
    for directory in path.parents:
        found = directory.stat()
        mode = stat.S_IMODE(found.st_mode)
        if mode & stat.S_IXOTH or (found.st_gid == group and mode & stat.S_IXGRP):
            continue
        if found.st_gid != group and mode & stat.S_IRWXG:
            directory.chmod(mode | stat.S_IXOTH)
            continue
        if found.st_gid != group:
            os.chown(directory, -1, group)
        directory.chmod(mode | stat.S_IXGRP)


def _passage(found: os.stat_result) -> int:
    """The right of root's own group to pass through and no more; other people's group may have many members."""
    roots = os.geteuid() == 0 and found.st_gid == os.getegid()
    return stat.S_IXGRP if roots and found.st_mode & stat.S_IRWXG == stat.S_IXGRP else 0


def secret(path: Path) -> Path:
    """A file with 256 random bits in hex, made on first use, which only this user can read; returns its path."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    path.chmod(0o600)
    return path


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
    """Whether other users can do anything with a directory, beyond who was let through. Missing: no."""
    try:
        found = directory.stat()
    except FileNotFoundError:
        return False
    return bool(found.st_mode & _OTHERS & ~_passage(found))


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

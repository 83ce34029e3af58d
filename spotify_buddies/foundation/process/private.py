"""Directories and files that other users of the machine cannot enter or read."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# New files are for this user alone.
UMASK = 0o077
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class NotPrivate(Exception):
    """A directory or file cannot be this user's alone; the message names it and says what to do."""


def make_private(directory: Path) -> None:
    """Make a directory that is closed to other users, or close the one that exists.

    NotPrivate: it belongs to another user. One that belongs to root is left as it is: a volume is handed out so, and
    root is no stranger. Who was let through (`let_through`) still is.
    """
    if directory.resolve() in (Path("/"), Path.home()):
        raise NotPrivate(f"{directory.resolve()} is not only ours: set BUDDIES_STATE_DIR to a directory of its own")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = directory.stat()
    if status.st_uid not in (os.geteuid(), 0):
        raise NotPrivate(
            f"{directory} belongs to another user (id {status.st_uid}), who can change all that is in it; remove it, "
            "or set BUDDIES_STATE_DIR to another place"
        )
    wanted = stat.S_IMODE(status.st_mode) & ~(_OTHERS & ~_passage(status)) | stat.S_IRWXU
    if stat.S_IMODE(status.st_mode) != wanted and status.st_uid == os.geteuid():
        directory.chmod(wanted)


def let_through(path: Path) -> None:
    """Let this user's group pass through every directory above a path, without reading there.

    For a server that has this user's group and another user's id. A directory of another group that has rights there
    keeps it, and is opened for passing to everybody. OSError: a directory that cannot be passed belongs to another
    user.
    """
    group = os.getegid()
    for directory in path.parents:
        status = directory.stat()
        mode = stat.S_IMODE(status.st_mode)
        if mode & stat.S_IXOTH or (status.st_gid == group and mode & stat.S_IXGRP):
            continue
        if status.st_gid != group and mode & stat.S_IRWXG:
            directory.chmod(mode | stat.S_IXOTH)
            continue
        if status.st_gid != group:
            os.chown(directory, -1, group)
        directory.chmod(mode | stat.S_IXGRP)


def secret(path: Path) -> Path:
    """A file with 256 random bits in hex that only this user can read; returns its path.

    Made on first use, and again where it is empty or was open to others. NotPrivate: it belongs to another user.
    """
    if not _is_secret(path):
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # another process was faster, and its file is whole
            os.link(partial, path)
        partial.unlink()
    return path


def repair(paths: Iterable[Path]) -> int:
    """Close files, and directories with all that is in them, that belong to this user; returns how many were open.

    What belongs to others (a database server's files), links, sockets, and what vanishes meanwhile is left as it is.
    """
    return sum(_close(path.name, path.parent) for path in paths)


def open_to_others(directory: Path) -> bool:
    """Whether other users can do anything with a directory, beyond who was let through. Missing: no."""
    try:
        status = directory.stat()
    except FileNotFoundError:
        return False
    return bool(status.st_mode & _OTHERS & ~_passage(status))


def replaceable_by_others(path: Path) -> Path | None:
    """The directory above a path in which another user could put something else in its place; None: there is none."""
    for directory in path.absolute().parents:
        status = directory.stat()
        foreign = status.st_uid not in (0, os.geteuid())
        if foreign or (status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX):
            return directory
    return None


def _passage(status: os.stat_result) -> int:
    """The right of root's own group to pass through and no more; other people's group may have many members."""
    roots = os.geteuid() == 0 and status.st_gid == os.getegid()
    return stat.S_IXGRP if roots and status.st_mode & stat.S_IRWXG == stat.S_IXGRP else 0


def _is_secret(path: Path) -> bool:
    try:
        descriptor = os.open(path, _OPEN)
    except FileNotFoundError:
        return False
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
        raise NotPrivate(f"{path} is not a file of this user; remove it, and a new one is made")
    if status.st_mode & _OTHERS or not status.st_size:
        path.unlink()  # others may have read it
        return False
    return True


def _close(name: str, parent: Path) -> int:
    mended = 0
    with suppress(FileNotFoundError):
        above = os.open(parent, os.O_RDONLY)
        try:
            mended += _close_one(name, above)
            if not (parent / name).is_dir() or (parent / name).is_symlink():
                return mended
            for _, folders, files, inside in os.fwalk(name, dir_fd=above):
                folders[:] = [folder for folder in folders if _is_mine(folder, inside)]
                mended += sum(_close_one(entry, inside) for entry in (*folders, *files))
        finally:
            os.close(above)
    return mended


def _close_one(name: str, directory: int) -> int:
    """1 where it was open. By its descriptor: nobody can put a link in its place meanwhile."""
    try:
        descriptor = os.open(name, _OPEN, dir_fd=directory)
    except OSError:
        return 0  # a link, a socket, gone, or not ours to read
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or not status.st_mode & _OTHERS:
            return 0
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~_OTHERS)
    finally:
        os.close(descriptor)
    return 1


def _is_mine(name: str, directory: int) -> bool:
    with suppress(FileNotFoundError):
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_uid == os.geteuid()
    return False

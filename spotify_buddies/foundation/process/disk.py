"""A full disk: the errors of libraries that say so, and the words for people."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# What libraries say in errors of their own, which carry no number: Polars, Arrow and FAISS repeat the system's words,
# SQLite has its own, and numpy counts.
_WORDS = (
    *(os.strerror(number) for number in sorted(_NUMBERS)),
    "database or disk is full",
    "Not enough free space to write",
)
_SHORT_WRITE = " requested and "


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that no more could be written: disk, quota, largest file."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = str(error)
        if isinstance(error, OSError) and (error.errno in _NUMBERS or (error.errno is None and _SHORT_WRITE in text)):
            return True
        if any(words in text for words in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def no_room(folder: Path) -> str:
    """One sentence on where nothing more can be written: folder, mount of its file system, what is left there."""
    there = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    usage = shutil.disk_usage(there)
    return (
        f"{folder}: no space left on {_mount(there)}, which has {size(usage.free)} free of {size(usage.total)} "
        "(a quota, or a limit on the size of a file, may allow less)"
    )


def size(count: int) -> str:
    """Bytes with a unit: 1,536 is '1.5 KiB'."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _mount(path: Path) -> Path:
    path = path.resolve()
    return next(parent for parent in [path, *path.parents] if parent.is_mount())

"""A private directory of one run, with a part inside that may be given away."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from spotify_buddies.foundation.process.private import replaceable_by_others

OWNER = "owner.pid"
# Bytes of its path: Ray Serve makes HAProxy's sockets 71 bytes below, and HAProxy's limit is 97. Ray's own lie 72 bytes
# below, and the kernel's limit is 107.
LONGEST = 25
LONGEST_WITHOUT_HAPROXY = 34
_PUBLIC = "r"


@dataclass(frozen=True)
class RunDir:
    """path: ours alone, mode 700, for executables, notes and sockets.

    public: a directory inside it, for a program that opens up what it is given.

    Ray makes its temporary directory writable for everybody. Nobody else gets that far, since the way there leads
    through `path`, which Ray never learns of.
    """

    path: Path

    @property
    def public(self) -> Path:
        """What Ray is given as its temporary directory."""
        return self.path / _PUBLIC


@contextmanager
def run_dir(prefix: str, longest: int = LONGEST) -> Iterator[RunDir]:
    """A directory of this run's own, removed after the block, or by a later run of this user when this one is killed.

    longest: bytes of its path; it lies in /tmp where $TMPDIR is too long for that, or where others could replace it.
    """
    sweep(_parent(prefix, longest), prefix)
    run = make(prefix, longest)
    # Ray, imported after this, writes there once more at exit when its raylet is dead; handlers run last in, first out.
    atexit.register(shutil.rmtree, run.path, ignore_errors=True)
    try:
        yield run
    finally:
        shutil.rmtree(run.path, ignore_errors=True)


def make(prefix: str, longest: int = LONGEST) -> RunDir:
    """A directory as `run_dir` makes it, for the caller to remove."""
    run = RunDir(Path(tempfile.mkdtemp(prefix=prefix, dir=_parent(prefix, longest))))  # mode 700 whatever the umask is
    (run.path / OWNER).write_text(str(os.getpid()))
    run.public.mkdir(mode=0o700)
    return run


def sweep(parent: Path, prefix: str) -> None:
    """Remove what killed runs of this user left; what others put there, or remove meanwhile, is passed over."""
    for path in parent.glob(f"{prefix}*"):
        with suppress(OSError, ValueError, OverflowError):
            # Another start may sweep at the same time: any look may find nothing.
            if _is_ours(path) and not psutil.pid_exists(_owner(path)):
                shutil.rmtree(path, ignore_errors=True)


def _parent(prefix: str, longest: int) -> Path:
    base = tempfile.gettempdir()
    inside = f"{base}/{prefix}12345678"
    fits = len(os.fsencode(inside)) <= longest and replaceable_by_others(Path(inside)) is None
    return Path(base if fits else "/tmp")  # noqa: S108 - sockets need short paths


def _is_ours(path: Path) -> bool:
    """Whether it is a directory that this user made, and no link to one."""
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _owner(path: Path) -> int:
    """The process that made it. OSError, ValueError: there is no such note, so it may be younger than its note."""
    with os.fdopen(os.open(path / OWNER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
        return int(file.read(20))

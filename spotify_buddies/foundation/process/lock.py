"""A lock on a directory, for one process and those that it forks."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.private import make_private

LOCK = "lock"
# A process that looks at a lock has it for a moment; a holder has it for as long as it runs.
LOOK_S, POLL_S = 0.5, 0.002


@contextmanager
def locked(directory: Path, what: str) -> Iterator[int]:
    """Hold a directory until the block ends, here and in every process forked within; yields this process's id.

    what: a sentence's beginning for those who come second, such as "a service already runs". LaunchError: another
    process holds the directory; the message names its id and what to do. NotPrivate: it belongs to another user.

    The kernel releases the lock with its last holder, so a killed one blocks nobody. The file stays: removing it would
    let two processes lock two files of one name.
    """
    make_private(directory)
    # A descriptor of ours: filelock's FileLock closes its own in a forked child, but the service is such a child and
    # must hold the directory until it has ended, also when the parent is killed first.
    with (directory / LOCK).open("a+") as file:
        if not _taken(file.fileno()):
            file.seek(0)
            raise LaunchError(
                f"{what} in {directory} (process {file.read().strip() or 'unknown'}); stop it, or set "
                "BUDDIES_STATE_DIR to another place"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        # Closing releases it, once every holder has done so. Unlocking would release it for the children too.
        yield os.getpid()


def is_locked(directory: Path) -> bool:
    """Whether a process holds a directory now; False where there is none.

    Looking disturbs neither a holder that starts meanwhile nor others that look.
    """
    path = directory / LOCK
    if not path.exists():
        return False
    with path.open("a+") as file:
        try:
            # Shared, so that two that look do not take each other for a holder.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _taken(descriptor: int) -> bool:
    """Take the lock, whoever looks at it meanwhile; False: another process holds it."""
    until = time.monotonic() + LOOK_S
    while not lock_descriptor(descriptor, blocking=False):
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True

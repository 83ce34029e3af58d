"""A lock on a directory, for one process and those that it forks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.private import make_private

LOCK = "lock"


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
        if not lock_descriptor(file.fileno(), blocking=False):
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
    """Whether a process holds a directory now; False where there is none."""
    path = directory / LOCK
    if not path.exists():
        return False
    with path.open("a+") as file:
        return not lock_descriptor(file.fileno(), blocking=False)

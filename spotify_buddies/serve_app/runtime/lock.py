"""One service a state directory: two would stop each other's stores."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.private import make_private

LOCK = "lock"


@contextmanager
def locked(state_dir: Path) -> Iterator[int]:
    """Hold the state directory until the block ends, here and in every process forked within; yields this process's id.

    LaunchError names the process that holds it; NotPrivate: the directory is somebody else's. The kernel lets go of
    the lock with its last holder, so one that was killed blocks nobody. The file stays: removing it would let two
    processes lock two files of one name.
    """
    make_private(state_dir)
    with (state_dir / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise LaunchError(
                f"a service already runs in {state_dir} (process {file.read().strip() or 'unknown'}); stop it, or set "
                f"BUDDIES_STATE_DIR to another place"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield os.getpid()

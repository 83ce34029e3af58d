"""The Ray session of one search at a time in a state directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from spotify_buddies.foundation.process import lock, orphans
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.private import NotPrivate, make_private
from spotify_buddies.trainer.tune.experiment import HOME, TuneError

_SESSION = "session.json"


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Hold the searches of a state directory until the block ends; a holder that was killed blocks nobody.

    TuneError names the process that holds them, or says that the directory belongs to another user.
    """
    with ExitStack() as stack:
        try:
            make_private(state_dir)
            stack.enter_context(lock.locked(state_dir / HOME, "a search already runs"))
        except (LaunchError, NotPrivate) as error:
            raise TuneError(str(error)) from error
        yield


def is_locked(state_dir: Path) -> bool:
    """Whether a search runs in a state directory."""
    return lock.is_locked(state_dir / HOME)


def note(state_dir: Path, temp: Path, processes: Iterable[psutil.Process]) -> None:
    """Remember the search's Ray: its directory, and its processes."""
    orphans.note_session(state_dir / HOME / _SESSION, temp, processes)


def forget(state_dir: Path) -> None:
    """Remove the note of a session that has ended by itself."""
    orphans.forget(state_dir / HOME / _SESSION)


def stop_orphans(state_dir: Path) -> int:
    """Stop what a killed search left running and remove its Ray's directory; returns how many processes.

    The kernel kills Ray's raylet and GCS with the process that started them. Its workers run until they notice, a
    second or two in which they may write to a checkpoint, and its agents stay for good. The caller holds the lock.
    """
    return orphans.stop_orphans(state_dir / HOME / _SESSION)

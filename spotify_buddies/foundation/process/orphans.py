"""Notes of started processes, so that a run can stop what the one before it, killed, left running."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from spotify_buddies.foundation.process.children import stop_tree

LEFTOVERS = "services.json"


@contextmanager
def noted(state_dir: Path, pid: int) -> Iterator[None]:
    """Keep a note of a started process while it runs."""
    path = state_dir / LEFTOVERS
    entry = [pid, psutil.Process(pid).create_time()]
    path.write_text(json.dumps([*_read(path), entry]))
    try:
        yield
    finally:
        left = [note for note in _read(path) if note != entry]
        if left:
            path.write_text(json.dumps(left))
        else:
            path.unlink(missing_ok=True)


def stop_leftovers(state_dir: Path) -> None:
    """Stop what is noted and still runs. The caller holds the state directory: else these are another run's."""
    path = state_dir / LEFTOVERS
    for pid, started in _read(path):
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(int(pid)).create_time() == started:
                stop_tree(int(pid))
    path.unlink(missing_ok=True)


def _read(path: Path) -> list[list[float]]:
    try:
        notes: list[list[float]] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    return notes

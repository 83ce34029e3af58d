"""The running search of this process, for what Ray Tune restores from its pickles.

Tuner.restore brings back the callbacks and the scheduler that the first process had, with no way to give it others.
Ours hold a database connection, a terminal and a record on disk; so they are pickled as "the one of this process".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Search:
    recorder: Any
    scheduler: Any


_current: list[_Search] = []


@contextmanager
def searching(recorder: Any, scheduler: Any) -> Iterator[None]:
    """Make these the ones that a restored search gets, until the block ends."""
    _current.append(_Search(recorder, scheduler))
    try:
        yield
    finally:
        _current.pop()


def recorder() -> Any:
    """The callback of the running search. LookupError: there is none."""
    return _innermost().recorder


def scheduler() -> Any:
    """The scheduler of the running search. LookupError: there is none."""
    return _innermost().scheduler


def _innermost() -> _Search:
    if not _current:
        raise LookupError("no search runs in this process")
    return _current[-1]

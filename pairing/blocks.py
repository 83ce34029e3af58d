"""The loop over blocks of rows that uses every core."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pairing.progress import Progress

Result = TypeVar("Result")


def processors() -> int:
    """How many processors this process may use, which in a container is less than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spans(total: int, block: int) -> Iterator[tuple[int, int]]:
    """(first, last) of every block of `block` rows, last exclusive; the last block may be shorter."""
    return ((first, min(first + block, total)) for first in range(0, total, block))


def over_blocks(
    users: int,
    block_users: int,
    what: str,
    progress: Progress,
    work: Callable[[int, int], Result],
    *,
    threads: int | None = None,
) -> Iterator[Result]:
    """work(first, last) for every block of users, on `threads` threads, in the order of the blocks.

    threads None: one per processor. As many blocks are in memory as there are threads, and one more. work must release
    the GIL to gain from this.
    """
    most = threads or processors()
    progress(what, 0, users, "users")
    with ThreadPoolExecutor(most) as pool:
        waiting: deque[tuple[int, Future[Result]]] = deque()
        try:
            for first, last in spans(users, block_users):
                waiting.append((last, pool.submit(work, first, last)))
                if len(waiting) > most:
                    done, future = waiting.popleft()
                    yield future.result()
                    progress(what, done, users, "users")
            while waiting:
                done, future = waiting.popleft()
                yield future.result()
                progress(what, done, users, "users")
        finally:
            for _, future in waiting:
                future.cancel()

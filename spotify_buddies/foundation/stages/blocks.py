"""Work over rows, block by block: the seam behind which blocks run on threads here, or on other machines.

A stage lays its big, read-only inputs out once (`share`) and asks for its work over all rows (`over`). The work is a
plain function of (inputs, first, last) without side effects, so that a block may run anywhere, and again when
a machine dies. Results do not depend on where the rows are cut: a block that does not fit into memory is cut in two.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.foundation.stages.stage import StageError

Array = npt.NDArray[Any]
Inputs = TypeVar("Inputs")
Inputs_co = TypeVar("Inputs_co", covariant=True)
Result = TypeVar("Result")

# Blocks for every worker, where there are rows enough: the last ones to finish then wait for little.
_ROUNDS = 4


class BlockError(StageError):
    """A block cannot be worked on, however small it is cut."""


class Shared(Protocol[Inputs_co]):
    """Inputs that are laid out for the workers."""

    def over(
        self, work: Callable[[Inputs_co, int, int], Result], rows: int, block: int, what: str, progress: Progress
    ) -> Iterator[Result]:
        """work(inputs, first, last) for every block of the rows, in the order of the rows; last is exclusive.

        block: most rows of one block; workers cut smaller ones where that keeps all of them busy, or where one does not
        fit into memory. Every result is one block's, and the blocks follow each other without a gap; no rows, no
        result. A result is taken from here before the next one is asked for, so that few are in memory. work releases
        the GIL where it takes long, and what it holds beside its arguments is small: it travels with every block.
        BlockError: a single row does not fit into memory. Whatever else work raises is raised.
        """


class Blocks(Protocol):
    """Workers: threads of this process, or a cluster."""

    def share(self, inputs: Inputs) -> AbstractContextManager[Shared[Inputs]]:
        """Lay inputs out for the workers until the block ends. Their arrays are not written to meanwhile."""


@dataclass(frozen=True)
class Threads:
    """Threads of this process. count None: one per processor."""

    count: int | None = None

    @contextmanager
    def share(self, inputs: Inputs) -> Iterator[Shared[Inputs]]:
        """Nothing is copied: threads see the inputs themselves."""
        yield _Here(inputs, self.count or processors())


THREADS = Threads()


@dataclass(frozen=True)
class _Here(Shared[Inputs_co]):
    inputs: Inputs_co
    threads: int

    def over(
        self, work: Callable[[Inputs_co, int, int], Result], rows: int, block: int, what: str, progress: Progress
    ) -> Iterator[Result]:
        """See Shared. As many blocks are in memory as there are threads, and one more."""

        def run(first: int, last: int) -> list[Result]:
            return _whole_or_halves(work, self.inputs, first, last, what)

        for results in over_blocks(rows, cut(rows, block, self.threads), what, progress, run, threads=self.threads):
            yield from results


def _whole_or_halves(
    work: Callable[[Inputs, int, int], Result], inputs: Inputs, first: int, last: int, what: str
) -> list[Result]:
    try:
        return [work(inputs, first, last)]
    except MemoryError as error:
        if last - first == 1:
            raise BlockError(too_large(what, first)) from error
    middle = (first + last) // 2
    return [
        *_whole_or_halves(work, inputs, first, middle, what),
        *_whole_or_halves(work, inputs, middle, last, what),
    ]


def too_large(what: str, row: int) -> str:
    """The message of a BlockError about a row that does not fit into memory by itself."""
    return f"{what}: row {row} alone does not fit into memory; stop other programs, or use a machine with more memory"


def cut(rows: int, block: int, workers: int) -> int:
    """Rows of a block: at most `block`, and few enough that every worker gets some; at least 1."""
    return max(1, min(block, -(-rows // (_ROUNDS * workers))))


def read_only(array: Array) -> Array:
    """A plain, read-only view.

    Workers elsewhere see inputs like that, and compiled loops are compiled once for arrays that may be written and once
    for those that may not.
    """
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def processors() -> int:
    """How many processors this process may use, which in a container is less than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spans(total: int, block: int) -> Iterator[tuple[int, int]]:
    """(first, last) of every block of `block` rows, last exclusive; the last block may be shorter."""
    return ((first, min(first + block, total)) for first in range(0, total, block))


def over_blocks(
    rows: int,
    block: int,
    what: str,
    progress: Progress,
    work: Callable[[int, int], Result],
    *,
    threads: int | None = None,
    unit: str = "users",
) -> Iterator[Result]:
    """work(first, last) for every block of rows, on `threads` threads, in the order of the blocks.

    threads None: one per processor. unit: what a row is, for the progress. As many blocks are in memory as there are
    threads, and one more. work must release the GIL to gain from this.
    """
    most = threads or processors()
    progress(what, 0, rows, unit)
    with ThreadPoolExecutor(most) as pool:
        waiting: deque[tuple[int, Future[Result]]] = deque()
        try:
            for first, last in spans(rows, block):
                waiting.append((last, pool.submit(work, first, last)))
                # One more than there are threads, so that none idles while a result is taken.
                if len(waiting) > most:
                    done, future = waiting.popleft()
                    yield future.result()
                    progress(what, done, rows, unit)
            while waiting:
                done, future = waiting.popleft()
                yield future.result()
                progress(what, done, rows, unit)
        finally:
            for _, future in waiting:
                future.cancel()

"""Blocks of rows as Ray tasks. Imports Ray: reached through `trainer.cluster.connect` only."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.stages.blocks import BlockError, Shared, cut, too_large
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.foundation.stages.stage import RELEASE
from spotify_buddies.foundation.text.lines import first_line
from spotify_buddies.trainer.cluster.errors import ClusterError

Inputs = TypeVar("Inputs")
Inputs_co = TypeVar("Inputs_co", covariant=True)
Result = TypeVar("Result")

# Blocks that are submitted and not taken, for every CPU: one that runs, and one that waits or is finished.
AHEAD = 2
# Of a block whose worker or node died. After that it may be the block that kills them, and it is cut in two.
RETRIES = 3
# What a block may have been too large for. The kernel's own memory killer looks like a crash.
_NO_ROOM = (MemoryError, OutOfMemoryError, ObjectStoreFullError)
_TOO_LARGE = (*_NO_ROOM, WorkerCrashedError, NodeDiedError, ObjectLostError)


class RayBlocks:
    """Tasks of the cluster that this process is connected to, one CPU each.

    Inputs are put into the object store of this node once, and copied once to every other node that works on them.
    Beside them the store holds the results of at most AHEAD blocks per CPU of the cluster (and one more for each time
    that a block was cut in two): no further block is submitted before the first one is taken, and a result is copied
    out and let go when it is taken. (Ray deletes what was let go within a second, or when it needs the room.)

    This process owns the inputs, so they survive every other node. Ray runs a block again when its worker or its node
    dies, and also when the node takes a finished result with it. Blocks of a worker that ran out of memory, or that
    keeps dying, are cut in two, down to a single row.
    """

    @contextmanager
    def share(self, inputs: Inputs) -> Iterator[Shared[Inputs]]:
        """Put the inputs into the object store. ClusterError when they do not fit."""
        try:
            stored = [ray.put(inputs)]
        except (ObjectStoreFullError, OutOfDiskError) as error:
            raise ClusterError(_store_full(error)) from error
        try:
            yield _Stored(stored)
        finally:
            stored.clear()


@dataclass(frozen=True)
class _Block:
    first: int
    last: int
    result: Any


@dataclass(frozen=True)
class _Stored(Shared[Inputs_co], Generic[Inputs_co]):
    """Inputs in the object store; the list holds the only reference to them, so that they can be let go."""

    reference: list[Any]

    def over(
        self, work: Callable[[Inputs_co, int, int], Result], rows: int, block: int, what: str, progress: Progress
    ) -> Iterator[Result]:
        """See Shared. ClusterError: the cluster failed; the message says what to do."""
        progress(what, 0, rows, "users")
        waiting: deque[_Block] = deque()
        size, cursor = cut(rows, block, _cpus()), 0
        try:
            while waiting or cursor < rows:
                while cursor < rows and len(waiting) < AHEAD * _cpus():
                    waiting.append(self._submit(work, cursor, min(cursor + size, rows)))
                    cursor = waiting[-1].last
                first, last = waiting[0].first, waiting[0].last
                try:
                    result: Result = _take(waiting.popleft())
                except _TOO_LARGE as error:
                    middle = _halve(first, last, what, error)
                    size = min(size, middle - first)
                    waiting.appendleft(self._submit(work, middle, last))
                    waiting.appendleft(self._submit(work, first, middle))
                    continue
                yield result
                progress(what, last, rows, "users")
        finally:
            for left in waiting:
                ray.cancel(left.result)

    def _submit(self, work: Callable[[Inputs_co, int, int], Any], first: int, last: int) -> _Block:
        return _Block(first, last, _task.remote(RELEASE, work, self.reference[0], first, last))


def _run(release: str, work: Callable[[Any, int, int], Any], inputs: Any, first: int, last: int) -> Any:
    """One block, on one thread, by the release that asked for it: another one may compute otherwise."""
    if release != RELEASE:
        raise ClusterError(f"{_here()} runs spotify-buddies {RELEASE}, this is {release}; install the same everywhere")
    with threadpool_limits(1):
        return work(inputs, first, last)


_task = ray.remote(num_cpus=1, max_retries=RETRIES)(_run)


def _take(block: _Block) -> Any:
    """The result, out of the object store: what is kept of a part of it would keep all of it there."""
    try:
        return copy.deepcopy(ray.get(block.result))
    except RayTaskError as error:
        raise _meaning(error.cause) from error
    except RayError as error:
        raise _meaning(error) from None


def _meaning(error: Exception) -> Exception:
    """The error to raise: itself where the work raised it, or where a smaller block may help."""
    if isinstance(error, _TOO_LARGE) or not isinstance(error, RayError):
        return error
    if isinstance(error, OutOfDiskError):
        return ClusterError(_store_full(error))
    return ClusterError(
        f"Ray failed: {first_line(error)}; every node needs spotify-buddies {RELEASE} with its extra 'cluster'; "
        "rerun the same command to resume"
    )


def _halve(first: int, last: int, what: str, error: BaseException) -> int:
    """Where to cut a block that failed. BlockError when there is nothing left to cut."""
    if last - first > 1:
        return (first + last) // 2
    if isinstance(error, _NO_ROOM):
        raise BlockError(too_large(what, first)) from error
    raise BlockError(f"{what}: every worker that processed row {first} died: {first_line(error)}") from error


def _store_full(error: RayError) -> str:
    return (
        f"Ray has no room for the data of this stage: {first_line(error)}; give it more object store memory, or free "
        "disk space where it spills; rerun the same command to resume"
    )


def _cpus() -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 0)))


def _here() -> str:
    return f"the node {ray.util.get_node_ip_address()}"

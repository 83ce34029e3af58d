"""Arrays that are written as they grow, and the loop over blocks of users that fills them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pairing.csr import Csr
from pairing.progress import Progress

Array = npt.NDArray[Any]
Result = TypeVar("Result")


class Growing:
    """A .npy file that rows are appended to; its header is written last. shape: of one row, () for plain numbers."""

    def __init__(self, path: Path, kind: npt.DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self._file = path.open("wb")
        self._kind = np.dtype(kind)
        self._shape = shape
        self.rows = 0
        self._write_header()
        self._start = self._file.tell()

    def append(self, rows: Array) -> None:
        """Append rows (n, *shape)."""
        np.ascontiguousarray(rows, self._kind).tofile(self._file)
        self.rows += len(rows)

    def __enter__(self) -> Growing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._file.seek(0)
            self._write_header()
            if self._file.tell() != self._start:
                raise RuntimeError("the header of a .npy file changed its length")
        self._file.close()

    def _write_header(self) -> None:
        # numpy leaves room in the header for the first dimension to grow.
        header = {"descr": self._kind.str, "fortran_order": False, "shape": (self.rows, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


def over_blocks(
    users: int, block_users: int, what: str, progress: Progress, work: Callable[[int, int], Result]
) -> Iterator[Result]:
    """work(first, last) for every block of users, on all cores, in the order of the blocks.

    As many blocks are in memory as there are cores, and one more. work must release the GIL to gain from this.
    """
    cores = os.cpu_count() or 1
    progress(what, 0, users, "users")
    with ThreadPoolExecutor(cores) as pool:
        waiting: deque[tuple[int, Future[Result]]] = deque()
        try:
            for first in range(0, users, block_users):
                last = min(first + block_users, users)
                waiting.append((last, pool.submit(work, first, last)))
                if len(waiting) > cores:
                    last, done = waiting.popleft()
                    yield done.result()
                    progress(what, last, users, "users")
            while waiting:
                last, done = waiting.popleft()
                yield done.result()
                progress(what, last, users, "users")
        finally:
            for _, future in waiting:
                future.cancel()


def transpose(matrix: Csr, group: Callable[[Array, Array, int], tuple[Array, Array]]) -> Csr:
    """Columns become rows, ascending, without the copies that a library's conversion makes."""
    rows = np.repeat(np.arange(matrix.rows, dtype=np.int32), matrix.counts)
    indptr, indices = group(np.asarray(matrix.indices), rows, matrix.columns)
    return Csr(indptr, indices, matrix.rows)

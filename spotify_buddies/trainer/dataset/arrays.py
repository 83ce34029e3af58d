"""Arrays that are written as they grow."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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

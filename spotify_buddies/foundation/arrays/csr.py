"""Compressed sparse rows, the one array shape that every stage reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import scipy.sparse as sp

Array = npt.NDArray[Any]

# Entries at a time, so that memory-mapped matrices larger than memory can be counted.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Csr:
    """Compressed sparse rows: row i holds indices[indptr[i]:indptr[i + 1]], with values beside them or binary.

    indptr int64 (rows + 1,), starts at 0, never falls; indices int32 (nnz,), in [0, columns); values (nnz,) or None.
    Order within a row is the writer's (ascending for song sets, best first for ranked lists). No rows: indptr [0].
    """

    indptr: Array
    indices: Array
    columns: int
    values: Array | None = None

    def __post_init__(self) -> None:
        """Check the shape once, so that kernels may index without checks. ValueError names what is off."""
        if self.indptr.ndim != 1 or self.indptr.size == 0 or self.indptr[0] != 0 or np.any(np.diff(self.indptr) < 0):
            raise ValueError("indptr must start at 0 and never fall")
        if self.indices.shape != (int(self.indptr[-1]),):
            raise ValueError(f"indices hold {self.indices.size} entries, indptr says {int(self.indptr[-1])}")
        if self.values is not None and self.values.shape != self.indices.shape:
            raise ValueError("values and indices differ in length")
        if self.indices.size and not (int(self.indices.min()) >= 0 and int(self.indices.max()) < self.columns):
            first = int(np.flatnonzero((self.indices < 0) | (self.indices >= self.columns))[0])
            raise ValueError(
                f"indices leave the range 0..{self.columns - 1}: entry {first} is {int(self.indices[first])}"
            )

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.indptr.size - 1)

    @property
    def nnz(self) -> int:
        """Number of entries."""
        return int(self.indices.size)

    @property
    def counts(self) -> Array:
        """Entries per row, int64 (rows,)."""
        return np.diff(self.indptr)

    def row(self, i: int) -> Array:
        """The columns of row i, a view."""
        return self.indices[self.indptr[i] : self.indptr[i + 1]]

    def transpose(self) -> Csr:
        """Columns become rows; within a row ascending. Values are dropped. No memory beside the result's."""
        from spotify_buddies.foundation.arrays.kernels import flip  # numba takes half a second to import

        indptr, indices = flip(np.asarray(self.indptr), np.asarray(self.indices), self.columns)
        return Csr(indptr, indices, self.rows)

    def column_counts(self, chosen: Callable[[slice], Array] | None = None) -> Array:
        """Entries per column, int64 (columns,), counted block by block.

        chosen: bool for each entry of a span of entries, whether it counts; None: all count.
        """
        total = np.zeros(self.columns, np.int64)
        for first in range(0, self.nnz, _BLOCK):
            span = slice(first, first + _BLOCK)
            block = self.indices[span] if chosen is None else self.indices[span][chosen(span)]
            total += np.bincount(block, minlength=self.columns)
        return total

    def only(self, rows: Array) -> Csr:
        """The same matrix with every row empty that `rows`, bool (rows,), does not mark; itself where it marks all."""
        if rows.all():
            return self
        kept = np.repeat(rows, self.counts)
        indptr = np.zeros(self.rows + 1, np.int64)
        np.cumsum(np.where(rows, self.counts, 0), out=indptr[1:])
        values = None if self.values is None else self.values[kept]
        return Csr(indptr, self.indices[kept], self.columns, values)

    def take(self, rows: Array) -> Csr:
        """Some rows, in the order given, which may name one twice."""
        counts = self.indptr[rows + 1] - self.indptr[rows]
        indptr = np.zeros(rows.size + 1, np.int64)
        np.cumsum(counts, out=indptr[1:])
        # An entry's place here, moved by the distance between its row's start there and here: no loop over rows.
        entries = np.arange(int(indptr[-1])) + np.repeat(self.indptr[rows] - indptr[:-1], counts)
        values = None if self.values is None else self.values[entries]
        return Csr(indptr, self.indices[entries], self.columns, values)

    def to_scipy(self) -> sp.csr_array:
        """A scipy matrix (rows, columns) of float32; binary rows become ones."""
        import scipy.sparse as sp  # replicas never need it

        values = np.ones(self.nnz, np.float32) if self.values is None else self.values
        return sp.csr_array((values, self.indices, self.indptr), shape=(self.rows, self.columns))

    def save(self, directory: Path, name: str) -> None:
        """Write <name>.indptr.npy, .indices.npy, .columns.npy and, where there are values, .values.npy."""
        np.save(directory / f"{name}.indptr.npy", self.indptr.astype(np.int64, copy=False))
        np.save(directory / f"{name}.indices.npy", self.indices.astype(np.int32, copy=False))
        np.save(directory / f"{name}.columns.npy", np.int64(self.columns))
        if self.values is not None:
            np.save(directory / f"{name}.values.npy", self.values)

    @classmethod
    def load(cls, directory: Path, name: str) -> Csr:
        """Open what save wrote, memory-mapped and read-only. FileNotFoundError names the missing file."""
        values = directory / f"{name}.values.npy"
        return cls(
            indptr=np.load(directory / f"{name}.indptr.npy", mmap_mode="r"),
            indices=np.load(directory / f"{name}.indices.npy", mmap_mode="r"),
            columns=int(np.load(directory / f"{name}.columns.npy")),
            values=np.load(values, mmap_mode="r") if values.exists() else None,
        )

    @classmethod
    def from_rows(cls, rows: list[Array] | list[list[int]], columns: int) -> Csr:
        """Build from one array of columns per row, kept in the order given."""
        counts = np.array([len(row) for row in rows], np.int64)
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(counts, out=indptr[1:])
        indices = np.concatenate([np.asarray(row, np.int32) for row in rows]) if len(rows) else np.empty(0, np.int32)
        return cls(indptr, indices.astype(np.int32), columns)

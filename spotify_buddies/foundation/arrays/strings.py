"""Strings as two arrays, and their look-up without a dict of Python strings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class StringTable:
    """Strings by row. offsets int64 (rows + 1,), data uint8 (bytes,): row i is data[offsets[i]:offsets[i + 1]]."""

    offsets: Array
    data: Array

    def __len__(self) -> int:
        return int(self.offsets.size - 1)

    def __getitem__(self, row: int) -> str:
        return self.raw(row).decode()

    def raw(self, row: int) -> bytes:
        """The UTF-8 bytes of one row."""
        return bytes(self.data[self.offsets[row] : self.offsets[row + 1]])

    @classmethod
    def of(cls, strings: Iterable[str]) -> StringTable:
        """Pack strings in their order."""
        encoded = [string.encode() for string in strings]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(item) for item in encoded], out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(encoded), np.uint8))

    def save(self, directory: Path, name: str) -> None:
        """Write <name>.offsets.npy and <name>.bytes.npy."""
        np.save(directory / f"{name}.offsets.npy", self.offsets)
        np.save(directory / f"{name}.bytes.npy", self.data)

    @classmethod
    def load(cls, directory: Path, name: str) -> StringTable:
        """Open memory-mapped."""
        return cls(
            np.load(directory / f"{name}.offsets.npy", mmap_mode="r"),
            np.load(directory / f"{name}.bytes.npy", mmap_mode="r"),
        )


@dataclass(frozen=True)
class KeyIndex:
    """From a string to the row of the table that holds it: XXH3 hashes in ascending order, and the row of each.

    hashes uint64 (rows,), rows int32 (rows,). A hit is compared with the stored bytes, so a collision costs a
    comparison and never gives a wrong row. Where a string appears twice, its first row is found.
    """

    table: StringTable
    hashes: Array
    rows: Array

    @classmethod
    def of(cls, table: StringTable) -> KeyIndex:
        """Index every row of a table."""
        text, ends = table.data.tobytes(), table.offsets.tolist()
        rows = (xxhash.xxh3_64_intdigest(text[first:last]) for first, last in pairwise(ends))
        hashes = np.fromiter(rows, np.uint64, len(table))
        # Stable: of equal strings the first row comes first, and `find` returns that one.
        order = np.argsort(hashes, kind="stable")
        return cls(table, hashes[order], order.astype(np.int32))

    def find(self, keys: Sequence[str]) -> Array:
        """The row of each key, int32 (keys,); -1 where the table does not hold it."""
        # A lone surrogate has no UTF-8, so no stored string can equal it: it is looked for and not found.
        encoded = [key.encode(errors="surrogatepass") for key in keys]
        wanted = np.fromiter((xxhash.xxh3_64_intdigest(key) for key in encoded), np.uint64, len(encoded))
        starts = np.searchsorted(self.hashes, wanted)
        return np.fromiter(
            (
                self._match(key, int(hashed), int(start))
                for key, hashed, start in zip(encoded, wanted, starts, strict=True)
            ),
            np.int32,
            len(encoded),
        )

    def _match(self, key: bytes, hashed: int, place: int) -> int:
        # Equal hashes lie side by side, in the order of their rows.
        while place < self.hashes.size and int(self.hashes[place]) == hashed:
            row = int(self.rows[place])
            if self.table.raw(row) == key:
                return row
            place += 1
        return -1

    def save(self, directory: Path, name: str) -> None:
        """Write the table and <name>.hashes.npy, <name>.rows.npy."""
        self.table.save(directory, name)
        np.save(directory / f"{name}.hashes.npy", self.hashes)
        np.save(directory / f"{name}.rows.npy", self.rows)

    @classmethod
    def load(cls, directory: Path, name: str) -> KeyIndex:
        """Open memory-mapped."""
        return cls(
            StringTable.load(directory, name),
            np.load(directory / f"{name}.hashes.npy", mmap_mode="r"),
            np.load(directory / f"{name}.rows.npy", mmap_mode="r"),
        )
